"""Metrics of a classifier on a test set, and how much each image contributes to them.

Every metric takes the same arguments:

- labels: int `(n,)`.
- scores: float `(n, classes)`, one column for each class.
- positive: label of the positive class; None takes the mean over all classes, each against the rest.
- threshold: with two classes, images are predicted positive if their score for the positive class (1 if it is None) is
  at least this (`operating_points`), one threshold for all images or `(n,)`; None predicts the class with the highest
  score.

It returns a float; NaN where it is not defined, as the sensitivity without positive images. Metrics that do not depend
on `positive` or `threshold` ignore them.
"""

import numpy as np


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
OF_PREDICTIONS = tuple(name for name in MEASURES if name not in ("auc", "brier"))  # they depend on the threshold


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
    labels, scores = np.asarray(labels), finite(scores)
    if name == "auc":
        columns = [1] if scores.shape[1] == 2 else range(scores.shape[1])
        parts = [_binary_auc(labels == column, scores[:, column]) for column in columns]
    elif name == "brier":
        squares = ((scores.astype(float) - np.eye(scores.shape[1])[labels]) ** 2).sum(1) / 2
        parts = [_ratio(squares, np.ones(len(labels)))]
    else:
        predicted = predict(scores, positive, threshold)
        parts = [_ratio(*ratio) for ratio in _ratios(name, labels, predicted, scores.shape[1], positive)]
    values, influences = zip(*parts, strict=True)
    return float(np.mean(values)), np.mean(influences, axis=0)


def _binary_auc(positive, scores):
    """Returns the fraction of (positive, negative) pairs in the right order, where ties count half, and influences.

    Sun and Xu, "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters 21, 2014.
    """
    cases, controls = scores[positive], scores[~positive]
    if not len(cases) or not len(controls):
        return np.nan, np.full(len(scores), np.nan)
    below, above = _share_below(cases, controls), 1 - _share_below(controls, cases)
    area, influences = below.mean(), np.empty(len(scores))
    influences[positive] = (below - area) / len(cases)
    influences[~positive] = (above - area) / len(controls)
    return area, influences


def _share_below(scores, others):
    """Returns, for each score, the fraction of others that are lower, where equal ones count half."""
    others = np.sort(others)
    return (np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / (2 * len(others))


def at_thresholds(name, labels, scores, positive, thresholds):
    """Returns one of `OF_PREDICTIONS` at many thresholds, of two classes: float `(thresholds,)`.

    Args:
        name, labels, scores, positive: as in `influence`.
        thresholds: float `(thresholds,)`, each for all images.
    """
    label = 1 if positive is None else positive
    cells = np.array([[label, label], [label, 1 - label], [1 - label, label], [1 - label, 1 - label]])
    counts = []  # of the images of each cell: its true and its predicted class
    for truth in (label, 1 - label):
        ordered = np.sort(scores[labels == truth, label])
        negative = np.searchsorted(ordered, thresholds, "left")
        counts += [len(ordered) - negative, negative]
    counts = np.stack(counts, axis=1)
    with np.errstate(invalid="ignore"):  # not defined where no image is called positive
        return np.mean([counts @ a / (counts @ b) for a, b in _ratios(name, *cells.T, 2, positive)], axis=0)


def _ratios(name, labels, predicted, classes, positive):
    """Yields the numerator and the denominator of each image, for every ratio whose mean is the metric."""
    if name == "accuracy":
        yield predicted == labels, np.ones(len(labels))
        return
    if name == "balanced_accuracy":
        name, positive = "sensitivity", None
    for label in range(classes) if positive is None else [positive]:
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
    scores = finite(scores)
    if threshold is None:
        return scores.argmax(1)
    if scores.shape[1] != 2:
        raise ValueError(f"a threshold is for two classes. Received: scores of {scores.shape[1]} classes")
    positive = 1 if positive is None else positive
    # As float64: rounded to the scores' float32, a threshold between two scores may be equal to one of them.
    return np.where(scores[:, positive].astype(float) >= threshold, positive, 1 - positive)


def finite(scores):
    """Returns scores as an array, and raises ValueError if one is NaN or infinite."""
    scores = np.asarray(scores)
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite. Received: {np.sum(~np.isfinite(scores))} NaN or infinite ones")
    return scores
