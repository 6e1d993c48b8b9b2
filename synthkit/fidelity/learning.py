"""Whether a classifier can tell synthetic from real images, and whether it can learn from them."""

import typing

import numpy as np
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier

from synthkit.fidelity.spaces import numbered


class TwoSample(typing.NamedTuple):
    """Accuracy, on unseen patients, of telling real from synthetic images, and its p-value against chance, 0.5."""

    accuracy: float
    p: float


def two_sample_test(
    real, synthetic, classifier=None, *, patients=None, synthetic_patients=None, permutations=2000, seed=0
):
    """Tests whether a classifier can tell real from synthetic images.

    Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017. The classifier is trained on half of the
    patients, with the same number of real and synthetic images, and scored on the other half; an accuracy of 0.5 means
    that it cannot tell them apart. A nearest-neighbour classifier cannot detect images that are merely smoother,
    because these are in the middle of the feature space and are the nearest neighbours of real images too. A random
    forest can.

    All images of a patient are in the same half. The p-value is that of a permutation of whole patients between the
    real and the synthetic ones. It is exact: if patients differ in their numbers of images, as many of each unseen
    patient's, chosen at random, are counted as the patient with the fewest has.

    Args:
        real, synthetic: float `(m, dimensions)` and `(n, dimensions)`, features.
        classifier: scikit-learn classifier; None for the paper's nearest neighbours, √(training images) of them.
        patients, synthetic_patients: `(m,)` and `(n,)`, the patient of every image; None for one patient per image,
            which is right for images that a generator drew one by one.
        permutations: int, number of random permutations.
        seed: int, of the halves, of the choice of images and of the permutations.

    Returns:
        TwoSample. Its accuracy is that of all images of the unseen patients: the mean of the accuracies of the real and
        of the synthetic ones, which are means over patients.

    Raises:
        ValueError: if one set has fewer than 4 patients, or there is not one patient per image.
    """
    rng, train, test = np.random.default_rng(seed), [], []
    for features, of_images in ((real, patients), (synthetic, synthetic_patients)):
        of_train, of_test = _halves(np.asarray(features), numbered(of_images, len(features)), rng)
        train.append(of_train)
        test.append(of_test)
    count = min(map(len, train))
    train = np.concatenate([features[:count] for features in train])
    classifier = KNeighborsClassifier(int(np.sqrt(len(train)))) if classifier is None else classifier
    classifier.fit(train, np.repeat([0, 1], count))
    fewest = min(images.min() for _, images in test)
    means, counted = [], []  # fractions of each patient's images that are taken for synthetic ones
    for features, images in test:
        taken, starts = classifier.predict(features).astype(float), np.cumsum(images) - images
        means.append(np.mean(np.add.reduceat(taken, starts) / images))
        counted.append(taken[starts[:, None] + np.arange(fewest)].mean(1))
    p = stats.permutation_test(
        counted[::-1], _difference, n_resamples=permutations, batch=100, alternative="greater", random_state=rng
    ).pvalue
    return TwoSample(float(0.5 + (means[1] - means[0]) / 2), float(p))


def _halves(features, patient, rng):
    """Divides images into those of two random halves of the patients.

    Args:
        features: `(n, dimensions)`.
        patient: int `(n,)`, from 0.
        rng: numpy Generator.

    Returns:
        `(features, (features, images))`: one half in random order; the other one patient after the other, each one's
        images in random order, and their numbers.
    """
    number = patient.max() + 1
    if number < 4:
        raise ValueError(f"a two-sample test needs at least 4 patients in each set. Received: {number} in one")
    order = rng.permutation(len(features))
    order = order[np.argsort(patient[order], kind="stable")]
    first = np.isin(patient[order], rng.permutation(number)[: number // 2])
    images = np.bincount(patient[order[~first]])
    return rng.permutation(features[order[first]]), (features[order[~first]], images[images > 0])


def _difference(first, second, axis):
    return first.mean(axis) - second.mean(axis)


def cross_training(real, test, synthetic, synthetic_test, train, measure):
    """Trains a classifier on real and one on synthetic images, and tests each on both.

    Esteban, Hyland and Rätsch, "Real-valued (medical) time series generation with recurrent conditional GANs", 2017.
    Training on synthetic and testing on real images shows whether the synthetic images contain what a classifier needs
    to learn; training on real and testing on synthetic images shows whether these match their labels.

    Args:
        real, synthetic: ImageSets to train on; of the same size for a fair comparison.
        test, synthetic_test: ImageSets to test on, of other patients and other random draws.
        train: callable `(ImageSet) → callable (uint8 images) → float scores (n, classes)`.
        measure: callable `(labels, scores) → float`, such as `statistics.auc`.

    Returns:
        dict from (trained on, tested on), each "real" or "synthetic", to the metric.
    """
    values = {}
    for train_kind, train_set in (("real", real), ("synthetic", synthetic)):
        predict = train(train_set)
        for test_kind, test_set in (("real", test), ("synthetic", synthetic_test)):
            values[train_kind, test_kind] = measure(test_set.labels, predict(test_set.images))
    return values
