"""What the folders of an image collection mean: splits, classes and companion files; checked, never guessed.

`ROOT/CLASS/…/image` or `ROOT/SPLIT/CLASS/…/image`. Whatever looks like something else (parts of a download, folds,
patients, masks, another level) is refused with a sentence that says how to arrange it.
"""

import os
import re
import typing
import unicodedata
from pathlib import Path

from synthkit._files import check_name
from synthkit.datasets.reading import SUFFIXES, is_image

SPLITS = {
    "train": {"train", "training", "trainset", "trainingset", "tr"},
    "validation": {"validation", "validationset", "valid", "val", "valset", "dev", "devset"},
    "test": {"test", "testing", "testset", "testingset"},
}
MASK_FOLDERS = set("mask masks segmentation segmentations seg gt groundtruth annotation annotations".split())
MASK_FOLDERS |= set("contour contours roi rois".split())
IMAGE_FOLDERS = set("image images img imgs jpg jpeg png original originals raw data".split())
MASK_NAME = re.compile(
    r"(.+?)[ _.-]?(?:mask|segmentation|seg|gt|groundtruth|annotation|contour|roi)s?(?:[ _.-]?\d+)?", re.I
)
PARTS = re.compile(
    r"(?:.*[\s_.-])?(?:fold|part|split|batch|chunk|set|cv|volume|vol|zip|archive)[\s_.-]?[a-z0-9]{0,3}", re.I
)
GRADES = re.compile(
    r"(?:.*[\s_.-])?(?:class|label|grade|stage|type|level|category|score|degree|b[i1]-?rads|kl|isup|phase)", re.I
)
DOCUMENTS = set(".txt .csv .tsv .xml .json .md .html .htm .pdf .yaml .yml .xls .xlsx .ini .db .log .rtf .doc".split())
DOCUMENTS |= set(".docx .py .ipynb".split())
JUNK_FOLDERS = set("__macosx @eadir $recycle.bin __pycache__".split())
CARD_PICTURES = {("contact_sheet.png",), ("nearest_pairs.png",)}  # written by `generate`; not images of the set
HOW = "Expected ROOT/CLASS/image, or ROOT/train/CLASS/image and ROOT/test/CLASS/image"


class Entry(typing.NamedTuple):
    """An image file: its path, its path relative to the root with forward slashes, its class, its split or None."""

    file: Path
    name: str
    label: str
    split: str | None


def files_below(root):
    """Returns the files below a folder, without hidden ones, following links but no cycles.

    Returns:
        `(paths, notes)`: paths relative to `root` as tuples of their parts, in order, and sentences about links.
    """
    root, paths, cycles = Path(root), [], []
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder")
    pending = [((), (os.path.realpath(root),))]
    while pending:
        parts, ancestors = pending.pop()
        for entry in list(os.scandir(root.joinpath(*parts))):
            if entry.name.startswith(".") or entry.name.lower() in JUNK_FOLDERS:
                continue
            check_name(Path(*parts, entry.name))
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real in ancestors:
                    cycles.append("/".join((*parts, entry.name)))
                else:
                    pending.append(((*parts, entry.name), (*ancestors, real)))
            elif entry.is_file():
                paths.append((*parts, entry.name))
    notes = (
        [f"{root}: {len(cycles)} links lead back to a folder above and were left out, for example {cycles[0]}"]
        if cycles
        else []
    )
    return sorted(paths), notes


def fold_case(name):
    """Returns a name as it is compared with others: composed Unicode (NFC), without regard to case."""
    return unicodedata.normalize("NFC", name).casefold()


def split_of(name):
    """Returns the split that a folder's name stands for, or None."""
    plain = re.sub(r"[\s_.-]", "", fold_case(name))
    return next((split for split, names in SPLITS.items() if plain in names), None)


