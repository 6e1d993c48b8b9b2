"""Data sets: `load` loads any of them, as the option `--data` does; each module returns ImageSets or Splits.

- `phantom`: simulated masses whose best possible classifier is known.
- `medmnist`: the 2D sets of MedMNIST v2, and npz files in their format.
- `folders`: folders of images, one per class, or with a table of labels.
- `cbis_ddsm`: the mammograms of CBIS-DDSM, from tables and DICOM files to small images.
- `reading`, `dicom`: readers of image files.
"""

from pathlib import Path

from synthkit.imageset import Splits, resize


def load(source, image_size=None, *, train=1000, progress=False, **options):
    """Loads a data set, split into a training, a validation and a test set.

    Args:
        source: "phantom"; the name of a MedMNIST set, which is downloaded; the path of an npz file in MedMNIST's
            format; a folder with one folder of images per class; or a folder that `cbis_ddsm.prepare` wrote.
        image_size: pixels a side; None keeps the size of npz files and prepared folders, and means 28 for all others.
        train: number of phantoms in the training set.
        progress: whether to show a bar.
        options: for folders of images, arguments of `folders.load`, such as `patients` and `labels`.

    Returns:
        Splits.

    Raises:
        ValueError: for an unknown source, or one that cannot be used; names the file.
    """
    from synthkit.datasets import cbis_ddsm, folders, medmnist, phantom

    source, path = str(source), Path(source)
    prepared = (path / "prepare.json").exists()
    options = {name: value for name, value in options.items() if value not in (None, False)}
    if options and (prepared or not path.is_dir()):
        raise ValueError(f"--{next(iter(options)).replace('_', '-')} is for folders of images. Received: {source}")
    if source == "phantom":
        return phantom.load(image_size or 28, train=train)
    if path.is_dir() and not prepared:
        return folders.load(path, image_size or 28, progress=progress, **options)
    if not prepared and not _is_medmnist(source) and path.suffix != ".npz":
        raise ValueError(
            f"{source} is neither a file, a folder nor the name of a data set; expected phantom, an npz file, a folder "
            f"of class folders, or one of {', '.join(medmnist.INFO)}"
        )
    splits = cbis_ddsm.load(path) if prepared else medmnist.load(source)
    return Splits(*(resize(imageset, image_size) for imageset in splits)) if image_size else splits


def _is_medmnist(source):
    from synthkit.datasets import medmnist

    known = medmnist.set_name(source)
    return known is not None and (known[0] in medmnist.INFO or known[0].endswith("3d"))


__all__ = ["load"]
