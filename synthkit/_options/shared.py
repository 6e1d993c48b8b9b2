"""What the options of several commands have in common."""

import textwrap

from synthkit import _option_types as types
from synthkit import catalogue


def add_data(command):
    """Adds the options that say which images to read, and returns the function that adds more of them."""
    add = command.add_argument_group("data").add_argument
    add(
        "--data",
        default="phantom",
        metavar="SOURCE",
        help="phantom: simulated images (default); cbis_ddsm_crops: 480 real mammogram masses that come with the "
        "repository; the name of a MedMNIST data set, which is downloaded; an npz file in MedMNIST's format; a folder "
        "with a folder of images for each class; or a folder that prepare wrote",
    )
    add(
        "--image-size",
        type=types.positive,
        metavar="N",
        help="height and width (default: those of an npz file, 28 for phantoms, else what suits the classifier)",
    )
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
    add(
        "--validation",
        type=types.size,
        metavar="N",
        help="for a folder of images: number or fraction to validate on (0.1; up to 0.2 for small classes)",
    )
    add("--test", type=types.size, metavar="N", help="for a folder of images: number or fraction to test on (0.2)")
    add("--keep-aspect", action="store_true", help="for a folder of images: pad to squares instead of stretching")
    add(
        "--group-near-duplicates",
        action="store_true",
        help="for a folder of images (in study, with --folds, for any set): images that look alike count as one "
        "patient, so that they stay in one set or fold",
    )
    return add


def add_generator_size(add):
    """Adds the option for the size at which generators work."""
    add(
        "--generator-size",
        type=types.positive,
        metavar="N",
        help="height and width at which generators work; their images are then resized (default: that of the images, "
        "at most 64)",
    )


def add_fixed(add):
    """Adds the option that fixes the training set."""
    add(
        "--fixed-training-set",
        action="store_true",
        help="train every seed on all training images: the answer is then about this training set only. Otherwise each "
        "seed draws --per-class, or half of the patients, and the answer is about such training sets",
    )


def add_workers(command, text):
    """Adds the options that determine where the work is done."""
    where = command.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=types.positive, metavar="N", help=text)
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, for example tcp://10.0.0.7:8786")


def add_pretrain_steps(add, often=""):
    """Adds the option; `often` says how often they are taken."""
    text = f"gradient steps on the images of --pretrain-on{often} (default: {catalogue.PRETRAIN_STEPS})"
    add("--pretrain-steps", type=types.positive, metavar="N", help=text)


def lines(texts):
    """Returns names and their descriptions as indented lines of 100 characters at most."""
    width = max(18, *(len(name) + 2 for name in texts))
    return "\n".join(
        textwrap.fill(text, 100, initial_indent=f"  {name:{width}}", subsequent_indent=" " * (width + 2))
        for name, text in texts.items()
    )


def examples(prog, *commands):
    """Returns commands with the program's name before each, as the end of a help text."""
    return "examples:\n" + "\n".join(f"  {prog} {command}" for command in commands)
