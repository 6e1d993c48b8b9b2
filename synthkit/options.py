"""What the command line takes: its options, what they stand at, and the help."""

import argparse
import re
import textwrap

from synthkit import arms

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
RECIPES = ("medmnist", "medmnist_study")


def parser():
    """Returns the parser of the command line's arguments."""
    top = argparse.ArgumentParser(
        prog="python -m synthkit",
        description="Would synthetic images help a medical image classifier, and how sure are we?",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
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
        "--mixed-precision",
        action="store_true",
        help="train the classifier in float16 on a GPU, in bfloat16 elsewhere: large networks in about half the time "
        "on GPUs with tensor cores and processors with AMX",
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
    return top


def _add_workers(parser, text):
    """Adds what says where the work is done."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=_positive, metavar="N", help=text)
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster whose workers do it, for example tcp://10.0.0.7:8786"
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
