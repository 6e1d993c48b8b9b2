"""Whether a classifier's probabilities can be taken at their word, and how to mend them.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. Of the images to which a calibrated classifier gives
80 % malignant, 80 % are. Networks trained to the end are surer than that; dividing what goes into their softmax by one
number, the temperature, found on the validation part, mends most of it and changes no decision.
"""

import numpy as np
import pandas as pd
from scipy import optimize, special

TEMPERATURES = (0.01, 100.0)  # where the search for one ends


def reliability(labels, scores, positive=None, bins=10):
    """Compares predicted probabilities with observed frequencies: the table behind a reliability diagram.

    Args:
        labels: int `(n,)`.
        scores: float `(n, classes)`, probabilities.
        positive: label whose probability is looked at; None takes the class that is predicted, whose frequency is the
            accuracy, as in Guo et al.
        bins: int, equally wide, over 0 to 1.

    Returns:
        pandas.DataFrame, a row for every bin that is not empty: low, high (the bin's edges, the upper one belonging to
        it), predicted (mean probability), observed (share), images.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    said = scores.argmax(1) if positive is None else positive
    table = pd.DataFrame({"predicted": scores.max(1) if positive is None else scores[:, positive]})
    table["observed"] = (labels == said).astype(float)
    edges = np.linspace(0, 1, bins + 1)
    table["bin"] = np.searchsorted(edges[1:-1], table["predicted"])
    means = table.groupby("bin").mean()
    means["images"] = table.groupby("bin").size()
    means.insert(0, "low", edges[means.index])
    means.insert(1, "high", edges[means.index + 1])
    return means.reset_index(drop=True)


def fit_temperature(labels, scores):
    """Finds the temperature that makes the cross-entropy least.

    Args:
        labels: int `(n,)`, of the validation part: never of the part that is to be judged.
        scores: float `(n, classes)`, probabilities of the trained network there.

    Returns:
        float; above 1 for a network that was too sure. An end of `TEMPERATURES` where the cross-entropy has no least
        value, as for scores that are always right.
    """
    labels, logits = np.asarray(labels), _logits(scores)
    own = np.arange(len(labels)), labels

    def cross_entropy(log_temperature):
        return -special.log_softmax(logits / np.exp(log_temperature), axis=1)[own].mean()

    found = optimize.minimize_scalar(cross_entropy, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def scale(scores, temperature):
    """Applies a temperature to probabilities.

    Args:
        scores: float `(n, classes)`, probabilities.
        temperature: float, of `fit_temperature`.

    Returns:
        float64 `(n, classes)`, probabilities in the same order.
    """
    return special.softmax(_logits(scores) / temperature, axis=1)


def _logits(scores):
    """Logarithms of probabilities, which are what went into the softmax up to a constant."""
    # A float32 softmax may say 0, and 1 minus a float32 sigmoid knows no steps smaller than this.
    return np.log(np.clip(np.asarray(scores, float), np.finfo("float32").eps, None))
