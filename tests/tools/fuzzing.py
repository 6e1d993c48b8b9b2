"""Mutated files of every kind that synthkit reads: each must load, or raise a ValueError that names the file or folder.

`python -m tests.tools.fuzzing 10000` tries 10,000 files of every kind, with 4 GB of memory beyond that of the imported
libraries and 20 seconds per file, and prints how many loaded and how many were refused. It stops at the first file with
any other outcome. `python -m tests.tools.fuzzing 2000 7 dicom npz` uses seed 7 and two kinds.
"""

import collections
import dataclasses
import io
import json
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate

from synthkit import _environment
from synthkit.datasets import cbis_ddsm, dicom, folders, medmnist, reading
from synthkit.datasets.cbis_ddsm import files, phantom_archive, prepared
from synthkit.study import storage
from tests.lossless_jpeg import encode
from tests.tools import fuzzing_folders
from tests.tools.mutation import mutate

SHIPPED = (
    *("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm", "CT_small.dcm"),
    *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "image_dfl.dcm", "MR_truncated.dcm"),
)
SLOW = 5  # seconds; a file that takes longer is named


@dataclasses.dataclass
class Kind:
    """Files to mutate, and how to load them.

    Args:
        files: list of (name below the kind's folder, bytes).
        load: callable `(path of the mutated file, the kind's folder)`.
        named: what an error must name: "file", or "folder" if several files are loaded together.
        unchanged: number of bytes at the beginning that are rarely mutated.
        change: callable `(bytes, rng, unchanged) → bytes`.
    """

    files: list
    load: Callable
    named: str = "file"
    unchanged: int = 0
    change: Callable = mutate


def dicoms():
    """Returns DICOM files as bytes: uncompressed, RLE, JPEG, JPEG-LS, JPEG 2000; with a window."""
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 30), dtype="uint16")
    plain = phantom_archive.header("Mass-Training_P_00001_LEFT_CC_1", "1.2.3.4.5.6.7", "1.2.3.4.5.6.8", 1, "x", pixels)
    windowed = phantom_archive.header(
        "Calc-Test_P_00001_LEFT_CC_1", "1.2.3.4.5.6.7", "1.2.3.4.5.6.9", 1, "", pixels >> 4
    )
    windowed.BitsStored, windowed.HighBit, windowed.WindowCenter, windowed.WindowWidth = 12, 11, 2000, 3000
    windowed.RescaleSlope, windowed.RescaleIntercept = 2, -5
    jpeg = phantom_archive.header("Mass-Test_P_00001_LEFT_CC", "1.2.3.4.5.6.7", "1.2.3.4.5.6.8", 1, "x", pixels)
    jpeg.PixelData = encapsulate([encode(pixels)])
    jpeg["PixelData"].VR, jpeg["PixelData"].is_undefined_length = "OB", True
    jpeg.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    contents = []
    for ds in (plain, windowed, jpeg):
        buffer = io.BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        contents.append(buffer.getvalue())
    return contents + [Path(get_testdata_file(name)).read_bytes() for name in SHIPPED]


def load_dicom(path, folder):
    files.describe(folder, path.name)
    pixels = dicom.read_pixels(path)
    assert pixels.ndim == 2
    assert pixels.dtype in (np.uint8, np.uint16)
    assert pixels.size <= dicom.MAX_PIXELS


def images():
    """Returns JPEG and PNG files as bytes: grey, colour, 16 bits, palette, with transparency."""
    rng = np.random.default_rng(0)
    grey, color = rng.integers(0, 256, (20, 24), "uint8"), rng.integers(0, 256, (20, 24, 3), "uint8")
    pictures = [Image.fromarray(grey), Image.fromarray(color), Image.fromarray(grey.astype("uint16") * 257)]
    pictures += [pictures[1].quantize(16), pictures[1].convert("RGBA"), pictures[0].convert("1")]
    contents = []
    for picture in pictures:
        for suffix in ("png", "jpeg"):
            if suffix == "png" or picture.mode in ("L", "RGB"):
                buffer = io.BytesIO()
                picture.save(buffer, suffix)
                contents.append(buffer.getvalue())
    return contents


def load_image(path, folder):
    assert reading.read_image(path).dtype == np.uint8
    grey = files.read_grey(path)
    assert (grey.ndim, grey.dtype) == (2, np.uint8)


def load_bare(path, folder):
    assert reading.read_stored(path).dtype in (np.uint8, np.uint16)


def npz():
    """Returns files of MedMNIST's format as bytes, compressed and not."""
    rng, contents = np.random.default_rng(0), []
    arrays = {}
    for key in ("train", "val", "test"):
        arrays[f"{key}_images"] = rng.integers(0, 256, (6, 8, 8), "uint8")
        arrays[f"{key}_labels"] = (np.arange(6) % 2)[:, None].astype("uint8")
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, **arrays)
        contents.append(buffer.getvalue())
    return contents


def load_npz(path, folder):
    for images in medmnist.load(path):
        assert images.images.nbytes < 10_000


def load_patients(path, folder):
    assert len(folders._patients(folder, [f"a/{i}.png" for i in range(4)], str(path))) == 4


def patients():
    return [("file,patient\n" + "".join(f"a/{i}.png,P{i // 2}\n" for i in range(4))).encode()]


