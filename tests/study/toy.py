"""A study of toy images that takes seconds, for the tests of `synthkit.study`."""

import numpy as np

from synthkit import study
from synthkit.classifiers import skin_cnn
from synthkit.imageset import ImageSet, Splits
from synthkit.study import Arm
from tests.conftest import make_imageset


def brighter(train, labels, seed):
    """A synthesizer of a user's own: new images of the toy classes."""
    images = make_imageset(2 * len(labels), seed % 1000, name="brighter")
    rows = [np.flatnonzero(images.labels == label)[i] for i, label in enumerate(labels)]
    return ImageSet(images.images[rows], labels, train.class_names, name="brighter")


def toy_splits(train=24):
    return Splits(*(make_imageset(n, s, name=f"toy {s}") for s, n in enumerate((train, 12, 30))))


ARMS = [Arm("real"), Arm("brighter", brighter), Arm("shuffled", study.shuffled(brighter), ratio=2.0)]
OPTIONS = {"classifier": skin_cnn, "seeds": 2, "steps": 6, "batch_size": 8, "positive": "bright", "progress": False}
OPTIONS["fixed_training_set"] = True  # so that the numbers of images are easy to see


def assert_same(first, second):
    """Asserts that two studies have the same results to the last bit."""
    columns = first.trials.columns.drop("seconds")
    assert first.trials[columns].equals(second.trials[columns])
    assert list(first.scores) == list(second.scores)
    for arm in first.scores:
        assert (first.scores[arm] == second.scores[arm]).all()
