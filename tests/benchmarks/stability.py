"""Whether the convolutional GAN collapses or diverges: `python -m tests.benchmarks.stability mass_crops_224 OUT`.

Fits it once per seed on the training set of a folder of images. Every few epochs it computes the diversity of the
images of each class, as a fraction of that of the real ones, and their kernel inception distance (KID) to the
validation set, in pixels after a PCA fitted on the training set. OUT/stability.csv has a row for each of these checks,
OUT/stability.png the curves, and OUT/SEED the samples. A fit that was killed resumes after its last check. The test set
is not used.
"""

import argparse
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from synthkit import fidelity
from synthkit.catalogue import COLORS
from synthkit.datasets import folders
from synthkit.generators import callbacks
from synthkit.generators.conv_cgan import conv_cgan
from synthkit.pipeline import to_dataset

BATCH_SIZE = 32


class Table(keras.callbacks.Callback):
    """Writes what the other callbacks computed to the file, so that a run that resumes keeps its curve."""

    def __init__(self, seed, watch, best, names, file):
        super().__init__()
        self.seed, self.watch, self.best, self.names, self.file = seed, watch, best, names, file

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 in self.watch.history:
            diversity = dict(zip(self.names, self.watch.history[epoch + 1], strict=True))
            row = {"seed": self.seed, "epoch": epoch + 1, "kid": self.best.history[epoch + 1], **diversity, **logs}
            row["stopped"] = self.watch.reason
            write(pd.concat([read(self.file), pd.DataFrame([row])]), self.file)
            print(*(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True)


def read(file):
    """Returns the rows of earlier checks."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame()


def write(rows, file):
    """Writes the rows, one for each seed and epoch."""
    rows.drop_duplicates(["seed", "epoch"], keep="last").round(4).to_csv(file, index=False)


def draw(rows, names, out):
    """Draws the diversity of each class and the KID against the epoch, one line per seed."""
    fig, axes = plt.subplots(1, len(names) + 1, figsize=(11, 3), layout="constrained")
    for seed, group in rows.groupby("seed"):
        for ax, column in zip(axes, [*names, "kid"], strict=True):
            ax.plot(group["epoch"], group[column], "o-", markersize=3, color=COLORS[seed % 8], label=f"seed {seed}")
    labels = [*(f"diversity of {name}, synthetic / real" for name in names), "KID to the validation set"]
    for ax, label in zip(axes, labels, strict=True):
        ax.set(xlabel="epoch", ylabel=label)
        ax.set_ylim(bottom=0)
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].legend(frameon=False)
    fig.savefig(out / "stability.png", dpi=130)
    plt.close(fig)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", default=r"(\w+)/(\d*)\d\.jpg")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=21)
    parser.add_argument("--every", type=int, default=3)
    arguments = parser.parse_args()
    out, file = arguments.out, arguments.out / "stability.csv"
    out.mkdir(parents=True, exist_ok=True)
    train, validation, _ = folders.load(arguments.data, arguments.image_size, patients=arguments.patients)
    space = fidelity.pixels(train.images)
    real = space(validation.images)
    print(train, f"KID of training and validation set {fidelity.kid(real, space(train.images)).value:.4f}", flush=True)
    for seed in range(1, arguments.seeds + 1):
        if read(file).query("seed == @seed")["epoch"].max() == arguments.epochs if file.exists() else False:
            continue
        keras.utils.set_random_seed(seed)
        model = conv_cgan(train.image_shape, len(train.class_names))
        watch = callbacks.Watch(train, every=arguments.every, count=128)
        best = callbacks.BestEpoch(
            lambda images: fidelity.kid(real, space(images)).value,
            train.labels,
            every=arguments.every,
            path=out / f"best_{seed}.npz",
        )
        model.fit(
            to_dataset(train, BATCH_SIZE, shuffle_seed=seed, repeat=True),
            epochs=arguments.epochs,
            steps_per_epoch=round(len(train) / BATCH_SIZE),
            verbose=0,
            callbacks=[
                callbacks.SampleGrid(np.repeat([0, 1], 16), out / str(seed), every=arguments.every, columns=16),
                watch,
                best,
                Table(seed, watch, best, train.class_names, file),
                callbacks.Checkpoint(out / f"checkpoint_{seed}.npz", every=arguments.every),
            ],
        )
        draw(read(file), train.class_names, out)
    rows = read(file)
    last = rows[rows["epoch"] == rows.groupby("seed")["epoch"].transform("max")]
    for row in last.to_dict("records"):
        least = min(row[name] for name in train.class_names)
        verdict = row["stopped"] if isinstance(row["stopped"], str) else "neither collapsed nor diverged"
        print(f"seed_{row['seed']}_diversity = {least:.3f}, kid = {row['kid']:.4f}: {verdict}")


if __name__ == "__main__":
    main()
