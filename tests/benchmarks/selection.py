"""Which weights of a training to use, by how many validation images there are: `python -m tests.benchmarks.selection`.

The skin CNN is trained on 50 phantoms of each class, in four arms of the default study, 600 steps with ten checks. At
each check validation and test images are scored. Then rules choose a check by validation sets of several sizes, which
are drawn from 200 images, and the AUC on 1,000 test images at that check is printed: mean and standard deviation. The
phantoms are not those of the default study.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from synthkit import catalogue, classifiers
from synthkit.datasets import phantom
from synthkit.imageset import concatenate
from synthkit.splitting import subsample
from synthkit.statistics import auc
from synthkit.statistics.estimates import fewest_patients
from synthkit.study import oversample
from synthkit.training import Trainer, standard_error

SIZES, DRAWS, ADDED = (20, 50, 100, 200), 8, 5


def one_standard_error(areas, patients):
    """Returns the check that `Trainer(selection="one_standard_error")` uses."""
    chosen, highest = 0, areas[0]
    for i, area in enumerate(areas):
        if area >= highest - standard_error(highest, patients):
            chosen = i
        highest = max(highest, area)
    return chosen


RULES = {
    "highest": lambda areas, patients: int(np.argmax(areas)),
    "one_standard_error": one_standard_error,
    "last": lambda areas, patients: len(areas) - 1,
}


def checks(trainer, train, splits, seed, augment):
    """Trains, and returns the scores of class 1 of the validation and of the test images at every check."""
    found, steps = [], 0

    def on_step():
        nonlocal steps
        steps += 1
        if steps % trainer.steps_per_check == 0:
            found.append([trainer.predict(part.images)[:, 1] for part in (splits.validation, splits.test)])

    trainer.train(train, seed=seed, augment=augment, on_step=on_step)
    return found


def area(labels, scores):
    return auc(labels, np.stack([1 - scores, scores], axis=1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trainings", type=int, default=6, help="of each arm")
    arguments = parser.parse_args()
    splits = phantom.load(28, train=1000, validation=200, test=1000, seed=123)
    labels, rng, rows = splits.validation.labels, np.random.default_rng(0), []
    trainer = Trainer(classifiers.skin_cnn, splits.train.image_shape, 2, steps=600, learning_rate=2e-3)
    augmentation = catalogue.build(catalogue.AUGMENTATIONS["augmentation"])()
    more = {"real": None, "augmentation": None, "oversample": oversample, "oracle": phantom.oracle()}
    for arm, synthesizer in more.items():
        for seed in range(arguments.trainings):
            train = real = subsample(splits.train, 50, seed=seed)
            if synthesizer:
                train = concatenate([real, synthesizer(real, np.repeat(real.labels, ADDED), seed)])
            found = checks(trainer, train, splits, seed, augmentation if arm == "augmentation" else None)
            on_test = [area(splits.test.labels, scores) for _, scores in found]
            for images in SIZES:
                for _ in range(DRAWS):
                    drawn = [rng.permutation(np.flatnonzero(labels == label))[: images // 2] for label in (0, 1)]
                    drawn = np.concatenate(drawn)
                    areas = [area(labels[drawn], scores[drawn]) for scores, _ in found]
                    patients = fewest_patients(labels[drawn], splits.validation.patients[drawn])
                    rows += [(arm, images, rule, on_test[choose(areas, patients)]) for rule, choose in RULES.items()]
    frame = pd.DataFrame(rows, columns=["arm", "images", "rule", "auc"])
    for (arm, images, rule), areas in frame.groupby(["arm", "images", "rule"], sort=False)["auc"]:
        print(f"{arm}_{images}_validation_images_{rule} {areas.mean():.3f} {areas.std():.3f}")


if __name__ == "__main__":
    main()
