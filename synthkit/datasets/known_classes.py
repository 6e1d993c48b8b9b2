"""Folders of synthetic images, read with the classes and the image shape of a study's real images."""

import warnings
from pathlib import Path

import numpy as np

from synthkit.datasets.collection import read_images, to_channels
from synthkit.datasets.finding import find_images, left_out
from synthkit.datasets.folder_names import fold_case
from synthkit.datasets.layout import Entry, check_lost
from synthkit.imageset import ImageSet

HOW = "Put its images into a folder for each class"


def find(root, class_names):
    """Finds the images in a folder's class folders.

    Args:
        root: folder.
        class_names: the classes. Their folders have these names, in upper or lower case; some may be missing.

    Returns:
        `(entries, notes)`: list of `layout.Entry` in the order of their paths, and sentences about what was left out.

    Raises:
        ValueError: if there is no such folder, none of its folders has the name of a class, or more than a few
            files of a class are not images.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(
            f"{root} is not a folder. {HOW}, {', '.join(class_names)}, and give the folder that holds them"
        )
    images, others, notes = find_images(root)
    known = {fold_case(name): name for name in class_names}
    classes = [known.get(fold_case(path[0])) if len(path) > 1 else None for path in images]
    entries = [
        Entry(root.joinpath(*path), "/".join(path), name, None)
        for path, name in zip(images, classes, strict=True)
        if name
    ]
    if not entries:
        raise ValueError(f"{root} holds no images of {' or '.join(class_names)}. {_hint(root, images, known)}")
    check_lost(root, [path for path in others if fold_case(path[0]) in known], [entry.name for entry in entries], 1)
    strange = sorted({path[0] for path, name in zip(images, classes, strict=True) if len(path) > 1 and not name})
    notes += left_out(root, [path for path in others if len(path) > 1])
    notes += left_out(root, [path for path in images if len(path) == 1], "images are in no class folder and")
    if strange:
        notes.append(f"{root}: the real images have no class {' or '.join(strange)}, so its files were left out")
    return entries, notes


def _hint(root, paths, known):
    """Returns what to do about a folder without a folder of any class."""
    deeper = sorted({path[0] for path in paths if len(path) > 2 and fold_case(path[1]) in known})
    if deeper:
        return f"Did you mean {root / deeper[0]}?"
    folders = sorted({path[0] for path in paths if len(path) > 1})
    return f"{HOW}, with the names of the real ones. Received: {', '.join(folders[:6]) or 'no folder with files'}"


def read(root, class_names, image_shape, *, keep_aspect=False):
    """Reads the images in a folder's class folders, resized to the shape of other images.

    Args:
        root, class_names: as in `find`.
        image_shape: `(height, width, channels)`, square.
        keep_aspect: whether to pad images that are not square instead of stretching them.

    Returns:
        ImageSet, named after the folder, every image a patient of its own.

    Raises:
        ValueError: as `find`; if files are damaged (all of them are named); or if `image_shape` is not square.
    """
    root, (height, width, channels) = Path(root), image_shape
    if height != width:
        raise ValueError(f"{root} can be resized to square images only, and the real ones are {height}×{width}")
    entries, notes = find(root, class_names)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    images, entries = read_images(root, entries, height, keep_aspect)
    labels = [list(class_names).index(entry.label) for entry in entries]
    images = np.stack([to_channels(image, channels == 3) for image in images])
    return ImageSet(images, labels, class_names, name=root.resolve().name)
