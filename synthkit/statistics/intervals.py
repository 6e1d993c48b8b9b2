"""Intervals and tests for fixed classifiers, without a bootstrap: for AUCs, and for counts alone.

They cover the sampling of independent test images only; `summarize` also covers seeds, and patients with several
images.

DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic
curves: a nonparametric approach", Biometrics 44, 1988, is computed from midranks in O(n log n) after Sun and Xu, "Fast
implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014.
"""

import typing

import numpy as np
from scipy import stats


class Delong(typing.NamedTuple):
    """An AUC, or a difference between two: `value`, standard `error`, the interval from `low` to `high`, and `p`.

    The p-value is two-sided, of an AUC against 0.5 and of a difference against 0. Where the standard error is 0, the
    interval and the p-value are NaN.
    """

    value: float
    error: float
    low: float
    high: float
    p: float


def delong(positive, scores, level=0.95):
    """Estimates an AUC with DeLong's interval.

    Args:
        positive: bool `(n,)`, whether each image is of the positive class.
        scores: float `(n,)`, higher for images that look positive.
        level: confidence level of the interval, which is cut at 0 and 1.

    Returns:
        Delong.

    Raises:
        ValueError: if a class has fewer than two images, or a score is not finite.
    """
    below, above = _components(positive, scores)
    area = _normal(below.mean(), np.cov(below) / len(below) + np.cov(above) / len(above), level, against=0.5)
    return area._replace(low=float(np.clip(area.low, 0, 1)), high=float(np.clip(area.high, 0, 1)))


def delong_test(positive, first, second, level=0.95):
    """Tests whether two classifiers have the same AUC on the same images.

    Args:
        positive: bool `(n,)`, whether each image is of the positive class.
        first, second: float `(n,)`, scores of the two classifiers.
        level: confidence level of the interval.

    Returns:
        Delong, of the second AUC minus the first.

    Raises:
        ValueError: as `delong`.
    """
    below, above = (b - a for a, b in zip(_components(positive, first), _components(positive, second), strict=True))
    return _normal(below.mean(), np.cov(below) / len(below) + np.cov(above) / len(above), level, against=0.0)


def _components(positive, scores):
    """Returns each positive image's fraction of negatives below it, and each negative's of positives above it."""
    positive, scores = np.asarray(positive, bool), np.asarray(scores, float)
    cases, controls = scores[positive], scores[~positive]
    m, n = len(cases), len(controls)
    if min(m, n) < 2:
        raise ValueError(
            f"DeLong's variance needs at least 2 positive and 2 negative images. "
            f"Received: {m} positive and {n} negative"
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite. Received: {np.sum(~np.isfinite(scores))} NaN or infinite ones")
    ranks = stats.rankdata(np.concatenate([cases, controls]))
    return (ranks[:m] - stats.rankdata(cases)) / n, 1 - (ranks[m:] - stats.rankdata(controls)) / m


def _normal(value, variance, level, against):
    value, error = float(value), float(np.sqrt(max(0.0, variance)))
    if error == 0:  # perfect or identical scores: these images do not show how much others would vary
        return Delong(value, error, np.nan, np.nan, np.nan)
    half, p = error * stats.norm.ppf((1 + level) / 2), 2 * stats.norm.sf(abs(value - against) / error)
    return Delong(value, error, float(value - half), float(value + half), float(p))


def hanley_mcneil(area, positives, negatives):
    """Estimates the standard error of an AUC from the AUC alone, where scores were not published.

    Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
    Radiology 143, 1982, with the negative exponential model.

    Args:
        area: float, the AUC.
        positives, negatives: number of images of each class.

    Returns:
        float.
    """
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)  # the paper's names
    variance = area * (1 - area)
    variance += (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return float(np.sqrt(variance / (positives * negatives)))


def wilson(right, total, level=0.95):
    """Returns Wilson's interval `(low, high)` of a proportion.

    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical
    Association 22, 1927.

    Args:
        right: int, number of successes, such as correctly classified images.
        total: int, number of trials, such as test images.
        level: confidence level of the interval.
    """
    interval = stats.binomtest(int(right), int(total)).proportion_ci(level, method="wilson")
    return interval.low, interval.high


def mcnemar(first_only, second_only):
    """Tests whether two classifiers are equally accurate on the same images.

    McNemar, "Note on the sampling error of the difference between correlated proportions or percentages",
    Psychometrika 12, 1947, in its exact form, from the binomial distribution.

    Args:
        first_only: int or int array, images that only the first classifier gets right.
        second_only: the same for the second classifier.

    Returns:
        float or float64 array, the two-sided p-value.
    """
    first_only, second_only = np.asarray(first_only), np.asarray(second_only)
    fewer = np.minimum(first_only, second_only)
    return np.minimum(1.0, 2 * stats.binom.cdf(fewer, first_only + second_only, 0.5))[()]


def mcnemar_range(first_right, second_right, total):
    """Returns the smallest and the largest p-value that `mcnemar` could give where only the totals were published.

    Two classifiers that get `first_right` and `second_right` of the same images right may disagree on as few images as
    the difference between the two counts, or on as many as the totals allow.

    Args:
        first_right, second_right: int.
        total: int, number of test images.

    Returns:
        `(smallest, largest)`.
    """
    gap, fewer = abs(second_right - first_right), min(first_right, second_right)
    most = min(fewer, total - max(first_right, second_right))
    worse_only = np.arange(most + 1)  # images that only the less accurate classifier gets right
    p_values = mcnemar(worse_only, worse_only + gap)
    return float(p_values.min()), float(p_values.max())


def newcombe(first_right, first_total, second_right, second_total, level=0.95):
    """Estimates the difference between two proportions as if they came from different images.

    Newcombe, "Interval estimation for the difference between independent proportions: comparison of eleven methods",
    Statistics in Medicine 17, 1998, method 10, with Fisher's exact test.

    Args:
        first_right, first_total: int, successes and trials of the first proportion.
        second_right, second_total: the same for the second.
        level: confidence level of the interval.

    Returns:
        `(value, low, high, p)` of the second proportion minus the first.
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
