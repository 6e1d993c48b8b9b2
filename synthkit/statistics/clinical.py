"""What a classifier of two classes is worth at the bedside: calibration, and net benefit.

Like the metrics of `statistics.scores`, every function here takes labels `(n,)`, scores `(n, 2)`, the label of the
positive class and a threshold, which these ignore, and returns the metric and the influence of every image on it, so
that it gets its interval in the same way (`descriptions.describe`).
"""

import functools

import numpy as np
from scipy import optimize, special

from synthkit.statistics.scores import influence

SMALLEST = float(np.finfo("float32").eps)  # probabilities of exactly 0 or 1 have no logit


def calibration_slope(labels, scores, positive=None, threshold=None):
    """Slope of a logistic regression of the class on the logit of its predicted probability; 1 is ideal.

    Below 1 the probabilities are too extreme (overconfident), above 1 too close to each other. Cox, "Two further
    applications of a model for binary regression", Biometrika 45, 1958; Van Calster et al., "Calibration: the Achilles
    heel of predictive analytics", BMC Medicine 17, 2019.

    The influences are those of a maximum-likelihood estimate, the delta method's: the inverse of the information times
    each image's part of the score, as in a sandwich estimator.

    Returns:
        `(value, influence)`; NaN where scores separate the classes or are all equal, so that there is no estimate.
    """
    truth, logits = _two(labels, scores, positive)
    cases, others = logits[truth], logits[~truth]
    if not len(cases) or not len(others) or others.max() <= cases.min() or cases.max() <= others.min():
        return np.nan, np.full(len(truth), np.nan)
    design = np.stack([np.ones(len(logits)), logits], axis=1)

    def loss(beta):
        linear = design @ beta
        residual = truth - special.expit(linear)
        return np.mean(np.logaddexp(0, linear) - truth * linear), -residual @ design / len(truth)

    beta = optimize.minimize(loss, [0.0, 1.0], jac=True, method="BFGS", options={"gtol": 1e-9}).x
    probability = special.expit(design @ beta)
    information = (design * (probability * (1 - probability))[:, None]).T @ design
    influences = np.linalg.solve(information, ((truth - probability)[:, None] * design).T)
    return float(beta[1]), influences[1]


def calibration_intercept(labels, scores, positive=None, threshold=None):
    """Intercept of the same regression with the slope fixed at 1 (calibration in the large); 0 is ideal.

    Above 0 the positive class is more frequent than predicted, below 0 less frequent. Influences as those of the slope.

    Returns:
        `(value, influence)`; NaN where there are images of one class only.
    """
    truth, logits = _two(labels, scores, positive)
    if truth.all() or not truth.any():
        return np.nan, np.full(len(truth), np.nan)
    bound = np.abs(logits).max() + abs(special.logit(truth.mean()))
    value = optimize.brentq(lambda shift: np.sum(truth - special.expit(logits + shift)), -bound - 1, bound + 1)
    probability = special.expit(logits + value)
    return float(value), (truth - probability) / np.sum(probability * (1 - probability))


def net_benefit(at, prevalence=None):
    """Returns a metric: the net benefit of treating the patients whose probability is at least `at`.

    It is the fraction of all patients who are rightly treated, minus the fraction who are wrongly treated, weighted by
    the odds of `at`, the probability at which treating and not treating are equally good: whoever treats at 10 %
    accepts nine needless treatments for one that is needed. Vickers and Elkin, "Decision curve analysis", Medical
    Decision Making 26, 2006.

    Args:
        at: threshold probability, above 0 and below 1.
        prevalence: of the positive class where the classifier is to be used; None for that of the test set. Sensitivity
            and specificity are weighted by it, and predicted odds are multiplied by the ratio of its odds to those of
            the test set's prevalence, so that calibrated probabilities stay calibrated.

    Returns:
        function `(labels, scores, positive, threshold) → (value, influence)`.
    """
    return functools.partial(_net_benefit, at, prevalence)


def _net_benefit(at, prevalence, labels, scores, positive=None, threshold=None):
    positive = 1 if positive is None else positive
    truth, logits = _two(labels, scores, positive)
    where = float(truth.mean()) if prevalence is None else prevalence
    called = _moved(truth, logits, prevalence) >= at
    predictions = np.eye(2)[np.where(called, positive, 1 - positive)]
    found, found_influence = influence("sensitivity", labels, predictions, positive)
    spared, spared_influence = influence("specificity", labels, predictions, positive)
    gain, cost = where, (1 - where) * at / (1 - at)
    return gain * found - cost * (1 - spared), gain * found_influence + cost * spared_influence


def decision_curve(labels, scores, positive, at, prevalence=None):
    """Returns the net benefit of one network at many threshold probabilities, float as `at`; arguments as above."""
    truth, logits = _two(labels, scores, positive)
    probability = _moved(truth, logits, prevalence)
    where = float(truth.mean()) if prevalence is None else prevalence
    cases, others = np.sort(probability[truth]), np.sort(probability[~truth])
    found = 1 - np.searchsorted(cases, at, "left") / len(cases)
    alarms = 1 - np.searchsorted(others, at, "left") / len(others)
    return where * found - (1 - where) * alarms * at / (1 - at)


def treat_all(prevalence, at):
    """Returns the net benefit of treating everybody; that of treating nobody is 0."""
    return prevalence - (1 - prevalence) * at / (1 - at)


def _moved(truth, logits, prevalence):
    """Returns the probabilities of the positive class, moved from the test set's prevalence to another."""
    if prevalence is None:
        return special.expit(logits)
    return special.expit(logits + special.logit(prevalence) - special.logit(truth.mean()))


def _two(labels, scores, positive):
    """Returns whether each image is positive, and the logit of the positive class's probability."""
    positive = 1 if positive is None else positive
    probability = np.clip(np.asarray(scores, float)[:, positive], SMALLEST, 1 - SMALLEST)
    return np.asarray(labels) == positive, special.logit(probability)
