"""Whether synthetic images are copies of training images, and what they reveal about who was trained on.

Each of three questions has its own control: how near are the nearest training images (`nearest` and `closest_pairs`, to
look at), are more training images than held-out ones copied (`copy_test`), and can an attacker tell which images were
trained on (`membership`). Both tests exchange whole patients between the training and the held-out set.

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
from sklearn.metrics.pairwise import euclidean_distances

from synthkit.fidelity.spaces import PAIRS, numbered, strips

CHANCE = 0.02  # near copies expected by chance among all the synthetic images of a test


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
        copies: number of synthetic images that are near copies of a training image.
        held_out_copies: number of those that are near copies of a held-out image, which can only be so by chance.
        p: p-value of the null hypothesis that training patients are copied no more often than held-out ones.
        ratio: largest ratio of two distances, to the nearest patient and to the next, of a near copy.
        closer: probability that a synthetic image is nearer to the training images than a held-out image is.
        pairs: pandas.DataFrame of the near copies of training images, the smallest ratio first: synthetic and training
            (row numbers), distance, ratio.
    """

    copies: int
    held_out_copies: int
    p: float
    ratio: float
    closer: float
    pairs: pd.DataFrame


def copy_test(training, held_out, synthetic, *, patients=None, labels=None):
    """Tests whether there are copies of training images among synthetic ones.

    A near copy is much nearer to a real image than to the images of all other patients. How much nearer is learned from
    the real images: where images lie evenly in d dimensions, the ratio of the distances to the nearest and to the
    second-nearest patient, raised to the power of d, is uniform between 0 and 1 (Facco, d'Errico, Rodriguez and Laio,
    "Estimating the intrinsic dimension of datasets by a minimal neighborhood information", Scientific Reports 7, 2017).
    The real images' median ratio gives d. A near copy has a ratio that 0.02 of all n synthetic images would have by
    chance: (0.02 / n)^(1/d) or less. Ratios do not depend on scale, so images that are smoother than real ones, or
    nearer to all of them, are not taken for copies; neither are those of a normal distribution fitted to the training
    images, which are nearer to these than to held-out ones on average (`tests.benchmarks.fidelity_tests`).

    If real images have near-duplicates among other patients' images, a generator that copies nothing has near copies
    too. They fall on training and on held-out patients alike. The p-value is the chance of as many training patients
    among those copied, whichever patients were held out among those with the same number of images, and the same class
    if `labels` are given: they are needed where the classes are not mixed alike in both sets (a hypergeometric test,
    Fisher's exact test). It is exact if the generator favours no training patient. Several copies of one patient
    count as one.

    With few held-out patients many copies are needed: if m of N patients are training patients, log(0.05) / log(m / N)
    copied ones, 23 of 545 with 78 held out. Images that were turned or shifted are not near copies in most spaces.

    Args:
        training, held_out: float `(m, dimensions)` and `(h, dimensions)`, features of real images.
        synthetic: float `(n, dimensions)`, features of synthetic images.
        patients: `(m + h,)`, patients of the training images, followed by those of the held-out images; None for one
            patient per image.
        labels: `(m + h,)`, classes of the same images, or None.

    Returns:
        CopyTest.

    Raises:
        ValueError: if there is not one patient per real image, a patient is in both sets, or there are fewer than 3.
    """
    real = np.concatenate([training, held_out]).astype(float)
    patient, trained = _patients(training, held_out, patients)
    if len(trained) < 3:
        raise ValueError(f"the copy test needs real images of at least 3 patients. Received: {len(trained)} patients")
    typical = np.clip(np.median(_ratios(real, real, patient, own=patient)), 1e-9, 1 - 1e-9)
    limit = (CHANCE / len(synthetic)) ** (np.log(typical) / np.log(0.5))
    (distances, index), ratios = nearest(synthetic, real), _ratios(synthetic, real, patient)
    near = np.flatnonzero(ratios <= limit)
    copied = np.zeros(len(trained), bool)
    copied[patient[index[near]]] = True
    near = near[index[near] < len(training)]
    pairs = {"synthetic": near, "training": index[near], "distance": distances[near], "ratio": ratios[near]}
    pairs = pd.DataFrame(pairs).sort_values("ratio", kind="stable", ignore_index=True)
    of_training, of_held_out = nearest(synthetic, training)[0], nearest(held_out, training)[0]
    closer = 1 - stats.mannwhitneyu(of_training, of_held_out).statistic / (len(synthetic) * len(held_out))
    held_out_copies = int(np.sum(ratios <= limit)) - len(near)
    alike = np.bincount(patient)
    if labels is not None:
        classes = np.zeros(len(alike), int)
        classes[patient] = np.unique(labels, return_inverse=True)[1]  # that of one of a patient's images
        alike = alike * (1 + classes.max()) + classes
    p = _chance(copied, trained, alike)
    return CopyTest(len(near), held_out_copies, p, float(limit), float(closer), pairs)


