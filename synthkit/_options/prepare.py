"""The options of `prepare`."""

import argparse

from synthkit import _option_types as types
from synthkit._options import shared


def add_to(commands, prog):
    """Adds the command to the subparsers of `prog`."""
    prepare = commands.add_parser(
        "prepare",
        help="turn a CBIS-DDSM download into small images that study can use",
        description="Preprocesses the images of a CBIS-DDSM download once, as in the mammography study. Run the same\n"
        "command again to resume it. Files that cannot be read are listed, and tried again the next time.",
        epilog=shared.examples(
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
    shared.add_workers(prepare, "number of processes (default: one per core)")
