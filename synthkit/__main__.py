"""The command line: `synthkit study` and `synthkit prepare`, or `python -m synthkit study` and so on."""

import argparse
import contextlib
import re
import sys
import textwrap
import warnings
from pathlib import Path

from synthkit import _environment, catalogue

# Both profiles side by side. Library functions take these values as arguments, and do not know about profiles.
PROFILES = {
    "seeds": {"fast": 5, "full": 10},
    "per_class": {"fast": 50, "full": 150},  # real training images of each class, phantoms only
    "ratio": {"fast": 5.0, "full": 5.0},  # of synthetic to real images
    "learning_rate": {"fast": 2e-3, "full": 1e-3},
}
POSITIVE = ("malignant", "malign", "cancer", "positive", "disease", "diseased", "abnormal")


def main(argv=None):
    """Runs the command line.

    Returns:
        int, the exit status: 0, or 2 for an error that the user can correct, or 130 if interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console may lack characters of a file's name
    arguments = parser().parse_args(argv)
    from synthkit import _workers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"synthkit|__main__")
        warnings.showwarning = _note
        try:
            with _workers.cluster(arguments.scheduler):
                return arguments.run(arguments)
        except (ValueError, OSError) as error:
            print(f"synthkit: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nsynthkit: stopped; run the same command again to resume", file=sys.stderr)
            return 130


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
    # Each seed draws a tenth of the phantoms, so two seeds share a tenth of theirs. More would make them too similar.
    options = {name: getattr(arguments, name) for name in ("patients", "labels", "keep_aspect", "validation", "test")}
    options |= {"train": 20 * (per_class or 0), "progress": sys.stderr.isatty()}
    try:
        splits = datasets.load(arguments.data, arguments.image_size, **options)
    except (ValueError, OSError):
        for folder in (out / "trials", out):  # a failed command leaves no empty folder
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    if arguments.drop_near_duplicates:
        splits = splitting.without_near_duplicates(splits)
    positive = arguments.positive or _positive_class(splits.train.class_names)
    steps = {name: arguments.steps or row.steps[arguments.profile] for name, row in catalogue.CLASSIFIERS.items()}
    recipe = {"steps": steps[arguments.classifier], "learning_rate": profile["learning_rate"]}
    if arguments.recipe and arguments.steps:
        raise ValueError("--recipe determines the number of steps; remove --steps")
    if arguments.recipe:
        counts = splits.train.class_counts().values()
        recipe = catalogue.recipe(arguments.recipe, sum(min(count, per_class or count) for count in counts))
    if arguments.mixed_precision:
        recipe["mixed_precision"] = True
    arms = catalogue.arms(
        names,
        epochs=arguments.epochs,
        ratio=profile["ratio"],
        steps=steps["skin_cnn"],
        learning_rate=profile["learning_rate"],
        keep=arguments.generators,
        progress=sys.stderr.isatty(),
    )
    results = study.run(
        splits,
        arms,
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
        raise ValueError(f"{failed} trials failed: see {out / 'trials.csv'}. Run the same command to try them again")
    return 0


def _positive_class(class_names):
    """Returns the class that is called malignant or the like, whatever the case; None if there is none or several."""
    names = [name for name in class_names if name.casefold() in POSITIVE]
    return names[0] if len(names) == 1 else None


def _arm_names(text, phantoms):
    """Returns the names of the arms in `--arms`, or of the default ones."""
    names = [catalogue.current(name.strip()) for name in text.split(",")] if text else list(catalogue.DEFAULT_ARMS)
    catalogue.check(names)
    if phantoms:
        return names
    if text and any(name.split()[:1] == ["oracle"] for name in names):
        raise ValueError("the arm oracle uses the simulator, so it exists for phantoms only; remove it from --arms")
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
    print(f"{out / 'skipped.csv'}: {len(skipped)} rows without a file, and files without a row or that cannot be read")
    return 0


def parser():
    """Returns the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="synthkit" if Path(sys.argv[0]).stem == "synthkit" else "python -m synthkit",
        description="Would synthetic images help a medical image classifier, and how sure are we?",
        epilog="COMMAND --help describes the options of a command. Try study first; it needs no options.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _add_study(commands, top.prog)
    _add_prepare(commands)
    return top


