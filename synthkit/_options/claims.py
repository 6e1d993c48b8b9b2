"""The options of `claims`."""

import argparse

from synthkit import _option_types as types
from synthkit._options import shared


def add_to(commands, prog):
    """Adds the command to the subparsers of `prog`."""
    claims = commands.add_parser(
        "claims",
        usage=f"{prog} claims [options]",
        help="say what published numbers show: intervals, and the probability that nothing is gained",
        description="Computes what a published improvement shows, from the number of test images and how many of them\n"
        "were classified correctly. Without options: the claims of the studies that synthkit reproduces, and others.",
        epilog=shared.examples(
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
