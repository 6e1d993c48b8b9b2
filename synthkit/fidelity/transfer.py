"""What a classifier makes of synthetic images: can it tell them from real ones, can it learn from them?"""

import typing

import numpy as np
from scipy import stats
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier


class TwoSample(typing.NamedTuple):
    """Share of unseen images that a classifier has told right, real or synthetic, and the p-value against chance."""

    accuracy: float
    p: float


def two_sample_test(real, synthetic, classifier=None, seed=0):
    """Tests whether a classifier can tell real from synthetic images.

    Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017: trained on half of the images, as many of
    either kind, and scored on the other half; 0.5 if the two cannot be told apart. Neighbours are blind to images that
    are merely smoother: those lie in the middle and are the nearest to real ones too. A random forest sees them.

    Args:
        real, synthetic: float `(m, dimensions)` and `(n, dimensions)`, features.
        classifier: scikit-learn classifier; the paper's nearest neighbours, √(training images) of them, if None.
        seed: int, of the choice of images and halves.

    Returns:
        TwoSample.
    """
    rng, count = np.random.default_rng(seed), min(len(real), len(synthetic))
    features = np.concatenate([rng.permutation(part)[:count] for part in (np.asarray(real), np.asarray(synthetic))])
    labels = np.repeat([0, 1], count)
    train, test, truth, answers = train_test_split(
        features, labels, test_size=0.5, stratify=labels, random_state=int(rng.integers(2**31))
    )
    classifier = KNeighborsClassifier(int(np.sqrt(len(train)))) if classifier is None else classifier
    right = int(np.sum(classifier.fit(train, truth).predict(test) == answers))
    p = stats.binomtest(right, len(test), alternative="greater").pvalue
    return TwoSample(right / len(test), float(p))


def cross_training(real, test, synthetic, synthetic_test, train, measure):
    """Trains on real and on synthetic images, and tests each classifier on both.

    Esteban, Hyland and Rätsch, "Real-valued (medical) time series generation with recurrent conditional GANs", 2017:
    train on synthetic, test on real says whether the synthetic images hold what a classifier needs; train on real,
    test on synthetic whether they show what their labels say.

    Args:
        real, synthetic: ImageSets to learn from; for a fair comparison of the same size.
        test, synthetic_test: ImageSets to test on, of other patients and other draws.
        train: callable `(ImageSet) → callable (uint8 images) → float scores (n, classes)`.
        measure: callable `(labels, scores) → float`, such as `statistics.auc`.

    Returns:
        dict from (trained on, tested on), each "real" or "synthetic", to the figure.
    """
    found = {}
    for learned, images in (("real", real), ("synthetic", synthetic)):
        predict = train(images)
        for asked, part in (("real", test), ("synthetic", synthetic_test)):
            found[learned, asked] = measure(part.labels, predict(part.images))
    return found
