"""The options of `plan`."""

import argparse

from synthkit import _option_types as types
from synthkit._options import shared


def add_to(commands, prog):
    """Adds the command to the subparsers of `prog`."""
    plan = commands.add_parser(
        "plan",
        usage=f"{prog} plan [options]",
        help="say what a study could find with these images, before anything is trained",
        description="Shows the splits of a data set, which differences studies of different sizes could find (from\n"
        "simulated studies of these test images and patients), and how long the arms would take here.",
        epilog=shared.examples(
            prog, "plan --data my_images", 'plan --data breastmnist --arms "real,augmentation,diffusion augmented"'
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shared.add_data(plan)
    add = plan.add_argument
    add("--arms", metavar="A,B,…", help="names of arms, separated by commas (default: those of the default study)")
    add("--seeds", type=types.positive, default=5, metavar="N", help="number of seeds for the times (default: 5)")
    add("--per-class", type=types.positive, metavar="N", help="real training images of each class")
    shared.add_fixed(add)
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
