"""The logistic regression of frozen features: it is fitted once for each penalty, and the best one is used."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from synthkit.statistics import auc

PENALTIES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)  # scikit-learn's C, the inverse of the penalty
FOLDS = 5


def fit(features, labels, weights, groups, checked=None):
    """Fits the regression with the penalty of the best AUC.

    Args:
        features: float `(n, dimensions)`, standardised.
        labels: int `(n,)`.
        weights: float32 `(n,)`, of the rows.
        groups: int `(n,)`, the patients, which stay together in a fold.
        checked: features and labels of other images, on which the penalty is chosen; None for folds of these.

    Returns:
        the fitted LogisticRegression, and a list of the AUC of each penalty.

    Raises:
        ValueError: without `checked`, if a class has images of one patient only, or of so few that no fold has all
            classes on both sides.
    """
    if checked is None:
        aucs = _cross_validate(features, labels, weights, groups)
        (head,) = _regressions(features, labels, weights, [PENALTIES[int(np.argmax(aucs))]])
        return head, aucs
    heads = _regressions(features, labels, weights)
    aucs = [float(auc(checked[1], head.predict_proba(checked[0]))) for head in heads]
    return heads[int(np.argmax(aucs))], aucs


def _regressions(features, labels, weights, penalties=PENALTIES):
    """Returns the regression fitted with each penalty."""
    features, heads = features.astype("float64"), []  # in float32 the last steps may not find a better point
    for penalty in penalties:
        # For a thousand features and images, Newton's method with conjugate gradients takes a fifth of L-BFGS's time.
        head = LogisticRegression(C=penalty, solver="newton-cg", max_iter=1000)
        heads.append(head.fit(features, labels, weights))
    return heads


def _cross_validate(features, labels, weights, groups):
    """Returns the mean AUC of each penalty in folds by patient, of those that have all classes on both sides."""
    count = min(FOLDS, *(len(np.unique(groups[labels == label])) for label in np.unique(labels)))
    if count < 2:
        raise ValueError(
            "a frozen network needs images of at least 2 patients of every class, to choose its penalty by folds"
        )
    aucs, classes = [], len(np.unique(labels))
    for rows, others in StratifiedGroupKFold(count).split(features, labels, groups):
        if len(np.unique(labels[rows])) == len(np.unique(labels[others])) == classes:
            heads = _regressions(features[rows], labels[rows], weights[rows])
            aucs.append([auc(labels[others], head.predict_proba(features[others])) for head in heads])
    if not aucs:
        raise ValueError(
            "a frozen network chooses its penalty by folds, and no fold has images of every class: it needs images of "
            "more patients"
        )
    return np.mean(aucs, axis=0).tolist()
