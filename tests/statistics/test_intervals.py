import itertools

import numpy as np
import pytest
from scipy import stats

from synthkit import statistics
from tests.statistics.asah import POOR, S100B, WFNS


def brute(positive, scores):
    """DeLong et al. 1988, equations 3 to 6, every pair on its own. Returns the area and its variance."""
    wins = np.array([[1.0 * (x > y) + 0.5 * (x == y) for y in scores[~positive]] for x in scores[positive]])
    cases, controls, area = wins.mean(1), wins.mean(0), wins.mean()
    s10 = np.sum((cases - area) ** 2) / (len(cases) - 1)
    s01 = np.sum((controls - area) ** 2) / (len(controls) - 1)
    return area, s10 / len(cases) + s01 / len(controls)


def test_delong_agrees_with_the_definition_with_ties():
    rng = np.random.default_rng(0)
    positive = rng.random(90) < 0.4
    scores = np.round(rng.normal(size=90) + positive, 1)
    ours = statistics.delong(positive, scores)
    assert (ours.value, ours.error**2) == pytest.approx(brute(positive, scores), abs=1e-12)


def test_variance_agrees_with_proc():
    # pROC's tests, test-var.R and the placements' theta.
    wfns, s100b = statistics.delong(POOR, WFNS), statistics.delong(POOR, S100B)
    assert wfns.value == pytest.approx(0.823678861788618, abs=1e-12)
    assert wfns.error**2 == pytest.approx(0.00146991470882363, abs=1e-12)
    assert s100b.value == pytest.approx(0.731368563685637, abs=1e-12)
    assert s100b.error**2 == pytest.approx(0.00266868245717244, abs=1e-12)
    z = (0.731368563685637 - 0.5) / np.sqrt(0.00266868245717244)
    assert s100b.p == pytest.approx(2 * (1 - stats.norm.cdf(z)))


def test_delong_agrees_with_the_bootstrap():
    scores = np.stack([-S100B, S100B], axis=1)
    influences = statistics.influence("auc", POOR.astype(int), scores)[1][None]
    ours = statistics.estimate([0.7], influences, POOR.astype(int))
    assert statistics.delong(POOR, S100B).error == pytest.approx(ours.error)


def test_paired_test_agrees_with_proc():
    # pROC's tests, test-roc.test.R: roc.test(r.wfns, r.s100b).
    difference = statistics.delong_test(POOR, S100B, WFNS)
    assert difference.value / difference.error == pytest.approx(2.20898359144091, abs=1e-9)
    assert difference.p == pytest.approx(0.0271757822291882, abs=1e-9)
    assert (difference.low, difference.high) == pytest.approx((0.0104061769564846, 0.174214419249478), abs=1e-9)


def test_without_variance_there_is_no_interval_and_no_p_value():
    perfect = statistics.delong([True, True, False, False], [3, 4, 1, 2])
    same_order = statistics.delong_test(POOR, WFNS, 2.0 * WFNS)
    assert (perfect.value, perfect.error, same_order.value, same_order.error) == (1, 0, 0, 0)
    assert np.isnan([*perfect[2:], *same_order[2:]]).all()


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="scores must be finite. Received: 1 NaN or infinite"):
        statistics.delong([True, True, False, False], [3, np.nan, 1, 2])


def test_delongs_interval_covers_the_truth():
    rng = np.random.default_rng(3)
    positive = np.arange(120) < 60
    truth = stats.norm.cdf(1 / np.sqrt(2))
    estimates = [statistics.delong(positive, rng.normal(size=120) + positive) for _ in range(600)]
    assert np.mean([estimate.low <= truth <= estimate.high for estimate in estimates]) == pytest.approx(0.95, abs=0.03)


def test_standard_error_from_the_area_alone():
    # Hanley and McNeil's example: 0.893 from 51 abnormal and 58 normal images has a standard error of 0.032.
    assert statistics.hanley_mcneil(0.893, 51, 58) == pytest.approx(0.032, abs=6e-4)
    # Normal scores of equal variance are close to their model.
    rng = np.random.default_rng(4)
    positive = np.arange(300) < 100
    areas = [statistics.delong(positive, rng.normal(size=300) + positive).value for _ in range(800)]
    truth = stats.norm.cdf(1 / np.sqrt(2))
    assert statistics.hanley_mcneil(truth, 100, 200) == pytest.approx(np.std(areas), rel=0.12)


def test_a_class_of_one_image_is_refused():
    with pytest.raises(ValueError, match="Received: 1 positive and 4 negative"):
        statistics.delong(np.arange(5) < 1, np.arange(5))


@pytest.mark.parametrize(
    ("right", "total", "theirs"),
    [
        # statsmodels 0.15.0, proportion_confint(method="wilson").
        (241, 341, (0.656336710849522, 0.7525468395280887)),
        (126, 156, (0.7387540136654593, 0.8618411054499775)),
        (135, 156, (0.8029674974291915, 0.9102392065203898)),
        (0, 20, (0.0, 0.1611251580528194)),
    ],
)
def test_wilson_agrees_with_statsmodels(right, total, theirs):
    assert statistics.wilson(right, total) == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize(
    ("first_only", "second_only", "theirs"),
    # statsmodels 0.15.0, mcnemar(exact=True).
    [(10, 19, 0.13604594767093658), (0, 9, 0.00390625), (30, 56, 0.0066739231422248664), (3, 3, 1.0)],
)
def test_mcnemar_agrees_with_statsmodels(first_only, second_only, theirs):
    assert statistics.mcnemar(first_only, second_only) == pytest.approx(theirs, abs=1e-12)
    assert statistics.mcnemar(second_only, first_only) == pytest.approx(theirs, abs=1e-12)


def test_mcnemar_of_classifiers_that_always_agree():
    assert statistics.mcnemar(0, 0) == 1


@pytest.mark.parametrize(("first", "second", "total"), [(5, 8, 10), (8, 5, 10), (3, 3, 9), (0, 4, 9), (9, 10, 10)])
def test_mcnemar_range_is_that_of_all_tables_with_these_totals(first, second, total):
    p_values = [
        statistics.mcnemar(a, b)
        for both, a, b in itertools.product(range(total + 1), repeat=3)
        if both + a == first and both + b == second and both + a + b <= total
    ]
    assert statistics.mcnemar_range(first, second, total) == pytest.approx((min(p_values), max(p_values)))


def test_newcombe_agrees_with_statsmodels():
    # statsmodels 0.15.0, confint_proportions_2indep(552, 660, 526, 660, method="newcomb").
    value, low, high, p = statistics.newcombe(526, 660, 552, 660)
    assert value == pytest.approx(26 / 660)
    assert (low, high) == pytest.approx((-0.002394469634958603, 0.0810750238088424), abs=1e-12)
    assert 0.05 < p < 0.1
