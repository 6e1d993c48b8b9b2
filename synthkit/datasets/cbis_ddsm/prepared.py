"""A collection that is prepared once: small uint8 images in one memory-mapped file, and a table that describes them.

`prepare` runs the study's preprocessing on every file of CBIS-DDSM, and writes to a folder

- `images.npy`: uint8 `(n, image_size, image_size, 1)`, in the order of `index.csv`;
- `index.csv`: one row per image, with `part` (train, validation, test: 70 / 10 / 20 % by patient), `label`,
  `patient_id`, the columns of the case tables, and the file that the image was made from, with its size in bytes;
- `skipped.csv`: every row without an image and every file without a row, each with the reason;
- `prepare.json`: the settings.

How the images are stored, also those of a run that is killed, is in `store`.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from synthkit import _workers
from synthkit._files import claim, locked, unwritable
from synthkit.datasets import dicom
from synthkit.datasets.cbis_ddsm import preprocessing
from synthkit.datasets.cbis_ddsm.files import CRASHED, find, read_grey
from synthkit.datasets.cbis_ddsm.store import REMEDY, SPLITS, Store, read, sources_of
from synthkit.datasets.cbis_ddsm.tables import CLASS_NAMES, read_tables
from synthkit.datasets.cbis_ddsm.tables import index as join_files
from synthkit.datasets.reading import is_dicom
from synthkit.imageset import ImageSet, Splits

FEW = 16  # this many files are prepared faster than worker processes start


def prepare(root, out, *, image="crop", image_size=224, jobs=-1, progress=False, **options):
    """Prepares a CBIS-DDSM collection; images that `out` already has are not, unless their file is another one now.

    Args:
        root: folder of the collection or a part of it, see `cbis_ddsm.index`.
        out: folder to write to, made if missing. Images that were prepared from another part of the collection are
            kept, and files that were skipped are tried again.
        image: "crop" for one image per abnormality and view, "full" for one per mammogram, which is malignant if any
            of its abnormalities is.
        image_size: pixels a side.
        jobs: processes, -1 for one per core; None for the backend of `joblib.parallel_config`, for example a cluster,
            whose workers must find `root` under the same path.
        progress: whether to show bars with the time left.
        options: arguments of `preprocessing.grey_image`.

    Returns:
        `(index, skipped)`, DataFrames with the rows of `index.csv` and `skipped.csv`.

    Raises:
        FileNotFoundError, ValueError: as `cbis_ddsm.index`; or if `out` was prepared with other settings or from
            another collection, or no image could be prepared.
        OSError: if `out` cannot be written or another process is preparing it.
    """
    if image not in ("crop", "full"):
        raise ValueError(f"image must be crop or full. Received: {image!r}")
    # Raises for invalid options before any file is read.
    preprocessing.grey_image(np.zeros((8, 8), "uint8"), image_size, **options | {"breast_only": False})
    below = find(root)
    tables = read_tables(root, below)  # raises before anything is written
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, "a preparation"):
        if (out / "images.npy").exists() and not (out / "prepare.json").exists():
            raise ValueError(f"{out} contains images.npy but no prepare.json; choose another folder")
        claim(out / "prepare.json", {"image": image, "image_size": image_size, **options})
        table, files = join_files(root, tables, below, jobs=jobs, progress=progress)
        wanted, skipped = _wanted(root, table, files, image)
        store = Store(out, image_size)
        elsewhere = store.index[~store.index["name"].isin(wanted["name"])]  # prepared earlier, from another part
        _check_listed(root, elsewhere["name"], table["case" if image == "crop" else "mammogram"], out)
        elsewhere = _without_other_kinds(elsewhere, files, image)
        store.drop_changed(wanted)
        skipped += _add(root, wanted, store, image_size, jobs, progress, options)
        skipped = pd.DataFrame(skipped, columns=["file", "name", "reason"])
        skipped = skipped[~skipped["name"].isin(elsewhere["name"])]
        try:
            rows = wanted[wanted["name"].isin(store.place)]
            index = store.finish(pd.concat([rows, elsewhere]) if len(elsewhere) else rows, skipped)
        except OSError as error:
            raise unwritable(out, error) from error
    if not len(index):
        raise ValueError(f"{root}: no {image} image could be prepared; {out / 'skipped.csv'} gives the reasons")
    return index, skipped


def _add(root, wanted, store, image_size, jobs, progress, options):
    """Prepares the images that the store lacks. Returns `(file, name, reason)` of those that could not be prepared."""
    todo = [row for row in zip(wanted["name"], wanted["file"], strict=True) if row[0] not in store.place]
    file_of, skipped = dict(todo), []
    sources = sources_of(wanted)
    tasks = {name: (root, file, image_size, options) for name, file in todo}
    done = len(wanted) - len(todo)
    with (
        store.adding() as add,
        tqdm(total=len(wanted), initial=done, desc="preparing", unit="image", disable=not progress) as bar,
    ):
        for name, pixels in _workers.run(_prepare_file, tasks, 1 if len(todo) < FEW else jobs):
            if isinstance(pixels, np.ndarray):
                add(name, pixels, *sources[name])
            else:
                reason = f"{file_of[name]}: {CRASHED}" if pixels is None else pixels
                skipped.append((file_of[name], name, reason))
            bar.update()
    return skipped


def read_file(path):
    """Reads a DICOM or JPEG file of the collection: uint8 or uint16 `(height, width)`, 0 black."""
    return np.asarray(_open_file(path))


def _open_file(path):
    """Does the same as `read_file`, but may return `dicom.Rows`, whose pixels are read later."""
    return dicom.open_pixels(path) if is_dicom(path) else read_grey(path)


def _prepare_file(root, file, image_size, options):
    """Returns the prepared pixels, or a str, the reason why the file cannot be prepared."""
    try:
        return preprocessing.grey_image(_open_file(Path(root) / file), image_size, **options)
    except (ValueError, OSError) as error:
        return str(error)


def _wanted(root, table, files, image):
    """Returns the rows to prepare, with `name`, `file` and `bytes`, and a list of `(file, name, reason)` of others."""
    name = "case" if image == "crop" else "mammogram"
    if image == "full":
        # A mammogram with several abnormalities is represented by a malignant one, if there is one.
        order = table["label"].sort_values(kind="stable").index
        table = table.loc[order].drop_duplicates("mammogram").sort_index()
    table = table.assign(name=table[name], file=table[f"{image}_file"])
    missing = table["file"].isna()
    skipped = [("", name, f"the collection has no {image} image of it") for name in table["name"][missing]]
    unmatched = files[files["problem"] != ""]
    skipped += list(zip(unmatched["file"], unmatched["case"], unmatched["problem"], strict=True))
    wanted = table[~missing]
    return wanted.assign(bytes=pd.array([_size(Path(root) / file) for file in wanted["file"]], "Int64")), skipped


def _size(path):
    """Returns the bytes of a file, or None if it cannot be opened."""
    try:
        return os.path.getsize(path)
    except OSError:
        return None


def _check_listed(root, names, listed, out):
    """Refuses images of cases that the collection's tables do not list. Tables that are missing here may list them."""
    tables = set(listed.str.split("_").str[0])  # for example Mass-Training
    strangers = names[names.str.split("_").str[0].isin(tables) & ~names.isin(listed)]
    if len(strangers):
        raise ValueError(
            f"{out} contains {len(strangers)} images of another collection, for example of {strangers.iloc[0]}, which "
            f"the case tables of {root} do not list. Choose another folder (--out), or delete this one"
        )


