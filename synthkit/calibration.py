"""Calibration of a classifier's probabilities: reliability diagrams and temperature scaling.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. Of the images that a calibrated classifier calls
malignant with a probability of 80 %, 80 % are malignant. Fully trained networks are usually overconfident. Dividing
their logits by one number, the temperature, fitted on the validation set, corrects most of it and changes no decision.
"""

import numpy as np
import pandas as pd
from scipy import optimize, special

TEMPERATURES = (0.01, 100.0)  # bounds of the search


def reliability(labels, scores, positive=None, bins=10):
    """Compares predicted probabilities with observed frequencies, as in a reliability diagram.

    Args:
        labels: int `(n,)`.
        scores: float `(n, classes)`, probabilities.
        positive: label of the class whose probability is used; None uses the predicted class of each image, whose
            observed frequency is the accuracy, as in Guo et al.
        bins: int, number of equally wide bins from 0 to 1.

    Returns:
        pandas.DataFrame with a row for every bin that is not empty: low, high (the edges; high belongs to the bin),
        predicted (mean probability), observed (relative frequency), images (their number).
    """
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    predicted = scores.argmax(1) if positive is None else positive
    table = pd.DataFrame({"predicted": scores.max(1) if positive is None else scores[:, positive]})
    table["observed"] = (labels == predicted).astype(float)
    edges = np.linspace(0, 1, bins + 1)
    table["bin"] = np.searchsorted(edges[1:-1], table["predicted"])
    means = table.groupby("bin").mean()
    means["images"] = table.groupby("bin").size()
    means.insert(0, "low", edges[means.index])
    means.insert(1, "high", edges[means.index + 1])
    return means.reset_index(drop=True)


def fit_temperature(labels, scores):
    """Fits the temperature that minimises the cross-entropy.

    Args:
        labels: int `(n,)`, of the validation set; never of the set to be evaluated.
        scores: float `(n, classes)`, the trained network's probabilities for that set.

    Returns:
        float; greater than 1 for an overconfident network. One of the bounds `TEMPERATURES` if the cross-entropy has no
        minimum, for example if the scores are always right.
    """
    labels, logits = np.asarray(labels), _logits(scores)
    correct_class = np.arange(len(labels)), labels

    def cross_entropy(log_temperature):
        return -special.log_softmax(logits / np.exp(log_temperature), axis=1)[correct_class].mean()

    minimum = optimize.minimize_scalar(cross_entropy, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(minimum.x))


def scale(scores, temperature):
    """Applies a temperature to probabilities.

    Args:
        scores: float `(n, classes)`, probabilities.
        temperature: float, as `fit_temperature` returns it.

    Returns:
        float64 `(n, classes)`, probabilities; their order within a row is unchanged.
    """
    return special.softmax(_logits(scores) / temperature, axis=1)


def _logits(scores):
    """Returns the logarithms of probabilities, which are the softmax's inputs up to a constant."""
    # A float32 softmax may be exactly 0, and 1 minus a float32 sigmoid has no finer resolution than eps.
    return np.log(np.clip(np.asarray(scores, float), np.finfo("float32").eps, None))
