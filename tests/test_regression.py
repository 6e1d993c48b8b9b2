import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from synthkit import _regression


def design(counts):
    """Features that tell two classes apart, labels and patients; `counts` has each patient's images of either class."""
    labels = np.concatenate([np.repeat([0, 1], pair) for pair in counts])
    groups = np.repeat(np.arange(len(counts)), np.sum(counts, axis=1))
    features = labels[:, None] + np.random.default_rng(0).normal(0, 0.01, (len(labels), 2))
    return features.astype("float32"), labels, np.ones(len(labels), "float32"), groups


def test_folds_without_a_class_do_not_count():
    # scikit-learn 1.7 puts the third patient, who has no image of the first class, into a fold alone.
    features, labels, weights, groups = design([(2, 2), (4, 5), (0, 5), (3, 2), (4, 3), (1, 1)])
    folds = StratifiedGroupKFold(_regression.FOLDS).split(features, labels, groups)
    assert any(len(np.unique(labels[others])) == 1 for _, others in folds)
    head, aucs = _regression.fit(features, labels, weights, groups)
    assert aucs == [1.0] * len(_regression.PENALTIES)
    assert _regression.PENALTIES[0] == head.C


def test_a_class_of_one_patient_is_refused():
    with pytest.raises(ValueError, match="at least 2 patients of every class"):
        _regression.fit(*design([(4, 0), (4, 0), (0, 4)]))


def test_folds_of_one_class_each_are_refused():
    # Of either class two patients have images; one fold is the patient with both, the other is the rest.
    with pytest.raises(ValueError, match="no fold has images of every class: it needs images of more patients"):
        _regression.fit(*design([(6, 6), (4, 0), (0, 7)]))
