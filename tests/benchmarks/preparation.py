"""How fast full-size mammograms are prepared: `python -m tests.benchmarks.preparation`.

Twelve simulated films of 11 million pixels of 16 bits represent 1,000: each is linked to the names of many cases, so
that all of them fit in the page cache and are read as fast as possible, which is the hardest comparison. The rounds
alternate between

- the plain loop: `pydicom.dcmread(path).pixel_array`, conversion to float, blur, resize, one file at a time;
- reading the same files into memory, one at a time, and nothing else;
- `prepared.prepare` as the command runs it: joining tables and files, preprocessing and writing.

Worker processes are started in a first round that is not measured, and reused. Peak memory is the sum over a separate
process and its workers. Drawing the films and all rounds take about three minutes on two cores.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom

from synthkit.datasets import cbis_ddsm
from synthkit.datasets.cbis_ddsm import phantom_archive, phantom_mammogram, prepared

FILMS, IMAGES, LOOPED, ROUNDS, HEIGHT = 12, 1000, 40, 5, 4400


def write_collection(root, films, count):
    """Links the files of `count` cases to the films and writes their case table."""
    rows = []
    for number in range(count):
        view = ("CC", "MLO")[number % 2]
        case = f"Mass-Training_P_{number + 1:05d}_LEFT_{view}"
        folder = root / "CBIS-DDSM" / case / "08-29-2017-DDSM-11111" / "1.000000-full mammogram images-22222"
        folder.mkdir(parents=True)
        os.link(films[number % len(films)], folder / "1-1.dcm")
        row = {
            "patient_id": f"P_{number + 1:05d}",
            "breast_density": 2,
            "left or right breast": "LEFT",
            "image view": view,
        }
        row |= {"abnormality id": 1, "abnormality type": "mass", "mass shape": "OVAL", "mass margins": "OBSCURED"}
        row |= {"assessment": 4, "pathology": ("BENIGN", "MALIGNANT")[number % 3 == 0], "subtlety": 3}
        rows.append(row | {"image file path": "", "cropped image file path": "", "ROI mask file path": ""})
    (root / "csv").mkdir()
    pd.DataFrame(rows).to_csv(root / "csv" / cbis_ddsm.TABLES["mass_train"], index=False)


def draw(folder):
    """Writes the films. Their headers name no case, so they belong to the cases that folders are named after."""
    files = []
    for number in range(FILMS):
        rng = np.random.default_rng(number)
        pixels, _, _ = phantom_mammogram.draw(HEIGHT, ("CC", "MLO")[number % 2], "LEFT", 1 + number % 4, [], rng)
        files.append(folder / f"film{number}.dcm")
        phantom_archive.header("", "1.2.3", "1.2.4", 1, "full mammogram images", pixels).save_as(
            files[-1], enforce_file_format=True
        )
    print(f"{FILMS} films of {pixels.shape[0]}×{pixels.shape[1]} pixels, {files[0].stat().st_size / 1e6:.0f} MB each")
    return files


def plain_loop(files):
    images = []
    for file in files:
        image = pydicom.dcmread(file).pixel_array.astype("float64")
        image = cv2.GaussianBlur(image, (5, 5), 0)
        images.append(cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA))
    return np.stack(images)


def read(files):
    return sum(len(file.read_bytes()) for file in files)


def ours(root):
    with tempfile.TemporaryDirectory() as out:
        index, skipped = prepared.prepare(root, out, image="full")
        return index, skipped, np.load(Path(out) / "images.npy")


def seconds(function, *arguments):
    began = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - began


def peak(root):
    """Returns the peak memory of preparing `root` in MB, summed over all processes."""
    code = (
        "import sys, glob, warnings; warnings.simplefilter('ignore')\n"
        "from tests.benchmarks import preparation; preparation.ours(sys.argv[1])\n"
        "pids = ['self'] + [p for f in glob.glob('/proc/self/task/*/children') for p in open(f).read().split()]\n"
        "lines = [line for pid in pids for line in open(f'/proc/{pid}/status') if line.startswith('VmHWM')]\n"
        "print(sum(int(line.split()[1]) for line in lines) / 1024)"
    )
    return float(
        subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True).stdout
    )


def main():
    warnings.simplefilter("ignore")  # of cases without crops and masks
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        films = draw(folder)
        roots = {count: folder / f"{count}" for count in (IMAGES, IMAGES // 10)}
        for count, root in roots.items():
            write_collection(root, films, count)
        index, skipped, images = ours(roots[IMAGES])
        assert len(index) == IMAGES
        assert not len(skipped)
        files = [roots[IMAGES] / file for file in index["file"]]
        difference = np.abs(plain_loop(files[:LOOPED]) / 257 - images[:LOOPED, ..., 0]).max()
        print(f"largest difference to the plain loop: {difference:.3f} grey levels of 255")
        assert difference <= 1
        loops, reads, prepares = [], [], []
        for number in range(ROUNDS):
            loops.append(seconds(plain_loop, files[:LOOPED]) / LOOPED)
            reads.append(seconds(read, files) / IMAGES)
            prepares.append(seconds(ours, roots[IMAGES]) / IMAGES)
            times = [1000 * values[-1] for values in (loops, reads, prepares)]
            print(
                "round {}: loop {:.1f}, read {:.1f}, prepare {:.1f} ms an image".format(number + 1, *times), flush=True
            )
        peaks = {count: peak(root) for count, root in roots.items()}
        print(f"peak memory: {peaks[IMAGES // 10]:.0f} MB at {IMAGES // 10} images, {peaks[IMAGES]:.0f} MB at {IMAGES}")
    loop, reading, prepare = (statistics.median(values) for values in (loops, reads, prepares))
    print(f"prepare_vs_plain_loop = {loop / prepare:.2f}")
    print(f"prepare_vs_reading = {reading / prepare:.3f}")
    print(f"prepare_memory_growth = {peaks[IMAGES] / peaks[IMAGES // 10]:.3f}")


if __name__ == "__main__":
    main()
