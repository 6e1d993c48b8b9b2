"""The options of the command line, a module for each command."""

import argparse
import sys
from pathlib import Path

from synthkit import __version__
from synthkit._options import claims, generate, plan, prepare, shared, study
from synthkit._options.profiles import PROFILES

__all__ = ["PROFILES", "parser", "unknown"]


def parser():
    """Returns the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="synthkit" if Path(sys.argv[0]).stem == "synthkit" else "python -m synthkit",
        description="Would synthetic images help a medical image classifier, and how sure are we?",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.epilog = (
        shared.examples(
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
    for command in (study, plan, claims, generate, prepare):
        command.add_to(commands, top.prog)
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
