"""The real training images of a seed, the same for all arms of a study."""

import numpy as np

from synthkit.splitting import subsample_rows
from synthkit.statistics import strata

# Of the training patients, for every seed. More would leave less to tell training sets apart by: two seeds share this
# fraction of their images, and the variance that they have in common is estimated as o / (1 - o) times what differs.
TRAINING_SHARE = 0.5


def rows(train, *, per_class=None, fixed=False, seed=0):
    """Draws the training set of a seed.

    Args:
        train: ImageSet, what there is to train on.
        per_class: int, number of images of every class, as in `splitting.subsample`; None draws half of the patients of
            each class (`TRAINING_SHARE`).
        fixed: whether every seed gets all images; not used with `per_class`.
        seed: int.

    Returns:
        int `(n,)`, rows of `train`, in order.
    """
    if per_class:
        return subsample_rows(train, per_class, seed=seed)
    if fixed:
        return np.arange(len(train))
    patients, patient = np.unique(train.patients, return_inverse=True)
    label, drawn = strata(train.labels, train.patients), np.zeros(len(patients), bool)
    rng = np.random.default_rng(seed)
    for members in (np.flatnonzero(label == value) for value in np.unique(label)):
        drawn[rng.permutation(members)[: share_of(len(members))]] = True
    return np.flatnonzero(drawn[patient])


def draw(train, *, per_class=None, fixed=False, seed=0):
    """Returns the images of `rows`, an ImageSet: `train` itself where those are all."""
    return train if fixed and not per_class else train[rows(train, per_class=per_class, seed=seed)]


def share_of(patients):
    """Returns how many of so many patients of a class are drawn: `TRAINING_SHARE`, but at least two."""
    return max(round(TRAINING_SHARE * patients), min(patients, 2))


def overlap(train, *, per_class=None, fixed=False):
    """Returns the fraction of a seed's training images that are in another's as well, on average.

    Args:
        train, per_class, fixed: as in `rows`.
    """
    if fixed and not per_class:
        return 1.0
    if per_class:
        counts = np.array(list(train.class_counts().values()))
        drawn = np.minimum(counts, per_class)
    else:
        counts = np.bincount(strata(train.labels, train.patients))
        drawn = np.array([share_of(count) for count in counts])
    return round(float((drawn**2 / np.maximum(1, counts)).sum() / drawn.sum()), 4)
