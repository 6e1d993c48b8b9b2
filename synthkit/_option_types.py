"""What the values of options may be: functions for `type=` of argparse, each with a message for all others."""

import argparse
import difflib
import re

from synthkit import catalogue


def positive(text, least=1):
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"expected an integer of at least {least}, received {text!r}")
    return value


def folds(text):
    if text.strip() == "2":
        raise argparse.ArgumentTypeError("with two folds, intervals are too narrow; expected 3 or more")
    return positive(text, least=3)


def not_negative(text):
    return positive(text, least=0)


def named(text, names, what, others=""):
    """Returns the name, or raises with the names that there are and the one that is meant."""
    if text in names:
        return text
    close = difflib.get_close_matches(text.lower(), names, 1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise argparse.ArgumentTypeError(f"there is no {what} {text!r}{hint}; expected one of {', '.join(names)}{others}")


def operating_point(text):
    from synthkit.statistics import operating_point

    try:
        operating_point([0, 1], [0, 1], text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def generator(text):
    return named(catalogue.RENAMED.get(text, text), tuple(catalogue.GENERATORS), "generator")


def counts(text):
    """Reads "benign=300,malignant=250" as a dict from a class's name, which may hold commas, to its images."""
    pairs = re.findall(r"\s*(.+?)\s*=\s*(\d+)\s*(?:,|$)", text)
    if not re.fullmatch(r"(?:.+?=\s*\d+\s*(?:,|$))+", text) or len({name for name, _ in pairs}) < len(pairs):
        raise argparse.ArgumentTypeError(
            f"expected the number of images of each class, as in benign=300,malignant=250, received {text!r}"
        )
    return {name: int(count) for name, count in pairs}


def size(text):
    """Reads a number of images or a fraction of them."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (0 < value < 1 or (value >= 1 and value.is_integer())):
        raise argparse.ArgumentTypeError(f"expected a fraction between 0 and 1 or a whole number, received {text!r}")
    return value if value < 1 else int(value)


def margin(text):
    """Reads an AUC or a difference between two."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, received {text!r}")
    return value


def epochs(text):
    """Returns a dict from a generator's name to its epochs, from text like "300" or "dense_cvae=300,diffusion=500"."""
    if "=" not in text:
        return dict.fromkeys(catalogue.GENERATORS, positive(text))
    pairs = dict(pair.split("=", 1) if "=" in pair else (pair, "") for pair in re.split(r"\s*,\s*", text.strip()))
    pairs = {catalogue.RENAMED.get(name, name): count for name, count in pairs.items()}
    unknown = [name for name in pairs if name not in catalogue.GENERATORS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no generator {unknown[0]!r}; expected names from {', '.join(catalogue.GENERATORS)}"
        )
    return {name: positive(count) for name, count in pairs.items()}
