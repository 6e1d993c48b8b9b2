import dataclasses

import numpy as np
import pytest

from synthkit import study
from synthkit.generators import synthesizer
from synthkit.splitting import subsample
from synthkit.study import Arm
from synthkit.study.arms import synthesize
from tests.conftest import make_imageset
from tests.generators.toy import toy
from tests.study.toy import OPTIONS, brighter, toy_splits


def test_oversample_draws_training_images_of_the_requested_classes():
    train, labels = make_imageset(20, 1), np.array([1, 0, 1, 1])
    images = study.oversample(train, labels, seed=1)
    assert images.labels.tolist() == labels.tolist()
    assert {image.tobytes() for image in images.images} <= {image.tobytes() for image in train.images}


def test_shuffled_keeps_the_images_and_the_class_counts():
    train, labels = make_imageset(20, 1), np.arange(40) % 2
    plain, shuffled = brighter(train, labels, 3), study.shuffled(brighter)(train, labels, 3)
    assert (plain.images == shuffled.images).all()
    assert shuffled.labels.sum() == labels.sum()
    assert 10 < (shuffled.labels != plain.labels).sum() < 30


class TestSynthesize:
    def test_labels_are_in_the_proportions_of_the_real_images(self):
        images = synthesize(Arm("mixed", brighter, ratio=0.5), make_imageset(24), 0)
        assert images.class_counts() == {"bright": 6, "dark": 6}

    def test_balance_fills_up_the_smaller_class(self):
        images = make_imageset(40, 1)
        real = images[np.flatnonzero((images.labels == 0) | (np.arange(40) < 20))]
        synthetic = synthesize(Arm("balanced", brighter, balance=True), real, seed=0)
        assert real.class_counts() == {"bright": 20, "dark": 10}
        assert synthetic.class_counts() == {"bright": 0, "dark": 10}

    def test_balanced_classes_need_no_images(self):
        with pytest.raises(ValueError, match="the arm balanced asks for no synthetic image"):
            synthesize(Arm("balanced", brighter, balance=True), make_imageset(20), seed=0)

    def test_counts_are_those_of_each_class(self):
        synthetic = synthesize(Arm("counted", brighter, counts={"dark": 7, "bright": 2}), make_imageset(20), seed=0)
        assert synthetic.class_counts() == {"bright": 2, "dark": 7}

    def test_other_images_than_requested_are_refused(self):
        real = make_imageset(24)
        for wrong in (make_imageset(23), make_imageset(24, size=24), make_imageset(24)[::2]):
            with pytest.raises(ValueError, match=r"asked for 24 images of shape \(20, 20, 1\)"):
                synthesize(Arm("odd", lambda *_, wrong=wrong: wrong), real, 0)
        with pytest.raises(ValueError, match="must return an ImageSet. Received: ndarray"):
            synthesize(Arm("odd", lambda train, *_: train.images), real, 0)

    def test_test_images_are_refused(self, finished, tmp_path):
        splits = finished[0]

        def thief(train, labels, seed):
            stolen = subsample(splits.test, 12)
            return dataclasses.replace(stolen, labels=np.sort(labels)) if len(labels) == 24 else stolen

        results = study.run(splits, [Arm("thief", thief)], out=tmp_path, **(OPTIONS | {"seeds": 1}))
        assert "images of thief are validation or test images" in results.trials["status"][0]


def test_a_generator_that_learned_test_images_is_refused(tmp_path):
    splits = toy_splits()
    synthesize = synthesizer(toy, epochs=1, pretrained_on=splits.test)
    for arm in (Arm("plain", synthesize), Arm("shuffled", study.shuffled(synthesize))):
        with pytest.raises(ValueError, match="30 of 30 images of toy 2 look like validation or test images"):
            study.run(splits, [arm], out=tmp_path, **OPTIONS)
