"""The options of `generate`."""

import argparse

from synthkit import _option_types as types
from synthkit import catalogue
from synthkit._options import shared


def add_to(commands, prog):
    """Adds the command to the subparsers of `prog`."""
    generate = commands.add_parser(
        "generate",
        usage=f"{prog} generate --generator NAME --per-class N --out DIR [options]",
        help="fit a generator and write a folder of synthetic images, with a card that describes them",
        description="Fits a generator to the training set and writes its images as PNG files in class folders, with\n"
        "labels.csv, a contact sheet, the fitted generator and a card (README.md and card.json). Run the same\n"
        "command again to resume it.",
        epilog=f"generators:\n{shared.lines({name: row.text for name, row in catalogue.GENERATORS.items()})}\n\n"
        + shared.examples(
            prog,
            "generate --data FOLDER --generator conv_cgan --per-class 300 --out synthetic",
            "generate --data FOLDER --generator diffusion --counts benign=300,malignant=250 --out synthetic",
            "generate --data FOLDER --generator conv_cgan --per-class 300 --seed 1 --out more \\\n"
            "    --load synthetic/conv_cgan.keras",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shared.add_data(generate)
    add = generate.add_argument
    add("--generator", required=True, type=types.generator, metavar="NAME", help="one of those below")
    images = generate.add_mutually_exclusive_group(required=True)
    images.add_argument("--per-class", type=types.positive, metavar="N", help="images to draw of each class")
    images.add_argument("--counts", type=types.counts, metavar="CLASS=N,…", help="images to draw of the named classes")
    shared.add_generator_size(add)
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
    shared.add_pretrain_steps(add)
    add("--load", metavar="FILE", help="a .keras file that generate wrote: draw more images from it instead of fitting")
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="new folder for the images, or one of the same command, which is resumed",
    )
    generate.set_defaults(scheduler=None)
