"""How real the generators' images are after equal minutes of training.

`python -m tests.benchmarks.generator_quality mass_crops_224 OUT --patients '([a-z]+)/(\\d*)\\d\\.jpg' --minutes 30`

Every generator is fitted on `--per-class` images of each class, for `--minutes` of two cores, by the processor time
that it used, and draws 250 images of each class. What they are compared with are real images that no generator saw, in
the ImageNet features of EfficientNet-Lite0, which agree with experts better than those of medical networks (Woodland et
al., MICCAI 2024): the kernel inception distance (KID) to test images and to the training images, precision, recall,
density and coverage against test images. The classifier `frozen`, fitted to real images that are neither the
generator's nor test images, tells how well it finds the class that was asked for: `label_auc`, `label_accuracy`.
`copies` is the fraction of near copies of training images. The row `real` has test images in place of synthetic ones,
other ones than those that all are compared with. Near-duplicates of training images are not among the test images.

`keras_ddim` and `keras_cgan` are two examples of keras.io (`keras_examples`); the first knows no classes.
`diffusion_augment` transforms its training images and tells the network. `--guidance` and `--autoguidance` also draw
from the diffusion models with these scales.

OUT has a JSON file for each generator and seed, which is not computed again, its images, and a grid of them.
"""

import argparse
import functools
import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command line does

import keras
import numpy as np
import pandas as pd

from synthkit import catalogue, datasets, fidelity, pretrained
from synthkit.generators import adapter, callbacks
from synthkit.generators.diffusion import diffusion
from synthkit.imageset import resize
from synthkit.pipeline import to_dataset
from synthkit.splitting import partition, subsample, without_near_duplicates
from synthkit.statistics import auc
from tests.benchmarks import keras_examples

PEERS = {"keras_ddim": (keras_examples.ddim, 64), "keras_cgan": (keras_examples.cgan, 64)}
BATCH = catalogue.GENERATORS["diffusion"].batch_size
DIFFUSION = {  # they keep earlier weights, which changes nothing but the random numbers as long as the scale is 1
    "diffusion": (functools.partial(diffusion, autoguidance=1), BATCH),
    "diffusion_augment": (functools.partial(diffusion, autoguidance=1, augment=0.12), BATCH),
}
GENERATORS = ("conv_cvae", "conv_cgan", "acgan", "wgan_gp", "bagan", "mammography_cgan", "diffusion", *PEERS)
DRAWN = 250  # images of each class
CORES = 2


class Budget(keras.callbacks.Callback):
    """Stops a fit after so many seconds of `CORES` cores, by processor time, which other jobs do not change much."""

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
    kid = fidelity.kid(features[1], features[2])
    row = {"kid": kid.value, "kid_error": kid.error, "kid_train": fidelity.kid(features[0], features[2]).value}
    row |= fidelity.neighbourhoods(features[1], features[2])._asdict()
    scores = judge.predict(synthetic.images)
    row |= {"label_auc": auc(synthetic.labels, scores)}
    row |= {"label_accuracy": float((scores.argmax(1) == synthetic.labels).mean())}
    space = fidelity.pixels(np.concatenate([train.images, test.images]))
    copies = fidelity.copy_test(*(space(part.images) for part in (train, test, synthetic)))
    return row | {"copies": copies.copies / len(synthetic)}


def load(arguments):
    """Returns the images of the generators, those of the judge, and two halves of the test images."""
    folder = Path(arguments.data).is_dir()
    options = {"patients": arguments.patients, "validation": 0.02, "test": 0.4} if folder else {}
    splits = datasets.load(arguments.data, arguments.image_size if folder else None, **options)
    splits = without_near_duplicates(splits)
    pool, for_judge = partition(resize(splits.train, arguments.image_size), [0.5], seed=0)
    return (
        subsample(pool, arguments.per_class, seed=1),
        for_judge,
        *partition(resize(splits.test, arguments.image_size), [0.5], seed=0),
    )


def recipe(name):
    """Returns a generator's builder and its batch size."""
    row = catalogue.GENERATORS.get(name)
    return (PEERS | DIFFUSION)[name] if row is None or name in DIFFUSION else (catalogue.build(row), row.batch_size)