def _patients(training, held_out, patients):
    """Returns the number of each image's patient, and whether each patient is a training patient.

    Raises:
        ValueError: if there is not one patient per image, or a patient is in both sets.
    """
    patient = numbered(patients, len(training) + len(held_out))
    trained = np.zeros(patient.max() + 1, bool)
    trained[patient[: len(training)]] = True
    both = trained[patient[len(training) :]]
    if both.any():
        raise ValueError(
            f"{both.sum()} held-out images are of training patients, for example of "
            f"{np.asarray(patients)[len(training) :][both][0]}; hold out whole patients"
        )
    return patient, trained


def _ratios(images, real, patient, own=None):
    """Computes the ratio of each image's distances to the nearest and to the second-nearest patient.

    Args:
        images: float `(n, dimensions)`.
        real: float `(m, dimensions)`.
        patient: int `(m,)`, from 0.
        own: int `(n,)`, the patients of `images`, which are left out; None to leave out nobody.

    Returns:
        float `(n,)`, 1 where two patients have the same image.
    """
    images, order = np.asarray(images, float), np.argsort(patient, kind="stable")
    starts = np.flatnonzero(np.diff(patient[order], prepend=-1))
    real, ratios = real[order], np.empty(len(images))
    least = max(1e-5 * np.sqrt(real.var(0).sum()), 1e-12)  # smaller distances are rounding errors
    for rows in strips(len(images), len(real), PAIRS):
        distances = np.minimum.reduceat(euclidean_distances(images[rows], real), starts, axis=1)  # to each patient
        if own is not None:
            distances[np.arange(len(distances)), own[rows]] = np.inf
        first, second = np.maximum(np.partition(distances, 1, axis=1)[:, :2], least).T
        ratios[rows] = first / second
        del distances  # before the next are computed
    return ratios


def _chance(copied, trained, alike):
    """Computes the probability of as many training patients among the copied ones, by chance.

    Args:
        copied, trained: bool `(patients,)`.
        alike: int `(patients,)`; only patients with the same number are exchanged.

    Returns:
        float.
    """
    probabilities = np.ones(1)  # of 0, 1, … training patients among the copied ones
    for group in (alike == number for number in np.unique(alike[copied])):
        count = np.sum(group & copied)
        possible = np.arange(count + 1)
        of_group = stats.hypergeom.pmf(possible, group.sum(), np.sum(group & trained), count)
        probabilities = np.convolve(probabilities, of_group)
    return float(min(1, probabilities[np.sum(copied & trained) :].sum()))


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


def membership(training, held_out, synthetic, *, patients=None, permutations=2000, seed=0):
    """Runs a membership inference attack: real images near a synthetic one are guessed to have been trained on.

    Chen, Yu, Zhang and Fritz, "GAN-Leaks: a taxonomy of membership inference attacks against generative models", ACM
    CCS 2020, with the attacker who only has the synthetic images. A generator need not copy to reveal its training
    images: a normal distribution fitted to a few of them does.

    Args:
        training, held_out: float `(m, dimensions)` and `(h, dimensions)`, features of real images of the same kind.
        synthetic: float `(n, dimensions)`, features of synthetic images.
        patients: `(m + h,)`, patients of the training images, followed by those of the held-out images; None for one
            patient per image.
        permutations: int, number of random exchanges of patients.
        seed: int, of the exchanges.

    Returns:
        Membership. The p-value is exact: patients with the same number of images are exchanged at random between the
        training and the held-out set.

    Raises:
        ValueError: if there is not one patient per real image, or a patient is in both sets.
    """
    patient, trained = _patients(training, held_out, patients)
    ranks = stats.rankdata(-nearest(np.concatenate([training, held_out]), synthetic)[0])
    sums, images, rng = np.bincount(patient, ranks), np.bincount(patient), np.random.default_rng(seed)
    groups = [(sums[images == number], trained[images == number]) for number in np.unique(images)]
    exchanged = [sum(rng.permutation(of)[: here.sum()].sum() for of, here in groups) for _ in range(permutations)]
    total, members = sums[trained].sum(), len(training)
    auc = (total - members * (members + 1) / 2) / (members * len(held_out))
    p = (1 + np.sum(np.array(exchanged) >= total - 1e-6)) / (1 + permutations)
    return Membership(float(auc), float(p))
