"""Intervals and tests that need counts only: how many of how many were right."""

import numpy as np
from scipy import stats


def wilson(right, total, level=0.95):
    """Returns Wilson's interval `(low, high)` of a share.

    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical
    Association 22, 1927.

    Args:
        right: int, how many were right.
        total: int, of how many.
        level: of the interval.
    """
    interval = stats.binomtest(int(right), int(total)).proportion_ci(level, method="wilson")
    return interval.low, interval.high


def mcnemar(first_only, second_only):
    """Tests whether two classifiers are right equally often on the same images.

    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947, exactly, from the binomial distribution.

    Args:
        first_only: int or int array, images that only the first classifier has right.
        second_only: the same of the second.

    Returns:
        float or float64 array, the two-sided p-value.
    """
    first_only, second_only = np.asarray(first_only), np.asarray(second_only)
    fewer = np.minimum(first_only, second_only)
    return np.minimum(1.0, 2 * stats.binom.cdf(fewer, first_only + second_only, 0.5))[()]


def mcnemar_range(first_right, second_right, total):
    """Returns the smallest and largest p-value that `mcnemar` could have, where only the totals were published.

    Two classifiers that have `first_right` and `second_right` of the same images right may differ on as few images as
    the difference between the two counts, or on as many as the totals allow.

    Args:
        first_right, second_right: int.
        total: int, test images.

    Returns:
        `(smallest, largest)`.
    """
    gap, fewer = abs(second_right - first_right), min(first_right, second_right)
    most = min(fewer, total - max(first_right, second_right))
    few = np.arange(most + 1)
    p_values = mcnemar(few, few + gap)
    return float(p_values.min()), float(p_values.max())


def newcombe(first_right, first_total, second_right, second_total, level=0.95):
    """Estimates the difference between two shares as if they came from different images.

    Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven methods",
    Statistics in Medicine 17, 1998, method 10, with Fisher's exact test.

    Args:
        first_right, first_total: int, how many of how many.
        second_right, second_total: the same of the other.
        level: of the interval.

    Returns:
        `(value, low, high, p)` of the second share less the first.
    """
    a, b = first_right / first_total, second_right / second_total
    (a_low, a_high), (b_low, b_high) = (
        wilson(first_right, first_total, level),
        wilson(second_right, second_total, level),
    )
    low = b - a - np.hypot(b - b_low, a_high - a)
    high = b - a + np.hypot(b_high - b, a - a_low)
    table = [[second_right, second_total - second_right], [first_right, first_total - first_right]]
    return b - a, float(low), float(high), float(stats.fisher_exact(table).pvalue)
