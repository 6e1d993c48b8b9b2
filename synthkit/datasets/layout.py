"""What the folders of an image collection mean: splits and classes; checked, never guessed.

`ROOT/CLASS/…/image` or `ROOT/SPLIT/CLASS/…/image`. Whatever looks like something else (parts of a download, folds,
patients, masks, another level) is refused with a sentence that says how to arrange it.
"""

import os
import typing
from pathlib import Path

from synthkit.datasets import folder_names
from synthkit.datasets.finding import JUNK, READABLE, few, files_below, find_images, left_out, unreadable
from synthkit.datasets.folder_names import displayed, fold_case
from synthkit.imageset import SPLIT_NAMES

HOW = "Expected ROOT/CLASS/image, or ROOT/train/CLASS/image and ROOT/test/CLASS/image"


class Entry(typing.NamedTuple):
    """An image file: its path, its path relative to the root with forward slashes, its class, its split or None."""

    file: Path
    name: str
    label: str
    split: str | None


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
    images, others, notes = find_images(root)
    check_empty_splits(root, images, others)
    top = list(dict.fromkeys(path[0] for path in images if len(path) > 1))
    splits = folder_names.splits_of(top)
    if any(splits.values()):
        entries, depth = _with_splits(root, images, splits), 2
    else:
        entries, depth = _without_splits(root, images, top, others), 1
    _check_empty(root, [()] if depth == 1 else [(name,) for name in splits])
    check_lost(root, others, [entry.name for entry in entries], depth)
    notes += _merged(root, [entry.name.split("/")[depth - 1] for entry in entries])
    return entries, notes + left_out(root, others)


def _with_splits(root, images, splits):
    strangers = [name for name, split in splits.items() if split is None]
    if strangers:
        inner = {path[1] for path in images if path[0] == strangers[0] and len(path) > 2}
        again = any(folder_names.splits_of(inner).values())
        hint = f"Give {root / strangers[0]}, which holds splits, too, or move" if again else "Move"
        raise ValueError(
            f"{root} holds {', '.join(sorted(set(splits) - set(strangers)))} beside {', '.join(strangers)}, which is "
            f"not a training, validation or test set. {hint} it out, or give a folder that holds only classes. {HOW}"
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
            "their classes with --labels FILE.csv; if their classes are not known, move them out"
        )
    # Classes are called as in the training set.
    names = list(dict.fromkeys(path[1] for path in sorted(images, key=lambda path: splits[path[0]] != "train")))
    _check_same_below(root, [path[1:] for path in images])
    classes = _classes(root, names)
    entries = [_entry(root, path, classes[path[1]], splits[path[0]]) for path in images]
    for name, split in splits.items():
        missing = sorted(set(classes.values()) - {entry.label for entry in entries if entry.split == split})
        if missing:
            raise ValueError(f"{root / name} has no images of {', '.join(missing)}, which other splits have")
    return entries


def _without_splits(root, images, top, others):
    loose = [path for path in images if len(path) == 1]
    table = next((root.joinpath(*path) for path in others if path[-1].lower().endswith((".csv", ".tsv"))), None)
    labels = f"--labels {table or 'FILE.csv'}"
    hint = f". {table.name} may hold the classes: give it with {labels}" if table else ""
    if not top:
        raise ValueError(
            f"{len(images)} images are in {root} itself, in no class folder. If {root.resolve().name} is one of the "
            f"classes, give the folder above it; if a table names their classes, give it with {labels}. {HOW}"
        )
    if loose:
        raise ValueError(
            f"{len(loose)} images are in {root} itself, in no class folder, for example {loose[0][0]}. {HOW}"
        )
    if len(top) == 1:
        inner = {path[1] for path in images if len(path) > 2}
        way = f"Did you mean {root / top[0]}?" if len(inner) > 1 else f"A study needs at least two classes. {HOW}{hint}"
        raise ValueError(f"{root} holds one folder with images, {top[0]}. {way}")
    _check_same_below(root, images)
    try:
        classes = _classes(root, top)
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from None
    return [_entry(root, path, classes[path[0]], None) for path in images]


def _check_same_below(root, paths):
    """Refuses folders that hold the same folders one level down: those are likely to be the classes."""
    below = {}
    for path in paths:
        if len(path) > 2:
            below.setdefault(path[0], {}).setdefault(fold_case(path[1]), path[1])
    sets = [set(names) for names in below.values() if len(names) > 1]
    if len(sets) < 2 or len(sets) * 2 <= len({path[0] for path in paths}):
        return
    inner = sorted(name for name in set.intersection(*sets) if not folder_names.says_image(name))
    if len(inner) > 1 and len(set.union(*sets)) < 2 * len(inner) and not folder_names.are_numbered(inner):
        outer = list(below)
        listed = ", ".join(next(names[name] for names in below.values() if name in names) for name in inner[:4])
        raise ValueError(
            f"{root}: {', '.join(outer[:3])}{', …' if len(outer) > 3 else ''} each hold the folders {listed}, which "
            f"look like the classes. If {outer[0]} and the others are splits, call them train, validation and test; if "
            "they are patients or sources, put the class first, CLASS/PATIENT/image, and give --patients "
            "'[^/]+/([^/]+)/'; if they are the classes, rename the folders in them"
        )


