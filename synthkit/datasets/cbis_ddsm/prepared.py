"""A collection that is prepared once: small uint8 images in one memory-mapped file, and a table that describes them.

`prepare` runs the study's preprocessing on every file of CBIS-DDSM, and writes to a folder

- `images.npy`: uint8 `(n, image_size, image_size, 1)`, in the order of `index.csv`;
- `index.csv`: one row per image, with `part` (train, validation, test: 70 / 10 / 20 % by patient), `label`,
  `patient_id`, the columns of the case tables, and the file that the image was made from, with its size in bytes;
- `skipped.csv`: every row without an image and every file without a row, each with the reason;
- `prepare.json`: the settings.

Finished images are appended to `work.raw` at once, and their names and files to `work.csv`, so a run that is killed
loses only the images in progress. The images of each split are stored together, so a split is a slice of the memory map
and is never read into memory as a whole.
"""

import contextlib
import json
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

SPLITS = {"train": 0.7, "validation": 0.1, "test": 0.2}
REMEDY = "delete both and prepare it again"
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
        store = _Store(out, image_size)
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
    sources = _sources(wanted)
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


def _sources(table):
    """Returns a dict from a name to its file, as `index.csv` has it, and its bytes; None for what is missing."""
    sources = harmless(table).reindex(columns=["name", "file", "bytes"]).astype(object)
    sources = sources.where(sources.notna(), None)
    return {name: (file, size) for name, file, size in sources.itertuples(index=False, name=None)}


def _source(line):
    """Returns the name, file and bytes in a line of `work.csv`, in which an earlier version saved only the name."""
    name, _, source = line.partition(",")
    return name, *(json.loads(source) if source else (None, None))


class _Store:
    """Prepared images on disk: those of finished runs in `images.npy`, those of the current run in `work.raw`."""

    def __init__(self, out, image_size):
        self.out, self.shape = out, (image_size, image_size, 1)
        self.raw, self.names = out / "work.raw", out / "work.csv"
        if (out / "index.csv.part").exists() and not (out / "images.npy.part").exists():
            os.replace(out / "index.csv.part", out / "index.csv")  # killed between these two steps of finish()
        self.index = pd.DataFrame(columns=["name"])
        if (out / "index.csv").exists():
            self.index, _ = _read(out)
        self.place = {name: (True, i) for i, name in enumerate(self.index["name"])}  # (in images.npy?, row)
        self.size, lines = image_size**2, []
        if self.raw.exists() and self.names.exists():
            lines = self.names.read_text().split("\n")[:-1][: self.raw.stat().st_size // self.size]
            os.truncate(self.raw, len(lines) * self.size)
            self.names.write_text("".join(f"{line}\n" for line in lines))
        else:
            self.raw.unlink(missing_ok=True)
            self.names.unlink(missing_ok=True)
        works = [_source(line) for line in lines]
        self.place |= {name: (False, i) for i, (name, *_) in enumerate(works)}
        self.count = len(works)
        self.sources = _sources(self.index) | {name: source for name, *source in works}

    def drop_changed(self, wanted):
        """Forgets the images that were made from another file than the wanted one, or when it had another size."""
        for name, source in _sources(wanted).items():
            earlier = self.sources.get(name, source)
            # What is None is not known, for example because an earlier version did not save it.
            if any(None not in pair and pair[0] != pair[1] for pair in zip(earlier, source, strict=True)):
                del self.place[name]

    @contextlib.contextmanager
    def adding(self):
        """Opens the work files. Yields a function `add(name, pixels, file, size)` that saves one image."""
        with open(self.raw, "ab", buffering=0) as raw, open(self.names, "ab", buffering=0) as names:

            def add(name, pixels, file, size):
                line = f"{name},{json.dumps([file, size])}\n".encode()
                try:
                    for stream, data in ((raw, pixels.tobytes()), (names, line)):
                        while data:  # pixels first, so that there is no name without pixels
                            data = data[stream.write(data) :]
                except OSError as error:
                    raise unwritable(self.raw, error) from error
                self.place[name] = (False, self.count)
                self.count += 1

            yield add

    def finish(self, rows, skipped):
        """Writes `images.npy`, `index.csv` and `skipped.csv`, and removes the work files. Returns the index."""
        out = self.out
        with replacing(out / "skipped.csv") as path:
            harmless(skipped).to_csv(path, index=False)
        if not len(rows):
            return rows
        fractions = list(SPLITS.values())
        split = deal(rows["label"].to_numpy(), rows["patient_id"].to_numpy(str), fractions, seed=0)
        order = np.argsort(split, kind="stable")
        index = rows.assign(part=np.array(list(SPLITS))[split]).iloc[order]
        first = ["name", "part", "label", "patient_id", "file", "bytes"]
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
    """Returns the index and the memory map of a prepared folder, after checking that they fit each other."""
    folder = Path(folder)
    if not (folder / "index.csv").exists() or not (folder / "images.npy").exists():
        state = "its preparation has not finished; run the same command again" if (folder / "work.raw").exists() else ""
        raise ValueError(f"{folder} is not a prepared collection: {state or 'it lacks images.npy or index.csv'}")
    try:
        index = pd.read_csv(folder / "index.csv", dtype={"name": str, "patient_id": str, "file": str, "bytes": "Int64"})
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damaged files raise many kinds of errors
        raise ValueError(f"{folder} contains a damaged images.npy or index.csv ({error}); {REMEDY}") from error
    missing = {"name", "part", "label", "patient_id"} - set(index.columns)
    if missing:
        raise ValueError(f"{folder}: index.csv has no column {', '.join(sorted(missing))}; {REMEDY}")
    if len(index) != len(images):
        raise ValueError(f"{folder}: index.csv has {len(index)} rows, images.npy {len(images)} images; {REMEDY}")
    return index, images


def load(folder):
    """Opens a prepared collection's training, validation and test set, without reading their images into memory.

    Args:
        folder: `out` of `prepare`.

    Returns:
        Splits, each of them a slice of the memory map; they share no patient.

    Raises:
        ValueError: if the folder is not a finished prepared collection, or is so small that a split lacks a class.
    """
    index, images = _read(folder)
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
