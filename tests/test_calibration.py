import numpy as np
import pytest
from scipy import special
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from synthkit import calibration


def drawn(n, classes, sharpness, seed=0):
    """Returns labels drawn from known probabilities, and scores whose logits are `sharpness` times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, classes))
    labels = np.array([rng.choice(classes, p=p) for p in special.softmax(logits, axis=1)])
    return labels, special.softmax(sharpness * logits, axis=1)


class TestReliability:
    def test_curve_agrees_with_scikit_learn(self):
        labels, scores = drawn(500, 2, 2.0)
        table = calibration.reliability(labels, scores, positive=0, bins=8)
        observed, predicted = calibration_curve(labels == 0, scores[:, 0], n_bins=8)
        assert table["observed"].to_numpy() == pytest.approx(observed)
        assert table["predicted"].to_numpy() == pytest.approx(predicted)
        assert table["images"].sum() == 500

    def test_table_by_hand(self):
        scores = np.array([[0.9, 0.1], [0.95, 0.05], [0.4, 0.6], [0.35, 0.65], [0.0, 1.0]])
        table = calibration.reliability([0, 1, 1, 1, 1], scores, bins=10)
        # 0.6 belongs to the bin from 0.5 to 0.6, whose upper edge it is.
        assert table["low"].to_numpy() == pytest.approx([0.5, 0.6, 0.8, 0.9])
        assert table["high"].to_numpy() == pytest.approx([0.6, 0.7, 0.9, 1.0])
        assert table["predicted"].to_numpy() == pytest.approx([0.6, 0.65, 0.9, 0.975])
        assert table["observed"].tolist() == [1, 1, 1, 0.5]
        assert table["images"].tolist() == [1, 1, 1, 2]

    def test_true_probabilities_agree_with_frequencies(self):
        def gap(labels, scores):
            table = calibration.reliability(labels, scores)
            return np.average(abs(table["observed"] - table["predicted"]), weights=table["images"])

        assert gap(*drawn(20000, 3, 1.0)) < 0.02
        assert gap(*drawn(20000, 3, 3.0)) > 0.1


class TestTemperature:
    def test_two_classes_agree_with_logistic_regression(self):
        # One weight and no intercept on the log-odds: the same model, its weight the inverse temperature.
        labels, scores = drawn(300, 2, 2.0)
        odds = np.log(scores[:, [1]] / scores[:, [0]])
        peer = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10).fit(odds, labels)
        assert calibration.fit_temperature(labels, scores) == pytest.approx(1 / peer.coef_.item(), rel=1e-3)

    def test_finds_the_temperature_that_was_put_in(self):
        labels, scores = drawn(20000, 4, 2.5)
        assert calibration.fit_temperature(labels, scores) == pytest.approx(2.5, rel=0.05)

    def test_scaling_undoes_it_and_keeps_the_decisions(self):
        _, scores = drawn(2000, 4, 1.8)
        scaled = calibration.scale(scores, 1.8)
        assert scaled == pytest.approx(drawn(2000, 4, 1.0)[1], abs=1e-6)
        assert (scaled.argmax(1) == scores.argmax(1)).all()

    def test_scores_of_zero_and_one(self):
        scores = np.array([[0, 1], [1, 0], [0, 1], [0.5, 0.5]], "float32")
        temperature = calibration.fit_temperature([1, 0, 0, 1], scores)
        assert temperature > 1
        assert np.isfinite(calibration.scale(scores, temperature)).all()
        # Always right: the lower the temperature, the lower the cross-entropy.
        assert calibration.fit_temperature([1, 0, 1], scores[:3]) < 0.2
