"""Metrics of a classifier on a test set, and how much each image contributes to them.

Every metric takes the same arguments:

- labels: int `(n,)`.
- scores: float `(n, classes)`, one column for each class.
- positive: label of the positive class; None takes the mean over all classes, each against the rest.
- threshold: with two classes, images are predicted positive if their score for the positive class (1 if it is None) is
  at least this (`operating_point`), one threshold for all images or `(n,)`; None predicts the class with the highest
  score.

It returns a float; NaN where it is not defined, as the sensitivity without positive images. Metrics that do not depend
on `positive` or `threshold` ignore them.
"""

import numpy as np
from scipy import stats


def auc(labels, scores, positive=None, threshold=None):
    """Area under the ROC curve; with more than two classes the mean over classes, each against the rest."""
    return influence("auc", labels, scores)[0]


def accuracy(labels, scores, positive=None, threshold=None):
    """Fraction of images that are predicted correctly."""
    return influence("accuracy", labels, scores, positive, threshold)[0]


def sensitivity(labels, scores, positive=None, threshold=None):
    """Fraction of the positive images that are predicted positive (recall)."""
    return influence("sensitivity", labels, scores, positive, threshold)[0]


def specificity(labels, scores, positive=None, threshold=None):
    """Fraction of the negative images that are not predicted positive."""
    return influence("specificity", labels, scores, positive, threshold)[0]


def ppv(labels, scores, positive=None, threshold=None):
    """Positive predictive value (precision): fraction of the images predicted positive that are positive."""
    return influence("ppv", labels, scores, positive, threshold)[0]


def npv(labels, scores, positive=None, threshold=None):
    """Negative predictive value: fraction of the images predicted negative that are negative."""
    return influence("npv", labels, scores, positive, threshold)[0]


def f1(labels, scores, positive=None, threshold=None):
    """Harmonic mean of precision and recall."""
    return influence("f1", labels, scores, positive, threshold)[0]


def balanced_accuracy(labels, scores, positive=None, threshold=None):
    """Mean over classes of the fraction of their images that are predicted correctly."""
    return influence("balanced_accuracy", labels, scores, positive, threshold)[0]


def brier(labels, scores, positive=None, threshold=None):
    """Mean squared difference between scores and true classes, 0 to 1, lower is better.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950, halved, so
    that with two classes it is the squared error of the positive class's probability.
    """
    return influence("brier", labels, scores)[0]


MEASURES = {
    metric.__name__: metric
    for metric in (auc, accuracy, balanced_accuracy, sensitivity, specificity, ppv, npv, f1, brier)
}


def influence(name, labels, scores, positive=None, threshold=None):
    """Returns a metric and the influence of every image on it: by how much it would change with more of that image.

    The variance of a metric over samples of the images is that of the sum of their influences (the infinitesimal
    jackknife; Efron, "The jackknife, the bootstrap and other resampling plans", 1982, section 6). For the AUC these are
    DeLong's components (Biometrics 44, 1988). All other metrics are means of ratios of two sums over images.

    Args:
        name: one of `MEASURES`.
        labels, scores, positive, threshold: as in this module's docstring.

    Returns:
        `(value, influence)`: float, and float64 `(n,)`, which sums to 0.
    """
    labels, scores = np.asarray(labels), _finite(scores)
    if name == "auc":
        columns = [1] if scores.shape[1] == 2 else range(scores.shape[1])
        parts = [_binary_auc(labels == column, scores[:, column]) for column in columns]
    else:
        parts = [_ratio(*ratio) for ratio in _ratios(name, labels, scores, positive, threshold)]
    values, influences = zip(*parts, strict=True)
    return float(np.mean(values)), np.mean(influences, axis=0)


def _binary_auc(positive, scores):
    """Returns the fraction of (positive, negative) pairs in the right order, where ties count half, and influences.

    Sun and Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014.
    """
    cases, controls = scores[positive], scores[~positive]
    if not len(cases) or not len(controls):
        return np.nan, np.full(len(scores), np.nan)
    ranks = stats.rankdata(np.concatenate([cases, controls]))
    below = (ranks[: len(cases)] - stats.rankdata(cases)) / len(controls)
    above = 1 - (ranks[len(cases) :] - stats.rankdata(controls)) / len(cases)
    area, influences = below.mean(), np.empty(len(scores))
    influences[positive] = (below - area) / len(cases)
    influences[~positive] = (above - area) / len(controls)
    return area, influences


