"""Mutated DICOM files and case tables: each loads or ends in a ValueError that names the file.

`python -m tests.fuzzing 2000` runs as many, three quarters of them DICOM files, within 4 GB of address space and 20
seconds each. It prints what came of them, and fails at the first that ends otherwise.
"""

import collections
import io
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate

from synthkit import dicom
from synthkit.datasets import cbis_ddsm, cbis_ddsm_files, phantom, phantom_archive
from tests.lossless_jpeg import encode

SHIPPED = (
    *("MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm", "CT_small.dcm"),
    *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "image_dfl.dcm", "MR_truncated.dcm"),
)
TAGS = (b"\x28\x00\x10\x00", b"\x28\x00\x11\x00", b"\x28\x00\x00\x01", b"\x28\x00\x01\x01", b"\xe0\x7f\x10\x00")


def seeds():
    """Returns the DICOM files to begin from, as bytes: uncompressed, RLE, JPEG, JPEG-LS, JPEG 2000; with a window."""
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


def mutate(content, rng):
    """Changes a few places of some bytes, mostly near the beginning, where headers are."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        reach = len(content) if rng.random() < 0.3 else min(len(content), 2000)
        place = int(rng.integers(min(200, reach // 2), max(1, reach)))  # behind the preamble, mostly
        size = int(rng.integers(1, 40))
        kind = rng.integers(10)
        if kind in (0, 7, 8, 9):
            content[place : place + 1] = bytes([rng.integers(256)])
        elif kind == 1:
            content[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"])
        elif kind == 2:
            del content[place : place + size]
        elif kind == 3:
            content[place:place] = rng.bytes(size)
        elif kind == 4:
            content[place:place] = content[place : place + size]
        elif kind == 5 and rng.random() < 0.3:
            del content[place:]
        else:
            tag = content.find(rng.choice(TAGS))
            if tag >= 0:
                at = tag + 4 + int(rng.integers(8))
                content[at : at + 2] = rng.choice([b"\xff\xff", b"\0\0", b"\1\0", rng.bytes(2)])
    return bytes(content)


def load_dicom(path):
    pixels = dicom.read_pixels(path)
    assert pixels.ndim == 2
    assert pixels.dtype in (np.uint8, np.uint16)
    assert pixels.size <= dicom.MAX_PIXELS


def attempt(load, path):
    """Returns "loaded" or the message's kind; anything but a ValueError that names the file is let through."""
    try:
        load(path)
    except ValueError as error:
        if str(path) in str(error):
            return "refused"
        raise AssertionError(f"the message does not name the file: {error}") from error
    return "loaded"


def run(count, seed=0):
    """Runs `count` mutations. Returns a Counter of outcomes and the longest time in seconds."""
    rng = np.random.default_rng(seed)
    outcomes, longest = collections.Counter(), 0.0
    dicoms = seeds()
    with tempfile.TemporaryDirectory() as folder:
        archive = phantom.write_cbis_ddsm(Path(folder) / "archive", 4, 0, height=200)
        tables = [path.read_bytes() for path in sorted((archive / "csv").iterdir())]
        for number in range(count):
            is_table = number % 4 == 3
            path = Path(folder) / f"case{number}.{'csv' if is_table else 'dcm'}"
            origin = tables if is_table else dicoms
            content = mutate(origin[rng.integers(len(origin))], rng)
            path.write_bytes(content)
            began = time.perf_counter()
            signal.alarm(20)
            try:
                outcome = attempt(cbis_ddsm.read_table if is_table else load_dicom, path)
                if not is_table:
                    cbis_ddsm_files.describe(folder, path.name)
            except BaseException:
                sys.stderr.write(f"case {number} of seed {seed}: {content[:200]!r} … {len(content)} bytes\n")
                raise
            signal.alarm(0)
            longest = max(longest, time.perf_counter() - began)
            outcomes["table " * is_table + "DICOM " * (not is_table) + outcome] += 1
            path.unlink()
    return outcomes, longest


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    pydicom.config.logger.setLevel("ERROR")
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    outcomes, longest = run(int(sys.argv[1]), *map(int, sys.argv[2:3]))
    print(dict(sorted(outcomes.items())), f"longest {longest:.2f} s")
