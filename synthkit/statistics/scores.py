"""Metrics of a classifier on a test set, on all its images or on bootstrap samples of them.

Every function takes the same arguments:

- labels: int `(n,)`.
- scores: float `(n, classes)`, one column for each class.
- weights: float `(draws, n)`, how often each image counts in each bootstrap sample; None counts each once.
- positive: label of the positive class; None takes the mean over all classes, each against the rest.

It returns a float, or float64 `(draws,)` if there are weights; NaN where a class that the metric needs has no weight.
"""

import numpy as np


def auc(labels, scores, weights=None, positive=None):
    """Area under the ROC curve; with more than two classes the mean over classes, each against the rest.

    `positive` is ignored.
    """
    labels, scores = np.asarray(labels), _finite(scores)
    columns = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    table = np.ones((1, len(labels))) if weights is None else np.asarray(weights, float)
    areas = np.mean([_binary_auc(labels == column, scores[:, column], table) for column in columns], axis=0)
    return float(areas[0]) if weights is None else areas


def _binary_auc(positive, scores, weights):
    """Returns the weighted fraction of (positive, negative) pairs in the right order, where ties count half."""
    negatives = np.flatnonzero(~positive)[np.argsort(scores[~positive], kind="stable")]
    # One column for each draw, so that sums and look-ups run over whole rows of memory.
    positive_weights, negative_weights = weights.T[positive], weights.T[negatives]
    cumulative = np.zeros((len(negatives) + 1, len(weights)))
    np.cumsum(negative_weights, axis=0, out=cumulative[1:])
    below = np.searchsorted(scores[negatives], scores[positive], "left")
    up_to = np.searchsorted(scores[negatives], scores[positive], "right")
    ordered = np.einsum("pd,pd->d", positive_weights, cumulative[below])
    # A tie is in one of the two counts only, so half of their sum counts it half. Without ties both are the same.
    ordered += ordered if (below == up_to).all() else np.einsum("pd,pd->d", positive_weights, cumulative[up_to])
    pairs = positive_weights.sum(0) * cumulative[-1]
    return np.divide(ordered / 2, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def accuracy(labels, scores, weights=None, positive=None):
    """Fraction of images whose class has the highest score; `positive` is ignored."""
    return _mean(_finite(scores).argmax(1) == np.asarray(labels), weights)


def sensitivity(labels, scores, weights=None, positive=None):
    """Fraction of the positive images that are predicted positive (recall)."""
    return _over_classes(lambda tp, fn, fp, tn: _fraction(tp, fn), labels, scores, weights, positive)


def specificity(labels, scores, weights=None, positive=None):
    """Fraction of the negative images that are not predicted positive."""
    return _over_classes(lambda tp, fn, fp, tn: _fraction(tn, fp), labels, scores, weights, positive)


def f1(labels, scores, weights=None, positive=None):
    """Harmonic mean of precision and recall."""
    return _over_classes(lambda tp, fn, fp, tn: _fraction(2 * tp, fn + fp), labels, scores, weights, positive)


def balanced_accuracy(labels, scores, weights=None, positive=None):
    """Mean over classes of the fraction of their images that are predicted so; `positive` is ignored."""
    return sensitivity(labels, scores, weights)


def brier(labels, scores, weights=None, positive=None):
    """Mean squared difference between scores and true classes, 0 to 1, lower is better; `positive` is ignored.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950, halved, so
    that with two classes it is the squared error of the positive class's probability.
    """
    scores = _finite(scores).astype(float)
    truth = np.eye(scores.shape[1])[np.asarray(labels)]
    return _mean(((scores - truth) ** 2).sum(1) / 2, weights)


MEASURES = {
    metric.__name__: metric for metric in (auc, accuracy, balanced_accuracy, sensitivity, specificity, f1, brier)
}


def score(labels, scores, positive=None):
    """Returns every metric of this module, as a dict from its function's name to a float; arguments as above."""
    return {name: metric(labels, scores, positive=positive) for name, metric in MEASURES.items()}


def _mean(values, weights):
    if weights is None:
        return float(values.mean())
    weights = np.asarray(weights, float)
    return weights @ values / weights.sum(1)


def _fraction(part, rest):
    total = part + rest
    return np.divide(part, total, out=np.full(len(total), np.nan), where=total > 0)


def _over_classes(metric, labels, scores, weights, positive):
    """Applies a metric of the weights of true positives, false negatives, false positives and true negatives."""
    labels, predicted = np.asarray(labels), _finite(scores).argmax(1)
    table = np.ones((1, len(labels))) if weights is None else np.asarray(weights, float)
    values = []
    for label in range(np.asarray(scores).shape[1]) if positive is None else [positive]:
        truth, called = labels == label, predicted == label
        cells = (truth & called, truth & ~called, ~truth & called, ~truth & ~called)
        values.append(metric(*(table @ cell for cell in cells)))
    mean = np.mean(values, axis=0)
    return float(mean[0]) if weights is None else mean


def _finite(scores):
    scores = np.asarray(scores)
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite. Received: {np.sum(~np.isfinite(scores))} NaN or infinite ones")
    return scores
