"""Time and memory against the number of images: `python -m tests.benchmarks.scale`.

Generated images are in a memory-mapped file, as `prepare` writes them. The data set's checks, the pipeline, a study's
setup and the fidelity metrics are measured, each in a new process. Memory is the highest anonymous memory of the
process beyond what it had before the work, so it leaves out the images in the file and the features (Linux only).

The pipeline's growth is measured at 224×224, where a batch of images takes more memory than the order of all images. At
28×28 it is the order that grows: tf.data's shuffle buffer takes some 300 bytes for each image, of 784 pixels.
"""

import itertools
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SIZES = {28: (10_000, 30_000, 100_000), 224: (2_000, 5_000, 10_000)}
FIDELITY = (2_500, 5_000, 10_000)  # real, and as many synthetic, images
RUNS = 3  # of which the median is reported


class Memory:
    """The highest anonymous memory of this process within the context, in MB, beyond that at its start."""

    def current(self):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

    def __enter__(self):
        self.start = self.highest = self.current()
        self.active = True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while self.active:
            self.highest = max(self.highest, self.current())
            time.sleep(0.002)

    def __exit__(self, *_):
        self.active = False
        self.thread.join()
        self.highest = max(self.highest, self.current()) - self.start


def write(path, count, size):
    """Writes random images to a file, a thousand at a time."""
    images = np.lib.format.open_memmap(path, "w+", "uint8", (count, size, size, 1))
    rng = np.random.default_rng(0)
    for start in range(0, count, 1000):
        images[start : start + 1000] = rng.integers(0, 256, images[start : start + 1000].shape, "uint8")
    images.flush()


def data_set(images):
    """The checks and the fingerprint of an ImageSet."""
    assert len(_imageset(images).fingerprint()) == 16


def pipeline(images):
    """400 shuffled batches of 32 images, as a trial uses them, whatever the number of images."""
    from synthkit.pipeline import to_dataset

    batches = to_dataset(_imageset(images), 32, shuffle_seed=0, repeat=True).take(400)
    assert sum(len(labels) for _, labels in batches) == 400 * 32


def study_setup(images):
    """What a study does before its first trial: splits, digests of the test images, a subset, near-duplicates."""
    from synthkit.imageset import Splits, image_digests
    from synthkit.splitting import near_duplicates, subsample

    edges = [0, int(0.7 * len(images)), int(0.8 * len(images)), len(images)]
    splits = Splits(*(_imageset(images[start:end], f"part {start}") for start, end in itertools.pairwise(edges)))
    assert len(set(image_digests(splits.test))) == len(splits.test)
    assert len(subsample(splits.train, 100)) == 200
    assert not near_duplicates(splits.test, splits.train, splits.validation).any()


def fidelity(features):
    """KID, precision, recall, density and coverage of features `(2, n, dimensions)`."""
    from synthkit import fidelity

    fidelity.kid(*features)
    fidelity.neighbourhoods(*features)


def _imageset(images, name="images"):
    from synthkit.imageset import ImageSet

    return ImageSet(images, np.arange(len(images)) % 2, ("a", "b"), name=name)


WORK = {"data set": data_set, "pipeline": pipeline, "study setup": study_setup, "fidelity": fidelity}


def measure(work, path):
    """Returns seconds and MB of one kind of work on the images, or features, in a file."""
    from synthkit import _environment, fidelity, pipeline, splitting  # noqa: F401, imported before it is measured

    data = np.load(path, mmap_mode="r")
    if work == "fidelity":
        data = np.array(data)
    else:
        _environment.import_tensorflow()
    with Memory() as memory:
        began = time.perf_counter()
        WORK[work](data)
        seconds = time.perf_counter() - began
    return seconds, memory.highest


def run(path, *work):
    """Measures kinds of work one after the other in a new process. Returns a list of (seconds, MB)."""
    code = "import sys\nfrom tests.benchmarks.scale import measure\n"
    code += "for work in sys.argv[2:]: print(*measure(work, sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(path), *work], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [tuple(map(float, line.split())) for line in done.stdout.splitlines()]


def growth(work, write_data, counts, label):
    """Prints a row for each number of images. Returns how time and memory grow from the first to the last."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            path = Path(folder) / f"{count}.npy"
            write_data(path, count)
            runs = [run(path, work)[0] for _ in range(RUNS)]
            rows.append([statistics.median(values) for values in zip(*runs, strict=True)])
            seconds, memory = rows[-1]
            print(f"{label:24}{count:9,}{seconds:10.2f}{memory:9.1f}", flush=True)
    return [last / first for first, last in zip(rows[0], rows[-1], strict=True)]


def main():
    print(f"{'work':24}{'images':>9}{'seconds':>10}{'MB':>9}")
    pipeline_memory = {}
    for size, counts in SIZES.items():
        for work in ("data set", "pipeline", "study setup"):
            label = f"{work}, {size}×{size}"
            _, memory = growth(work, lambda path, count, size=size: write(path, count, size), counts, label)
            if work == "pipeline":
                pipeline_memory[size] = memory
    time_growth, memory_growth = growth("fidelity", write_features, FIDELITY, "fidelity, 64 features")
    print(f"fidelity_time_growth = {time_growth:.2f}")
    print(f"pipeline_memory_growth = {pipeline_memory[224]:.3f}")
    print(f"fidelity_memory_growth = {memory_growth:.3f}")


def write_features(path, count):
    np.save(path, np.random.default_rng(1).standard_normal((2, count, 64)))


if __name__ == "__main__":
    main()
