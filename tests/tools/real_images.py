"""Writes the real images and tables of `data/`: `python -m tests.tools.real_images CBIS_DDSM_FOLDER`.

The folder holds `mass_crops_224/{benign,malignant}/N.jpg` and the collection's four case tables.

- `data/cbis_ddsm_crops`: 480 of the mass crops, at 96×96 pixels. Whole blocks of ten consecutive files are drawn at
  random, for the training, the validation and the test set, so that views of one patient, whose files are likely to be
  neighbours, are in one set.
- `data/cbis_ddsm_tables`: the tables without the UIDs in their paths, which take two thirds of the bytes and match no
  download; everything else is as in the collection, line breaks inside paths and missing values included.
"""

import hashlib
import re
import sys
from pathlib import Path

import cv2
import numpy as np

from synthkit.datasets.cbis_ddsm import TABLES
from tests.conftest import ROOT

BLOCKS = {"train": (9, 11), "validation": (3, 3), "test": (10, 12)}  # malignant and benign, ten files each
SIZE, QUALITY = 96, 95  # pixels a side, of JPEG
UID = re.compile(r"/1\.3\.6\.1\.4\.1\.9590\.[\d.]+")


def draw(files, counts, rng):
    """Returns a dict from a set's name to its files: whole blocks of ten, of which a file's number names the block."""
    blocks = {}
    for file in files:
        blocks.setdefault(int(file.stem) // 10, []).append(file)
    whole = sorted(number for number, members in blocks.items() if len(members) == 10)
    order, drawn = iter(rng.permutation(whole)), {}
    for name, count in counts.items():
        drawn[name] = [file for _ in range(count) for file in sorted(blocks[next(order)])]
    return drawn


def write_crops(source, out):
    for label, class_name in enumerate(("malignant", "benign")):
        counts = {name: blocks[label] for name, blocks in BLOCKS.items()}
        drawn = draw((source / class_name).glob("*.jpg"), counts, np.random.default_rng(label))
        for name, files in drawn.items():
            folder = out / name / class_name
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                crop = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
                small = cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
                cv2.imwrite(str(folder / file.name), small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def write_tables(source, out):
    out.mkdir(parents=True, exist_ok=True)
    for name in TABLES.values():
        (path,) = source.rglob(name)
        text = path.read_bytes().decode()
        (out / name).write_bytes(UID.sub("", text).encode())


def checksum(folder):
    """Returns the SHA-256 of all files of a folder, by name."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.*"), key=lambda path: path.as_posix()):
        total.update(path.relative_to(folder).as_posix().encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def main(source):
    write_crops(Path(source) / "mass_crops_224", ROOT / "data" / "cbis_ddsm_crops")
    write_tables(Path(source), ROOT / "data" / "cbis_ddsm_tables")
    for name in ("cbis_ddsm_crops", "cbis_ddsm_tables"):
        files = list((ROOT / "data" / name).rglob("*.*"))
        size = sum(file.stat().st_size for file in files)
        print(f"{name}: {len(files)} files, {size:,} bytes, {checksum(ROOT / 'data' / name)}")


if __name__ == "__main__":
    main(sys.argv[1])
