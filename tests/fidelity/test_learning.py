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
        tests = [
            fidelity.two_sample_test(rng.normal(size=(60, 3)), rng.normal(size=(80, 3)), permutations=199, seed=i)
            for i in range(200)
        ]
        assert np.mean([test.accuracy for test in tests]) == pytest.approx(0.5, abs=0.03)
        assert np.sum([test.p <= 0.05 for test in tests]) <= stats.binom.ppf(0.999, 200, 0.05)

    @pytest.mark.parametrize("alike", [4, 1])
    def test_nor_are_they_if_patients_have_four_images(self, alike):
        rng, patients, tests = np.random.default_rng(0), np.repeat(np.arange(24), 4), []
        of_synthetic = np.repeat(np.arange(96 // alike), alike)
        for i in range(200):
            real = rng.normal(size=(24, 3))[patients] + 0.3 * rng.normal(size=(96, 3))
            synthetic = rng.normal(size=(96, 3))[of_synthetic] + 0.3 * rng.normal(size=(96, 3))
            known = {"patients": patients, "synthetic_patients": of_synthetic, "permutations": 199}
            tests.append(fidelity.two_sample_test(real, synthetic, seed=i, **known))
        assert np.mean([test.accuracy for test in tests]) == pytest.approx(0.5, abs=0.03)
        assert np.sum([test.p <= 0.05 for test in tests]) <= stats.binom.ppf(0.999, 200, 0.05)

    def test_the_p_value_is_that_of_a_hypergeometric_test_with_an_image_per_patient(self):
        rng = np.random.default_rng(5)
        real, synthetic = rng.normal(size=(50, 2)), rng.normal(size=(90, 2)) + 0.8

        class Line:
            def fit(self, features, labels):
                assert len(features) == 50  # as many real as synthetic ones
                return self

            def predict(self, features):
                self.taken = [*getattr(self, "taken", []), features.sum(1) > 0.8]
                return self.taken[-1]

        line = Line()
        test = fidelity.two_sample_test(real, synthetic, line, permutations=5000)
        (of_real, of_synthetic), both = line.taken, np.concatenate(line.taken)
        expected = stats.hypergeom.sf(of_synthetic.sum() - 1, len(both), both.sum(), len(of_synthetic))
        assert (len(of_real), len(of_synthetic)) == (25, 45)
        assert test.p == pytest.approx(expected, abs=0.01)
        assert test.accuracy == pytest.approx((1 - of_real.mean() + of_synthetic.mean()) / 2)

    def test_different_spreads_are_told_apart(self):
        rng = np.random.default_rng(1)
        test = fidelity.two_sample_test(rng.normal(size=(200, 5)), 0.3 * rng.normal(size=(200, 5)))
        assert test.accuracy > 0.75
        assert test.p < 0.001

    def test_three_patients_are_refused(self):
        with pytest.raises(ValueError, match="at least 4 patients in each set. Received: 3 in one"):
            fidelity.two_sample_test(np.ones((9, 2)), np.ones((9, 2)), patients=np.arange(9) % 3)

    @pytest.mark.parametrize("classifier", [LogisticRegression(), RandomForestClassifier(random_state=0)])
    def test_takes_another_classifier(self, classifier):
        rng = np.random.default_rng(2)
        test = fidelity.two_sample_test(rng.normal(size=(90, 2)), rng.normal(size=(90, 2)) + 3, classifier)
        assert test.accuracy > 0.9


def test_cross_training_keeps_the_four_cases_apart():
    real, test = make_imageset(20, 0, name="real"), make_imageset(10, 1, name="test")
    synthetic, synthetic_test = make_imageset(20, 2, name="synthetic"), make_imageset(12, 3, name="synthetic test")
    calls = []

    def train(train_set):
        return lambda images: calls.append((train_set.name, len(images))) or np.eye(2)[np.arange(len(images)) % 2]

    values = fidelity.cross_training(
        real, test, synthetic, synthetic_test, train, lambda labels, scores: np.mean(scores.argmax(1) == labels)
    )
    assert calls == [("real", 10), ("real", 12), ("synthetic", 10), ("synthetic", 12)]
    assert values == dict.fromkeys([(a, b) for a in ("real", "synthetic") for b in ("real", "synthetic")], 1.0)