def _without_other_kinds(rows, files, image):
    """Leaves out rows whose file now turns out to be another kind of image, such as a mask taken for the crop."""
    others = files[(files["problem"] == "") & (files["kind"] != image)]
    return rows[~rows["file"].isin(others["file"])] if "file" in rows else rows


def load(folder):
    """Opens a prepared collection's training, validation and test set, without reading their images into memory.

    Args:
        folder: `out` of `prepare`.

    Returns:
        Splits, each of them a slice of the memory map; they share no patient.

    Raises:
        ValueError: if the folder is not a finished prepared collection, or is so small that a split lacks a class.
    """
    index, images = read(folder)
    splits = []
    for name in SPLITS:
        rows = np.flatnonzero(index["part"] == name)
        where = slice(rows[0], rows[-1] + 1) if len(rows) else slice(0, 0)
        table = index.iloc[where]
        if not (table["part"] == name).all():
            raise ValueError(f"{folder}: the rows of {name} are not consecutive in index.csv; {REMEDY}")
        splits.append((images[where], table["label"].to_numpy(), table["patient_id"], f"{Path(folder).name} {name}"))
    try:
        return Splits(
            *(ImageSet(images, labels, CLASS_NAMES, patients, name) for images, labels, patients, name in splits)
        )
    except ValueError as error:
        raise ValueError(f"{folder} does not make a training, a validation and a test set: {error}") from error
