"""Folders of images: a folder for each class, with or without split folders around them, or a table of labels."""

import dataclasses
import os
import re
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from synthkit.datasets import labels as tables
from synthkit.datasets.collection import read_images, to_channels, without_contradictions
from synthkit.datasets.finding import MASKS, READABLE, left_out, namesakes, refuse_none, sort_files, unreadable
from synthkit.datasets.folder_names import fold_case, splits_of
from synthkit.datasets.layout import Entry, arrange, check_empty_splits, refuse_lost
from synthkit.imageset import SPLIT_NAMES, ImageSet, Splits, without_copies
from synthkit.splitting import group_near_duplicates as group_alike
from synthkit.splitting import partition, split


def load(
    root,
    image_size=32,
    *,
    color=None,
    class_names=None,
    patients=None,
    labels=None,
    validation=None,
    test=None,
    keep_aspect=False,
    group_near_duplicates=False,
    groups=None,
    seed=0,
    progress=False,
):
    """Loads a folder of images and splits it by patient, stratified by class.

    Folders called train, validation or test (or training, val, dev, testing and so on) are the splits; those that are
    missing are split off the training set, and an empty one is refused. Images that are also in a later split, byte for
    byte once loaded, are left out of the earlier one with a warning that counts them.

    Args:
        root: folder of class folders, or of split folders of class folders; with `labels` of images anywhere below.
        image_size: images are resized to this height and width.
        color: True for three channels, False for grey; None decides by whether any image has colour.
        class_names: the classes in the order of their labels; None takes the folders' names in alphabetical order.
        patients: how to know a file's patient. A table's path (`labels.read_patients`); or a regular expression, whose
            groups, searched for in the path relative to `root`, together name the patient. None takes the patients of
            `labels`, or gives every image a patient of its own, with a warning.
        labels: path of a CSV file with the classes, and maybe patients and splits (`labels.read_labels`), or None.
        validation, test: as in `splitting.split`, of all the images; None for the split that a folder or the table
            gives, or else for 0.1 (up to 0.2 for two images of a small class) and 0.2.
        keep_aspect: whether to pad images that are not square instead of stretching them.
        group_near_duplicates: whether images that look alike count as one patient, so that the split keeps them
            together (`splitting.group_near_duplicates`).
        groups: name of a column of `labels`, or else of the table `patients`, with the subgroup of each image, such as
            its view or site (`labels.read_groups`); None for none.
        seed: int, of the split.
        progress: whether to show a bar over the files.

    Returns:
        Splits.

    Raises:
        FileNotFoundError: if `root` or a CSV file does not exist.
        ValueError: if the folders do not make classes (`layout.arrange`), files cannot be read as images (all of them
            are named), or a file has no patient.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder")
    entries, table_patients, notes = find(root, labels)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    if class_names is None:
        class_names = sorted({entry.label for entry in entries})
    strangers = [entry for entry in entries if entry.label not in class_names]
    if strangers:
        raise ValueError(
            f"{strangers[0].file} is of class {strangers[0].label}; expected one of {', '.join(class_names)}"
        )
    if patients is not None or not table_patients:
        table_patients = _patients(root, [entry.name for entry in entries], patients)
    patient_of = table_patients
    _check_patients(root, entries, patient_of)
    group_of = None if groups is None else _groups([entry.name for entry in entries], labels, patients, groups)
    images, entries = read_images(root, entries, image_size, keep_aspect, progress)
    if color is None:
        color = any(image.ndim == 3 and np.ptp(image, axis=2).max() > 16 for image in images)
    images = [to_channels(image, color) for image in images]
    images, entries = without_contradictions(root, images, entries)
    images, sets = np.stack(images), {}
    for name in dict.fromkeys(entry.split or "train" for entry in entries):
        places = [i for i, entry in enumerate(entries) if (entry.split or "train") == name]
        sets[name] = ImageSet(
            images[places],
            [class_names.index(entries[i].label) for i in places],
            class_names,
            [patient_of[entries[i].name] for i in places],
            f"{root.name} {name}",
            groups=None if group_of is None else [group_of[entries[i].name] for i in places],
        )
    for option, size in (("validation", validation), ("test", test)):
        if size is not None and option in sets:
            raise ValueError(
                f"--{option} {size:g} splits off a {SPLIT_NAMES[option]}, but {root} has one, of {len(sets[option])} "
                f"images. Leave out --{option}, or move the images of that set into the training set"
            )
    if group_near_duplicates:
        if "validation" in sets and "test" in sets:
            raise ValueError(
                f"--group-near-duplicates is for splits that are made here, but {root} has a validation and a test "
                "set of its own. In study, --drop-near-duplicates or --folds deal with them"
            )
        sets["train"] = group_alike(sets["train"])
    sizes = (_default_validation(sets) if validation is None else validation, 0.2 if test is None else test)
    return _complete(sets, root.name, *sizes, seed)


def find(root, labels=None):
    """Finds the images of a folder, their classes, and the splits that the folders or the table give.

    Args:
        root, labels: as in `load`.

    Returns:
        `(entries, patients, notes)`: list of `layout.Entry` in the order of their paths; dict from an entry's name to
        its patient, as far as the table has patients; and sentences about what was left out.

    Raises:
        as `load`.
    """
    if labels is None:
        entries, notes = arrange(root)
        return entries, {}, notes
    return _from_table(Path(root), labels)


def _from_table(root, path):
    """Returns the entries that a table of labels describes, their patients, and notes about what was left out."""
    images, companions, others, notes = sort_files(root)
    if not images and not companions:
        refuse_none(root, others)
    strange = _names(unreadable(others))
    rows, more = tables.read_labels(path)
    rows, missing = tables.match(path, rows, _names(images), _names(companions), strange)
    lost = {name: rows.pop(name) for name in strange if name in rows}
    masks = [parts for parts in companions if "/".join(parts) not in rows]
    notes += left_out(root, masks, MASKS) + namesakes(root, images) + more + _lost(root, path, rows, lost)
    # A file that the table names is an image, whatever it is called.
    called = sorted({*companions} - {*masks})
    images = sorted(images + called)
    names = _names(images)
    if called:
        notes.append(
            f"{path} names {len(called)} files that are called like masks or overlays of others, for example "
            f"{'/'.join(called[0])}; they are used as images. If they are masks, remove their rows"
        )
    if len(rows) < len(names):
        left = next(name for name in names if name not in rows)
        notes.append(f"{path} names {len(rows)} of {len(names)} images; the others were left out, for example {left}")
    if missing:
        notes.append(f"{path} names {len(missing)} files that {root} does not have, for example {missing[0]}")
    entries = [Entry(root / name, name, rows[name].label, rows[name].split) for name in names if name in rows]
    _check_folders_of_classes(path, entries)
    splits = splits_of(sorted({entry.name.split("/")[0] if "/" in entry.name else "" for entry in entries}))
    if None not in splits.values():
        check_empty_splits(root, images + masks, others)
        entries = _with_folders_of_splits(path, entries, splits)
    given = {entry.split for entry in entries}
    if None in given and len(given) > 1:
        raise ValueError(f"{path} gives a split for some images only; give one for all or for none")
    if given != {None} and "train" not in given:
        raise ValueError(f"{path} gives no image to the training set; call its split train")
    return entries, {name: row.patient for name, row in rows.items() if row.patient}, notes


def _names(paths):
    return ["/".join(parts) for parts in paths]


def _lost(root, path, rows, lost):
    """Returns a note on files that the table names and that are of no format that can be read; refuses many of them.

    Args:
        root, path: of the images and of the table.
        rows: dict from the names of images to their rows.
        lost: dict from the names of those files to their rows.
    """
    kept, files = Counter(f"class {row.label}" for row in rows.values()), {}
    for name, row in lost.items():
        files.setdefault(f"class {row.label}", []).append(name)
    refuse_lost(path, kept, files, "remove their rows")
    what = f"files that {path} names are of none of the formats that can be read ({READABLE}) and"
    return left_out(root, [name.split("/") for name in lost], what)


def _check_folders_of_classes(path, entries):
    """Refuses a table that contradicts class folders: folders that are called like its classes, on one level."""
    classes = {fold_case(entry.label) for entry in entries}
    folders = [[fold_case(part) for part in entry.name.split("/")[:-1]] for entry in entries]
    for level in range(min(map(len, folders))):
        if 1 < len({parts[level] for parts in folders} & classes) == len({parts[level] for parts in folders}):
            wrong = [e for e, parts in zip(entries, folders, strict=True) if parts[level] != fold_case(e.label)]
            if wrong:
                raise ValueError(
                    f"{path} gives {wrong[0].name} the class {wrong[0].label}, and its folder says another, as for "
                    f"{len(wrong)} of {len(entries)} images. Correct the table, or use the folders without --labels"
                )


def _with_folders_of_splits(path, entries, splits):
    """Returns the entries with the splits that the folders are called after; refuses a table that contradicts them."""
    result = [entry._replace(split=splits[entry.name.split("/")[0]]) for entry in entries]
    for old, new in zip(entries, result, strict=True):
        if old.split not in (None, new.split):
            raise ValueError(
                f"{path} puts {old.name} into the {old.split} set, and its folder into the {new.split} set"
            )
    return result


def _default_validation(sets):
    """Returns the default fraction of the validation set: 0.1, or up to 0.2 where a class would get one image of it."""
    train, total = sets["train"], sum(map(len, sets.values()))
    fraction = 2 / max(1, min(train.class_counts().values())) * len(train) / total
    return fraction if 0.1 < fraction <= 0.2 else 0.1


def _complete(sets, name, validation, test, seed):
    """Splits off the sets that no folder gives; copies of an image stay in the last split that has one."""
    train, given = sets["train"], [sets[part] for part in ("validation", "test") if part in sets]
    total = sum(map(len, sets.values()))
    if len(given) < 2:
        train = without_copies(train)
    if not given:
        renamed = dataclasses.replace(train, name=name)
        return split(renamed, validation, test, seed=seed)
    train = without_copies(train, *given)
    if len(given) == 2:
        return Splits(train, without_copies(given[0], given[1]), given[1])
    missing = "validation" if "test" in sets else "test"
    size = validation if missing == "validation" else test
    if isinstance(size, float):
        size *= total / len(train)
    train, rest = partition(train, [size], seed=seed)
    rest = dataclasses.replace(rest, name=f"{name} {missing}")
    return Splits(train, rest, given[0]) if missing == "validation" else Splits(train, given[0], rest)


def _patients(root, names, patients):
    """Returns a dict from a file's relative path to its patient."""
    if patients is None:
        warnings.warn(
            f"{root}: no patients are given, so every image gets a patient of its own. If patients have several "
            f"images, splits may share patients, and then the scores are too good",
            stacklevel=3,
        )
        return {name: name for name in names}
    if str(patients).lower().endswith((".csv", ".tsv", ".xlsx", ".xls")) or os.path.isfile(patients):
        return _patients_of_table(patients, names)
    try:
        pattern = re.compile(patients)
    except re.error as error:
        raise ValueError(f"--patients is not a regular expression ({error}). Received: {patients!r}") from error
    matches = {name: pattern.search(name) for name in names}
    missing = [name for name, match in matches.items() if not match or not any(match.groups())]
    if missing:
        raise ValueError(
            f"the pattern {patients!r} finds no patient, that is, no group, in {len(missing)} files, for example "
            f"{missing[0]}"
        )
    return {name: "-".join(group or "" for group in match.groups()) for name, match in matches.items()}


def _patients_of_table(path, names):
    known, _ = tables.match(path, tables.read_patients(path), names)
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"{path} gives no patient for {len(missing)} files, for example {missing[0]}")
    return known


def _groups(names, labels, patients, column):
    """Returns a dict from a file's relative path to its subgroup, "not given" where the table has none."""
    path = labels if labels is not None else patients
    if path is None or not os.path.isfile(path):
        raise ValueError(
            f"--groups {column} names a column of a table; give the table with --labels, or with --patients. "
            f"Received: {path or 'neither'}"
        )
    known, _ = tables.match(path, tables.read_groups(path, column), names)
    return {name: known.get(name) or "not given" for name in names}


def _check_patients(root, entries, patient_of):
    """Refuses patients with images in several of the splits that folders or a table give."""
    splits = {}
    for entry in entries:
        splits.setdefault(patient_of[entry.name], set()).add(entry.split)
    shared = [patient for patient, own in splits.items() if len(own) > 1]
    if shared:
        raise ValueError(
            f"{root}: {len(shared)} patients have images in several splits, for example {shared[0]} in "
            f"{' and '.join(sorted(splits[shared[0]]))}. Put all images of a patient into one split, or leave the "
            "splits out of the folders or the table"
        )
