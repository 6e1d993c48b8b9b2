"""The options of the command line."""

import argparse
import sys
import textwrap
from pathlib import Path

from synthkit import __version__, _augment_option, catalogue
from synthkit import _option_types as types

# Both profiles side by side. Library functions take these values as arguments, and do not know about profiles.
PROFILES = {
    "seeds": {"fast": 5, "full": 10},
    "per_class": {"fast": 50, "full": 150},  # real training images of each class, phantoms only
    "ratio": {"fast": 5.0, "full": 5.0},  # of synthetic to real images
    "learning_rate": {"fast": 2e-3, "full": 1e-3},
}


METRICS = ("auc", "sensitivity", "specificity", "balanced_accuracy", "accuracy", "f1")


def parser():
    """Returns the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="synthkit" if Path(sys.argv[0]).stem == "synthkit" else "python -m synthkit",
        description="Would synthetic images help a medical image classifier, and how sure are we?",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.epilog = (
        _examples(
            top.prog,
            "study",
            "study --data FOLDER --arms real,augmentation,conv_cgan --seeds 10",
            "plan --data FOLDER",
            "claims --total 156 --before 126 --after 135",
            "generate --data FOLDER --generator conv_cgan --per-class 300 --out synthetic",
        )
        + "\n\nCOMMAND --help describes the options of a command. Try study first; it needs no options."
    )
    top.add_argument("--version", action="version", version=f"synthkit {__version__}")
    commands = top.add_subparsers(required=True, dest="command", metavar="COMMAND", title="commands")
    _add_study(commands, top.prog)
    _add_plan(commands, top.prog)
    _add_claims(commands, top.prog)
    _add_generate(commands, top.prog)
    _add_prepare(commands, top.prog)
    return top


def unknown(words, argv):
    """Returns the message for words on the command line that no option takes."""
    text = f"unrecognized arguments: {' '.join(words)}"
    if "--arms" in argv and not words[0].startswith("-"):
        start = argv.index("--arms") + 1
        rest = argv[start:]
        end = next((i for i, word in enumerate(rest) if word.startswith("-")), len(rest))
        text += f'. Put a list of arms in quotes if it has spaces: --arms "{" ".join(rest[:end])}"'
    return text


def _examples(prog, *commands):
    return "examples:\n" + "\n".join(f"  {prog} {command}" for command in commands)


def _add_study(commands, prog):
    arms = catalogue.texts()
    default = {name: arms.pop(name, catalogue.ENDINGS["augmented"]) for name in catalogue.DEFAULT_ARMS}
    epochs = ", ".join(f"{name}\N{NO-BREAK SPACE}{row.epochs}" for name, row in catalogue.GENERATORS.items())
    epochs = textwrap.fill(epochs, 100, initial_indent="  ", subsequent_indent="  ").replace("\N{NO-BREAK SPACE}", " ")
    rows = {f"steps, {name}": row.steps for name, row in catalogue.CLASSIFIERS.items() if row.steps}
    profiles = PROFILES | rows
    study = commands.add_parser(
        "study",
        usage=f"{prog} study [options]",
        help="train a classifier with and without synthetic images, and say which arms help",
        description="Trains a classifier on every arm's training set with several seeds, scores each network once on\n"
        "the test set, and says which arms help. An arm is one way to make a training set. Run the same\n"
        "command again to resume a study that was stopped.",
        epilog=f"arms of the default study:\n{_lines(default)}\n\n"
        f"other arms:\n{_lines(arms | catalogue.FOLDER)}\n\n"
        f'endings of a name, in this order, as in "dense_cvae filtered x2":\n{_lines(catalogue.ENDINGS)}\n\n'
        f"classifiers:\n{_lines({name: row.text for name, row in catalogue.CLASSIFIERS.items()})}\n\n"
        f"profiles:           fast    full\n"
        + "\n".join(f"  {key:18}{value['fast']:<8g}{value['full']:g}" for key, value in profiles.items())
        + "\n  (per_class: real training images of each class, of phantoms only; of other data all are used;\n"
        "  ratio: of synthetic to real images; controls have that of the generators if it is the same for all)\n\n"
        f"settings of --augment, and their defaults:\n{_augment_option.defaults()}\n"
        "  (phantoms are turned upside down, other images only with vertical_flip=yes; no switches a setting off)\n\n"
        f"epochs of the generators, unless --epochs is given:\n{epochs}\n\n"
        + _examples(
            prog,
            "study",
            'study --arms "real, augmentation, diffusion x2 augmented" --seeds 10',
            'study --data chest --arms real,augmentation --augment "rotation=10, horizontal_flip=no"',
            "study --data breastmnist --recipe medmnist --classifier resnet18",
            "study --data my_images --image-size 64 --patients patients.csv --positive malignant",
            'study --data my_images --arms "real, augmentation, folder:synthetic x2 augmented"',
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = _add_data(study)
    add(
        "--positive",
        metavar="CLASS",
        help="positive class for sensitivity (default: the one called malignant, positive, disease or the like; else "
        "the second of two classes)",
    )
    add(
        "--operating-point",
        type=types.operating_point,
        default="youden",
        metavar="RULE",
        help="how the threshold for sensitivity and specificity is chosen on the validation set: youden (default), "
        "sensitivity=0.9 or specificity=0.9",
    )
    add(
        "--per-class",
        type=types.positive,
        metavar="N",
        help="real training images of each class, drawn for every seed, and no more validation images than these. With "
        "few, test on more of a folder's images: --test 0.6, for example",
    )
    _add_fixed(add)
    add(
        "--folds",
        type=types.folds,
        metavar="K",
        help="for few images: cross-validation, in which every image is tested on once; a trial trains K networks",
    )
    add(
        "--drop-near-duplicates",
        action="store_true",
        help="remove validation and test images that look like images of another set",
    )
    add = study.add_argument_group("report").add_argument
    add(
        "--groups",
        metavar="COLUMN",
        help="a column of the table of --labels or --patients, such as density, view or site: the report scores the "
        "test images of each of its values apart",
    )
    add(
        "--prevalence",
        type=types.margin,
        metavar="X",
        help="of the positive class where the classifier is to be used, in screening for example, for the net benefit "
        "(default: that of the test set)",
    )
    add(
        "--threshold-probability",
        type=types.margin,
        metavar="X",
        help="probability of the positive class at which a patient would be treated, for the net benefit (default: the "
        "prevalence)",
    )
    add = study.add_argument_group("arms and generators").add_argument
    add("--arms", metavar="A,B,…", help="names of arms, separated by commas (default: those of the default study)")
    add("--baseline", default="real", metavar="ARM", help="the arm that the others are compared with (default: real)")
    add(
        "--primary",
        metavar="ARM",
        help="the arm of the main comparison, tested first and alone; other arms are tested only if it shows a "
        "difference",
    )
    add(
        "--margin",
        type=types.margin,
        default=0.05,
        metavar="X",
        help="differences smaller than this are too small to matter (default: 0.05)",
    )
    add(
        "--metric",
        choices=METRICS,
        default="auc",
        help="the metric that the verdicts are about (default: auc); sensitivity and the like are at --operating-point",
    )
    add(
        "--augment",
        type=_augment_option.parse,
        metavar="NAME=VALUE,…",
        help="settings of the arm augmentation, of elastic and of the ending augmented, see below",
    )
    add(
        "--epochs",
        type=types.epochs,
        metavar="N|NAME=N,…",
        help="epochs of all, or of the named, generators (see below)",
    )
    add(
        "--generator-size",
        type=types.positive,
        metavar="N",
        help="height and width at which generators work; their images are then resized (default: that of the images, "
        "at most 64)",
    )
    add(
        "--pretrain-on",
        metavar="SOURCE",
        help="images that the generators of arms with the ending pretrained learn first, without their labels: the "
        "training set of what --data takes, also that of --data itself, of which a seed draws a part",
    )
    _add_pretrain_steps(add, ", once for all seeds; with --jobs once for each process, unless there is --generators")
    add(
        "--generators",
        metavar="DIR",
        help="keep fitted generators in this folder; studies of the same images and seeds reuse them. Empty the folder "
        "after changing a generator's code. Files of the autoencoder contain the training images",
    )
    add = study.add_argument_group("training").add_argument
    add("--profile", choices=("fast", "full"), default="fast", help="fast (default) or full, see below")
    add("--seeds", type=types.positive, metavar="N", help="number of seeds of every arm (default: the profile's)")
    add(
        "--random-state",
        type=types.not_negative,
        default=0,
        metavar="N",
        help="another number makes all seeds others: for a study whose arms an earlier one has chosen; the test images "
        "stay the same (default: 0)",
    )
    add(
        "--classifier",
        metavar="NAME",
        help=f"{', '.join(catalogue.CLASSIFIERS)}; a Keras application such as VGG16 or fine_tuned:VGG16; "
        f"module:function of a builder of your own; or auto, the best of {', '.join(catalogue.AUTO)} on real images "
        "outside the test set (default: auto; skin_cnn for phantoms)",
    )
    add("--weights", metavar="FILE", help="of a Keras application: a file instead of a download, or none")
    add("--steps", type=types.positive, metavar="N", help="gradient steps of every trial (default: the profile's)")
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
    add(
        "--nondeterministic",
        action="store_true",
        help="on a GPU: let TensorFlow use faster operations, with which the same seeds give slightly different scores",
    )
    running = study.add_argument_group("running")
    running.add_argument(
        "--out",
        metavar="DIR",
        help="results (default: a new folder, named after the data and a digest of the other options). Give the folder "
        "of an earlier study to add arms or seeds to it",
    )
    _add_workers(running, "trials at a time, each in a process of its own (default: 1)")


def _add_fixed(add):
    add(
        "--fixed-training-set",
        action="store_true",
        help="train every seed on all training images: the answer is then about this training set only. Otherwise each "
        "seed draws --per-class, or half of the patients, and the answer is about such training sets",
    )


def _add_plan(commands, prog):
    plan = commands.add_parser(
        "plan",
        usage=f"{prog} plan [options]",
        help="say what a study could find with these images, before anything is trained",
        description="Shows the splits of a data set, which differences studies of different sizes could find (from\n"
        "simulated studies of these test images and patients), and how long the arms would take here.",
        epilog=_examples(
            prog, "plan --data my_images", 'plan --data breastmnist --arms "real,augmentation,diffusion augmented"'
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_data(plan)
    add = plan.add_argument
    add("--arms", metavar="A,B,…", help="names of arms, separated by commas (default: those of the default study)")
    add("--seeds", type=types.positive, default=5, metavar="N", help="number of seeds for the times (default: 5)")
    add("--per-class", type=types.positive, metavar="N", help="real training images of each class")
    _add_fixed(add)
    add("--folds", type=types.folds, default=5, metavar="K", help="folds of the cross-validation (default: 5)")
    add("--classifier", metavar="NAME", help="whose time is estimated (default: frozen; skin_cnn for phantoms)")
    add("--auc", type=types.margin, default=0.8, metavar="X", help="expected AUC with real images only (default: 0.8)")
    add(
        "--correlation",
        type=types.margin,
        default=0.6,
        metavar="X",
        help="expected correlation between the scores that networks of two arms give to the images of a class "
        "(default: 0.6)",
    )
    add("--epochs", type=types.epochs, metavar="N|NAME=N,…", help="epochs of all, or of the named, generators")
    plan.set_defaults(
        scheduler=None,
        generator_size=None,
        weights=None,
        recipe=None,
        steps=None,
        profile="fast",
        mixed_precision=False,
    )


def _add_claims(commands, prog):
    claims = commands.add_parser(
        "claims",
        usage=f"{prog} claims [options]",
        help="say what published numbers show: intervals, and the probability that nothing is gained",
        description="Computes what a published improvement shows, from the number of test images and how many of them\n"
        "were classified correctly. Without options: the claims of the studies that synthkit reproduces, and others.",
        epilog=_examples(
            prog,
            "claims",
            "claims --total 156 --before 0.807 --after 0.864 --looks 10",
            "claims --positives 42 --negatives 114 --before 0.872 --after 0.901",
            "claims --csv claims.csv   # columns total, before, after and, if you like, study, claim, figure",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = claims.add_argument
    add("--total", type=types.positive, metavar="N", help="test images")
    add("--positives", type=types.positive, metavar="N", help="for an AUC: positive test images")
    add("--negatives", type=types.positive, metavar="N", help="for an AUC: negative test images")
    text = "number or fraction of them that are right without synthetic images, or AUC"
    add("--before", type=float, metavar="X", help=text)
    add("--after", type=float, metavar="X", help="the same with synthetic images")
    add(
        "--looks",
        type=types.positive,
        default=1,
        metavar="K",
        help="results of which the best was published (default: 1)",
    )
    add("--csv", metavar="FILE", help="a table of claims")
    claims.set_defaults(scheduler=None)


def _add_data(command):
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


def _add_generate(commands, prog):
    generate = commands.add_parser(
        "generate",
        usage=f"{prog} generate --generator NAME --per-class N --out DIR [options]",
        help="fit a generator and write a folder of synthetic images, with a card that describes them",
        description="Fits a generator to the training set and writes its images as PNG files in class folders, with\n"
        "labels.csv, a contact sheet, the fitted generator and a card (README.md and card.json). Run the same\n"
        "command again to resume it.",
        epilog=f"generators:\n{_lines({name: row.text for name, row in catalogue.GENERATORS.items()})}\n\n"
        + _examples(
            prog,
            "generate --data FOLDER --generator conv_cgan --per-class 300 --image-size 64 --out synthetic",
            "generate --data FOLDER --generator diffusion --counts benign=300,malignant=250 --out synthetic",
            "generate --data FOLDER --generator conv_cgan --per-class 300 --image-size 64 --seed 1 --out more \\\n"
            "    --load synthetic/conv_cgan.keras",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_data(generate)
    add = generate.add_argument
    add("--generator", required=True, type=types.generator, metavar="NAME", help="one of those below")
    images = generate.add_mutually_exclusive_group(required=True)
    images.add_argument("--per-class", type=types.positive, metavar="N", help="images to draw of each class")
    images.add_argument("--counts", type=types.counts, metavar="CLASS=N,…", help="images to draw of the named classes")
    add("--epochs", type=types.positive, metavar="N", help="epochs of the generator (default: its own)")
    add(
        "--seed", type=types.not_negative, default=0, metavar="N", help="seed of the fit and of the images (default: 0)"
    )
    add(
        "--all",
        action="store_true",
        help="also fit on the validation and test images; then the card has no metrics, and studies of the same data "
        "refuse the folder",
    )
    add(
        "--pretrain-on",
        metavar="SOURCE",
        help="images that the generator learns first, without their labels: the training set of what --data takes",
    )
    _add_pretrain_steps(add)
    add("--load", metavar="FILE", help="a .keras file that generate wrote: draw more images from it instead of fitting")
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="new folder for the images, or one of the same command, which is resumed",
    )
    generate.set_defaults(scheduler=None)


def _add_prepare(commands, prog):
    prepare = commands.add_parser(
        "prepare",
        help="turn a CBIS-DDSM download into small images that study can use",
        description="Preprocesses the images of a CBIS-DDSM download once, as in the mammography study. Run the same\n"
        "command again to resume it. Files that cannot be read are listed, and tried again the next time.",
        epilog=_examples(
            prog,
            "prepare --cbis-ddsm CBIS-DDSM --out crops --size 64",
            "study --data crops --arms real,augmentation,conv_cgan",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = prepare.add_argument
    add("--cbis-ddsm", required=True, metavar="ROOT", help="folder of the download, with case tables and images")
    add("--out", required=True, metavar="DIR", help="folder for images.npy, index.csv and skipped.csv")
    add("--image", choices=("full", "crop"), default="crop", help="mammograms or crops of lesions (default: crop)")
    add("--size", type=types.positive, default=224, metavar="N", help="height and width in pixels (default: 224)")
    add("--keep-aspect", action="store_true", help="pad to a square; the mammography study stretched instead")
    add("--breast-only", action="store_true", help="full mammograms: remove the background, crop to the breast, flip")
    add("--equalization", choices=("histogram", "clahe"), help="equalise grey levels (default: off)")
    _add_workers(prepare, "number of processes (default: one per core)")


def _lines(texts):
    width = max(18, *(len(name) + 2 for name in texts))
    return "\n".join(
        textwrap.fill(text, 100, initial_indent=f"  {name:{width}}", subsequent_indent=" " * (width + 2))
        for name, text in texts.items()
    )


def _add_workers(command, text):
    """Adds the options that determine where the work is done."""
    where = command.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=types.positive, metavar="N", help=text)
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster, for example tcp://10.0.0.7:8786")


def _add_pretrain_steps(add, often=""):
    text = f"gradient steps on the images of --pretrain-on{often} (default: {catalogue.PRETRAIN_STEPS})"
    add("--pretrain-steps", type=types.positive, metavar="N", help=text)
