"""The options of `study`."""

import argparse
import textwrap

from synthkit import _augment_option, catalogue
from synthkit import _option_types as types
from synthkit._options import shared
from synthkit._options.profiles import PROFILES

METRICS = ("auc", "sensitivity", "specificity", "balanced_accuracy", "accuracy", "f1")


def add_to(commands, prog):
    """Adds the command to the subparsers of `prog`."""
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
        epilog=f"arms of the default study:\n{shared.lines(default)}\n\n"
        f"other arms:\n{shared.lines(arms | catalogue.FOLDER)}\n\n"
        f'endings of a name, in this order, as in "dense_cvae filtered x2":\n{shared.lines(catalogue.ENDINGS)}\n\n'
        f"classifiers:\n{shared.lines({name: row.text for name, row in catalogue.CLASSIFIERS.items()})}\n\n"
        f"profiles:           fast    full\n"
        + "\n".join(f"  {key:18}{value['fast']:<8g}{value['full']:g}" for key, value in profiles.items())
        + "\n  (per_class: real training images of each class, of phantoms only; of other data all are used;\n"
        "  ratio: of synthetic to real images; controls have that of the generators if it is the same for all)\n\n"
        f"settings of --augment, and their defaults:\n{_augment_option.defaults()}\n"
        "  (phantoms are turned upside down, other images only with vertical_flip=yes; no switches a setting off)\n\n"
        f"epochs of the generators, unless --epochs is given:\n{epochs}\n\n"
        + shared.examples(
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
    add = shared.add_data(study)
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
    shared.add_fixed(add)
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
        metavar="X",
        help="differences smaller than this are too small to matter (default: 0.05)",
    )
    add(
        "--metric",
        choices=METRICS,
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
    shared.add_generator_size(add)
    add(
        "--pretrain-on",
        metavar="SOURCE",
        help="images that the generators of arms with the ending pretrained learn first, without their labels: the "
        "training set of what --data takes, also that of --data itself, of which a seed draws a part",
    )
    shared.add_pretrain_steps(
        add, ", once for all seeds; with --jobs once for each process, unless there is --generators"
    )
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
    shared.add_workers(running, "trials at a time, each in a process of its own (default: 1)")