def trial_files():
    """Returns the files of a study's folder: `study.json` and the trials of two arms."""
    rng, files = np.random.default_rng(0), []
    settings = {"arms": {"real": {}, "dense_cvae": {}}, "class_names": ["malignant", "benign"], "positive": "malignant"}
    files.append(("study.json", json.dumps(settings).encode()))
    truth = np.arange(20) % 2
    for arm in settings["arms"]:
        for seed in range(2):
            scores = rng.random((20, 1))
            row = dict.fromkeys(storage.COLUMNS, 0.5) | {"arm": arm, "seed": seed, "status": "done"}
            buffer = io.BytesIO()
            np.savez_compressed(
                buffer,
                row=json.dumps(row),
                history=json.dumps({"step": [1], "loss": [1.0], "val_auc": [0.5]}),
                scores=np.hstack([scores, 1 - scores]).astype("float32"),
                labels=truth,
                patients=np.array([f"P{i // 2}" for i in range(20)]),
                samples=rng.integers(0, 256, (4, 8, 8, 1), "uint8"),
                sample_labels=truth[:4],
            )
            files.append((f"trials/{arm}-{seed}.npz", buffer.getvalue()))
    return files


def load_study(path, folder):
    study = storage.load(folder)
    if study.seeds:
        study.summary()


def load_prepared(path, folder):
    splits = prepared.load(folder)
    assert sum(images.images.sum(dtype=int) for images in splits) >= 0


def generator():
    """Returns a Kind of the files that `generators.synthesizer(keep=…)` writes: weights of a generator, by Keras."""
    _environment.import_tensorflow()
    from synthkit.generators import adapter, medmnist_cvae

    model = medmnist_cvae.DenseCVAE((4, 4, 1), 2, hidden=(4, 4), latent_size=2)
    shapes = [weight.shape for weight in model.weights]
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        content = (Path(folder) / "model.keras").read_bytes()

    def load(path, folder):
        adapter.load_weights(model, path)
        assert [weight.shape for weight in model.weights] == shapes

    return Kind([("model.keras", content)], load)


def kinds(folder):
    """Writes data sets below a folder. Returns a dict from a kind's name to a Kind."""
    archive = phantom_archive.write(folder / "archive", 24, 0, height=200)
    prepared.prepare(archive, folder / "ready", image_size=16, jobs=1)
    ready = [(file.name, file.read_bytes()) for file in sorted((folder / "ready").iterdir()) if file.name[0] != "."]
    tables = [(path.name, path.read_bytes()) for path in sorted((archive / "csv").iterdir())]
    listed = [(f"{i}.png", content) for i, content in enumerate(images())]
    mixed = fuzzing_folders.files(folder / "mixed", dicoms()[1])
    trees = [(f"{i}.json", content) for i, content in enumerate(fuzzing_folders.trees())]
    return {
        "dicom": Kind([(f"{i}.dcm", content) for i, content in enumerate(dicoms())], load_dicom, unchanged=200),
        "table": Kind(tables, lambda path, folder: cbis_ddsm.read_table(path)),
        "image": Kind(listed, load_image),
        "npz": Kind([(f"{i}.npz", content) for i, content in enumerate(npz())], load_npz),
        "labels": Kind(
            [(f"{i}.csv", table) for i, table in enumerate(fuzzing_folders.tables())], fuzzing_folders.load_labels
        ),
        "tree": Kind(trees, fuzzing_folders.load_tree, "folder", change=fuzzing_folders.mutate_tree),
        "bare": Kind([(str(i), content) for i, content in enumerate(dicoms()[:2])], load_bare),
        "folder": Kind(mixed, fuzzing_folders.load_folder, "folder"),
        "known": Kind(mixed, fuzzing_folders.load_known, "folder"),
        "patients": Kind([("patients.csv", content) for content in patients()], load_patients),
        "prepared": Kind(ready, load_prepared, "folder"),
        "study": Kind(trial_files(), load_study, "folder"),
        "generator": generator(),
    }


def attempt(kind, path, folder):
    """Returns "loaded" or "refused"; raises every error that is not a ValueError that names the file or folder."""
    try:
        kind.load(path, folder)
    except ValueError as error:
        if str(path if kind.named == "file" else folder) in str(error):
            return "refused"
        raise AssertionError(f"the message does not name the file or folder: {error}") from error
    return "loaded"


def run(count, seed=0, names=()):
    """Runs `count` mutations of every kind. Returns a Counter of outcomes and the longest time in seconds."""
    outcomes, longest = collections.Counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in kinds(Path(folder)).items():
            if names and name not in names:
                continue
            rng, root = np.random.default_rng(seed), Path(folder) / name
            for file, content in kind.files:
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                (root / file).write_bytes(content)
            for file, _ in kind.files:
                if name not in (
                    "dicom",
                    "tree",
                ):  # some need decoders that may not be installed; some trees are refused
                    assert attempt(kind, root / file, root) == "loaded"
            for number in range(count):
                file, original = kind.files[rng.integers(len(kind.files))]
                content = kind.change(original, rng, kind.unchanged)
                (root / file).write_bytes(content)
                start = time.perf_counter()
                signal.alarm(20)
                try:
                    outcomes[f"{name} {attempt(kind, root / file, root)}"] += 1
                except BaseException:
                    sys.stderr.write(f"{name} {number} of seed {seed}, {file}: {content[:300]!r} … {len(content)}\n")
                    raise
                signal.alarm(0)
                seconds = time.perf_counter() - start
                if seconds > SLOW:
                    sys.stderr.write(
                        f"{name} {number} of seed {seed}, {file}, took {seconds:.1f} s: {content[:60]!r}\n"
                    )
                longest = max(longest, seconds)
                (root / file).write_bytes(original)
    return outcomes, longest


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    pydicom.config.logger.setLevel("ERROR")
    _environment.import_tensorflow()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30), used + (4 << 30)))
    outcomes, longest = run(int(sys.argv[1]), *map(int, sys.argv[2:3]), sys.argv[3:])
    print(dict(sorted(outcomes.items())), f"longest {longest:.2f} s")
