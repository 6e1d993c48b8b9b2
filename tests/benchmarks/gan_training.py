"""Which changes of the training make the label of the studies' GANs count, and their images differ.

`python -m tests.benchmarks.gan_training mass_crops_224 OUT --patients '([a-z]+)/(\\d*)\\d\\.jpg' --minutes 2`

The networks stay as they are in the catalogue. Each change is made alone, then those of `TOGETHER` at once. Images,
minutes, the classifier that looks for the class that was asked for, and metrics are those of `generator_quality`, and
two are added: `diversity`, of the class where it is lower, as a fraction of that of real images (one that made a single
image would have 0), and `class_difference`, by how many grey levels the mean images of two classes differ, above what
they differ by with permuted labels (mean absolute difference, over all pixels and pairs of classes).
"""

import itertools
import json

import keras
import numpy as np
import pandas as pd

from synthkit import catalogue, pretrained
from synthkit.generators import adapter, losses
from synthkit.generators.callbacks import diversity
from synthkit.generators.conv_cgan import R1
from synthkit.generators.gan import GAN
from synthkit.generators.layers import DiffAugment
from tests.benchmarks.generator_quality import DRAWN, fitted, load, measure, options, write


def smoothed(real, fake):
    """The discriminator's loss with labels of 0.9 for real images (Salimans et al., NeurIPS 2016, section 3.4)."""
    return losses.cross_entropy_discriminator(real, fake) + 0.1 * keras.ops.mean(real)


GENERATORS = ("mammography_cgan", "dense_cgan")  # whose builders give `GAN` its networks only
CHANGES = {  # learning rates of generator and discriminator, batch size, arguments of `GAN`
    "unchanged": {},
    "mismatched": {"mismatched": 1.0},  # Reed et al., ICML 2016
    "two rates": {"rates": (1e-4, 4e-4)},  # as Zhang et al., ICML 2019
    "slower": {"rates": (5e-5, 5e-5)},
    "two critic steps": {"critic_steps": 2},
    "batch of 16": {"batch_size": 16},
    "smoothed labels": {"discriminator_loss": smoothed},
    "R1 penalty": R1,  # Mescheder et al., ICML 2018; with the weight of `conv_cgan`
    "DiffAugment": {"augment": True},  # Zhao et al., NeurIPS 2020
    "averaged weights": {"decay": 0.998},
}
TOGETHER = {
    "together": ("mismatched", "R1 penalty", "DiffAugment", "averaged weights"),
    "three together": ("mismatched", "batch of 16", "averaged weights"),  # chosen from a run with the others
}


def builder(name, rates=None, augment=False, **options):
    """Returns a builder of a GAN of the catalogue with another training."""

    def build(image_shape, num_classes):
        base = catalogue.build(catalogue.GENERATORS[name])(image_shape, num_classes)
        layer = DiffAugment() if augment else None
        model = GAN(image_shape, num_classes, base.generator, base.discriminator, augment=layer, name=name, **options)
        adam = base.optimizer.get_config() | {"name": None}
        given = rates or (adam["learning_rate"],) * 2
        model.compile(*(keras.optimizers.Adam.from_config({**adam, "learning_rate": rate}) for rate in given))
        return model

    return build


def class_difference(images):
    """Returns by how many grey levels the mean images of two classes differ, above what chance makes of them."""

    def apart(labels):
        means = [images.images[labels == label].mean(0) for label in range(len(images.class_names))]
        return np.mean([np.abs(a - b).mean() for a, b in itertools.combinations(means, 2)])

    rng = np.random.default_rng(0)
    return apart(images.labels) - np.mean([apart(rng.permutation(images.labels)) for _ in range(20)])


def main():
    parser = options(minutes=2)
    parser.add_argument("--generators", nargs="*", choices=GENERATORS, default=GENERATORS)
    parser.add_argument("--changes", default=",".join([*CHANGES, *TOGETHER]))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    train, for_judge, test, others = load(arguments)
    judge = pretrained.frozen.trainer(train.image_shape, len(train.class_names))
    judge.train(for_judge, seed=0)
    real = diversity(train.images / np.float32(255), train.labels)

    def measured(images):
        fraction = (diversity(images.images / np.float32(255), images.labels) / real).min()
        return measure(judge, train, test, images) | {
            "diversity": fraction,
            "class_difference": class_difference(images),
        }

    if not (arguments.out / "real_0.json").exists():
        write(arguments.out, "real", 0, measured(others), others)
    changes = dict(CHANGES)
    for title, names in TOGETHER.items():
        changes[title] = {key: value for name in names for key, value in CHANGES[name].items()}
    labels = np.repeat(np.arange(len(train.class_names)), DRAWN)
    names = itertools.product(range(1, arguments.seeds + 1), arguments.generators)
    for (seed, name), change in itertools.product(names, arguments.changes.split(",")):
        title = f"{name}, {change}"
        if (arguments.out / f"{title}_{seed}.json").exists():
            continue
        given = dict(changes[change])
        batch_size = given.pop("batch_size", catalogue.GENERATORS[name].batch_size)
        model, row = fitted(builder(name, **given), batch_size, train, seed, arguments.minutes)
        images = adapter.draw(model, train.class_names, labels, seed)
        write(arguments.out, title, seed, row | measured(images), images)
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(arguments.out.glob("*.json"))]
    frame = pd.DataFrame(rows)
    frame.to_csv(arguments.out / "gan_training.csv", index=False)
    for name, row in frame.drop(columns="seed").groupby("generator", sort=False).mean().iterrows():
        for metric in ("kid", "label_auc", "diversity", "class_difference"):
            print(f"{name}: {metric} = {row[metric]:.4f}")


if __name__ == "__main__":
    main()
