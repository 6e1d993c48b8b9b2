"""The time of a study with frozen features: `python -m tests.benchmarks.frozen_study FOLDER`.

Six arms and ten seeds on 500 real images at 96×96 pixels; FOLDER has a folder of images for each class, such as the
mammogram crops. Generators are fitted before, for a few epochs, since their fits are not what is timed. The peer is
what people write by hand: for every trial, features of all its images from Keras's network, and scikit-learn's
regression with the penalty from a cross-validation. It is timed for one seed of every arm.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command line does

import numpy as np
from sklearn.linear_model import LogisticRegressionCV

from synthkit import backbones, catalogue, datasets, pretrained, study
from synthkit.imageset import concatenate
from synthkit.splitting import subsample

NAMES = ("real", "augmentation", "oversample x1", "dense_cvae x1", "conv_cvae x1", "conv_cvae x1 augmented")
SEEDS, SIZE, COPIES = 10, 96, 4  # transformed copies, as ours


def by_hand(splits, arms, network):
    """Trains and scores one seed of every arm in the way that the module's docstring describes."""

    def features(images):
        return np.asarray(network.predict(images.astype("float32") / 255, batch_size=64, verbose=0))

    for arm in arms:
        train = splits.train
        if arm.augment:
            images, labels = np.tile(train.images, (COPIES, 1, 1, 1)), np.tile(train.labels, COPIES)
            drawn = arm.augment.sample(np.stack([np.arange(len(images))] * 2, axis=1), train.image_shape)
            images = np.round(arm.augment.apply(images, drawn, "float32") * 255).astype("uint8")
        else:
            images, labels = train.images, train.labels
        if arm.synthesizer:
            added = arm.synthesizer(train, train.labels, 0)
            images, labels = np.concatenate([images, added.images]), np.concatenate([labels, added.labels])
        regression = LogisticRegressionCV(Cs=10, cv=3, max_iter=500).fit(features(images), labels)
        regression.predict_proba(features(splits.test.images))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--patients", default=r"([a-z]+)/(\d*)\d\.jpg")
    arguments = parser.parse_args()
    splits = datasets.load(arguments.data, SIZE, patients=arguments.patients, validation=0.1, test=0.3)
    splits = dataclasses.replace(splits, train=subsample(splits.train, 250, seed=0))
    with tempfile.TemporaryDirectory() as folder:
        epochs = {"dense_cvae": 2, "conv_cvae": 2}
        arms = catalogue.arms(NAMES, epochs=epochs, keep=Path(folder) / "generators", generator_size=32)
        options = {"classifier": pretrained.frozen, "seeds": SEEDS, "fixed_training_set": True}
        study.run(splits, arms, out=Path(folder) / "first", **options)
        began = time.perf_counter()
        results = study.run(splits, arms, out=Path(folder) / "second", **options)
        summary = results.summary()
        ours = time.perf_counter() - began
        began = time.perf_counter()
        by_hand(splits, arms, backbones.efficientnet_lite0(splits.train.image_shape))
        peer = (time.perf_counter() - began) * SEEDS
    images = len(splits.train), len(concatenate([splits.validation, splits.test]))
    print(f"{images[0]} training and {images[1]} other images, {len(results.trials)} trials, {len(summary)} rows")
    print(f"study_seconds {ours:.0f}")
    print(f"study_vs_by_hand {peer / ours:.1f}")


if __name__ == "__main__":
    main()