def _classes(root, names):
    """Returns a dict from a folder's name to the class; refuses names that are not those of classes."""
    display = {}
    for name in names:
        display.setdefault(fold_case(name), displayed(name))
    listed = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
    if len(display) < 2:
        raise ValueError(f"{root} holds one class, {listed}; a study needs at least two. {HOW}")
    helpers = [name for name in names if fold_case(name) in folder_names.MASK_WORDS | folder_names.IMAGE_WORDS]
    if helpers:
        raise ValueError(
            f"{root} holds the folders {listed}, and {', '.join(helpers)} is not the name of a class. Give the folder "
            f"that holds the classes. {HOW}"
        )
    some_split = folder_names.with_split_words(names) or [name for name in names if folder_names.split_of(name)]
    if some_split:
        raise ValueError(
            f"{root} holds the folders {listed}, and {', '.join(some_split[:4])} is named like a training, validation "
            f"or test set, not like a class. {HOW}; if it is a class, rename it"
        )
    if folder_names.are_numbered(names) or folder_names.are_parts(names):
        raise ValueError(
            f"{root} holds the folders {listed}, whose names are those of parts, folds or patients, not of classes. "
            f"{HOW}; patients belong one level further down, CLASS/PATIENT/image, or in a table (--labels FILE.csv)"
        )
    return {name: display[fold_case(name)] for name in names}


def _entry(root, path, label, split):
    return Entry(root.joinpath(*path), "/".join(path), label, split)


def _merged(root, names):
    """Returns notes on class folders whose names differ in the case of letters alone."""
    spellings = {}
    for name in names:
        spellings.setdefault(fold_case(name), {}).setdefault(displayed(name))
    return [f"{root}: the folders {' and '.join(same)} are one class" for same in spellings.values() if len(same) > 1]


def _entries_in(folder):
    """Returns what a folder holds, without hidden files and systems' own, in the order of the names."""
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in JUNK]


def check_empty_splits(root, images, others):
    """Refuses a folder that is called like a split and holds no images, since another set would take its place.

    Args:
        root: folder.
        images, others: paths of its images and of its other files, as tuples of their parts.
    """
    folders = [entry.name for entry in _entries_in(root) if not entry.is_file()]
    full = {path[0] for path in images if len(path) > 1}
    for name, split in folder_names.splits_of(folders).items():
        if split is None or name in full:
            continue
        files = ["/".join(path) for path in others if path[0] == name]
        strange = f" that can be read: it has {len(files)} other files, for example {files[0]}" if files else ""
        kinds = f", unpacked, as {READABLE}" if files else ""
        way = "" if split == "train" else f", or remove the folder, so that a {SPLIT_NAMES[split]} is split off"
        raise ValueError(
            f"{Path(root, name)} is the folder of the {SPLIT_NAMES[split]}, but holds no images{strange}. Put the "
            f"images of that set there{kinds}{way}"
        )


def _check_empty(root, parents):
    """Refuses folders without any file where class folders are."""
    for parent in parents:
        for entry in _entries_in(root.joinpath(*parent)):
            if entry.is_dir() and not entry.is_symlink() and not files_below(entry.path)[0]:
                raise ValueError(
                    f"{root.joinpath(*parent, entry.name)} is an empty folder. If it is a class, its images are "
                    "missing; else remove it"
                )


def check_lost(root, others, names, depth):
    """Refuses files that are no images if a class folder loses more than a few, or all it has.

    Args:
        root: folder.
        others: paths of files that are no images, as tuples of their parts.
        names: paths of the images, with forward slashes.
        depth: number of the folder in these paths that is the class's, 1 or 2.
    """
    kept, lost = {}, {}
    for name in names:
        folder = "/".join(name.split("/")[:depth])
        kept[folder] = kept.get(folder, 0) + 1
    for path in unreadable(others):
        if len(path) > depth:
            lost.setdefault("/".join(path[:depth]), []).append("/".join(path))
    refuse_lost(root, kept, lost, "move them out")


def refuse_lost(source, kept, lost, otherwise):
    """Refuses files that cannot be read as images if they are more than a few of a class, or all it has.

    Args:
        source: the folder or the table that says which class they are of.
        kept: dict from a class, or its folder, to the number of its images.
        lost: dict from a class, or its folder, to the names of those files.
        otherwise: what to do unless they are converted.
    """
    for name, files in lost.items():
        count = kept.get(name, 0)
        if not count or len(files) > few(count):
            raise ValueError(
                f"{source}: {len(files)} files of {name} cannot be read as images, for example {files[0]}; {count} "
                f"can. Convert them to {READABLE}, or {otherwise}"
            )
