"""The command line: `python -m synthkit study` and `python -m synthkit prepare`."""

import argparse
import contextlib
import re
import sys
import textwrap
import warnings
from pathlib import Path

from synthkit import arms, environment

# What "fast" leaves out, side by side. Library functions take these as arguments and know no profile.
PROFILES = {
    #                       fast                full
    "seeds": {"fast": 5, "full": 10},
    "simple_cnn": {"fast": 300, "full": 1500},  # gradient steps of every trial, by classifier
    "skin_cnn": {"fast": 300, "full": 1500},
    "resnet18": {"fast": 100, "full": 1500},
    "per_class": {"fast": 50, "full": 150},  # real training images of each class, phantoms only
    "ratio": {"fast": 5.0, "full": 5.0},  # synthetic images a real one
    "learning_rate": {"fast": 2e-3, "full": 1e-3},
}
CLASSIFIERS = ("skin_cnn", "simple_cnn", "resnet18")
WORKER_SECONDS = 30  # that a cluster's first worker may take to come
RECIPES = ("medmnist", "medmnist_study")


def main(argv=None):
    """Runs the command line. Returns the exit status: 0, or 2 for what the user can mend."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"synthkit|__main__")
        warnings.showwarning = _note
        try:
            with _cluster(arguments.scheduler):
                return _prepare(arguments) if arguments.command == "prepare" else _study(arguments)
        except (ValueError, OSError) as error:
            print(f"synthkit: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nsynthkit: stopped; the same command goes on where this one was", file=sys.stderr)
            return 130


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m synthkit",
        description="Would synthetic images help a medical image classifier, and how sure are we?",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    usual, further, endings = (
        "\n".join(f"  {name:15}{text}" for name, text in table.items())
        for table in (arms.ARMS, arms.FURTHER_ARMS, arms.ENDINGS)
    )
    usual_epochs = textwrap.fill(
        ", ".join(f"{name}\N{NO-BREAK SPACE}{epochs}" for name, (epochs, _) in arms.GENERATORS.items()),
        100,
        initial_indent="  ",
        subsequent_indent="  ",
    ).replace("\N{NO-BREAK SPACE}", " ")
    profiles = "\n".join(f"  {key:15}{value['fast']:<8g}{value['full']:g}" for key, value in PROFILES.items())
    study = commands.add_parser(
        "study",
        help="train with and without synthetic images, several seeds each, and give a verdict",
        description="Trains a classifier on every arm's training set with several seeds, scores each once on the\n"
        "test part, and says with intervals and corrected tests which arms help. Killed and started again\n"
        "with the same arguments it goes on where it was.",
        epilog=f"arms:\n{usual}\n\nfurther arms, by --arms only:\n{further}\n\n"
        f'behind a generator\'s name, in this order, as in "cvae filtered x2":\n{endings}\n\n'
        f"profiles:        fast    full\n{profiles}\n"
        "  (a classifier's name: gradient steps with it; per_class: real training images of each\n"
        "  class, holds for phantoms, other data are used whole; ratio: synthetic images for each real one)\n\n"
        f"epochs of the generators, unless --epochs says otherwise:\n{usual_epochs}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    study.add_argument(
        "--data",
        default="phantom",
        metavar="SOURCE",
        help="phantom (default); a MedMNIST set's name, downloaded; an npz file of MedMNIST's format; a folder of "
        "class folders; or a folder that prepare wrote",
    )
    study.add_argument("--arms", metavar="A,B,…", help="arms, separated by commas (default: all that the data allow)")
    study.add_argument(
        "--per-class", type=_positive, metavar="N", help="real training images of each class, drawn anew for every seed"
    )
    study.add_argument("--seeds", type=_positive, metavar="N", help="seeds for every arm (default: the profile's)")
    study.add_argument(
        "--profile", choices=("fast", "full"), default="fast", help="how much of everything (default: fast)"
    )
    study.add_argument("--classifier", choices=CLASSIFIERS, default="skin_cnn", help="default: skin_cnn")
    study.add_argument(
        "--steps", type=_positive, metavar="N", help="gradient steps of every trial (default: the profile's)"
    )
    study.add_argument(
        "--epochs",
        type=_epochs,
        metavar="N|NAME=N,…",
        help="passes over the real training images, of all generators or of those named (default: each its own)",
    )
    study.add_argument(
        "--generators",
        metavar="DIR",
        help="keep fitted generators there (an autoencoder's file holds the training images); every study of the same "
        "images and seeds takes them up; empty it after changing a generator's code",
    )
    study.add_argument(
        "--recipe",
        choices=RECIPES,
        help="a published way to train instead of the profile's: medmnist (the benchmark's, Adam, 100 epochs) or "
        "medmnist_study (stochastic gradient descent, 100 epochs)",
    )
    study.add_argument(
        "--image-size", type=_positive, metavar="N", help="pixels a side (default: an npz file's own, else 28)"
    )
    study.add_argument(
        "--drop-near-copies",
        action="store_true",
        help="leave images out of the validation and test part that are nearly copies of others",
    )
    study.add_argument(
        "--positive", metavar="CLASS", help="class that sensitivity speaks of (default: malignant, if there is one)"
    )
    study.add_argument(
        "--patients",
        metavar="CSV|REGEX",
        help="folders: a CSV file with the columns file and patient, or a regular expression whose groups, found in "
        "a file's path, name its patient",
    )
    _add_workers(study, "trials at a time, each in a process of its own (default: 1)")
    study.add_argument(
        "--out", default="synthkit-study", metavar="DIR", help="folder for the results (default: synthkit-study)"
    )
    prepare = commands.add_parser(
        "prepare",
        help="turn a CBIS-DDSM download into small images that study runs on",
        description="Streams the collection once through the mammography study's preprocessing. Killed and started\n"
        "again with the same arguments it goes on where it was; files that could not be read are listed, and\n"
        "tried again.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prepare.add_argument(
        "--cbis-ddsm", required=True, metavar="ROOT", help="folder of the download: case tables and image files"
    )
    prepare.add_argument("--out", required=True, metavar="DIR", help="folder for images.npy, index.csv and skipped.csv")
    prepare.add_argument(
        "--image",
        choices=("full", "crop"),
        default="crop",
        help="full mammograms, or crops of abnormalities (default: crop)",
    )
    prepare.add_argument("--size", type=_positive, default=224, metavar="N", help="pixels a side (default: 224)")
    prepare.add_argument(
        "--keep-aspect", action="store_true", help="pad to a square instead of stretching, which the study did"
    )
    prepare.add_argument(
        "--breast-only", action="store_true", help="full mammograms: remove the background, flip and crop to the breast"
    )
    prepare.add_argument("--equalization", choices=("histogram", "clahe"), help="equalise grey levels (default: not)")
    _add_workers(prepare, "processes (default: as many as there are cores)")
    return parser


def _add_workers(parser, text):
    """Adds what says where the work is done."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=_positive, metavar="N", help=text)
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster whose workers do it, for example tcp://10.0.0.7:8786"
    )