def _ratios(name, labels, scores, positive, threshold):
    """Yields the numerator and the denominator of each image, for every ratio whose mean is the metric."""
    if name == "brier":
        yield ((scores.astype(float) - np.eye(scores.shape[1])[labels]) ** 2).sum(1) / 2, np.ones(len(labels))
        return
    predicted = predict(scores, positive, threshold)
    if name == "accuracy":
        yield predicted == labels, np.ones(len(labels))
        return
    if name == "balanced_accuracy":
        name, positive = "sensitivity", None
    for label in range(scores.shape[1]) if positive is None else [positive]:
        truth, called = labels == label, predicted == label
        yield {
            "sensitivity": (truth & called, truth),
            "specificity": (~truth & ~called, ~truth),
            "ppv": (truth & called, called),
            "npv": (~truth & ~called, ~called),
            "f1": (2 * (truth & called), 1 * truth + called),
        }[name]


def _ratio(numerator, denominator):
    """Returns the ratio of two sums, NaN if the second is 0, and the influence of every term."""
    total = denominator.sum()
    if not total:
        return np.nan, np.full(len(numerator), np.nan)
    value = numerator.sum() / total
    return value, (numerator - value * denominator) / total


def score(labels, scores, positive=None, threshold=None):
    """Returns every metric of this module, as a dict from its function's name to a float; arguments as above."""
    options = {"positive": positive, "threshold": threshold}
    return {name: metric(labels, scores, **options) for name, metric in MEASURES.items()}


def predict(scores, positive=None, threshold=None):
    """Returns the predicted classes, int `(n,)`; arguments as above.

    Raises:
        ValueError: if scores are NaN or infinite, or there is a threshold with more than two classes.
    """
    scores = _finite(scores)
    if threshold is None:
        return scores.argmax(1)
    if scores.shape[1] != 2:
        raise ValueError(f"a threshold is for two classes. Received: scores of {scores.shape[1]} classes")
    positive = 1 if positive is None else positive
    return np.where(scores[:, positive] >= threshold, positive, 1 - positive)


def operating_point(labels, scores, rule="youden"):
    """Chooses the threshold above which an image is called positive, on images that the test set does not contain.

    Args:
        labels: bool or int `(n,)`, whether each image is positive.
        scores: float `(n,)`, higher for images that look positive.
        rule: "youden" takes the highest sensitivity + specificity (Youden, "Index for rating diagnostic tests", Cancer
            3, 1950); "sensitivity=0.9" the highest specificity at a sensitivity of at least 0.9; "specificity=0.9" the
            reverse. Of equally good thresholds it takes the middle one.

    Returns:
        float. Between two neighbouring scores it is half-way.

    Raises:
        ValueError: for another rule, scores that are NaN or infinite, or labels of one class.
    """
    positive, scores = np.asarray(labels, bool), _finite(np.asarray(scores, float))
    name, level = _rule(rule)
    if positive.all() or not positive.any():
        raise ValueError("an operating point needs positive and negative images. Received: images of one class")
    levels = np.unique(scores)
    thresholds = np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2, [np.nextafter(levels[-1], np.inf)]])
    cases, others = np.sort(scores[positive]), np.sort(scores[~positive])
    detected = 1 - np.searchsorted(cases, thresholds, "left") / len(cases)
    rejected = np.searchsorted(others, thresholds, "left") / len(others)
    value = {"youden": detected + rejected, "sensitivity": rejected, "specificity": detected}[name]
    if name != "youden":
        reached = (detected if name == "sensitivity" else rejected) >= level - 1e-12
        value = np.where(reached, value, -np.inf)
    best = np.flatnonzero(value > value.max() - 1e-12)
    return float(thresholds[best[len(best) // 2]])


def _rule(rule):
    name, equals, level = str(rule).partition("=")
    try:
        level = float(level) if equals else np.nan
    except ValueError:
        level = -1.0
    known = name == "youden" and not equals
    if not known and not (name in ("sensitivity", "specificity") and 0 < level < 1):
        raise ValueError(
            f"an operating point is youden, sensitivity=0.9 or specificity=0.9 (or another level). Received: {rule!r}"
        )
    return name, level


def _finite(scores):
    scores = np.asarray(scores)
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite. Received: {np.sum(~np.isfinite(scores))} NaN or infinite ones")
    return scores
