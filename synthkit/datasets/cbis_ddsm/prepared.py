"""A collection prepared once: small uint8 images in one memory-mapped file, beside a table that says what they are.

`prepare` streams CBIS-DDSM's files through the study's preprocessing into a folder of

- `images.npy`: uint8 `(n, image_size, image_size, 1)`, in the order of
- `index.csv`: a row per image, with `part` (train, validation, test: 70 / 10 / 20 % by patient), `label`, `patient_id`,
  what the case tables say, and the file it came from;
- `skipped.csv`: every row without an image and every file without a row, each with its reason;
- `prepare.json`: how it was made.

Finished images go to `work.raw` as they come, their names to `work.csv`, so a run that is killed loses nothing but what
was under way. Images of one part lie together, so a part is a slice of the memory map and is never read as a whole.
"""

import contextlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from synthkit import _workers
from synthkit._files import claim, harmless, locked, replacing, unwritable
from synthkit.datasets import dicom
from synthkit.datasets.cbis_ddsm import preprocessing
from synthkit.datasets.cbis_ddsm.files import CRASHED, find, read_grey
from synthkit.datasets.cbis_ddsm.tables import CLASS_NAMES, read_tables
from synthkit.datasets.cbis_ddsm.tables import index as join_files
from synthkit.datasets.reading import is_dicom
from synthkit.imageset import ImageSet, Splits
from synthkit.splitting import deal

PARTS = {"train": 0.7, "validation": 0.1, "test": 0.2}
MEND = "delete the two and prepare it again"
FEW = 16  # files that are done before other processes have started


def prepare(root, out, *, image="crop", image_size=224, jobs=-1, progress=False, **options):
    """Prepares a CBIS-DDSM collection, or what `out` lacks of it.

    Args:
        root: folder of the collection or a part of it, see `cbis_ddsm.index`.
        out: folder to write to, made if missing. What it holds already is kept; files skipped before are tried again.
        image: "crop" for an image per abnormality and view, "full" for one per mammogram, which is malignant if any of
            its abnormalities is.
        image_size: pixels a side.
        jobs: processes, -1 for as many as there are cores; None for what `joblib.parallel_config` says, a cluster
            perhaps, whose workers must then see `root` under the same name.
        progress: whether to show bars with the time left.
        options: of `preprocessing.grey_image`.

    Returns:
        `(index, skipped)`, DataFrames, as they are in `index.csv` and `skipped.csv`.

    Raises:
        FileNotFoundError, ValueError: as `cbis_ddsm.index`; or if `out` was prepared otherwise, or not one image could
            be.
        OSError: if `out` cannot be written or another process is at work on it.
    """
    if image not in ("crop", "full"):
        raise ValueError(f"image must be crop or full. Received: {image!r}")
    preprocessing.grey_image(np.zeros((8, 8), "uint8"), image_size, **options | {"breast_only": False})  # checks them
    below = find(root)
    tables = read_tables(root, below)  # before anything is written
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, "a preparation"):
        if (out / "images.npy").exists() and not (out / "prepare.json").exists():
            raise ValueError(f"{out} holds images.npy but no prepare.json; choose another folder")
        claim(out / "prepare.json", {"image": image, "image_size": image_size, **options})
        table, files = join_files(root, tables, below, jobs=jobs, progress=progress)
        wanted, skipped = _wanted(table, files, image)
        store = _Store(out, image_size)
        skipped += _add(root, wanted, files, store, image_size, jobs, progress, options)
        before = store.index[~store.index["name"].isin(wanted["name"])]  # of files that this root does not have
        skipped = pd.DataFrame(skipped, columns=["file", "name", "reason"])
        skipped = skipped[~skipped["name"].isin(before["name"])]
        try:
            rows = wanted[wanted["name"].isin(store.place)]
            index = store.finish(pd.concat([rows, before]) if len(before) else rows, skipped)
        except OSError as error:
            raise unwritable(out, error) from error
    if not len(index):
        raise ValueError(f"{root}: not one {image} image could be prepared; {out / 'skipped.csv'} says why")
    return index, skipped