@contextlib.contextmanager
def _cluster(address):
    """Sends joblib's work to a Dask cluster meanwhile; None leaves it here."""
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--scheduler needs Dask: pip install distributed, here and at the workers") from error
    import joblib

    with Client(address, timeout=10, set_as_default=False) as client:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            raise OSError(
                f"the scheduler at {address} has no workers: start some with dask worker {address}"
            ) from error
        with joblib.parallel_config(backend="dask", client=client):
            yield


def _positive(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, received {text!r}")
    return value


def _epochs(text):
    """Reads "300" or "cvae=300,diffusion=500" as a dict from a generator's name to its epochs."""
    if "=" not in text:
        return dict.fromkeys(arms.GENERATORS, _positive(text))
    pairs = dict(pair.split("=", 1) if "=" in pair else (pair, "") for pair in re.split(r"\s*,\s*", text.strip()))
    unknown = [name for name in pairs if name not in arms.GENERATORS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no generator {unknown[0]!r}; expected some of {', '.join(arms.GENERATORS)}"
        )
    return {name: _positive(count) for name, count in pairs.items()}


def _note(message, category, filename, lineno, file=None, line=None):
    print(f"note: {message}", file=sys.stderr)


def _study(arguments):
    profile = {key: value[arguments.profile] for key, value in PROFILES.items()}
    phantoms = arguments.data == "phantom"
    names = [name.strip() for name in arguments.arms.split(",")] if arguments.arms else list(arms.ARMS)
    arms.check(names)
    if not phantoms:
        if arguments.arms and any(name.split()[:1] == ["oracle"] for name in names):
            raise ValueError(
                "the arm oracle draws from the simulator, so it exists on phantoms only; leave it out of --arms"
            )
        names = [name for name in names if name != "oracle"]
    environment.import_tensorflow()
    from synthkit import classifiers, files, recipes, report, study
    from synthkit.imageset import without_near_copies
    from synthkit.results import save

    out = Path(arguments.out)
    files.make_folder(out / "trials", "the results")
    if arguments.generators:
        files.make_folder(arguments.generators, "fitted generators")
    per_class = arguments.per_class or (profile["per_class"] if phantoms else None)
    splits = _load(arguments, per_class)
    if arguments.drop_near_copies:
        splits = without_near_copies(splits)
    positive = arguments.positive
    if positive is None and "malignant" in splits.train.class_names:
        positive = "malignant"
    steps = arguments.steps or profile[arguments.classifier]
    recipe = {"steps": steps, "learning_rate": profile["learning_rate"]}
    if arguments.recipe and arguments.steps:
        raise ValueError("--recipe says how many steps there are; leave --steps out")
    if arguments.recipe:
        counts = splits.train.class_counts().values()
        recipe = recipes.recipe(arguments.recipe, sum(min(count, per_class or count) for count in counts))
    found = study.run(
        splits,
        arms.named(
            names,
            epochs=arguments.epochs,
            ratio=profile["ratio"],
            steps=arguments.steps or profile["skin_cnn"],
            learning_rate=profile["learning_rate"],
            keep=arguments.generators,
            progress=sys.stderr.isatty(),
        ),
        out=out,
        classifier=getattr(classifiers, arguments.classifier),
        seeds=arguments.seeds or profile["seeds"],
        train_per_class=per_class,
        positive=positive,
        n_jobs=arguments.jobs,
        settings={"best_auc": arms.BEST_AUC} if phantoms else {},
        **recipe,
    )
    summary = found.summary()
    save(found, summary, out)
    print(_table(summary, report.controls(summary)))
    near = report.near_copies(found)
    if near:
        apart = found.without_near_copies()
        print("\n" + "\n".join(textwrap.wrap(near, 100)))
        if apart:
            print("\n" + _table(apart.summary(), []).rstrip())
    print(f"\n{report.write(found, out / 'report.html', summary)}")
    failed = (found.trials["status"] != "done").sum()
    if failed:
        raise ValueError(f"{failed} trials failed: see {out / 'trials.csv'}; the same command tries them again")
    return 0


def _prepare(arguments):
    from synthkit.datasets import prepared

    if arguments.breast_only and arguments.image != "full":
        raise ValueError("--breast-only is for full mammograms; add --image full")
    index, skipped = prepared.prepare(
        arguments.cbis_ddsm,
        arguments.out,
        image=arguments.image,
        image_size=arguments.size,
        jobs=arguments.jobs or (-1 if arguments.scheduler is None else None),
        progress=sys.stderr.isatty(),
        keep_aspect=arguments.keep_aspect,
        breast_only=arguments.breast_only,
        equalization=arguments.equalization,
    )
    out = Path(arguments.out)
    print(f"{out / 'images.npy'}: {len(index)} images of {index['patient_id'].nunique()} patients")
    print(f"{out / 'skipped.csv'}: {len(skipped)} rows or files without their counterpart or unreadable")
    return 0


def _load(arguments, per_class):
    """Returns the Splits that `--data` names, at `--image-size`; of phantoms enough for `per_class` a seed."""
    from synthkit.datasets import folders, medmnist, phantom, prepared
    from synthkit.imageset import Splits, resize

    source, size = arguments.data, arguments.image_size
    is_prepared = (Path(source) / "prepare.json").exists()
    if arguments.patients and (is_prepared or not Path(source).is_dir()):
        raise ValueError("--patients is for folders of images")
    if is_prepared:
        splits = prepared.load(source)
        return Splits(*(resize(part, size) for part in splits)) if size else splits
    if source == "phantom":
        # So many that two seeds share a tenth of what they draw: seeds that share more look more alike than they are.
        return phantom.load(size or 28, train=20 * per_class, best_auc=arms.BEST_AUC)
    if Path(source).is_dir():
        return folders.load(source, size or 28, patients=arguments.patients, progress=sys.stderr.isatty())
    if source.lower() not in medmnist.INFO and not source.endswith(".npz"):
        raise ValueError(
            f"{source} is neither a file nor a folder nor a set by name; expected phantom, an npz file, a folder of "
            f"class folders, or one of {', '.join(medmnist.INFO)}"
        )
    splits = medmnist.load(source)
    return Splits(*(resize(part, size) for part in splits)) if size else splits


def _table(summary, controls):
    """Returns the verdicts as text for a terminal."""
    rows = summary[summary["metric"] == "auc"].to_dict("records")
    width = max(12, *(len(row["arm"]) for row in rows)) + 2
    lines = [f"{'arm':{width}}{'AUC':>5}  {'95 %':14}  {'difference':>10}  {'95 %':16}  {'p (Holm)':>8}  verdict"]
    for row in rows:
        line = f"{row['arm']:{width}}{row['mean']:.3f}  {row['low']:.3f} to {row['high']:.3f}  "
        if isinstance(row["verdict"], str) and row["verdict"] != "baseline":
            interval = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
            line += f"{row['difference']:+10.3f}  {interval}  {row['p_holm']:8.2g}  "
        else:
            line += " " * 40
        lines.append(line + (row["verdict"] if isinstance(row["verdict"], str) else "no baseline"))
    return "\n".join(lines + [""] + [line for text in controls for line in textwrap.wrap(text, 100)])


if __name__ == "__main__":
    sys.exit(main())
