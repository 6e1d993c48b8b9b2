import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from synthkit import statistics
from synthkit.statistics import clinical


def drawn(n=400, slope=0.5, shift=0.7, seed=0):
    """Returns labels, and scores whose logits must be multiplied by `slope` and shifted to be calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, n)
    labels = (rng.random(n) < special.expit(slope * logits + shift)).astype(int)
    scores = special.expit(logits)
    return labels, np.stack([1 - scores, scores], axis=1)


def numerical(metric, labels, scores, image):
    """Returns by how much a metric changes with more of one image: fifty copies of all, one more of it."""
    rows = np.concatenate([np.tile(np.arange(len(labels)), 50), [image]])
    return (metric(labels[rows], scores[rows])[0] - metric(labels, scores)[0]) * 50


class TestCalibration:
    def test_slope_agrees_with_scikit_learn(self):
        labels, scores = drawn()
        logits = special.logit(scores[:, 1])
        theirs = LogisticRegression(C=1e9, tol=1e-10).fit(logits[:, None], labels)
        assert clinical.calibration_slope(labels, scores)[0] == pytest.approx(theirs.coef_[0, 0], rel=1e-4)

    def test_intercept_makes_the_mean_probability_the_prevalence(self):
        labels, scores = drawn()
        value, _ = clinical.calibration_intercept(labels, scores)
        assert special.expit(special.logit(scores[:, 1]) + value).mean() == pytest.approx(labels.mean(), abs=1e-9)

    def test_the_other_class_has_the_same_slope_and_the_opposite_intercept(self):
        labels, scores = drawn()
        assert clinical.calibration_slope(labels, scores, 0)[0] == pytest.approx(
            clinical.calibration_slope(labels, scores, 1)[0], abs=1e-4
        )
        assert clinical.calibration_intercept(labels, scores, 0)[0] == pytest.approx(
            -clinical.calibration_intercept(labels, scores, 1)[0], abs=1e-6
        )

    @pytest.mark.parametrize("metric", [clinical.calibration_slope, clinical.calibration_intercept])
    def test_influences_are_what_one_more_image_changes(self, metric):
        labels, scores = drawn(60)
        _, influences = metric(labels, scores)
        assert influences.sum() == pytest.approx(0, abs=1e-6)
        for image in (0, 1, 2, 3):
            assert influences[image] == pytest.approx(numerical(metric, labels, scores, image), abs=2e-3)

    def test_standard_error_is_that_of_repeated_samples(self):
        samples = [clinical.calibration_slope(*drawn(300, seed=seed)) for seed in range(200)]
        values, influences = zip(*samples, strict=True)
        errors = np.sqrt([np.sum(influence**2) for influence in influences])
        assert np.mean(values) == pytest.approx(0.5, abs=0.02)
        assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)

    def test_separated_classes_have_no_slope(self):
        scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.0, 1.0]])
        assert np.isnan(clinical.calibration_slope([0, 0, 1, 1], scores)[0])
        assert np.isnan(clinical.calibration_slope([0, 1, 0, 1], np.full((4, 2), 0.5))[0])
        assert np.isnan(clinical.calibration_intercept([1, 1], scores[:2])[0])


class TestNetBenefit:
    def test_by_hand(self):
        labels = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
        positive = np.array([0.9, 0.3, 0.1, 0.3, 0.3, 0.1, 0.1, 0.0, 0.0, 0.0])
        scores = np.stack([1 - positive, positive], axis=1)
        # At 0.2 two of ten are rightly and two wrongly treated, and a wrong one costs 0.2 / 0.8 of a right one.
        value, influences = clinical.net_benefit(0.2)(labels, scores)
        assert value == pytest.approx((2 - 2 * 0.25) / 10)
        assert influences.sum() == pytest.approx(0)
        assert clinical.decision_curve(labels, scores, 1, np.array([0.2, 0.5]))[1] == pytest.approx(0.1)

    def test_curve_and_metric_agree_at_another_prevalence(self):
        labels, scores = drawn()
        for at in (0.005, 0.02, 0.1):
            value, _ = clinical.net_benefit(at, 0.01)(labels, scores)
            assert value == pytest.approx(clinical.decision_curve(labels, scores, 1, np.array([at]), 0.01)[0])

    def test_calibrated_probabilities_are_calibrated_at_another_prevalence(self):
        # Then no other cut of the same scores has a higher net benefit than the threshold probability itself.
        labels, scores = drawn(40_000, slope=1.0, shift=0.0)
        at, prevalence = 0.05, 0.03
        chosen = clinical.net_benefit(at, prevalence)(labels, scores)[0]
        cuts = np.linspace(0.01, 0.99, 99)
        found = np.array([np.mean(scores[labels == 1, 1] >= cut) for cut in cuts])
        alarms = np.array([np.mean(scores[labels == 0, 1] >= cut) for cut in cuts])
        best = np.max(prevalence * found - (1 - prevalence) * alarms * at / (1 - at))
        assert chosen == pytest.approx(best, abs=2e-4)

    def test_treating_all_is_worth_nothing_at_the_prevalence(self):
        assert clinical.treat_all(0.3, 0.3) == pytest.approx(0)
        assert clinical.treat_all(0.3, 0.0) == pytest.approx(0.3)


class TestDescribe:
    def test_same_means_and_intervals_as_the_summary(self):
        rng = np.random.default_rng(1)
        labels = np.arange(60) % 2
        raw = special.expit(labels + rng.normal(size=(3, 60)))
        scores = {"real": np.stack([1 - raw, raw], axis=2), "other": np.stack([1 - raw[::-1], raw[::-1]], axis=2)}
        cuts = {arm: np.array([0.5, 0.6, 0.7]) for arm in scores}
        patients = np.arange(60) // 2
        options = {"positive": 1, "thresholds": cuts}
        names = ["auc", "sensitivity"]
        table = statistics.describe(scores, labels, patients, {name: name for name in names}, **options)
        summary = statistics.summarize(scores, labels, patients, metrics=names, **options)
        both = table.merge(summary, on=["arm", "metric"])
        assert len(both) == 4
        for column in ("mean", "low", "high"):
            assert both[f"{column}_x"].to_numpy() == pytest.approx(both[f"{column}_y"].to_numpy())

    def test_recall_of_one_class(self):
        scores = {"real": np.eye(3)[[[0, 0, 1, 2, 2, 2]]]}
        labels = np.array([0, 0, 1, 1, 2, 2])
        metrics = {f"class {label}": statistics.descriptions.recall(label) for label in range(3)}
        table = statistics.describe(scores, labels, np.arange(6), metrics)
        assert table["mean"].tolist() == [1, 0.5, 1]
        assert table["metric"].tolist() == ["class 0", "class 1", "class 2"]

    def test_folds_in_which_a_metric_is_not_defined(self):
        labels, scores = drawn(80)
        folds = np.array([np.arange(80) % 4] * 2)
        separated = scores.copy()
        first = folds[0] == 0
        separated[first, 1] = np.where(labels[first] == 1, 0.9, 0.1)
        separated[:, 0] = 1 - separated[:, 1]
        both = {"real": np.stack([separated, scores])}
        cuts = {"real": np.full((2, 80), 0.5)}
        metrics = {"slope": clinical.calibration_slope}
        table = statistics.describe(
            both, labels, np.arange(80), metrics, thresholds=cuts, folds=folds, proportion=False
        )
        assert table["low"][0] < table["mean"][0] < table["high"][0]

    def test_treating_nobody_has_no_interval(self):
        labels, scores = drawn(60)
        both = {"real": np.stack([scores, scores[::-1]])}
        table = statistics.describe(
            both, labels, np.arange(60), {"none": clinical.net_benefit(0.9999999)}, proportion=False
        )
        assert table["mean"][0] == 0
        assert table[["low", "high"]].isna().all(axis=None)