def fitted(build, batch_size, train, seed, minutes):
    """Returns a generator that was fitted for so many minutes of two cores, and a row about its fit."""
    keras.utils.set_random_seed(seed)
    model, budget = build(train.image_shape, len(train.class_names)), Budget(60 * minutes)
    data = to_dataset(train, min(batch_size, len(train)), shuffle_seed=seed, repeat=True)
    steps = max(1, round(len(train) / batch_size))
    model.fit(data, epochs=10**6, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[budget])
    row = {"steps": budget.steps + 1, "minutes": budget.spent / 60}
    return model, row | {"images_per_second": budget.steps * batch_size / budget.spent}


def write(out, name, seed, row, images=None, model=None):
    """Writes a generator's row, the images with a grid of them, and the generator."""
    row = {key: round(float(value), 4) for key, value in row.items()}
    (out / f"{name}_{seed}.json").write_text(json.dumps({"generator": name, "seed": seed, **row}), encoding="utf-8")
    print(name, seed, row, flush=True)
    if model is not None:
        model.save(out / f"{name}_{seed}.keras")
    if images is not None:
        np.savez_compressed(out / f"{name}_{seed}.npz", images=images.images, labels=images.labels)
        shown = [images.images[images.labels == label][:32] for label in range(len(images.class_names))]
        grid = callbacks.tile(np.concatenate(shown) / np.float32(255), 16)
        keras.utils.save_img(out / f"{name}_{seed}.png", grid, scale=False)


def options(minutes=None):
    """Returns a parser of the options of benchmarks that compare generators; with `minutes`, of those that fit them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--patients")
    parser.add_argument("--per-class", type=int, default=100)
    if minutes is not None:
        parser.add_argument("--minutes", type=float, default=minutes)
        parser.add_argument("--seeds", type=int, default=1)
    return parser


def main():
    parser = options(minutes=30)
    parser.add_argument("--generators", default=",".join(GENERATORS))
    parser.add_argument("--guidance", type=float, nargs="*", default=[], help="of diffusion, besides the usual one")
    parser.add_argument("--autoguidance", type=float, nargs="*", default=[], help="the same, without other guidance")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    train, for_judge, test, others = load(arguments)
    print(f"{len(train)} training images, {len(for_judge)} of the judge, {len(test)} and {len(others)} test images")
    judge = pretrained.frozen.trainer(train.image_shape, len(train.class_names))
    judge.train(for_judge, seed=0)
    if not (arguments.out / "real_0.json").exists():
        write(arguments.out, "real", 0, measure(judge, train, test, others), others)
    labels = np.repeat(np.arange(len(train.class_names)), DRAWN)
    for seed in range(1, arguments.seeds + 1):
        for name in arguments.generators.split(","):
            if (arguments.out / f"{name}_{seed}.json").exists():
                continue
            model, row = fitted(*recipe(name), train, seed, arguments.minutes)
            models = {name: model}
            if name in DIFFUSION:
                models |= {f"{name}_guidance_{scale:g}": model.with_guidance(scale) for scale in arguments.guidance}
                models |= {
                    f"{name}_autoguidance_{scale:g}": model.with_guidance(1, autoguidance=scale)
                    for scale in arguments.autoguidance
                }
            for named, generator in reversed(models.items()):  # the one whose file is looked for comes last
                began = time.process_time()
                images = adapter.draw(generator, train.class_names, labels, seed)
                drawn = {"sampling_seconds": (time.process_time() - began) / CORES}
                row |= drawn | measure(judge, train, test, images)
                write(arguments.out, named, seed, row, images, model if named == name else None)
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(arguments.out.glob("*.json"))]
    frame = pd.DataFrame(rows)
    frame.to_csv(arguments.out / "generator_quality.csv", index=False)
    for name, row in frame.drop(columns="seed").groupby("generator").mean().iterrows():
        for metric, value in row.dropna().items():
            print(f"{name}_{metric} = {value:.4f}")


if __name__ == "__main__":
    main()
