"""The option --augment: settings of `augmentation.Augmenter` in words, as in "rotation=10, vertical_flip=no"."""

import argparse
import difflib
import inspect
import re
import textwrap

from synthkit.augmentation import Augmenter

# From the name on the command line to the argument and its default.
SETTINGS = {
    parameter.name.removesuffix("_range"): (parameter.name, parameter.default)
    for parameter in inspect.signature(Augmenter).parameters.values()
    if parameter.name != "filters"
}


def defaults():
    """Returns the names of the settings with their defaults, as lines of text for `--help`."""
    pairs = ", ".join(f"{name}={_shown(default)}" for name, (_, default) in SETTINGS.items())
    return textwrap.fill(pairs, 100, initial_indent="  ", subsequent_indent="  ")


def _shown(value):
    if value is None or isinstance(value, bool):
        return "yes" if value else "no"
    return "-".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value).removesuffix(".0")


def parse(text):
    """Reads settings as arguments of `Augmenter`.

    Example:

    >>> parse("rotation=10, vertical_flip=no, brightness=0.9-1.1")
    {'rotation_range': 10.0, 'vertical_flip': False, 'brightness_range': (0.9, 1.1)}

    Raises:
        argparse.ArgumentTypeError: for an unknown name or an invalid value.
    """
    settings = {}
    for pair in re.split(r"\s*,\s*", text.strip()):
        name, _, value = (part.strip() for part in pair.partition("="))
        name = name.lower().replace("-", "_").removesuffix("_range")
        if name not in SETTINGS:
            close = difflib.get_close_matches(name, SETTINGS, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise argparse.ArgumentTypeError(
                f"there is no setting {name!r}{hint}; expected NAME=VALUE, with names from {', '.join(SETTINGS)}"
            )
        argument, default = SETTINGS[name]
        settings[argument] = _value(name, value.lower(), default)
    try:
        Augmenter(**settings)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return settings


def _value(name, text, default):
    """Returns a word, a bool, a number or a pair of numbers; "no" switches a setting off."""
    if isinstance(default, str):
        return text
    off = text in ("no", "off", "none", "false")
    if isinstance(default, bool):
        if not off and text not in ("yes", "on", "true"):
            raise argparse.ArgumentTypeError(f"expected {name}=yes or {name}=no, received {name}={text}")
        return not off
    if off:
        return None if default is None or isinstance(default, tuple) else 0.0
    numbers = re.fullmatch(r"([\d.]+)(?:-([\d.]+))?", text)
    try:
        pair = tuple(float(number) for number in numbers.groups() if number)
    except (AttributeError, ValueError):
        raise argparse.ArgumentTypeError(
            f"expected a number, a pair such as 0.8-1.2, or no, received {name}={text}"
        ) from None
    return pair[0] if len(pair) == 1 else pair