def _add(root, wanted, files, store, image_size, jobs, progress, options):
    """Prepares what the store lacks. Returns `(file, name, reason)` of each that could not be."""
    todo = [row for row in zip(wanted["name"], wanted["file"], strict=True) if row[0] not in store.place]
    pixels_of = dict(zip(files["file"], files["pixels"], strict=True))
    file_of, skipped = dict(todo), []
    tasks = {name: (root, file, pixels_of[file], image_size, options) for name, file in todo}
    done = len(wanted) - len(todo)
    with (
        store.adding() as add,
        tqdm(total=len(wanted), initial=done, desc="preparing", unit="image", disable=not progress) as bar,
    ):
        for name, pixels in _workers.run(_prepare_file, tasks, 1 if len(todo) < FEW else jobs):
            if isinstance(pixels, np.ndarray):
                add(name, pixels)
            else:
                reason = f"{file_of[name]}: {CRASHED}" if pixels is None else pixels
                skipped.append((file_of[name], name, reason))
            bar.update()
    return skipped


def read_file(path):
    """Reads a DICOM or JPEG file of the collection: uint8 or uint16 `(height, width)`, 0 black."""
    return np.asarray(open_file(path))


def open_file(path):
    """Opens a DICOM or JPEG file of the collection: uint8 or uint16 `(height, width)`, 0 black, read or yet to be."""
    return dicom.open_pixels(path) if is_dicom(path) else read_grey(path)


def _prepare_file(root, file, pixels, image_size, options):
    """Returns the prepared pixels, or the reason why there are none."""
    try:
        image = open_file(Path(root) / file) if pixels is None else pixels
        return preprocessing.grey_image(image, image_size, **options)
    except (ValueError, OSError) as error:
        return str(error)


def _wanted(table, files, image):
    """Returns the rows to prepare, with their `name` and `file`, and a list of what is skipped from the start."""
    name = "case" if image == "crop" else "mammogram"
    if image == "full":
        # The malignant abnormality, if there is one, speaks for its mammogram.
        order = table["label"].sort_values(kind="stable").index
        table = table.loc[order].drop_duplicates("mammogram").sort_index()
    table = table.assign(name=table[name], file=table[f"{image}_file"])
    lacking = table["file"].isna()
    skipped = [("", case, f"the collection has no {image} image of it") for case in table["name"][lacking]]
    left = files[files["problem"] != ""]
    skipped += list(zip(left["file"], left["case"], left["problem"], strict=True))
    return table[~lacking], skipped


