import itertools

import pytest

from synthkit import statistics


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


def test_mcnemar_without_a_disagreement():
    assert statistics.mcnemar(0, 0) == 1


@pytest.mark.parametrize(("first", "second", "total"), [(5, 8, 10), (8, 5, 10), (3, 3, 9), (0, 4, 9), (9, 10, 10)])
def test_mcnemar_range_holds_every_table_with_these_totals(first, second, total):
    p_values = [
        statistics.mcnemar(a, b)
        for both, a, b in itertools.product(range(total + 1), repeat=3)
        if both + a == first and both + b == second and both + a + b <= total
    ]
    assert statistics.mcnemar_range(first, second, total) == pytest.approx((min(p_values), max(p_values)))


def test_difference_agrees_with_statsmodels():
    # statsmodels 0.15.0, confint_proportions_2indep(552, 660, 526, 660, method="newcomb").
    value, low, high, p = statistics.newcombe(526, 660, 552, 660)
    assert value == pytest.approx(26 / 660)
    assert (low, high) == pytest.approx((-0.002394469634958603, 0.0810750238088424), abs=1e-12)
    assert 0.05 < p < 0.1
