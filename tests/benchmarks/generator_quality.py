"""How real the generators' images are after equal minutes of training.

`python -m tests.benchmarks.generator_quality mass_crops_224 OUT --patients '([a-z]+)/(\\d*)\\d\\.jpg' --minutes 30`

Every generator is fitted on `--per-class` images of each class from the training set, for `--minutes` of two cores, by
the processor time that it used, and draws 250 images of each class. Measured in the ImageNet features of
EfficientNet-Lite0, which agree with experts better than those of medical networks (Woodland et al., MICCAI 2024): the
kernel inception distance (KID) to test images and to the training images, precision, recall, density and coverage
against test images; `label_auc`, the AUC of a frozen classifier that was fitted to the validation images, on the
synthetic images and the labels that were asked for; and the fraction of near copies of training images. The row `real`
has as many real images that no generator and no judge saw, in place of synthetic ones.
OUT/generator_quality.csv has a row for each generator and seed; rows that exist already are not computed again.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from synthkit import catalogue, datasets, fidelity, pretrained
from synthkit.generators import adapter, callbacks
from synthkit.imageset import resize
from synthkit.pipeline import to_dataset
from synthkit.splitting import partition, subsample
from synthkit.statistics import auc

GENERATORS = ("conv_cvae", "conv_cgan", "diffusion")
DRAWN = 250  # images of each class
CORES = 2


class Budget(keras.callbacks.Callback):
    """Stops a fit after so many seconds of `CORES` cores, by processor time, which other jobs do not change."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.began, self.steps = seconds, None, 0

    @property
    def spent(self):
        return (time.process_time() - self.began) / CORES

    def on_train_batch_end(self, batch, logs=None):
        if self.began is None:  # the first step was traced
            self.began = time.process_time()
            return
        self.steps += 1
        if self.spent > self.seconds:
            self.model.stop_training = True


def measure(judge, train, test, synthetic):
    """Returns the metrics of synthetic images as a dict."""
    features = [judge.features(part) for part in (train, test, synthetic)]
    row = {
        "kid": fidelity.kid(features[1], features[2]).value,
        "kid_error": fidelity.kid(features[1], features[2]).error,
    }
    row["kid_train"] = fidelity.kid(features[0], features[2]).value
    row |= fidelity.neighbourhoods(features[1], features[2])._asdict()
    row["label_auc"] = auc(synthetic.labels, judge.predict(synthetic.images))
    space = fidelity.pixels(np.concatenate([train.images, test.images]))
    copies = fidelity.copy_test(*(space(part.images) for part in (train, test, synthetic)))
    return row | {"copies": copies.copies / len(synthetic)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--patients")
    parser.add_argument("--per-class", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--generators", default=",".join(GENERATORS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    folder = Path(arguments.data).is_dir()
    options = {"patients": arguments.patients, "validation": 0.3, "test": 0.3} if folder else {}
    splits = datasets.load(arguments.data, arguments.image_size if folder else None, **options)
    splits = [resize(part, arguments.image_size) for part in splits]
    train = subsample(splits[0], arguments.per_class, seed=1)
    judge = pretrained.frozen.trainer(train.image_shape, len(train.class_names))
    judge.train(splits[1], seed=0)
    test, others = partition(splits[2], [0.5], seed=0)
    file = arguments.out / "generator_quality.csv"
    rows = pd.read_csv(file).to_dict("records") if file.exists() else []
    if not rows:
        rows.append({"generator": "real", "seed": 0, **measure(judge, train, test, others)})
    labels = np.repeat(np.arange(len(train.class_names)), DRAWN)
    for seed in range(1, arguments.seeds + 1):
        for name in arguments.generators.split(","):
            if any((row["generator"], row["seed"]) == (name, seed) for row in rows):
                continue
            settings = catalogue.GENERATORS[name]
            keras.utils.set_random_seed(seed)
            model, budget = (
                catalogue.build(settings)(train.image_shape, len(train.class_names)),
                Budget(60 * arguments.minutes),
            )
            data = to_dataset(train, settings.batch_size, shuffle_seed=seed, repeat=True)
            steps = max(1, round(len(train) / settings.batch_size))
            model.fit(data, epochs=10**6, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[budget])
            row = {"generator": name, "seed": seed, "steps": budget.steps + 1, "minutes": budget.spent / 60}
            row["images_per_second"] = budget.steps * settings.batch_size / budget.spent
            began = time.process_time()
            synthetic = adapter.draw(model, train.class_names, labels, seed)
            row["sampling_seconds"] = (time.process_time() - began) / CORES
            rows.append(row | measure(judge, train, test, synthetic))
            pd.DataFrame(rows).round(4).to_csv(file, index=False)
            np.savez_compressed(arguments.out / f"{name}_{seed}.npz", images=synthetic.images, labels=labels)
            shown = np.concatenate([synthetic.images[labels == label][:32] for label in np.unique(labels)])
            grid = callbacks.tile(shown / np.float32(255), 16)
            keras.utils.save_img(arguments.out / f"{name}_{seed}.png", grid, scale=False)
            print(rows[-1], flush=True)
    means = pd.DataFrame(rows).drop(columns="seed").groupby("generator").mean()
    for name, row in means.iterrows():
        for metric, value in row.dropna().items():
            print(f"{name}_{metric} = {value:.4f}")


if __name__ == "__main__":
    main()
