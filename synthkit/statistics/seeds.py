"""What every network of an arm achieved, as `estimates.estimate` takes it."""

import functools

import numpy as np

from synthkit.statistics.estimates import over_patients
from synthkit.statistics.scores import OF_PREDICTIONS, influence


def of_seeds(metric, labels, patients, scores, positive, thresholds, folds=None, validation=None, arm=None):
    """Measures every network of an arm, and what its result depends on.

    Args:
        metric: a name of `scores.MEASURES`, or a function of the arguments that `scores.influence` has besides it.
        labels, patients: `(n,)`, of the test images.
        scores: float `(seeds, n, classes)`.
        positive: label of the positive class, or None.
        thresholds: a threshold for each seed, or `(n,)` for each, or None for each.
        folds: int `(seeds, n)`, the fold of every image in a cross-validation; None if there is a test set.
        validation: `operating_points.Validation`, or None.
        arm: the arm's name in `validation`.

    Returns:
        dict of arguments of `estimate`: `values`, `(seeds,)`; `influences`, `(seeds, patients)`; with folds `folds`,
        `(seeds, folds)`; with a validation set, if the metric depends on the threshold, `chosen`, `(seeds, samples)`.
    """
    measured = metric if callable(metric) else functools.partial(influence, metric)
    if folds is None:
        pairs = zip(scores, thresholds, strict=True)
        values, influences = zip(*(measured(labels, s, positive, cut) for s, cut in pairs), strict=True)
        parts = {"values": np.array(values), "influences": over_patients(influences, patients)}
        if validation is not None and metric in OF_PREDICTIONS:
            parts["chosen"] = validation.choices(metric, labels, scores, arm)
        return parts
    values, influences, within = [], [], []
    for s, cut, fold in zip(scores, thresholds, folds, strict=True):
        of_images, of_folds = np.empty(len(labels)), []
        for rows in (fold == i for i in range(fold.max() + 1)):
            part = None if cut is None else cut[rows]
            value, of_images[rows] = measured(labels[rows], s[rows], positive, part)
            of_folds.append(value)
        within.append(of_folds)
        value, of_images = np.mean(of_folds), of_images / len(of_folds)
        if metric != "auc":  # counts of all folds may be added
            value, of_images = measured(labels, s, positive, cut)
        values.append(value)
        influences.append(of_images)
    return {
        "values": np.array(values),
        "influences": over_patients(influences, patients),
        "folds": np.array(within),
    }
