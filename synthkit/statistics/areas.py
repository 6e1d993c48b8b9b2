"""The variance of an AUC, and of the difference between two on the same images, without a bootstrap.

DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating characteristic
curves: a nonparametric approach", Biometrics 44, 1988, computed from midranks in O(n log n): Sun and Xu, "Fast
implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014. It knows the chance in the images of
two fixed classifiers whose images are independent; patients with several images and the seeds of a training are the
business of `summarize`.
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


def delong_test(positive, first, second, level=0.95):
    """Tests whether two classifiers have the same AUC on the same images.

    Args:
        positive: bool `(n,)`.
        first, second: float `(n,)`, scores of the two classifiers.
        level: of the interval.

    Returns:
        Delong, of the second area less the first.
    """
    areas, covariance = delong_covariance(positive, np.stack([first, second]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return _normal(areas[1] - areas[0], variance, level, against=0.0)


def delong_one_vs_rest(labels, scores, level=0.95):
    """Estimates the mean AUC of every class against the rest.

    Args:
        labels: int `(n,)`.
        scores: float `(n, classes)`.
        level: of the interval.

    Returns:
        Delong. Its variance takes into account that the same images stand in every class's curve: an image's
        contributions to all of them are added before their variance over the images is taken.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    classes = range(scores.shape[1])
    areas, influence = [], np.zeros(len(labels))
    for label in classes:
        positive = labels == label
        area, cases, controls = _components(positive, scores[:, label])
        areas.append(area)
        influence[positive] += (cases - area) / positive.sum() / len(classes)
        influence[~positive] += (controls - area) / (~positive).sum() / len(classes)
    variance = sum(
        np.sum(influence[labels == label] ** 2) * np.sum(labels == label) / (np.sum(labels == label) - 1)
        for label in classes
    )
    found = _normal(np.mean(areas), variance, level, against=0.5)
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
