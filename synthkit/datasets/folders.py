"""Class folders of images: `ROOT/CLASS/image.jpg`, or `ROOT/train/CLASS/…` and `ROOT/test/CLASS/…`."""

import dataclasses
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from synthkit._files import check_name, read_csv
from synthkit.datasets.reading import SUFFIXES, read_image
from synthkit.imageset import ImageSet, Splits, resize_image, without_copies
from synthkit.splitting import partition, split

GIVEN = {"validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


def load(
    root,
    image_size=32,
    *,
    color=None,
    class_names=None,
    patients=None,
    validation=0.1,
    test=0.2,
    seed=0,
    progress=False,
):
    """Loads class folders and splits them by patient, stratified by class.

    A folder `test` is the test part, a folder `validation`, `valid` or `val` the validation part; what is missing is
    split off the rest. Images that stand in a later part too, byte for byte once loaded, are left out of the earlier
    one with a warning that counts them.

    Args:
        root: folder of class folders, or of `train` and `test` folders of class folders.
        image_size: images are resized to this height and width.
        color: True for three channels, False for grey; None decides by whether any of the first images has colour.
        class_names: the classes in the order of their labels; None takes the folders' names in alphabetical order.
        patients: how to know a file's patient. A CSV file's path with the columns `file` (relative to `root`, with
            forward slashes) and `patient`; or a regular expression, whose groups, searched for in that relative path,
            together name the patient. None takes every file for a patient of its own, with a warning.
        validation, test: as in `splitting.split`, of all the images.
        seed: int, of the split.
        progress: whether to show a bar over the files.

    Returns:
        Splits.

    Raises:
        FileNotFoundError: if `root` or the CSV file does not exist.
        ValueError: if there are fewer than two classes, a file cannot be read as an image, or a file has no patient;
            names the file.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder")
    folders = {folder.name.lower(): folder for folder in sorted(root.iterdir()) if folder.is_dir()}
    parts = {"train": folders.get("train", root)}
    if "train" in folders:
        parts |= {part: folders[name] for name, part in GIVEN.items() if name in folders}
    files = {part: _files(folder) for part, folder in parts.items()}
    if class_names is None:
        class_names = sorted({name for found in files.values() for _, name in found})
    if len(class_names) < 2:
        raise ValueError(
            f"{root} holds {len(class_names)} folder with images ({', '.join(class_names) or 'none'}); expected a "
            f"folder for each of at least two classes, or train and test folders of such folders"
        )
    everything = [file for found in files.values() for file, _ in found]
    patient_of = _patients(root, everything, patients)
    if color is None:
        color = any(_has_color(read_image(file)) for file in everything[:20])
    sets = {}
    with tqdm(total=len(everything), desc=f"reading {root.name}", unit="image", disable=not progress) as bar:
        for part, found in files.items():
            images = np.empty((len(found), image_size, image_size, 3 if color else 1), "uint8")
            labels = np.empty(len(found), int)
            for i, (file, name) in enumerate(found):
                if name not in class_names:
                    raise ValueError(f"{file} lies in the folder {name}; expected one of {', '.join(class_names)}")
                images[i], labels[i] = _fit(read_image(file), image_size, color), class_names.index(name)
                bar.update()
            owners = [patient_of[file] for file, _ in found]
            sets[part] = ImageSet(images, labels, class_names, owners, f"{root.name} {part}")
    return _complete(sets, root.name, validation, test, seed)


def _complete(sets, name, validation, test, seed):
    """Splits off the parts that no folder gives; copies of an image stay in the last part that has one."""
    train, held = sets["train"], [sets[part] for part in ("validation", "test") if part in sets]
    total = sum(map(len, sets.values()))
    if len(held) < 2:
        train = without_copies(train)
    if not held:
        return split(dataclasses.replace(train, name=name), validation, test, seed=seed)
    train = without_copies(train, *held)
    if len(held) == 2:
        return Splits(train, without_copies(held[0], held[1]), held[1])
    missing = "validation" if "test" in sets else "test"
    size = validation if missing == "validation" else test
    if isinstance(size, float):
        size *= total / len(train)
    train, rest = partition(train, [size], seed=seed)
    rest = dataclasses.replace(rest, name=f"{name} {missing}")
    return Splits(train, rest, held[0]) if missing == "validation" else Splits(train, held[0], rest)


def _files(folder):
    """Returns `(file, class folder's name)` for every image below `folder`, in the order of their paths."""
    found, others = [], []
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.name.startswith("."):
            continue
        check_name(file.relative_to(folder))
        inside = file.relative_to(folder).parts
        if file.suffix.lower() in SUFFIXES and len(inside) > 1:
            found.append((file, inside[0]))
        else:
            others.append(file)
    if others:
        warnings.warn(
            f"{folder}: {len(others)} files are not jpg or png images in a class folder and were left out, "
            f"for example {others[0].relative_to(folder)}",
            stacklevel=3,
        )
    return found


def _patients(root, files, patients):
    """Returns a dict from file to patient."""
    names = {file: file.relative_to(root).as_posix() for file in files}
    if patients is None:
        warnings.warn(
            f"{root}: no patients are given, so every image counts as a patient of its own. If patients have several "
            f"images, parts may share them and the scores are too good",
            stacklevel=3,
        )
        return names
    if str(patients).lower().endswith(".csv"):
        table = read_csv(patients)
        if not {"file", "patient"} <= set(table.columns):
            raise ValueError(f"{patients} must have the columns file and patient. Received: {', '.join(table.columns)}")
        known = dict(zip(table["file"], table["patient"], strict=True))
        missing = [name for name in names.values() if not isinstance(known.get(name), str)]
        if missing:
            raise ValueError(f"{patients} gives no patient for {len(missing)} files, for example {missing[0]}")
        return {file: known[name] for file, name in names.items()}
    try:
        pattern = re.compile(patients)
    except re.error as error:
        raise ValueError(f"patients is not a regular expression ({error}). Received: {patients!r}") from error
    found = {file: pattern.search(name) for file, name in names.items()}
    missing = [names[file] for file, match in found.items() if not match or not any(match.groups())]
    if missing:
        raise ValueError(
            f"the pattern {patients!r} finds no patient, that is, no group, in {len(missing)} files, "
            f"for example {missing[0]}"
        )
    return {file: "-".join(group or "" for group in match.groups()) for file, match in found.items()}


def _has_color(image):
    return image.ndim == 3 and np.ptp(image, axis=2).max() > 16


def _fit(image, image_size, color):
    """Returns an image as uint8 `(image_size, image_size, 3 or 1)`."""
    if color != (image.ndim == 3):
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if color else cv2.COLOR_RGB2GRAY)
    return resize_image(image, image_size).reshape(image_size, image_size, -1)