class _Store:
    """Prepared images on the disk: finished sets in `images.npy`, what is under way in `work.raw`."""

    def __init__(self, out, image_size):
        self.out, self.shape = out, (image_size, image_size, 1)
        self.raw, self.names = out / "work.raw", out / "work.csv"
        if (out / "index.csv.part").exists() and not (out / "images.npy.part").exists():
            os.replace(out / "index.csv.part", out / "index.csv")  # killed between the last two steps
        self.index = pd.DataFrame(columns=["name"])
        if (out / "index.csv").exists():
            self.index, _ = _read(out)
        self.place = {name: (True, i) for i, name in enumerate(self.index["name"])}  # (finished or not, number)
        self.size, lines = image_size**2, []
        if self.raw.exists() and self.names.exists():
            lines = self.names.read_text().split("\n")[:-1][: self.raw.stat().st_size // self.size]
            os.truncate(self.raw, len(lines) * self.size)
            self.names.write_text("".join(f"{line}\n" for line in lines))
        else:
            self.raw.write_bytes(b"")
            self.names.write_text("")
        self.place |= {name: (False, i) for i, name in enumerate(lines)}
        self.count = len(lines)

    @contextlib.contextmanager
    def adding(self):
        """Opens the work files. Yields a function that keeps one image under a name."""
        with open(self.raw, "ab", buffering=0) as raw, open(self.names, "ab", buffering=0) as names:

            def add(name, pixels):
                try:
                    for file, data in ((raw, pixels.tobytes()), (names, f"{name}\n".encode())):
                        while data:  # pixels first, so that a name stands only for pixels that are there
                            data = data[file.write(data) :]
                except OSError as error:
                    raise unwritable(self.raw, error) from error
                self.place[name] = (False, self.count)
                self.count += 1

            yield add

    def finish(self, rows, skipped):
        """Writes `images.npy`, `index.csv` and `skipped.csv`, and removes the work files. Returns the index."""
        out = self.out
        with replacing(out / "skipped.csv") as part:
            harmless(skipped).to_csv(part, index=False)
        if not len(rows):
            return rows
        shares = list(PARTS.values())
        part = deal(rows["label"].to_numpy(), rows["patient_id"].to_numpy(str), shares, seed=0)
        order = np.argsort(part, kind="stable")
        index = rows.assign(part=np.array(list(PARTS))[part]).iloc[order]
        first = ["name", "part", "label", "patient_id", "file"]
        index = index[first + [c for c in index.columns if c not in first and not c.endswith(("_file", "_path"))]]
        with contextlib.ExitStack() as stack:
            work = stack.enter_context(open(self.raw, "rb"))
            images = stack.enter_context(open(out / "images.npy.part", "wb"))
            finished = stack.enter_context(open(out / "images.npy", "rb")) if (out / "images.npy").exists() else None
            start = 0 if finished is None else np.load(out / "images.npy", mmap_mode="r").offset
            layout = {"descr": "|u1", "fortran_order": False, "shape": (len(index), *self.shape)}
            np.lib.format.write_array_header_1_0(images, layout)
            for name in index["name"]:
                is_finished, number = self.place[name]
                source = finished if is_finished else work
                source.seek((start if is_finished else 0) + number * self.size)
                images.write(source.read(self.size))
            images.flush()
            os.fsync(images.fileno())
        harmless(index).to_csv(out / "index.csv.part", index=False)
        os.replace(out / "images.npy.part", out / "images.npy")
        os.replace(out / "index.csv.part", out / "index.csv")
        self.names.unlink()
        self.raw.unlink()
        return index


def _read(folder):
    """Returns the index and the memory map of a prepared folder, checked against each other."""
    folder = Path(folder)
    if not (folder / "index.csv").exists() or not (folder / "images.npy").exists():
        state = "its preparation has not finished; run the same command again" if (folder / "work.raw").exists() else ""
        raise ValueError(f"{folder} is no prepared collection: {state or 'it lacks images.npy or index.csv'}")
    try:
        index = pd.read_csv(folder / "index.csv", dtype={"name": str, "patient_id": str})
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damaged files fail in many ways
        raise ValueError(f"{folder} holds a damaged images.npy or index.csv ({error}); {MEND}") from error
    if len(index) != len(images) or not {"name", "part", "label", "patient_id"} <= set(index.columns):
        raise ValueError(f"{folder}: index.csv has {len(index)} rows, images.npy {len(images)} images; {MEND}")
    return index, images


def open_images(folder):
    """Opens a prepared collection without reading it.

    Args:
        folder: what `prepare` wrote to.

    Returns:
        ImageSet of classes malignant (0) and benign (1) over the memory map, in the order of `index.csv`.

    Raises:
        ValueError: if the folder is no finished prepared collection.
    """
    index, images = _read(folder)
    return ImageSet(images, index["label"].to_numpy(), CLASS_NAMES, index["patient_id"], Path(folder).name)


def load(folder):
    """Opens a prepared collection's three parts, which share no patient, without reading them.

    Args:
        folder: what `prepare` wrote to.

    Returns:
        Splits, each part a slice of the memory map.

    Raises:
        ValueError: if the folder is no finished prepared collection, or so small that a part lacks a class.
    """
    index, images = _read(folder)
    parts = []
    for name in PARTS:
        rows = np.flatnonzero(index["part"] == name)
        where = slice(rows[0], rows[-1] + 1) if len(rows) else slice(0, 0)
        part = index.iloc[where]
        if not (part["part"] == name).all():
            raise ValueError(f"{folder}: the images of {name} do not lie together in index.csv; {MEND}")
        parts.append((images[where], part["label"].to_numpy(), part["patient_id"], f"{Path(folder).name} {name}"))
    try:
        return Splits(*(ImageSet(images, labels, CLASS_NAMES, owners, name) for images, labels, owners, name in parts))
    except ValueError as error:
        raise ValueError(f"{folder} does not make a training, a validation and a test part: {error}") from error
