"""Intervals and tests for fixed classifiers, without a bootstrap: of AUCs, and of counts alone.

DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic
curves: a nonparametric approach", Biometrics 44, 1988, computed from midranks in O(n log n): Sun and Xu, "Fast
implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014. They cover the sampling of independent
test images only; `summarize` also covers seeds and patients with several images.
"""

import typing

import numpy as np
from scipy import stats


class Delong(typing.NamedTuple):
    """A difference, or one area, with its error: `value`, `error`, `low` and `high` of its interval, `p`.

    The p-value is two-sided, of a difference against 0 and of an area against 0.5.
    """

    value: float
    error: float
    low: float
    high: float
    p: float


def delong(positive, scores, level=0.95):
    """Estimates an AUC with DeLong's interval.

    Args:
        positive: bool `(n,)`, whether an image is of the positive class.
        scores: float `(n,)`, higher for positive.
        level: of the interval, which is cut at 0 and 1.

    Returns:
        Delong.
    """
    areas, covariance = delong_covariance(positive, np.asarray(scores)[None])
    found = _normal(areas[0], covariance[0, 0], level, against=0.5)
    return found._replace(low=max(0.0, found.low), high=min(1.0, found.high))


def hanley_mcneil(area, positives, negatives):
    """Estimates the standard error of an AUC from the area alone, where scores were not published.

    Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 143, 1982, with the negative exponential model.

    Args:
        area: float, the AUC.
        positives, negatives: how many images of either kind.

    Returns:
        float.
    """
    both_positive, both_negative = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area)
    spread += (positives - 1) * (both_positive - area**2) + (negatives - 1) * (both_negative - area**2)
    return float(np.sqrt(spread / (positives * negatives)))


def delong_covariance(positive, scores):
    """Returns the areas of several classifiers, float64 `(k,)`, and their covariance matrix `(k, k)`.

    Args:
        positive: bool `(n,)`, at least two of each kind.
        scores: float `(k, n)`.

    Raises:
        ValueError: if there are fewer than two images of a kind.
    """
    positive = np.asarray(positive, bool)
    count = positive.sum()
    if min(count, len(positive) - count) < 2:
        raise ValueError(
            f"DeLong's variance needs at least 2 positive and 2 negative images. "
            f"Received: {count} positive and {len(positive) - count} negative"
        )
    areas, cases, controls = zip(*(_components(positive, np.asarray(s)) for s in scores), strict=True)
    covariance = np.cov(cases) / count + np.cov(controls) / (len(positive) - count)
    return np.array(areas), np.atleast_2d(covariance)


def _components(positive, scores):
    """Returns the area, each positive image's share of negatives below it and each negative's of positives above."""
    cases, controls = scores[positive], scores[~positive]
    m, n = len(cases), len(controls)
    together = stats.rankdata(np.concatenate([cases, controls]))
    below = (together[:m] - stats.rankdata(cases)) / n
    above = 1 - (together[m:] - stats.rankdata(controls)) / m
    return below.mean(), below, above


def _normal(value, variance, level, against):
    error = float(np.sqrt(max(0.0, variance)))
    half = error * stats.norm.ppf((1 + level) / 2)
    distance = abs(value - against)
    # Two classifiers that order the images alike have no variance and no difference.
    p = 2 * stats.norm.sf(distance / error) if error else float(distance == 0)
    return Delong(float(value), error, float(value - half), float(value + half), float(p))


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
