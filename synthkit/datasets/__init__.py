"""Data sets: `load` loads any of them, as the option `--data` does; each module returns ImageSets or Splits.

- `phantom`: simulated masses whose best possible classifier is known.
- `medmnist`: the 2D sets of MedMNIST v2, and npz files in their format.
- `folders`: folders of images, one per class, or with a table of labels.
- `cbis_ddsm`: the mammograms of CBIS-DDSM, from tables and DICOM files to small images.
- `bundled`: the real images and tables that come with the repository.
- `reading`, `dicom`: readers of image files.
"""

import difflib
from pathlib import Path

from synthkit.imageset import Splits, resize


def load(source, image_size=None, *, train=1000, progress=False, **options):
    """Loads a data set, split into a training, a validation and a test set.

    Args:
        source: "phantom"; "cbis_ddsm_crops", the real mass crops that come with the repository; the name of a MedMNIST
            set, which is downloaded; the path of an npz file in MedMNIST's format; a folder with one folder of images
            per class; or a folder that `cbis_ddsm.prepare` wrote.
        image_size: pixels a side; None keeps the size of npz files, prepared folders and the crops, and means 28 for
            all others.
        train: number of phantoms in the training set. The validation set has a tenth as many, as a study draws a tenth
            for every seed, but 20 to 200.
        progress: whether to show a bar.
        options: for folders of images, arguments of `folders.load`, such as `patients` and `labels`.

    Returns:
        Splits.

    Raises:
        ValueError: for an unknown source, or one that cannot be used; names the file.
    """
    from synthkit.datasets import bundled, cbis_ddsm, folders, medmnist, phantom

    source, path = str(source), Path(source)
    if source == bundled.CROPS and not path.exists():
        given = {name: value for name, value in options.items() if value not in (None, False)}
        return bundled.load(image_size, progress=progress, **given)
    prepared = (path / "prepare.json").exists()
    if source != "phantom" and not path.is_dir() and not _is_medmnist(source) and path.suffix.lower() != ".npz":
        raise ValueError(f"--data: {source} {_what_it_is(path)}")
    options = {name: value for name, value in options.items() if value not in (None, False)}
    if options and (prepared or not path.is_dir()):
        name = next(iter(options))
        grouped = name == "group_near_duplicates" and source != "phantom"
        hint = "; study also takes it with --folds" if grouped else ""
        raise ValueError(f"--{name.replace('_', '-')} is for folders of images{hint}. Received: {source}")
    if source == "phantom":
        return phantom.load(image_size or 28, train=train, validation=min(200, max(20, train // 10)))
    if path.is_dir() and not prepared:
        return folders.load(path, image_size or 28, progress=progress, **options)
    splits = cbis_ddsm.load(path) if prepared else medmnist.load(source)
    return Splits(*(resize(imageset, image_size) for imageset in splits)) if image_size else splits


def split_of(source, labels=None, validation=None, test=None, units="patients"):
    """Returns how `load` splits a data set, as a sentence for a report.

    Args:
        source, labels, validation, test: as in `load`.
        units: what is kept in one set.
    """
    from synthkit.datasets import folders

    path = Path(source)
    if source == "phantom":
        return "Every set is simulated on its own."
    if source == "cbis_ddsm_crops":
        return "The sets are those of the repository; ten consecutive files are always in the same one."
    if (path / "prepare.json").exists():
        return "The collection's own training and test cases; the validation set was split off by patient."
    if not path.is_dir():
        return "The sets are those of the data set's file."
    given = {entry.split for entry in folders.find(path, labels)[0]} - {None}
    missing = {"validation": validation or "0.1 (up to 0.2 for small classes)", "test": test or 0.2}
    made = [f"{name} {size}" for name, size in missing.items() if name not in given]
    how = f"The folders or the table give the {' and the '.join(sorted(given))} set. " if given else ""
    return how + (
        f"Split by {units[:-1]}, stratified by class, seed 0: {' and '.join(made)} of the images." if made else ""
    )


def _is_medmnist(source):
    from synthkit.datasets import medmnist

    known = medmnist.set_name(source)
    return known is not None and (known[0] in medmnist.INFO or known[0].endswith("3d"))


def _what_it_is(path):
    """Returns a description of a path that is not a data set, and what to give instead."""
    from synthkit.datasets import medmnist, reading

    expected = "phantom, cbis_ddsm_crops, an npz file, a folder of class folders, or one of " + ", ".join(medmnist.INFO)
    if not path.exists():
        close = difflib.get_close_matches(str(path).lower(), ["phantom", "cbis_ddsm_crops", *medmnist.INFO], 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        return f"is neither a file, a folder nor the name of a data set{hint}; expected {expected}"
    name = path.name.lower()
    if name.endswith((".csv", ".tsv", ".xls", ".xlsx")):
        return f"is a table: give the folder of its images with --data, and the table with --labels {path}"
    if name.endswith((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")):
        return "is an archive: unpack it, and give the folder that holds a folder of images for each class"
    if name.endswith(reading.SUFFIXES):
        return "is one image: give the folder that holds a folder of images for each class"
    return f"is a file of another kind; expected {expected}"


__all__ = ["load"]
