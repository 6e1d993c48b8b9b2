"""Whether synthetic images are copies of training images, and what they give away about who was trained on.

A generator that copies has its images nearer to the training images than new real images are. Three questions, each
with its own control: are the distances smaller (`nearest`, for a look), is the nearest real image too often one that
was trained on (`copy_test`, with a p-value that holds), and could a stranger tell who was trained on (`membership`).
All take features of images in one space (`fidelity.spaces`), which must know training and held-out images alike: a
PCA fitted on both together, or a classifier that has seen neither. In a PCA fitted on the training images alone these
lie further apart than new ones do, and in the last features of a classifier that has learned them by heart, too.
"""

import typing

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import pairwise_distances_argmin_min


def nearest(images, others):
    """Finds every image's nearest one among others, without holding all distances at once.

    Args:
        images: float `(n, dimensions)`, features.
        others: float `(m, dimensions)`.

    Returns:
        `(distances, index)`: float64 `(n,)` and int `(n,)`, places in `others`.
    """
    index, distances = pairwise_distances_argmin_min(np.asarray(images, float), np.asarray(others, float))
    return distances, index


class CopyTest(typing.NamedTuple):
    """What `copy_test` found.

    Attributes:
        share: of synthetic images whose nearest real image is a training image.
        expected: the same share if it did not matter who was trained on.
        p: of the test that it does not matter; small for a generator that copies.
        closer: probability that a synthetic image is nearer to the training images than a held-out image is.
    """

    share: float
    expected: float
    p: float
    closer: float


def copy_test(training, held_out, synthetic, *, patients=None, permutations=2000, seed=0):
    """Tests whether synthetic images lie nearer to the training images than to other images of the same kind.

    A generator that has learned the distribution and no single image does not know which real images it was shown: the
    nearest real image of a synthetic one is a training image as often as chance has it (Platzer and Reutterer,
    "Holdout-based empirical assessment of mixed-type synthetic data", Frontiers in Big Data 4, 2021). Chance is what
    remains when patients are dealt to the training and the held-out part anew, those with as many images among one
    another, so the p-value is exact, however many synthetic images crowd around one real image. Images that are merely
    smoother than real ones lie nearer to all of them alike and are not called copies; the plain comparison of
    distances, `closer`, is fooled by them (Meehan, Chaudhuri and Dasgupta, "A non-parametric test to detect
    data-copying in generative models", AISTATS 2020).

    Args:
        training, held_out: float `(m, dimensions)` and `(h, dimensions)`, features of real images.
        synthetic: float `(n, dimensions)`.
        patients: `(m + h,)`, of the training, then of the held-out images; one an image if None.
        permutations: int.
        seed: int.

    Returns:
        CopyTest.
    """
    pooled = np.concatenate([training, held_out])
    _, patient = np.unique(np.arange(len(pooled)) if patients is None else patients, return_inverse=True)
    _, found = nearest(synthetic, pooled)
    crowd = np.bincount(patient[found], minlength=patient.max() + 1)
    trained = np.zeros(len(crowd), bool)
    trained[patient[: len(training)]] = True
    counts, rng = np.bincount(patient), np.random.default_rng(seed)
    shares = np.zeros(permutations)
    for alike in (counts == count for count in np.unique(counts)):
        shares += rng.permuted(np.tile(trained[alike], (permutations, 1)), axis=1) @ crowd[alike] / len(synthetic)
    share = crowd[trained].sum() / len(synthetic)
    own, fresh = nearest(synthetic, training)[0], nearest(held_out, training)[0]
    closer = 1 - stats.mannwhitneyu(own, fresh).statistic / (len(own) * len(fresh))
    p = (1 + np.sum(shares >= share - 1e-12)) / (1 + permutations)
    return CopyTest(float(share), float(shares.mean()), float(p), float(closer))


def closest_pairs(training, held_out, synthetic, count=8):
    """Lists the synthetic images that are nearest to a training image, for a look at both.

    Args:
        training, held_out: float `(m, dimensions)` and `(h, dimensions)`, features of real images.
        synthetic: float `(n, dimensions)`.
        count: int, how many pairs.

    Returns:
        pandas.DataFrame, nearest first: synthetic and training (places in the arrays), distance, and quantile, the
        share of held-out images that lie as near to a training image as that.
    """
    distances, index = nearest(synthetic, training)
    reference = np.sort(nearest(held_out, training)[0])
    chosen = np.argsort(distances, kind="stable")[:count]
    return pd.DataFrame(
        {
            "synthetic": chosen,
            "training": index[chosen],
            "distance": distances[chosen],
            "quantile": np.searchsorted(reference, distances[chosen], "right") / len(reference),
        }
    )


class Membership(typing.NamedTuple):
    """What `membership` found: AUC of the guess who was trained on, 0.5 for a blind one, and its p-value."""

    auc: float
    p: float


def membership(training, held_out, synthetic):
    """Attacks the synthetic images: guesses that real images near to one of them were trained on.

    Chen, Yu, Zhang and Fritz, "GAN-Leaks: a taxonomy of membership inference attacks against generative models", ACM
    CCS 2020, the attacker who has the synthetic images only.

    Args:
        training, held_out: float `(m, dimensions)` and `(h, dimensions)`, features of real images of one kind.
        synthetic: float `(n, dimensions)`.

    Returns:
        Membership. The p-value is Mann and Whitney's, one-sided, with images taken for independent.
    """
    members, strangers = nearest(training, synthetic)[0], nearest(held_out, synthetic)[0]
    found = stats.mannwhitneyu(strangers, members, alternative="greater")
    return Membership(float(found.statistic / (len(members) * len(strangers))), float(found.pvalue))
