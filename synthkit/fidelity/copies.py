"""Whether synthetic images are copies of training images, and what they reveal about who was trained on.

The images of a generator that copies are nearer to its training images than new real images are. Each of three
questions has its own control: how near are the nearest training images (`nearest`, to look at), is the nearest real
image a training image too often (`copy_test`, with a valid p-value), and can an attacker tell which images were trained
on (`membership`).

All functions take features of images in one space (`fidelity.spaces`). The space must not favour the training images
over the held-out ones: fit the PCA on both together, or use a classifier that was trained on neither. In a PCA fitted
on the training images alone, and in the last features of a classifier that has memorised them, training images are
further apart than new ones.
"""

import typing

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import pairwise_distances_argmin_min


def nearest(images, others):
    """Finds the nearest neighbour of every image among others, without holding all distances in memory.

    Args:
        images: float `(n, dimensions)`, features.
        others: float `(m, dimensions)`.

    Returns:
        `(distances, index)`: float64 `(n,)`, and int `(n,)`, the row of the neighbour in `others`.
    """
    index, distances = pairwise_distances_argmin_min(np.asarray(images, float), np.asarray(others, float))
    return distances, index


class CopyTest(typing.NamedTuple):
    """The result of `copy_test`.

    Attributes:
        share: fraction of synthetic images whose nearest real image is a training image.
        expected: the same fraction under the null hypothesis that the generator favours no training image.
        p: p-value of that null hypothesis; small for a generator that copies.
        closer: probability that a synthetic image is nearer to the training images than a held-out image is.
    """

    share: float
    expected: float
    p: float
    closer: float


def copy_test(training, held_out, synthetic, *, patients=None, permutations=2000, seed=0):
    """Tests whether synthetic images are nearer to the training images than to other images of the same kind.

    If a generator has learned the distribution but memorised no image, the nearest real image of a synthetic one is a
    training image no more often than by chance (Platzer and Reutterer, "Holdout-based empirical assessment of
    mixed-type synthetic data", Frontiers in Big Data 4, 2021). Chance is estimated by randomly exchanging patients
    between the training and the held-out set, among patients with the same number of images. The p-value is therefore
    exact, however many synthetic images cluster around one real image.

    Images that are merely smoother than real ones are nearer to all real images alike, so the test does not take them
    for copies. The plain comparison of distances, `closer`, does (Meehan, Chaudhuri and Dasgupta, "A non-parametric
    test to detect data-copying in generative models", AISTATS 2020).

    Args:
        training, held_out: float `(m, dimensions)` and `(h, dimensions)`, features of real images.
        synthetic: float `(n, dimensions)`, features of synthetic images.
        patients: `(m + h,)`, patients of the training images, followed by those of the held-out images; None for one
            patient per image.
        permutations: int, number of random exchanges.
        seed: int.

    Returns:
        CopyTest.
    """
    pooled = np.concatenate([training, held_out])
    _, patient = np.unique(np.arange(len(pooled)) if patients is None else patients, return_inverse=True)
    _, neighbour = nearest(synthetic, pooled)
    neighbours = np.bincount(patient[neighbour], minlength=patient.max() + 1)  # synthetic images next to each patient
    trained = np.zeros(len(neighbours), bool)
    trained[patient[: len(training)]] = True
    images, rng = np.bincount(patient), np.random.default_rng(seed)
    permuted = np.zeros(permutations)  # the fraction in each permutation
    for group in (images == number for number in np.unique(images)):
        exchanged = rng.permuted(np.tile(trained[group], (permutations, 1)), axis=1)
        permuted += exchanged @ neighbours[group] / len(synthetic)
    fraction = neighbours[trained].sum() / len(synthetic)
    of_synthetic, of_held_out = nearest(synthetic, training)[0], nearest(held_out, training)[0]
    closer = 1 - stats.mannwhitneyu(of_synthetic, of_held_out).statistic / (len(synthetic) * len(held_out))
    p = (1 + np.sum(permuted >= fraction - 1e-12)) / (1 + permutations)
    return CopyTest(float(fraction), float(permuted.mean()), float(p), float(closer))


def closest_pairs(training, held_out, synthetic, count=8):
    """Lists the synthetic images that are nearest to a training image, so that both can be looked at.

    Args:
        training, held_out: float `(m, dimensions)` and `(h, dimensions)`, features of real images; None for no
            held-out images.
        synthetic: float `(n, dimensions)`, features of synthetic images.
        count: int, number of pairs.

    Returns:
        pandas.DataFrame, nearest first: synthetic and training (row numbers), distance, and, with held-out images,
        quantile (the fraction of them that are as near to a training image).
    """
    distances, index = nearest(synthetic, training)
    chosen = np.argsort(distances, kind="stable")[:count]
    pairs = pd.DataFrame({"synthetic": chosen, "training": index[chosen], "distance": distances[chosen]})
    if held_out is not None:
        reference = np.sort(nearest(held_out, training)[0])
        pairs["quantile"] = np.searchsorted(reference, distances[chosen], "right") / len(reference)
    return pairs


class Membership(typing.NamedTuple):
    """The result of `membership`: AUC of guessing which images were trained on, 0.5 by chance, and its p-value."""

    auc: float
    p: float


def membership(training, held_out, synthetic):
    """Runs a membership inference attack: real images near a synthetic one are guessed to have been trained on.

    Chen, Yu, Zhang and Fritz, "GAN-Leaks: a taxonomy of membership inference attacks against generative models", ACM
    CCS 2020, with the attacker who only has the synthetic images.

    Args:
        training, held_out: float `(m, dimensions)` and `(h, dimensions)`, features of real images of the same kind.
        synthetic: float `(n, dimensions)`, features of synthetic images.

    Returns:
        Membership. The p-value is that of a one-sided Mann–Whitney test, which treats images as independent.
    """
    members, others = nearest(training, synthetic)[0], nearest(held_out, synthetic)[0]
    test = stats.mannwhitneyu(others, members, alternative="greater")
    return Membership(float(test.statistic / (len(members) * len(others))), float(test.pvalue))
