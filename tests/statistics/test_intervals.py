import numpy as np
import pytest
from scipy import stats

from synthkit import statistics
from synthkit.statistics import intervals as areas
from tests.statistics.asah import POOR, S100B, WFNS


def brute(positive, scores):
    """DeLong et al. 1988, equations 3 to 6, every pair on its own. Returns areas and covariance matrix."""
    found, cases, controls = [], [], []
    for s in scores:
        wins = np.array([[1.0 * (x > y) + 0.5 * (x == y) for y in s[~positive]] for x in s[positive]])
        found.append(wins.mean())
        cases.append(wins.mean(1))
        controls.append(wins.mean(0))
    m, n = positive.sum(), (~positive).sum()
    covariance = np.empty((len(scores), len(scores)))
    for i in range(len(scores)):
        for j in range(len(scores)):
            s10 = np.sum((cases[i] - found[i]) * (cases[j] - found[j])) / (m - 1)
            s01 = np.sum((controls[i] - found[i]) * (controls[j] - found[j])) / (n - 1)
            covariance[i, j] = s10 / m + s01 / n
    return np.array(found), covariance


def test_agrees_with_the_definition_with_ties():
    rng = np.random.default_rng(0)
    positive = rng.random(90) < 0.4
    scores = np.round(rng.normal(size=(3, 90)) + positive, 1)
    ours, theirs = areas.delong_covariance(positive, scores), brute(positive, scores)
    assert ours[0] == pytest.approx(theirs[0], abs=1e-12)
    assert ours[1] == pytest.approx(theirs[1], abs=1e-12)


def test_variance_agrees_with_proc():
    # pROC's tests, test-var.R and the placements' theta.
    wfns, s100b = statistics.delong(POOR, WFNS), statistics.delong(POOR, S100B)
    assert wfns.value == pytest.approx(0.823678861788618, abs=1e-12)
    assert wfns.error**2 == pytest.approx(0.00146991470882363, abs=1e-12)
    assert s100b.value == pytest.approx(0.731368563685637, abs=1e-12)
    assert s100b.error**2 == pytest.approx(0.00266868245717244, abs=1e-12)


def test_paired_test_agrees_with_proc():
    # pROC's tests, test-roc.test.R: roc.test(r.wfns, r.s100b).
    found = statistics.delong_test(POOR, S100B, WFNS)
    assert found.value / found.error == pytest.approx(2.20898359144091, abs=1e-9)
    assert found.p == pytest.approx(0.0271757822291882, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((0.0104061769564846, 0.174214419249478), abs=1e-9)


def test_two_classifiers_of_the_same_order_do_not_differ():
    found = statistics.delong_test(POOR, WFNS, 2.0 * WFNS)
    assert (found.value, found.error, found.p) == (0, 0, 1)


def test_one_vs_rest_of_two_classes_is_delong():
    scores = np.stack([-S100B, S100B], axis=1)
    ours, binary = statistics.delong_one_vs_rest(POOR.astype(int), scores), statistics.delong(POOR, S100B)
    assert ours == pytest.approx(binary, abs=1e-12)


def test_one_vs_rest_agrees_with_the_bootstrap():
    rng = np.random.default_rng(2)
    labels = rng.choice(4, 600, p=[0.4, 0.3, 0.2, 0.1])
    scores = rng.normal(size=(600, 4)) + 1.0 * np.eye(4)[labels]
    found = statistics.delong_one_vs_rest(labels, scores)
    drawn = statistics.auc(labels, scores, statistics.patient_weights(np.arange(600), 4000, seed=3))
    assert found.value == pytest.approx(statistics.auc(labels, scores))
    assert found.error == pytest.approx(drawn.std(), rel=0.05)


def test_interval_covers_the_truth():
    rng = np.random.default_rng(3)
    positive = np.arange(120) < 60
    truth = stats.norm.cdf(1 / np.sqrt(2))
    found = [statistics.delong(positive, rng.normal(size=120) + positive) for _ in range(600)]
    assert np.mean([f.low <= truth <= f.high for f in found]) == pytest.approx(0.95, abs=0.03)


def test_error_from_the_area_alone():
    # Hanley and McNeil's example: 0.893 from 51 abnormal and 58 normal images has an error of 0.032.
    assert statistics.hanley_mcneil(0.893, 51, 58) == pytest.approx(0.032, abs=6e-4)
    # Normal scores of equal variance come near to their model.
    rng = np.random.default_rng(4)
    positive = np.arange(300) < 100
    areas_found = [statistics.delong(positive, rng.normal(size=300) + positive).value for _ in range(800)]
    truth = stats.norm.cdf(1 / np.sqrt(2))
    assert statistics.hanley_mcneil(truth, 100, 200) == pytest.approx(np.std(areas_found), rel=0.12)


def test_a_class_of_one_image_is_refused():
    with pytest.raises(ValueError, match="Received: 1 positive and 4 negative"):
        statistics.delong(np.arange(5) < 1, np.arange(5))