def _add_study(commands, prog):
    arms = catalogue.texts()
    default = {name: arms.pop(name) for name in catalogue.DEFAULT_ARMS}
    epochs = ", ".join(f"{name}\N{NO-BREAK SPACE}{row.epochs}" for name, row in catalogue.GENERATORS.items())
    epochs = textwrap.fill(epochs, 100, initial_indent="  ", subsequent_indent="  ").replace("\N{NO-BREAK SPACE}", " ")
    profiles = PROFILES | {f"steps, {name}": row.steps for name, row in catalogue.CLASSIFIERS.items()}
    study = commands.add_parser(
        "study",
        usage=f"{prog} study [options]",
        help="train a classifier with and without synthetic images, and say which arms help",
        description="Trains a classifier on every arm's training set with several seeds, scores each network once on\n"
        "the test set, and says which arms help. An arm is one way to make a training set. Run the same\n"
        "command again to resume a study that was stopped.",
        epilog=f"arms of the default study:\n{_lines(default)}\n\n"
        f"other arms:\n{_lines(arms)}\n\n"
        f'endings of a name, in this order, as in "dense_cvae filtered x2":\n{_lines(catalogue.ENDINGS)}\n\n'
        f"classifiers:\n{_lines({name: row.text for name, row in catalogue.CLASSIFIERS.items()})}\n\n"
        f"profiles:           fast    full\n"
        + "\n".join(f"  {key:18}{value['fast']:<8g}{value['full']:g}" for key, value in profiles.items())
        + "\n  (per_class: real training images of each class, of phantoms only; of other data all are used;\n"
        "  ratio: of synthetic to real images)\n\n"
        f"epochs of the generators, unless --epochs is given:\n{epochs}\n\n"
        "examples:\n"
        f"  {prog} study\n"
        f'  {prog} study --arms "real, augmentation, diffusion x2 augmented" --seeds 10\n'
        f"  {prog} study --data breastmnist --recipe medmnist --classifier resnet18\n"
        f"  {prog} study --data my_images --image-size 64 --patients patients.csv --positive malignant",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = study.add_argument_group("data").add_argument
    add(
        "--data",
        default="phantom",
        metavar="SOURCE",
        help="phantom: simulated images (default); the name of a MedMNIST data set, which is downloaded; an npz file "
        "in MedMNIST's format; a folder with a folder of images for each class; or a folder that prepare wrote",
    )
    add("--image-size", type=_positive, metavar="N", help="height and width (default: those of an npz file, or 28)")
    add(
        "--patients",
        metavar="CSV|REGEX",
        help="for a folder of images: a CSV file with the columns file and patient, or a regular expression whose "
        "groups are the patient in the path of a file",
    )
    add(
        "--labels",
        metavar="CSV",
        help="for a folder of images: a table with the file and the class of each (columns such as image_id and dx, or "
        "one-hot), and optionally its patient and its split",
    )
    add("--validation", type=_size, metavar="N", help="for a folder of images: number or fraction to validate on (0.1)")
    add("--test", type=_size, metavar="N", help="for a folder of images: number or fraction to test on (0.2)")
    add("--keep-aspect", action="store_true", help="for a folder of images: pad to squares instead of stretching")
    add("--positive", metavar="CLASS", help="positive class for sensitivity (default: malignant, if there is one)")
    add("--per-class", type=_positive, metavar="N", help="real training images of each class, drawn for every seed")
    add(
        "--drop-near-duplicates",
        action="store_true",
        help="remove validation and test images that are nearly identical to images of another set",
    )
    add = study.add_argument_group("arms and generators").add_argument
    add("--arms", metavar="A,B,…", help="names of arms, separated by commas (default: those of the default study)")
    add("--epochs", type=_epochs, metavar="N|NAME=N,…", help="epochs of all, or of the named, generators (see below)")
    add(
        "--generators",
        metavar="DIR",
        help="keep fitted generators in this folder; studies of the same images and seeds reuse them. Empty the folder "
        "after changing a generator's code. Files of the autoencoder contain the training images",
    )
    add = study.add_argument_group("training").add_argument
    add("--profile", choices=("fast", "full"), default="fast", help="fast (default) or full, see below")
    add("--seeds", type=_positive, metavar="N", help="number of seeds of every arm (default: the profile's)")
    add("--classifier", choices=tuple(catalogue.CLASSIFIERS), default="skin_cnn", help="default: skin_cnn")
    add("--steps", type=_positive, metavar="N", help="gradient steps of every trial (default: the profile's)")
    add(
        "--recipe",
        choices=tuple(catalogue.RECIPES),
        help="a published training recipe instead of the profile's: medmnist (of the benchmark: Adam, 100 epochs) or "
        "medmnist_study (stochastic gradient descent, 100 epochs)",
    )
    add(
        "--mixed-precision",
        action="store_true",
        help="train the classifier in float16 on a GPU and in bfloat16 elsewhere: large networks take about half the "
        "time on GPUs with tensor cores and on processors with AMX",
    )
    running = study.add_argument_group("running")
    running.add_argument("--out", default="synthkit-study", metavar="DIR", help="results (default: synthkit-study)")
    _add_workers(running, "trials at a time, each in a process of its own (default: 1)")
    study.set_defaults(run=_study)


def _add_prepare(commands):
    prepare = commands.add_parser(
        "prepare",
        help="turn a CBIS-DDSM download into small images that study can use",
        description="Preprocesses the images of a CBIS-DDSM download once, as in the mammography study. Run the same\n"
        "command again to resume it. Files that cannot be read are listed, and tried again the next time.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = prepare.add_argument
    add("--cbis-ddsm", required=True, metavar="ROOT", help="folder of the download, with case tables and images")
    add("--out", required=True, metavar="DIR", help="folder for images.npy, index.csv and skipped.csv")
    add("--image", choices=("full", "crop"), default="crop", help="mammograms or crops of lesions (default: crop)")
    add("--size", type=_positive, default=224, metavar="N", help="height and width in pixels (default: 224)")
    add("--keep-aspect", action="store_true", help="pad to a square; the mammography study stretched instead")
    add("--breast-only", action="store_true", help="full mammograms: remove the background, crop to the breast, flip")
    add("--equalization", choices=("histogram", "clahe"), help="equalise grey levels (default: off)")
    _add_workers(prepare, "number of processes (default: one per core)")
    prepare.set_defaults(run=_prepare)


def _lines(texts):
    return "\n".join(
        textwrap.fill(text, 100, initial_indent=f"  {name:18}", subsequent_indent=" " * 20)
        for name, text in texts.items()
    )


def _add_workers(command, text):
    """Adds the options that determine where the work is done."""
    where = command.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=_positive, metavar="N", help=text)
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, for example tcp://10.0.0.7:8786")


def _positive(text):
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, received {text!r}")
    return value


def _size(text):
    """Reads a number of images or a fraction of them."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (0 < value < 1 or (value >= 1 and value.is_integer())):
        raise argparse.ArgumentTypeError(f"expected a fraction between 0 and 1 or a whole number, received {text!r}")
    return value if value < 1 else int(value)


def _epochs(text):
    """Returns a dict from a generator's name to its epochs, from text like "300" or "dense_cvae=300,diffusion=500"."""
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
