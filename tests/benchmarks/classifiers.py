"""Training speed against PyTorch on the same processor: `python -m tests.benchmarks.classifiers`.

Both train the same network with Adam on the same uint8 images in memory, shuffled in every epoch, from the bytes to the
updated weights: ours as in a study (`training.Trainer`), PyTorch in a plain loop, in channels-last layout, without a
DataLoader, whose processes would only slow it down here. Runs alternate. PyTorch is needed for the benchmarks only:
`pip install torch`.
"""

import importlib.metadata
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command line does

import keras
import numpy as np
import tensorflow as tf

from synthkit import classifiers
from synthkit.datasets import phantom
from synthkit.imageset import ImageSet
from synthkit.training import Trainer

ROUNDS = 3
IMAGES = 512
# Network, image size, channels, images per step, steps of a run.
CASES = [("resnet18", 28, 1, 128, 6), ("skin_cnn", 32, 3, 32, 300)]


def ours(name, size, channels, batch_size, steps):
    """Yields, for each run, the seconds from its beginning to the end of each step; the first includes building."""
    grey = phantom.simulate(IMAGES, size)
    imageset = ImageSet(np.repeat(grey.images, channels, axis=-1), grey.labels, grey.class_names)
    builder, trainer = getattr(classifiers, name), None
    while True:
        began, ends = time.perf_counter(), []
        if trainer is None:
            trainer = Trainer(builder, imageset.image_shape, 2, steps=steps, batch_size=batch_size, checks=1)
        trainer.train(imageset, seed=0, on_step=lambda: ends.append(time.perf_counter() - began))  # noqa: B023
        yield ends


def pytorch(name, size, channels, batch_size, steps):
    """Yields the same for PyTorch, in another process: in one process, it and TensorFlow abort."""
    command = [sys.executable, "-m", "tests.benchmarks.torch_training", name]
    command += [str(value) for value in (IMAGES, size, channels, batch_size, steps)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, **pipes) as process:
        weights = int(process.stdout.readline())
        variables = getattr(classifiers, name)((size, size, channels)).trainable_variables
        assert weights == sum(np.prod(variable.shape) for variable in variables), f"{name}: {weights} parameters"
        try:
            while True:
                print("run", file=process.stdin)
                yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()


def measure(peers, case):
    """Returns each peer's median images per second, and its seconds to the first step."""
    runs = {peer: peer(*case) for peer in peers}
    seconds, firsts = {peer: [] for peer in peers}, {}
    for _, peer in itertools.product(range(ROUNDS), peers):
        ends = next(runs[peer])
        firsts.setdefault(peer, ends[0])
        seconds[peer] += np.diff(ends).tolist()
    for run in runs.values():
        run.close()
    batch_size = case[3]
    return {peer: batch_size / statistics.median(values) for peer, values in seconds.items()}, firsts


def main():
    peers = [ours]
    if importlib.util.find_spec("torch"):
        peers.append(pytorch)
        print(f"PyTorch {importlib.metadata.version('torch')}")
    else:
        print("PyTorch is not installed: the figures that compare with it are left out")
    print(f"{os.cpu_count()} processors, TensorFlow {tf.__version__}, Keras {keras.__version__}")
    figures = {}
    for case in CASES:
        name, size, channels, batch_size, _ = case
        speeds, firsts = measure(peers, case)
        print(f"{name}, {size}×{size}×{channels}, batches of {batch_size}:")
        for peer in peers:
            print(f"  {peer.__name__}: {speeds[peer]:,.0f} images per second, first step after {firsts[peer]:.1f} s")
        if pytorch in peers:
            figures[f"{name}_training_vs_pytorch"] = speeds[ours] / speeds[pytorch]
    for name, value in figures.items():
        print(f"{name} = {value:.3g}")


if __name__ == "__main__":
    main()
