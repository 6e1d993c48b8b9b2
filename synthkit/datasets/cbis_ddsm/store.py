"""The files of a prepared collection (`prepared`): images that are kept while others are made, and the finished ones.

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

from synthkit._files import harmless, replacing, unwritable
from synthkit.splitting import deal

SPLITS = {"train": 0.7, "validation": 0.1, "test": 0.2}
REMEDY = "delete both and prepare it again"


def sources_of(table):
    """Returns a dict from a name to its file, as `index.csv` has it, and its bytes; None for what is missing."""
    sources = harmless(table).reindex(columns=["name", "file", "bytes"]).astype(object)
    sources = sources.where(sources.notna(), None)
    return {name: (file, size) for name, file, size in sources.itertuples(index=False, name=None)}


def _source(line):
    """Returns the name, file and bytes in a line of `work.csv`, in which an earlier version saved only the name."""
    name, _, source = line.partition(",")
    return name, *(json.loads(source) if source else (None, None))


class Store:
    """Prepared images on disk: those of finished runs in `images.npy`, those of the current run in `work.raw`."""

    def __init__(self, out, image_size):
        self.out, self.shape = out, (image_size, image_size, 1)
        self.raw, self.names = out / "work.raw", out / "work.csv"
        if (out / "index.csv.part").exists() and not (out / "images.npy.part").exists():
            os.replace(out / "index.csv.part", out / "index.csv")  # killed between these two steps of finish()
        self.index = pd.DataFrame(columns=["name"])
        if (out / "index.csv").exists():
            self.index, _ = read(out)
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
        self.sources = sources_of(self.index) | {name: source for name, *source in works}

    def drop_changed(self, wanted):
        """Forgets the images that were made from another file than the wanted one, or when it had another size."""
        for name, source in sources_of(wanted).items():
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


def read(folder):
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