def arrange(root):
    """Finds the images below a folder, their classes and their splits.

    Args:
        root: folder.

    Returns:
        `(entries, notes)`: list of Entry in the order of their paths, and sentences about what was left out.

    Raises:
        ValueError: if the folders mean something else or are ambiguous; says how to arrange them.
    """
    root = Path(root)
    paths, notes = files_below(root)
    images = [path for path in paths if path not in CARD_PICTURES and _is_image(root, path)]
    others = [path for path in paths if path not in set(images)]
    images, companions = _without_companions(images)
    if companions:
        notes.append(
            f"{root}: {len(companions)} masks beside their images were left out, for example {'/'.join(companions[0])}"
        )
    if not images:
        archives = [path for path in paths if path[-1].lower().endswith((".zip", ".tar", ".gz", ".7z", ".rar"))]
        extra = f"; unpack {archives[0][-1]} first" if archives else ""
        raise ValueError(f"{root} holds no images{extra}. {HOW}")
    top = list(dict.fromkeys(path[0] for path in images if len(path) > 1))
    splits = {name: split_of(name) for name in top}
    if any(splits.values()):
        entries = _with_splits(root, images, splits)
        depth = 2
    else:
        entries = _without_splits(root, images, top, paths)
        depth = 1
    notes += _check_others(root, others, entries, depth)
    return entries, notes


def _is_image(root, path):
    suffix = Path(path[-1]).suffix.lower()
    return suffix in SUFFIXES or (suffix not in DOCUMENTS and is_image(root.joinpath(*path)))


def _without_companions(images):
    """Returns the images, and the masks that accompany some of them."""
    folders = {}
    for path in images:
        folders.setdefault(path[:-1], set()).add(fold_case(Path(path[-1]).stem))
    beside = {}
    for folder in {path[:i] for path in images for i in range(1, len(path))}:
        beside.setdefault(folder[:-1], set()).add(fold_case(folder[-1]))

    def is_companion(path):
        name = MASK_NAME.fullmatch(Path(path[-1]).stem)
        if name and fold_case(name[1].rstrip(" _.-")) in folders[path[:-1]]:
            return True
        for i, folder in enumerate(path[:-1]):
            siblings = beside.get(path[:i], set())
            has_images = bool(siblings & IMAGE_FOLDERS) or path[:i] in folders
            if fold_case(folder) in MASK_FOLDERS and has_images:
                return True
        return False

    flags = [is_companion(path) for path in images]
    return (
        [path for path, flag in zip(images, flags, strict=True) if not flag],
        [path for path, flag in zip(images, flags, strict=True) if flag],
    )


def _with_splits(root, images, splits):
    strangers = [name for name, split in splits.items() if split is None]
    if strangers:
        raise ValueError(
            f"{root} holds {', '.join(sorted(set(splits) - set(strangers)))} beside {', '.join(strangers)}, which is "
            f"not a training, validation or test set. Move it out, or give a folder that holds only classes. {HOW}"
        )
    twice = [name for name, split in splits.items() if list(splits.values()).count(split) > 1]
    if twice:
        raise ValueError(f"{root} holds {' and '.join(twice)}, which are names of one split; join them or move one out")
    if "train" not in splits.values():
        raise ValueError(f"{root} holds {', '.join(splits)} but no training set; call its folder train")
    loose = [path for path in images if len(path) < 3]
    if loose:
        raise ValueError(
            f"{root}: {len(loose)} images are in no class folder, for example {'/'.join(loose[0])}. {HOW}, or give "
            "their classes with --labels FILE.csv"
        )
    # Classes are called as in the training set.
    names = list(dict.fromkeys(path[1] for path in sorted(images, key=lambda path: splits[path[0]] != "train")))
    _check_same_below(root, {path[:2] for path in images}, [path[1:] for path in images])
    classes = _classes(root, names)
    entries = [_entry(root, path, classes[path[1]], splits[path[0]]) for path in images]
    for name, split in splits.items():
        missing = sorted(set(classes.values()) - {entry.label for entry in entries if entry.split == split})
        if missing:
            raise ValueError(f"{root / name} has no images of {', '.join(missing)}, which other splits have")
    return entries


def _without_splits(root, images, top, paths):
    loose = [path for path in images if len(path) == 1]
    table = next((path[-1] for path in paths if path[-1].lower().endswith((".csv", ".tsv"))), None)
    labels = f"--labels {table}" if table else "--labels FILE.csv"
    if not top:
        raise ValueError(
            f"{len(images)} images are in {root} itself, in no class folder. If {root.name} is one of the classes, "
            f"give the folder above it; if a table names their classes, give it with {labels}. {HOW}"
        )
    if loose:
        raise ValueError(
            f"{len(loose)} images are in {root} itself, in no class folder, for example {loose[0][0]}. {HOW}"
        )
    if len(top) == 1:
        inner = {path[1] for path in images if len(path) > 2}
        hint = f"Did you mean {root / top[0]}?" if len(inner) > 1 else f"A study needs at least two classes. {HOW}"
        raise ValueError(f"{root} holds one folder with images, {top[0]}. {hint}")
    _check_same_below(root, {path[:1] for path in images}, images)
    try:
        classes = _classes(root, top)
    except ValueError as error:
        hint = f". {table} may hold the classes: give it with {labels}" if table else ""
        raise ValueError(f"{error}{hint}") from None
    return [_entry(root, path, classes[path[0]], None) for path in images]


