"""Names of arms on the command line: a source of images and its endings, as in "dense_cvae filtered x2 augmented"."""

import difflib
import re
from pathlib import Path

ORDER = ("pretrained", "filtered", "x", "first", "augmented")


def parse(name, generators):
    """Matches a name with endings.

    Args:
        name: of an arm.
        generators: names of generators.

    Returns:
        re.Match with the groups source of the images, ratio to real images, first, augmented; None for other names.
    """
    number = r"(?=.*[1-9])\d+(?:\.\d+)?"
    others = "oversample|shuffled|oracle|blend|feature_(?:smote|gaussian|mixup)"
    source = rf"(?:(?:{'|'.join(generators)})(?: pretrained)?|folder:.+?)(?: filtered)?|{others}"
    return re.fullmatch(rf"({source})(?: x({number}))?( first)?( augmented)?", name)


def folder(name):
    """Returns the path in "folder:PATH", with or without endings; None for a name of another kind."""
    match = parse(name, ()) if name.startswith("folder:") else None
    return match and match[1].removeprefix("folder:").removesuffix(" filtered")


def display_name(name):
    """Returns the name of an arm in results: "folder gan x2" for "folder:images/gan x2"; other names stay."""
    path = folder(name)
    return name if path is None else name.replace(f"folder:{path}", f"folder {Path(path).expanduser().resolve().name}")


def guess(name, plain, generators):
    """Guesses which arm a misspelt name means: letters swapped, `diffusion:5`, endings in another order.

    Args:
        name: text that is not the name of an arm.
        plain: names of arms without endings.
        generators: names of generators.

    Returns:
        the arm's name, or None.
    """
    first, *endings = re.split(r"[\s:=*×@]+", name.strip().lower().replace("-", "_"))
    close = difflib.get_close_matches(first, plain, 1)
    if not close:
        return None
    endings = ["x" + word.strip("x") if re.fullmatch(r"x?[\d.]+x?", word) else word for word in endings]
    endings.sort(key=lambda word: next((i for i, start in enumerate(ORDER) if word.startswith(start)), len(ORDER)))
    name = " ".join([close[0], *endings])
    return name if name in plain or parse(name, generators) else None
