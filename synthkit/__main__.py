"""The command line: `python -m synthkit study` and `python -m synthkit prepare`."""

import argparse
import asyncio
import contextlib
import re
import sys
import textwrap
import warnings
from pathlib import Path

from synthkit import _environment, catalogue

# What "fast" leaves out, side by side. Library functions take these as arguments and know no profile.
PROFILES = {
    #                       fast                full
    "seeds": {"fast": 5, "full": 10},
    "per_class": {"fast": 50, "full": 150},  # real training images of each class, phantoms only
    "ratio": {"fast": 5.0, "full": 5.0},  # of synthetic to real images
    "learning_rate": {"fast": 2e-3, "full": 1e-3},
}
WORKER_SECONDS = 30  # that a cluster's first worker may take to appear


def main(argv=None):
    """Runs the command line. Returns the exit status: 0, 2 for what the user can mend, or 130 when interrupted."""
    arguments = parser().parse_args(argv)
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
            print("\nsynthkit: stopped; run the same command again to resume", file=sys.stderr)
            return 130


@contextlib.contextmanager
def _cluster(address):
    """Sends joblib's work to a Dask cluster while it is open; None leaves it here."""
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError('--scheduler needs Dask: pip install "synthkit[cluster]", here and on the workers') from error
    import joblib

    with Client(address, timeout=10, set_as_default=False) as client:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except asyncio.TimeoutError as error:  # which Python 3.10 does not call TimeoutError
            raise OSError(
                f"the scheduler at {address} has no workers: start some with dask worker {address}"
            ) from error
        with joblib.parallel_config(backend="dask", client=client):
            yield


def _note(message, category, filename, lineno, file=None, line=None):
    print(f"note: {message}", file=sys.stderr)


def _study(arguments):
    profile = {key: value[arguments.profile] for key, value in PROFILES.items()}
    phantoms = arguments.data == "phantom"
    names = _arm_names(arguments.arms, phantoms)
    _environment.import_tensorflow()
    from synthkit import datasets, report, splitting, study
    from synthkit._files import make_folder
    from synthkit.datasets.phantom import BEST_AUC
    from synthkit.study.results import save

    out = Path(arguments.out)
    make_folder(out / "trials", "the results")
    if arguments.generators:
        make_folder(arguments.generators, "fitted generators")
    per_class = arguments.per_class or (profile["per_class"] if phantoms else None)
    # So many phantoms that two seeds share a tenth of those they draw: seeds that share more look too much alike.
    splits = datasets.load(
        arguments.data,
        arguments.image_size,
        patients=arguments.patients,
        train=20 * (per_class or 0),
        progress=sys.stderr.isatty(),
    )
    if arguments.drop_near_duplicates:
        splits = splitting.without_near_duplicates(splits)
    positive = arguments.positive
    if positive is None and "malignant" in splits.train.class_names:
        positive = "malignant"
    steps = {name: arguments.steps or row.steps[arguments.profile] for name, row in catalogue.CLASSIFIERS.items()}
    recipe = {"steps": steps[arguments.classifier], "learning_rate": profile["learning_rate"]}
    if arguments.recipe and arguments.steps:
        raise ValueError("--recipe determines the number of steps; leave --steps out")
    if arguments.recipe:
        counts = splits.train.class_counts().values()
        recipe = catalogue.recipe(arguments.recipe, sum(min(count, per_class or count) for count in counts))
    if arguments.mixed_precision:
        recipe["mixed_precision"] = True
    results = study.run(
        splits,
        catalogue.arms(
            names,
            epochs=arguments.epochs,
            ratio=profile["ratio"],
            steps=steps["skin_cnn"],
            learning_rate=profile["learning_rate"],
            keep=arguments.generators,
            progress=sys.stderr.isatty(),
        ),
        out=out,
        classifier=catalogue.build(catalogue.CLASSIFIERS[arguments.classifier]),
        seeds=arguments.seeds or profile["seeds"],
        train_per_class=per_class,
        positive=positive,
        n_jobs=arguments.jobs,
        settings={"best_auc": BEST_AUC} if phantoms else {},
        **recipe,
    )
    summary = results.summary()
    save(results, summary, out)
    print(report.text(results, summary))
    print(f"\n{report.write(results, out / 'report.html', summary)}")
    failed = (results.trials["status"] != "done").sum()
    if failed:
        raise ValueError(f"{failed} trials failed: see {out / 'trials.csv'}; run the same command to try them again")
    return 0


