import dataclasses

import numpy as np
import pytest

from synthkit import classifiers, statistics
from synthkit.training import cross_validate, scorer
from tests.conftest import make_imageset


def test_scorer_fits_on_patients_and_judges_by_others():
    seen = []

    def builder(image_shape, num_classes):
        seen.append(image_shape)
        return classifiers.skin_cnn(image_shape, num_classes)

    fit = scorer(builder, steps=60, batch_size=16, checks=3)
    images = make_imageset(80, 1, patients=[f"P{i // 4}" for i in range(80)])
    predict = fit(images, 0)
    test = make_imageset(60, 9)
    assert statistics.auc(test.labels, predict(test.images)) > 0.95
    other = dataclasses.replace(images, labels=1 - images.labels)
    assert statistics.auc(test.labels, fit(other, 0)(test.images)) < 0.05
    assert set(seen) == {(20, 20, 1)}


@pytest.mark.parametrize("order", [0, 1])
def test_scorer_keeps_the_better_way_to_augment(order):
    def blank(images, labels, seeds):
        return images * 0, labels

    images, test = make_imageset(80, 1), make_imageset(60, 9)
    ways = ((blank, None), (None, blank))[order]
    predict = scorer(classifiers.skin_cnn, steps=60, batch_size=16, checks=3, augment=ways)(images)
    assert statistics.auc(test.labels, predict(test.images)) > 0.95


def test_cross_validation_scores_every_patient_by_a_network_that_has_not_seen_them():
    whole = make_imageset(60, 3)
    whole = dataclasses.replace(whole, patients=[f"P{i // 2}" for i in range(60)])
    seen, scored = [], []

    class Spy:
        def train(self, train, seed, augment):
            seen.append(set(train.patients))

        def predict(self, images):
            scored.append(
                {whole.patients[np.flatnonzero((whole.images == image).all((1, 2, 3)))[0]] for image in images}
            )
            return np.full((len(images), 2), len(scored), "float32")

    scores = cross_validate(Spy(), whole, 5)
    assert set(scores[:, 0]) == {1, 2, 3, 4, 5}
    assert all(not train & held for train, held in zip(seen, scored, strict=True))
    assert set.union(*scored) == set(whole.patients)
    with pytest.raises(ValueError, match="folds must be at least 2 and at most the .* patients of class"):
        cross_validate(Spy(), whole, 50)
