"""Folders to mutate: trees of class, split, part and mask folders, and folders whose image files are mutated."""

import json
import os
import shutil
import unicodedata

import numpy as np
from PIL import Image

from synthkit.datasets import folders, known_classes, labels, layout
from tests.datasets.test_layout import picture

CLASSES = ("benign", "malignant")
TREES = (
    ["{c}/{i}.png"],
    ["train/{c}/{i}.png", "test/{c}/{i}.png"],
    ["Training/{c}/{i}", "val/{c}/{i}", "Testing/{c}/{i}"],
    ["{c}/images/{i}.png", "{c}/masks/{i}.png"],
    ["{c}/{i}.png", "{c}/{i}_mask.png"],
    ["{c}/patient_{i}/a.png"],
    ["fold_{i}/{c}/a.png", "fold_{i}/{c}/b.png"],
    ["part_1/{i}.png", "part_2/{i}.png", "labels.csv"],
)
# Among them: other Unicode forms, digits that are no decimals, control characters, bytes that are not UTF-8.
WORDS = (
    "train Training test testing val valid dev auto_test train_images Test-cases mask masks segmentation images IMG "
    "raw fold_1 fold_2 part_001 set zip patient07 P_00001 0 1 10 17 grade_1 Stage2 BI-RADS_0 benign Benign BENIGN "
    "malignant normal __MACOSX .hidden Thumbs.db notes.txt a.csv DICOMDIR 1.2.840.113 x.heic x.gif y.JPG z.dcm overlay "
    "40X ² ٣ é e\u0301 łódź ﬁ \udcff - ..x _"
).split()
WORDS += ["a\tb", "Icon\r", " benign ", "malignant ", "x" * 200]


def trees():
    """Returns listings of folders, as JSON lists of paths, as bytes."""
    listings = [[path.format(c=name, i=i) for path in tree for name in CLASSES for i in range(4)] for tree in TREES]
    return [json.dumps(list(dict.fromkeys(paths))).encode() for paths in listings]


def mutate_tree(content, rng, _):
    """Changes one to five paths, or a part wherever it occurs, in a listing of `trees`."""
    paths = [path.split("/") for path in json.loads(content)]
    for _ in range(rng.integers(1, 6)):
        path = paths[rng.integers(len(paths))]
        place, word = int(rng.integers(len(path))), WORDS[rng.integers(len(WORDS))]
        kind = rng.integers(8)
        if kind == 0:
            path[place] = word
        elif kind == 1:
            old = path[place]
            paths = [[word if part == old else part for part in parts] for parts in paths]
        elif kind == 2:
            path.insert(place, word)
        elif kind == 3 and len(path) > 1:
            del path[place]
        elif kind == 4:
            paths = [[word, *parts] for parts in paths]
        elif kind == 5:
            paths.append([*path[:place], word])
        elif kind == 6:
            paths.append(
                [*path[:place], f"-> {'/'.join(['..'] * int(rng.integers(4)) + [word] * int(rng.integers(2))) or '.'}"]
            )
        else:
            path[place] = unicodedata.normalize("NFD", path[place].swapcase())
    return json.dumps(["/".join(parts) for parts in paths]).encode()


def load_tree(path, folder):
    """Makes the folders and files of a listing, and arranges them."""
    root = folder / "tree"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for number, listed in enumerate(json.loads(path.read_bytes())):
        parent, _, name = listed.rpartition("/")
        try:
            (root / parent).mkdir(parents=True, exist_ok=True)
            if name.startswith("-> "):
                os.symlink(name[3:], root / parent / f"link{number}")
            elif name.lower().endswith((".txt", ".csv", ".heic", ".db")):
                (root / listed).write_bytes(b"file,label\n" * 20)
            elif listed:
                (root / listed).write_bytes(b"\x89PNG" + bytes(140))
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # a file and a folder of one name
    refused = []
    for find in (layout.arrange, lambda root: known_classes.find(root, CLASSES)):
        try:
            entries, notes = find(root)
        except ValueError as error:
            refused.append(error)
            continue
        assert all(entry.file.is_file() for entry in entries)
        assert all(str(root) in note and note.isprintable() for note in notes), notes
        assert len({entry.label for entry in entries}) > (find is layout.arrange)
        assert {entry.split for entry in entries} <= {None, "train", "validation", "test"}
    assert all(str(root) in str(error) or "is not UTF-8" in str(error) for error in refused), refused
    assert all(error.args[0].isprintable() for error in refused), refused
    if refused:
        raise ValueError(f"{folder}: {refused[0]}")


def files(folder, dicom):
    """Returns the files of a folder of two classes as (name, bytes): 8, 12 and 16 bits, in many formats and modes.

    Args:
        folder: where they are made.
        dicom: bytes of a DICOM file, which gets no suffix.
    """
    rng = np.random.default_rng(0)
    for name in CLASSES:
        for i in range(4):
            picture(folder / name / f"8_{i}.{('png', 'jpg', 'webp', 'pgm')[i]}", len(name) + 100 * i)
        for bits, suffix in ((12, "png"), (16, "tif"), (10, "png")):
            Image.fromarray(rng.integers(0, 2**bits, (9, 9)).astype("uint16")).save(folder / name / f"{bits}.{suffix}")
        color = Image.fromarray(rng.integers(0, 256, (9, 12, 3), "uint8"))
        color.convert("CMYK").save(folder / name / "cmyk.JPG")
        color.convert("RGBA").save(folder / name / "alpha.png")
        color.quantize(8).save(folder / name / "palette.bmp")
        (folder / name / "1.2.840.113").write_bytes(dicom)
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]


def load_folder(path, folder):
    splits = folders.load(folder, 8, patients="(.+)")
    assert {images.images.dtype for images in splits} == {np.dtype("uint8")}
    assert 19 <= sum(map(len, splits)) <= 22


def load_known(path, folder):
    images = known_classes.read(folder, CLASSES, (8, 8, 1))
    assert images.image_shape == (8, 8, 1)
    assert 20 <= len(images) <= 22


def load_labels(path, folder):
    names = [f"a/{i}.png" for i in range(4)]
    rows, _ = labels.read_labels(path)
    matched, missing = labels.match(path, rows, names)
    assert set(matched) <= set(names)
    assert len(matched) + len(missing) == len(rows)


def tables():
    """Returns tables of labels: with a class, a patient and a split; one-hot with semicolons; from a spreadsheet."""
    plain = "image_id,dx,patient,split\n" + "".join(f"{i},{'ab'[i % 2]},P{i // 2},train\n" for i in range(4))
    one_hot = "image;A;B\n" + "".join(f"a\\{i}.png;{i % 2};{1 - i % 2}\n" for i in range(4))
    windows = "File name\tDiagnosis\r\n" + "".join(f'"C:\\set\\a\\{i}.PNG"\t{float(i % 2)}\r\n' for i in range(4))
    return [plain.encode(), one_hot.encode("utf-8-sig"), windows.encode("utf-16")]
