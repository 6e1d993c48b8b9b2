"""The two-dimensional data sets of MedMNIST v2, and npz files in their format.

Yang et al., "MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image classification",
Scientific Data 10, 2023. The official package `medmnist` is not used: it requires PyTorch, and the files are only six
arrays each.
"""

import math
import re
from pathlib import Path

import numpy as np

from synthkit._files import read_member
from synthkit.datasets.medmnist_info import INFO, LARGER
from synthkit.imageset import ImageSet, Splits, without_copies
from synthkit.splitting import subsample

URL = "https://zenodo.org/records/10519652/files/{name}.npz?download=1"
MAX_CLASSES = 1000
SPLITS = {"train": "train", "val": "validation", "test": "test"}  # names in the files and here
NAME = re.compile(r"([a-z]+mnist(?:3d)?)(?:_(28|64|128|224))?(?:[ _-]*(?:\(\d+\)|copy))*")


def set_name(text):
    """Returns `(name, pixels a side)` that a file's or a command line's name stands for, or None."""
    match = NAME.fullmatch(str(text).lower())
    return (match[1], int(match[2] or 28)) if match else None


def load(source, *, cache_dir=None):
    """Loads a data set with its official split.

    Images that are also in a later split, byte for byte, are left out of the earlier one with a warning that counts
    them. The official BreastMNIST has one such training image, which has the other label in the test set.

    Args:
        source: a name in `INFO`, with `_64`, `_128` or `_224` for larger images, which Keras downloads once and checks
            against the official md5; or the path of an npz file in MedMNIST's format. Class names are taken from `INFO`
            if the file is named after a set there and has no more classes than that set.
        cache_dir: folder for downloads; None for Keras's own, `~/.keras`.

    Returns:
        Splits.

    Raises:
        OSError: if the download fails; says where to put the file instead.
        ValueError: if the file is not in MedMNIST's format, or has several labels per image.
    """
    is_file = str(source).lower().endswith(".npz")
    known = set_name(Path(source).stem if is_file else source)
    name = known[0] if known else ""
    info = INFO.get(name)
    if info is None and not is_file and not name.endswith("3d"):
        raise ValueError(f"expected the path of an npz file, or one of {', '.join(INFO)}. Received: {str(source)!r}")
    if name.endswith("3d"):
        raise ValueError(f"{name} contains volumes; synthkit compares classifiers of two-dimensional images")
    if info is not None and info.task == "multi-label":
        raise ValueError(f"{name} is a multi-label set; synthkit compares classifiers of one label per image")
    path = Path(source) if is_file else _download(*known, cache_dir)
    arrays = {key: _read_split(path, key) for key in SPLITS}
    lowest = min(int(labels.min(initial=0)) for _, labels in arrays.values())
    classes = 1 + max(int(labels.max(initial=0)) for _, labels in arrays.values())
    if lowest < 0 or classes > MAX_CLASSES:
        raise ValueError(f"{path}: labels must be from 0 to {MAX_CLASSES - 1}. Received: {lowest} to {classes - 1}")
    named = info is not None and classes <= len(info.class_names)
    class_names = info.class_names if named else [f"class {label}" for label in range(max(2, classes))]
    sets = {
        key: ImageSet(images, labels, class_names, name=f"{path.stem} {SPLITS[key]}")
        for key, (images, labels) in arrays.items()
    }
    sets["train"] = without_copies(sets["train"], sets["val"], sets["test"])
    sets["val"] = without_copies(sets["val"], sets["test"])
    try:
        return Splits(*sets.values())
    except ValueError as error:
        raise ValueError(f"{path} does not make a training, a validation and a test set: {error}") from error


def study_subset(splits, name, *, seed=0):
    """Draws the MedMNIST study's subset: about 150 training images per class, a ninth as many for validation.

    Sizes are those of the study's Table 1, with these particulars. BreastMNIST is used completely, without the training
    image that is also in the test set. DermaMNIST has classes of fewer than 150 training images; the table's total of
    1,050 is reached with more images of the other classes. For OrganMNIST (Axial) the table gives half of the official
    test set, 8,889 of 17,778, and as many are drawn here. For the coronal and sagittal sets it gives the sizes of
    earlier releases, 8,268 and 8,829; today's files contain 8,216 and 8,827 images, all of which are used.

    Args:
        splits: Splits, as `load` returns them.
        name: of the set, as in `INFO`.
        seed: int.

    Returns:
        Splits.

    Raises:
        ValueError: if the study did not use the set.
    """
    info = INFO.get(name)
    if info is None or info.study_test is None:
        used = ", ".join(name for name, info in INFO.items() if info.study_test)
        raise ValueError(f"the MedMNIST study did not use {name!r}; it used {used}")
    if name == "breastmnist":
        return splits
    total = 150 * len(info.class_names)
    validation = math.ceil(total / 9)
    test = splits.test
    if info.study_test < len(test):
        chosen = np.random.default_rng(seed).choice(len(test), info.study_test, replace=False)
        test = test[np.sort(chosen)]
    return Splits(
        subsample(splits.train, 150, total=total, seed=seed),
        subsample(splits.validation, math.ceil(validation / len(info.class_names)), total=validation, seed=seed),
        test,
    )


def _download(name, image_size, cache_dir):
    import keras

    file = f"{name}.npz" if image_size == 28 else f"{name}_{image_size}.npz"
    url = URL.format(name=Path(file).stem)
    try:
        # A file that was downloaded earlier is used if it has this md5.
        path = keras.utils.get_file(
            file,
            url,
            file_hash=INFO[name].md5 if image_size == 28 else LARGER[name][image_size],
            hash_algorithm="md5",
            cache_subdir="datasets/medmnist",
            cache_dir=cache_dir,
        )
    except Exception as error:
        folder = Path(cache_dir or Path.home() / ".keras") / "datasets" / "medmnist"
        raise OSError(
            f"{Path(file).stem} could not be downloaded from {url} ({error}). Put the file at {folder / file}, or give "
            "the path of a copy"
        ) from error
    return Path(path)


def _read_split(path, key):
    """Reads one split of an npz file: uint8 images `(n, height, width, channels)` and int labels `(n,)`."""
    try:
        # Opened here, because np.load does not close a damaged file.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            images, labels = (read_member(file, f"{key}_{kind}") for kind in ("images", "labels"))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist") from error
    except KeyError as error:
        missing = re.search(r"\w+_(images|labels)", str(error))
        raise ValueError(
            f"{path} is not a MedMNIST file: it lacks {missing[0] if missing else error}; expected the arrays "
            f"train_images, train_labels, val_images, val_labels, test_images and test_labels"
        ) from error
    except Exception as error:  # NumPy raises many kinds of errors on damaged data
        if "pickle" in str(error).lower():
            raise ValueError(
                f"{path} contains pickled objects, which can run code when they are loaded; MedMNIST's files contain "
                f"plain arrays. Download the official file"
            ) from error
        raise ValueError(f"{path} is damaged or not an npz file ({error}). Replace it") from error
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 5 or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        raise ValueError(f"{path} contains volumes of shape {images.shape[1:]}; expected two-dimensional images")
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise ValueError(
            f"{path} contains {labels.shape[1]} labels per image; synthkit compares classifiers of one label per image"
        )
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{path}: {key}_images must be uint8 of shape (n, height, width) or (n, height, width, 3). "
            f"Received: {images.dtype} {images.shape}"
        )
    if labels.shape not in ((len(images),), (len(images), 1)) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{path}: {key}_labels must be one integer for each of the {len(images)} images. "
            f"Received: {labels.dtype} {labels.shape}"
        )
    return images, labels.reshape(-1).astype("int64")
