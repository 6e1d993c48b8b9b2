import numpy as np
import pytest
from scipy import special
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from synthkit import calibration


def drawn(n, classes, sharpness, seed=0):
    """Labels drawn from known probabilities, and scores that are `sharpness` times too sure."""
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

    def test_expected_calibration_error_by_hand(self):
        # Guo et al., equation 3: half of the images at 0.9 with accuracy 0.5, half at 0.6 with accuracy 1.
        scores = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
        assert calibration.expected_calibration_error([0, 1, 1, 1], scores) == pytest.approx(0.4)
        # Class 1 alone: two images at 0.1 of which one is, two at 0.6 which are.
        assert calibration.expected_calibration_error([0, 1, 1, 1], scores, 1) == pytest.approx(0.4)
        assert calibration.expected_calibration_error([0, 0, 1, 1], scores, 1) == pytest.approx(0.25)

    def test_true_probabilities_have_hardly_any_error(self):
        labels, scores = drawn(20000, 3, 1.0)
        assert calibration.expected_calibration_error(labels, scores) < 0.02
        labels, scores = drawn(20000, 3, 3.0)
        assert calibration.expected_calibration_error(labels, scores) > 0.1


def test_brier_by_hand():
    scores = np.array([[0.2, 0.8], [0.7, 0.3]])
    assert calibration.brier([1, 0], scores) == pytest.approx((0.2**2 + 0.3**2) / 2)
    assert calibration.brier([1, 0], scores, positive=0) == pytest.approx((0.2**2 + 0.3**2) / 2)
    assert calibration.brier([0, 1], np.full((2, 2), 0.5)) == 0.25


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
        labels, scores = drawn(2000, 4, 1.8)
        mended = calibration.scale(scores, 1.8)
        assert mended == pytest.approx(drawn(2000, 4, 1.0)[1], abs=1e-6)
        assert (mended.argmax(1) == scores.argmax(1)).all()
        errors = [calibration.expected_calibration_error(labels, s) for s in (scores, mended)]
        assert errors[1] < errors[0] / 3

    def test_scores_of_nought_and_one(self):
        scores = np.array([[0, 1], [1, 0], [0, 1], [0.5, 0.5]], "float32")
        temperature = calibration.fit_temperature([1, 0, 0, 1], scores)
        assert temperature > 1
        assert np.isfinite(calibration.scale(scores, temperature)).all()
        # Always right: the lower, the better.
        assert calibration.fit_temperature([1, 0, 1], scores[:3]) < 0.2
