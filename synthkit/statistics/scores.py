"""Figures of one classifier on one test part, on all images or on bootstrap samples of them.

Every function takes the same arguments:

- labels: int `(n,)`.
- scores: float `(n, classes)`, one column a class.
- weights: float `(draws, n)`, how often each image counts in each draw; None counts each once.
- positive: label of the class that the figure speaks of; None takes the mean over all classes, each against the rest.

and returns a float, or float64 `(draws,)` with weights; NaN where a class that is needed has no weight.
"""

import numpy as np


def auc(labels, scores, weights=None, positive=None):
    """Area under the ROC curve; with more than two classes the mean of one against the rest; `positive` is ignored."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    columns = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    table = np.ones((1, len(labels))) if weights is None else np.asarray(weights, float)
    areas = np.mean([_binary_auc(labels == column, scores[:, column], table) for column in columns], axis=0)
    return float(areas[0]) if weights is None else areas


def _binary_auc(positive, scores, weights):
    """Weighted share of (positive, negative) pairs in the right order, ties counting half."""
    negatives = np.flatnonzero(~positive)[np.argsort(scores[~positive], kind="stable")]
    # A draw a column: sums and look-ups then run over whole rows of memory.
    own, other = weights.T[positive], weights.T[negatives]
    mass = np.zeros((len(negatives) + 1, len(weights)))
    np.cumsum(other, axis=0, out=mass[1:])
    below = np.searchsorted(scores[negatives], scores[positive], "left")
    upto = np.searchsorted(scores[negatives], scores[positive], "right")
    won = np.einsum("pd,pd->d", own, mass[below])
    # Without ties the two halves are one.
    won += won if (below == upto).all() else np.einsum("pd,pd->d", own, mass[upto])
    pairs = own.sum(0) * mass[-1]
    return np.divide(won / 2, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def accuracy(labels, scores, weights=None, positive=None):
    """Share of images whose highest score is their class's; `positive` changes nothing."""
    return _mean(np.asarray(scores).argmax(1) == np.asarray(labels), weights)


def sensitivity(labels, scores, weights=None, positive=None):
    """Share of the positive images that are called so."""
    return _over_classes(lambda hit, missed, alarm, rejected: _share(hit, missed), labels, scores, weights, positive)


def specificity(labels, scores, weights=None, positive=None):
    """Share of the other images that are not called positive."""
    return _over_classes(
        lambda hit, missed, alarm, rejected: _share(rejected, alarm), labels, scores, weights, positive
    )


def f1(labels, scores, weights=None, positive=None):
    """Harmonic mean of sensitivity and of the share of positives among those called so."""
    return _over_classes(
        lambda hit, missed, alarm, rejected: _share(2 * hit, missed + alarm), labels, scores, weights, positive
    )


def balanced_accuracy(labels, scores, weights=None, positive=None):
    """Mean over classes of the share of their images that are called so; `positive` changes nothing."""
    return sensitivity(labels, scores, weights)


def brier(labels, scores, weights=None, positive=None):
    """Mean squared difference between scores and truth, 0 to 1, lower is better; `positive` changes nothing.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950, halved, so
    that with two classes it is the squared error of the positive class's probability.
    """
    scores = np.asarray(scores, float)
    truth = np.eye(scores.shape[1])[np.asarray(labels)]
    return _mean(((scores - truth) ** 2).sum(1) / 2, weights)


MEASURES = {
    measure.__name__: measure for measure in (auc, accuracy, balanced_accuracy, sensitivity, specificity, f1, brier)
}


def score(labels, scores, positive=None):
    """Returns every figure of this module as a dict, by its function's name; arguments as the module says."""
    return {name: measure(labels, scores, positive=positive) for name, measure in MEASURES.items()}


def _mean(values, weights):
    if weights is None:
        return float(values.mean())
    weights = np.asarray(weights, float)
    return weights @ values / weights.sum(1)


def _share(part, rest):
    total = part + rest
    return np.divide(part, total, out=np.full(len(total), np.nan), where=total > 0)


def _over_classes(figure, labels, scores, weights, positive):
    labels, predicted = np.asarray(labels), np.asarray(scores).argmax(1)
    table = np.ones((1, len(labels))) if weights is None else np.asarray(weights, float)
    found = []
    for label in range(np.asarray(scores).shape[1]) if positive is None else [positive]:
        truth, said = labels == label, predicted == label
        cells = (truth & said, truth & ~said, ~truth & said, ~truth & ~said)
        found.append(figure(*(table @ cell for cell in cells)))
    mean = np.mean(found, axis=0)
    return float(mean[0]) if weights is None else mean
