"""Metrics of a classifier on a test set, on all its images or on bootstrap samples of them.

Every function takes the same arguments:

- labels: int `(n,)`.
- scores: float `(n, classes)`, one column for each class.
- weights: float `(draws, n)`, how often each image counts in each bootstrap sample; None counts each once.
- positive: label of the positive class; None takes the mean over all classes, each against the rest.
- threshold: with two classes, images are predicted positive if their score for the positive class (1 if it is None) is
  at least this (`operating_point`); None predicts the class with the highest score.

It returns a float, or float64 `(draws,)` if there are weights; NaN where it is not defined, as where a class that the
metric needs has no weight. Metrics that do not depend on `positive` or `threshold` ignore them.
"""

import numpy as np


def auc(labels, scores, weights=None, positive=None, threshold=None):
    """Area under the ROC curve; with more than two classes the mean over classes, each against the rest."""
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


def accuracy(labels, scores, weights=None, positive=None, threshold=None):
    """Fraction of images that are predicted correctly."""
    return _mean(predict(scores, positive, threshold) == np.asarray(labels), weights)


def sensitivity(labels, scores, weights=None, positive=None, threshold=None):
    """Fraction of the positive images that are predicted positive (recall)."""
    return _over_classes(lambda tp, fn, fp, tn: _fraction(tp, fn), labels, scores, weights, positive, threshold)


def specificity(labels, scores, weights=None, positive=None, threshold=None):
    """Fraction of the negative images that are not predicted positive."""
    return _over_classes(lambda tp, fn, fp, tn: _fraction(tn, fp), labels, scores, weights, positive, threshold)


def ppv(labels, scores, weights=None, positive=None, threshold=None):
    """Positive predictive value (precision): fraction of the images predicted positive that are positive."""
    return _over_classes(lambda tp, fn, fp, tn: _fraction(tp, fp), labels, scores, weights, positive, threshold)


def npv(labels, scores, weights=None, positive=None, threshold=None):
    """Negative predictive value: fraction of the images predicted negative that are negative."""
    return _over_classes(lambda tp, fn, fp, tn: _fraction(tn, fn), labels, scores, weights, positive, threshold)


def f1(labels, scores, weights=None, positive=None, threshold=None):
    """Harmonic mean of precision and recall."""
    return _over_classes(
        lambda tp, fn, fp, tn: _fraction(2 * tp, fn + fp), labels, scores, weights, positive, threshold
    )


def balanced_accuracy(labels, scores, weights=None, positive=None, threshold=None):
    """Mean over classes of the fraction of their images that are predicted correctly."""
    if threshold is None:
        return sensitivity(labels, scores, weights)
    options = weights, positive, threshold
    return (sensitivity(labels, scores, *options) + specificity(labels, scores, *options)) / 2


def brier(labels, scores, weights=None, positive=None, threshold=None):
    """Mean squared difference between scores and true classes, 0 to 1, lower is better.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950, halved, so
    that with two classes it is the squared error of the positive class's probability.
    """
    scores = _finite(scores).astype(float)
    truth = np.eye(scores.shape[1])[np.asarray(labels)]
    return _mean(((scores - truth) ** 2).sum(1) / 2, weights)


MEASURES = {
    metric.__name__: metric
    for metric in (auc, accuracy, balanced_accuracy, sensitivity, specificity, ppv, npv, f1, brier)
}


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


def _mean(values, weights):
    if weights is None:
        return float(values.mean())
    weights = np.asarray(weights, float)
    return weights @ values / weights.sum(1)


def _fraction(part, rest):
    total = part + rest
    return np.divide(part, total, out=np.full(len(total), np.nan), where=total > 0)


def _over_classes(metric, labels, scores, weights, positive, threshold):
    """Applies a metric of the weights of true positives, false negatives, false positives and true negatives."""
    labels, predicted = np.asarray(labels), predict(scores, positive, threshold)
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
