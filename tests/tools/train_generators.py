"""Trains the generators that come with the repository: `python -m tests.tools.train_generators --work FOLDER`.

Each is fitted on the training images of `cbis_ddsm_crops` at 64×64 pixels for so many minutes, and written to
`data/generators`. Meanwhile its images are measured against the validation set, never the test set: KID in the features
of the frozen EfficientNet-Lite0, how well the classifier `frozen`, fitted to real images, recognises the class that was
asked for, and diversity. The weights are those of the measurement with the lowest KID. A run that is stopped resumes
from FOLDER; one with more minutes goes on from there.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from synthkit import catalogue, fidelity, pretrained, statistics, trained
from synthkit._environment import versions
from synthkit._files import replacing, write_json
from synthkit.datasets import bundled
from synthkit.generators import adapter, callbacks
from synthkit.imageset import ImageSet

SIZE, BATCH, SAMPLES = 64, 32, 100  # pixels a side, images per step, images of each class for a measurement
NAMES = ("conv_cvae", "conv_cgan", "diffusion", "mammography_cgan")
FOREVER = 1_000_000  # epochs


class Timed(callbacks.Checkpoint):
    """A checkpoint that stops the training after so many minutes in all, measures it, and stays for the next run."""

    def __init__(self, work, minutes, every, measure):
        super().__init__(work / "checkpoint.npz", every=None)
        self.minutes, self.between, self.measure = minutes, every, measure
        self.best, self.progress = work / "best.npz", work / "progress.json"
        self.record = {"minutes": 0.0, "losses": {}, "measured": []}
        if self.progress.exists() and self.path.exists():
            self.record = json.loads(self.progress.read_text(encoding="utf-8"))

    def resume(self, model):
        epoch = super().resume(model)
        self.record["measured"] = [row for row in self.record["measured"] if row["epoch"] <= epoch]
        self.record["losses"] = {name: values[:epoch] for name, values in self.record["losses"].items()}
        self.started = time.monotonic() - 60 * self.record["minutes"]
        return epoch

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self.record["losses"].setdefault(name, []).append(round(float(value), 4))
        minutes = (time.monotonic() - self.started) / 60
        done = len(self.record["measured"])
        measured = minutes >= self.between * (done + 1) or minutes >= self.minutes
        if measured:
            paused = time.monotonic()
            row = {"epoch": epoch + 1, "minutes": round(minutes, 2), **self.measure(self.model)}
            if row["kid"] < min((other["kid"] for other in self.record["measured"]), default=np.inf):
                with replacing(self.best) as path, open(path, "wb") as file:
                    np.savez(file, *(variable.numpy() for variable in trained.drawing_variables(self.model)))
            self.record["measured"].append(row)
            print(*(f"{name} {value}" for name, value in row.items()), flush=True)
            self.started += time.monotonic() - paused  # a measurement is no training
        self.record["minutes"] = (time.monotonic() - self.started) / 60
        if self.record["minutes"] >= self.minutes:
            self.model.stop_training = True
        written, self.every = self.written, 1 if measured else None  # a measurement goes with a checkpoint
        super().on_epoch_end(epoch, logs)
        if self.written != written:
            write_json(self.progress, self.record)

    def on_train_end(self, logs=None):
        """Keeps the checkpoint, for a run with more minutes."""


def measurement(splits):
    """Returns a callable that measures a generator's images against the validation set."""
    classes = len(splits.train.class_names)
    judge = pretrained.frozen.trainer(splits.train.image_shape, classes)
    judge.train(splits.train, seed=0)
    labels = np.repeat(np.arange(classes), SAMPLES)
    held_out = judge.features(splits.validation)
    real = callbacks.diversity(splits.train.images / np.float32(255), splits.train.labels)

    def measure(model):
        samples = model.sample(labels, 0)
        diversity = callbacks.diversity(samples, labels) / real
        images = ImageSet(np.round(samples * 255).astype("uint8"), labels, splits.train.class_names)
        kid = fidelity.kid(held_out, judge.features(images)).value
        area = statistics.auc(labels, judge.predict(images.images))
        values = {"kid": kid, "label_auc": area, "diversity": diversity.mean()}
        return {name: round(float(value), 4) for name, value in values.items()}

    validation = statistics.auc(splits.validation.labels, judge.predict(splits.validation.images))
    print(f"real validation images: label_auc {validation:.3f}")
    return measure, {"label_auc": round(float(validation), 4)}


def train(name, splits, minutes, every, work, out):
    """Trains one generator and writes its files."""
    folder = Path(work) / name
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    model = catalogue.build(catalogue.GENERATORS[name])(splits.train.image_shape, len(splits.train.class_names))
    measure, real = measurement(splits)
    timed = Timed(folder, minutes, every, measure)
    if timed.record["minutes"] < minutes:
        adapter.fit(model, splits.train, 0, epochs=FOREVER, batch_size=BATCH, callbacks=[timed])
    else:
        timed.resume(model)
    with np.load(timed.best) as file:
        for variable, key in zip(trained.drawing_variables(model), file.files, strict=True):
            variable.assign(file[key])
    best = min(timed.record["measured"], key=lambda row: row["kid"])
    record = {
        "generator": name,
        "trained_on": {"set": bundled.CROPS, "images": len(splits.train), "fingerprint": splits.train.fingerprint()},
        "class_names": list(splits.train.class_names),
        "batch_size": BATCH,
        "epoch": best["epoch"],
        "real_validation_images": real,
        **timed.record,
        "versions": versions(),
    }
    record["losses"] = {loss: values[:: max(1, len(values) // 200)] for loss, values in record["losses"].items()}
    trained.save(model, name, record, out)
    print(f"{name}: {(Path(out) / f'{name}.npz').stat().st_size:,} bytes, the weights of epoch {best['epoch']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, help="folder for what a stopped run resumes from")
    parser.add_argument("--out", default=trained.FOLDER, help="folder for the files (default: data/generators)")
    parser.add_argument("--minutes", type=float, default=30, help="of training of each generator (default: 30)")
    parser.add_argument("--every", type=float, default=2, help="minutes between two measurements (default: 2)")
    parser.add_argument("--only", nargs="+", default=NAMES, choices=NAMES, help="generators")
    arguments = parser.parse_args()
    splits = bundled.load(SIZE)
    for name in arguments.only:
        print(f"{name}, {arguments.minutes:g} minutes", flush=True)
        train(name, splits, arguments.minutes, arguments.every, arguments.work, arguments.out)


if __name__ == "__main__":
    main()
