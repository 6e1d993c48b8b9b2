"""Time and memory against the number of images: `python -m tests.benchmarks.scale`.

Generated images lie in a memory-mapped file, as `prepare` leaves them, and go through the data set's checks, the
pipeline, fidelity and a study's setup. Every measurement is a process of its own; memory is the most that it held
beyond the file's pages and what it held before (Linux only).
"""

import itertools
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SIZES = {28: (10_000, 30_000, 100_000), 224: (1_000, 3_000, 10_000)}
FIDELITY = (2_500, 5_000, 10_000)  # images on either side


class Memory:
    """The most anonymous memory that this process holds meanwhile, in MB, beyond what it holds at the start."""

    def held(self):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

    def __enter__(self):
        self.start = self.most = self.held()
        self.going = True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while self.going:
            self.most = max(self.most, self.held())
            time.sleep(0.01)

    def __exit__(self, *_):
        self.going = False
        self.thread.join()
        self.most = max(self.most, self.held()) - self.start


def make(path, count, size):
    """Writes generated images to a file, a thousand at a time."""
    images = np.lib.format.open_memmap(path, "w+", "uint8", (count, size, size, 1))
    rng = np.random.default_rng(0)
    for start in range(0, count, 1000):
        images[start : start + 1000] = rng.integers(0, 256, images[start : start + 1000].shape, "uint8")
    images.flush()


def measure(what, path, count):
    """Prints seconds and MB of one kind of work on the images of a file."""
    from synthkit._environment import import_tensorflow

    import_tensorflow()
    from synthkit import fidelity
    from synthkit.imageset import ImageSet, Splits, image_digests
    from synthkit.pipeline import to_dataset
    from synthkit.splitting import near_duplicates, subsample

    images = np.load(path, mmap_mode="r")
    whole = ImageSet(images, np.arange(count) % 2, ("a", "b"))
    if what == "pipeline":  # traced before it is measured
        next(iter(to_dataset(whole[:512], 256, shuffle_seed=0)))
    with Memory() as memory:
        began = time.perf_counter()
        if what == "dataset":
            assert len(ImageSet(images, whole.labels, ("a", "b"), whole.patients).fingerprint()) == 16
        elif what == "pipeline":
            assert sum(len(labels) for _, labels in to_dataset(whole, 256, shuffle_seed=0)) == count
        elif what == "study setup":
            cut = [0, int(0.7 * count), int(0.8 * count), count]
            parts = [
                ImageSet(images[a:b], whole.labels[a:b], ("a", "b"), whole.patients[a:b])
                for a, b in itertools.pairwise(cut)
            ]
            splits = Splits(*parts)
            assert len(set(image_digests(splits.test))) == len(splits.test)
            assert len(subsample(splits.train, 150)) == 300
            assert not near_duplicates(splits.test, splits.train, splits.validation).any()
        else:
            features = np.random.default_rng(1).standard_normal((2, count, 64)).astype("float32")
            fidelity.kid(*features)
            fidelity.neighbourhoods(*features)
        seconds = time.perf_counter() - began
    print(f"{seconds:.4f} {memory.most:.1f}")


def run(what, path, count):
    command = [sys.executable, "-m", "tests.benchmarks.scale", what, str(path), str(count)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return tuple(map(float, done.stdout.split()))


def main():
    figures = {}
    print(f"{'work':24}{'images':>9}{'seconds':>10}{'ms an image':>13}{'MB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for size, counts in SIZES.items():
            for count in counts:
                path = Path(folder) / f"{size}-{count}.npy"
                make(path, count, size)
                for what in ("dataset", "pipeline", "study setup"):
                    found = run(what, path, count)
                    figures[what, size, count] = found
                    name = f"{what}, {size}×{size}"
                    each = 1000 * found[0] / count
                    print(f"{name:24}{count:9,}{found[0]:10.2f}{each:13.3f}{found[1]:9.0f}", flush=True)
        for count in FIDELITY:
            path = Path(folder) / f"fidelity-{count}.npy"
            make(path, count, 28)
            found = run("fidelity", path, count)
            figures["fidelity", 64, count] = found
            print(f"{'fidelity, 64 features':24}{count:9,}{found[0]:10.2f}{'':13}{found[1]:9.0f}", flush=True)
    for size, counts in SIZES.items():
        small, large = (figures["pipeline", size, count][1] for count in (counts[0], counts[-1]))
        print(f"pipeline_{size}_memory_growth = {large / small:.3f}")
    small, large = (figures["fidelity", 64, count] for count in (FIDELITY[0], FIDELITY[-1]))
    print(f"fidelity_time_growth = {large[0] / small[0]:.2f}")
    print(f"fidelity_memory_growth = {large[1] / small[1]:.3f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    else:
        main()
