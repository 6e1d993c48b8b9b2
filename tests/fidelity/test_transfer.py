import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from synthkit import fidelity
from tests.conftest import make_imageset


class TestTwoSampleTest:
    def test_two_samples_of_one_distribution_are_not_told_apart(self):
        rng = np.random.default_rng(0)
        found = [
            fidelity.two_sample_test(rng.normal(size=(60, 3)), rng.normal(size=(80, 3)), seed=i) for i in range(200)
        ]
        assert np.mean([f.accuracy for f in found]) == pytest.approx(0.5, abs=0.03)
        assert np.sum([f.p < 0.05 for f in found]) <= stats.binom.ppf(0.999, 200, 0.05)

    def test_different_spreads_are_told_apart(self):
        rng = np.random.default_rng(1)
        found = fidelity.two_sample_test(rng.normal(size=(200, 5)), 0.3 * rng.normal(size=(200, 5)))
        assert found.accuracy > 0.75
        assert found.p < 1e-6

    def test_takes_another_classifier(self):
        rng = np.random.default_rng(2)
        for classifier in (LogisticRegression(), RandomForestClassifier(random_state=0)):
            found = fidelity.two_sample_test(rng.normal(size=(90, 2)), rng.normal(size=(90, 2)) + 3, classifier)
            assert found.accuracy > 0.9


def test_cross_training_keeps_the_four_cases_apart():
    real, test = make_imageset(20, 0, name="real"), make_imageset(10, 1, name="test")
    synthetic, synthetic_test = make_imageset(20, 2, name="synthetic"), make_imageset(12, 3, name="synthetic test")
    seen = []

    def train(images):
        return lambda asked: seen.append((images.name, len(asked))) or np.eye(2)[np.arange(len(asked)) % 2]

    found = fidelity.cross_training(
        real, test, synthetic, synthetic_test, train, lambda labels, scores: np.mean(scores.argmax(1) == labels)
    )
    assert seen == [("real", 10), ("real", 12), ("synthetic", 10), ("synthetic", 12)]
    assert found == dict.fromkeys([(a, b) for a in ("real", "synthetic") for b in ("real", "synthetic")], 1.0)