def _arm_names(text, phantoms):
    """Returns the names of the arms that `--arms` asks for, or of the default ones."""
    names = list(catalogue.DEFAULT_ARMS)
    if text:
        names = [catalogue.current(name.strip()) for name in text.split(",")]
    catalogue.check(names)
    if phantoms:
        return names
    if text and any(name.split()[:1] == ["oracle"] for name in names):
        raise ValueError("the arm oracle uses the simulator, so it exists for phantoms only; leave it out of --arms")
    return [name for name in names if name != "oracle"]


def _prepare(arguments):
    from synthkit.datasets import cbis_ddsm

    if arguments.breast_only and arguments.image != "full":
        raise ValueError("--breast-only is for full mammograms; add --image full")
    index, skipped = cbis_ddsm.prepare(
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
    print(f"{out / 'skipped.csv'}: {len(skipped)} rows without a file, or files without a row or unreadable")
    return 0


def parser():
    """Returns the parser of the command line's arguments."""
    top = argparse.ArgumentParser(
        prog="python -m synthkit",
        description="Would synthetic images help a medical image classifier, and how sure are we?",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_study(commands)
    _add_prepare(commands)
    return top


def _add_study(commands):
    arms = catalogue.texts()
    default = {name: arms.pop(name) for name in catalogue.DEFAULT_ARMS}
    epochs = ", ".join(f"{name}\N{NO-BREAK SPACE}{row.epochs}" for name, row in catalogue.GENERATORS.items())
    epochs = textwrap.fill(epochs, 100, initial_indent="  ", subsequent_indent="  ").replace("\N{NO-BREAK SPACE}", " ")
    profiles = PROFILES | {f"steps, {name}": row.steps for name, row in catalogue.CLASSIFIERS.items()}
    study = commands.add_parser(
        "study",
        help="train with and without synthetic images, several seeds each, and give a verdict",
        description="Trains a classifier on every arm's training set with several seeds, scores each once on the test\n"
        "set, and says with intervals and corrected tests which arms help. Run the same command again to\n"
        "resume a study that was stopped.",
        epilog=f"arms of the default study:\n{_lines(default)}\n\n"
        f"further arms:\n{_lines(arms)}\n\n"
        f'after a generator\'s name, in this order, as in "dense_cvae filtered x2":\n{_lines(catalogue.ENDINGS)}\n\n'
        f"profiles:           fast    full\n"
        + "\n".join(f"  {key:18}{value['fast']:<8g}{value['full']:g}" for key, value in profiles.items())
        + "\n  (per_class: real training images of each class, for phantoms; other data are used whole;\n"
        "  ratio: of synthetic to real images)\n\n"
        f"epochs of the generators, unless --epochs says otherwise:\n{epochs}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = study.add_argument
    add(
        "--data",
        default="phantom",
        metavar="SOURCE",
        help="phantom (default); the name of a MedMNIST set, which is downloaded; an npz file in MedMNIST's format; a "
        "folder of class folders; or a folder that prepare wrote",
    )
    add("--arms", metavar="A,B,…", help="names of arms, separated by commas (default: those of the default study)")
    add("--per-class", type=_positive, metavar="N", help="real training images of each class, drawn for every seed")
    add("--seeds", type=_positive, metavar="N", help="seeds for every arm (default: the profile's)")
    add("--profile", choices=("fast", "full"), default="fast", help="fast (default) or full, see below")
    add("--classifier", choices=tuple(catalogue.CLASSIFIERS), default="skin_cnn", help="default: skin_cnn")
    add("--steps", type=_positive, metavar="N", help="gradient steps of every trial (default: the profile's)")
    add(
        "--epochs",
        type=_epochs,
        metavar="N|NAME=N,…",
        help="passes over the real training images, of all generators or of those named (default: see below)",
    )
    add(
        "--generators",
        metavar="DIR",
        help="keep fitted generators there (an autoencoder's file holds the training images); every study of the same "
        "images and seeds reuses them; empty it after changing a generator's code",
    )
    add(
        "--recipe",
        choices=tuple(catalogue.RECIPES),
        help="a published way to train instead of the profile's: medmnist (the benchmark's, Adam, 100 epochs) or "
        "medmnist_study (stochastic gradient descent, 100 epochs)",
    )
    add(
        "--mixed-precision",
        action="store_true",
        help="train the classifier in float16 on a GPU, in bfloat16 elsewhere: large networks in about half the time "
        "on GPUs with tensor cores and processors with AMX",
    )
    add("--image-size", type=_positive, metavar="N", help="pixels a side (default: an npz file's own, else 28)")
    add(
        "--drop-near-duplicates",
        action="store_true",
        help="remove images from the validation and test set that are nearly the same as others",
    )
    add("--positive", metavar="CLASS", help="positive class of sensitivity (default: malignant, if there is one)")
    add(
        "--patients",
        metavar="CSV|REGEX",
        help="for folders: a CSV file with the columns file and patient, or a regular expression whose groups name the "
        "patient in a file's path",
    )
    _add_workers(study, "trials at a time, each in a process of its own (default: 1)")
    add("--out", default="synthkit-study", metavar="DIR", help="folder for the results (default: synthkit-study)")


def _add_prepare(commands):
    prepare = commands.add_parser(
        "prepare",
        help="turn a CBIS-DDSM download into small images that study runs on",
        description="Runs the collection once through the mammography study's preprocessing. Run the same command\n"
        "again to resume one that was stopped; files that could not be read are listed, and tried again.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = prepare.add_argument
    add("--cbis-ddsm", required=True, metavar="ROOT", help="folder of the download: case tables and image files")
    add("--out", required=True, metavar="DIR", help="folder for images.npy, index.csv and skipped.csv")
    add(
        "--image",
        choices=("full", "crop"),
        default="crop",
        help="full mammograms, or crops of abnormalities (default: crop)",
    )
    add("--size", type=_positive, default=224, metavar="N", help="pixels a side (default: 224)")
    add("--keep-aspect", action="store_true", help="pad to a square instead of stretching, which the study did")
    add("--breast-only", action="store_true", help="full mammograms: remove the background, crop to the breast, flip")
    add("--equalization", choices=("histogram", "clahe"), help="equalise grey levels (default: off)")
    _add_workers(prepare, "processes (default: as many as there are cores)")


def _lines(texts):
    return "\n".join(f"  {name:18}{text}" for name, text in texts.items())


def _add_workers(command, text):
    """Adds the options that say where the work is done."""
    where = command.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=_positive, metavar="N", help=text)
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster that does the work, for example tcp://10.0.0.7:8786"
    )


def _positive(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, received {text!r}")
    return value


def _epochs(text):
    """Reads "300" or "dense_cvae=300,diffusion=500" as a dict from a generator's name to its epochs."""
    if "=" not in text:
        return dict.fromkeys(catalogue.GENERATORS, _positive(text))
    pairs = dict(pair.split("=", 1) if "=" in pair else (pair, "") for pair in re.split(r"\s*,\s*", text.strip()))
    pairs = {catalogue.RENAMED.get(name, name): count for name, count in pairs.items()}
    unknown = [name for name in pairs if name not in catalogue.GENERATORS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no generator {unknown[0]!r}; expected names from {', '.join(catalogue.GENERATORS)}"
        )
    return {name: _positive(count) for name, count in pairs.items()}


if __name__ == "__main__":
    sys.exit(main())