def _check_same_below(root, folders, paths):
    """Refuses folders that hold the same folders one level down: those are likely to be the classes."""
    below = {}
    for path in paths:
        if len(path) > 2:
            below.setdefault(path[0], set()).add(fold_case(path[1]))
    sets = [names for names in below.values() if len(names) > 1]
    if len(sets) > 1 and len(sets) * 2 > len({path[0] for path in paths}) and len(set.intersection(*sets)) > 1:
        outer, inner = list(below), sorted(set.intersection(*sets))
        raise ValueError(
            f"{root}: {', '.join(outer[:3])}{', …' if len(outer) > 3 else ''} each hold the folders "
            f"{', '.join(inner[:4])}, which look like the classes. If {outer[0]} and the others are splits, call them "
            "train, validation and test; if they are patients or sources, put the class first, CLASS/PATIENT/image, "
            "and give --patients '[^/]+/([^/]+)/'"
        )


def _classes(root, names):
    """Returns a dict from a folder's name to the class; refuses names that are not those of classes."""
    display = {}
    for name in names:
        display.setdefault(fold_case(name), unicodedata.normalize("NFC", name))
    listed = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    if len(display) < 2:
        raise ValueError(f"{root} holds one class, {listed}; a study needs at least two. {HOW}")
    helpers = [name for name in names if fold_case(name) in MASK_FOLDERS | IMAGE_FOLDERS]
    if helpers:
        raise ValueError(
            f"{root} holds the folders {listed}, and {', '.join(helpers)} is not the name of a class. Give the folder "
            f"that holds the classes. {HOW}"
        )
    some_split = [name for name in names if split_of(name)]
    if some_split:
        raise ValueError(
            f"{root}: {', '.join(some_split)} is a split inside a split, or a class that is called so. {HOW}"
        )
    stems = {re.sub(r"[\s_.-]*\d+$", "", fold_case(name)) for name in names}
    numbered = len(stems) == 1 and all(name[-1].isdigit() for name in names)
    (stem,) = stems if numbered else ("",)
    numbers = sorted(int(re.search(r"\d+$", name)[0]) for name in names) if numbered else []
    in_a_row = numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else False
    grades = (
        numbered and in_a_row and len(numbers) <= 10 and numbers[0] in (0, 1) and (not stem or GRADES.fullmatch(stem))
    )
    if (numbered and not grades) or all(PARTS.fullmatch(name) for name in names):
        raise ValueError(
            f"{root} holds the folders {listed}, whose names are those of parts, folds or patients, not of classes. "
            f"{HOW}; patients belong one level further down, CLASS/PATIENT/image, or in a table (--labels FILE.csv)"
        )
    return {name: display[fold_case(name)] for name in names}


def _entry(root, path, label, split):
    return Entry(root.joinpath(*path), "/".join(path), label, split)


def _check_others(root, others, entries, depth):
    """Returns a note about files that are not images; refuses them if a class loses more than a few."""
    if not others:
        return []
    unknown = [path for path in others if Path(path[-1]).suffix.lower() not in DOCUMENTS]
    images = {}
    for entry in entries:
        key = entry.name.split("/")[depth - 1]
        images[key] = images.get(key, 0) + 1
    for name, count in images.items():
        lost = [path for path in unknown if len(path) > depth and path[depth - 1] == name]
        if len(lost) > few(count):
            raise ValueError(
                f"{root}: {len(lost)} files of {name} cannot be read as images, for example {'/'.join(lost[0])}; "
                f"{count} can. Convert them to {', '.join(sorted({s.lstrip('.') for s in SUFFIXES}))}, or move them out"
            )
    return [f"{root}: {len(others)} files are not images and were left out, for example {'/'.join(others[0])}"]


def few(count):
    """Returns how many files of a class of `count` images may be left out with a note alone."""
    return max(3, count // 20)
