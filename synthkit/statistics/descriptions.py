"""Metrics of every arm with their intervals, without comparisons: tables to look at, not to decide by."""

import numpy as np
import pandas as pd

from synthkit.statistics.estimates import estimate, fewest_patients, strata
from synthkit.statistics.scores import influence
from synthkit.statistics.seeds import of_seeds


def describe(
    scores,
    labels,
    patients,
    metrics,
    *,
    positive=None,
    thresholds=None,
    validation=None,
    folds=None,
    overlap=0.0,
    proportion=True,
):
    """Returns metrics of every arm: means over seeds with 95 % intervals, which cover seeds and patients.

    Args:
        scores, labels, patients, positive, thresholds, validation, folds, overlap: as in `verdicts.summarize`.
        metrics: dict from the name of each metric to a name of `scores.MEASURES`, or to a function
            `(labels, scores, positive, threshold) → (value, influence)` like those of `statistics.clinical`.
        proportion: whether they lie between 0 and 1, and so do their intervals.

    Returns:
        pandas.DataFrame with a row for every arm and metric: arm, metric, mean, low, high; NaN where a metric is not
        defined for one of the seeds, or, of an interval, where nothing varies.
    """
    classes = strata(labels, patients)
    fewest = fewest_patients(labels, patients)
    folds, rows = folds if isinstance(folds, dict) else dict.fromkeys(scores, folds), []
    for arm, arm_scores in scores.items():
        cuts = thresholds[arm] if thresholds else [None] * len(arm_scores)
        for name, metric in metrics.items():
            design = cuts, folds[arm], validation, arm
            values = of_seeds(metric, labels, patients, arm_scores, positive, *design)
            if "folds" in values and np.isfinite(values["folds"]).sum(1).min() < 2:
                del values["folds"]  # it is defined in too few folds to show their variance
            freedom = validation.freedom if validation else np.inf
            mean = estimate(**values, classes=classes, overlap=overlap, level=True, freedom=freedom)
            interval = (np.nan, np.nan)  # as where nothing varies, such as the net benefit of treating nobody
            if np.isfinite(mean.error) and (proportion or mean.error > 0):
                interval = mean.proportion_interval(fewest) if proportion else mean.interval()
            rows.append({"arm": arm, "metric": name, "mean": mean.value, "low": interval[0], "high": interval[1]})
    return pd.DataFrame(rows, columns=["arm", "metric", "mean", "low", "high"])


def recall(label):
    """Returns a metric: the fraction of the images of one class that are predicted as that class."""

    def metric(labels, scores, positive=None, threshold=None):
        return influence("sensitivity", labels, scores, label)

    return metric
