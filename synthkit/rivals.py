"""What a generator must beat: cheap ways to make more training examples of real ones, without a generator.

`blend` is a synthesizer of images. `smote`, `gaussian` and `mixup` make features: vectors that a frozen network
computes of images. They are callables `(features (n, d), labels (n,), requested (m,), seed) → (features (m, d), labels
(m, classes))`, for `features` of `study.Arm`: float arrays, int labels from 0, and labels of the result as fractions of
the classes. A class that is requested needs at least one real image.
"""

import dataclasses

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.neighbors import NearestNeighbors

NEIGHBOURS = 5  # Chawla et al.'s


def smote(features, labels, requested, seed):
    """Makes features between real ones and near neighbours of their class.

    Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 16, 2002: each is at a random point on the
    line from a real image to one of its five nearest neighbours of the same class. Unlike theirs, all classes get them.
    """
    rng, synthetic = np.random.default_rng(seed), np.empty((len(requested), features.shape[1]), features.dtype)
    for label in np.unique(requested):
        real, rows = features[labels == label], np.flatnonzero(requested == label)
        count = min(NEIGHBOURS, len(real) - 1) + 1
        neighbours = NearestNeighbors(n_neighbors=count).fit(real).kneighbors(real, return_distance=False)
        first = rng.integers(len(real), size=len(rows))
        number = rng.integers(min(1, count - 1), count, size=len(rows))  # the 0th neighbour is the image itself
        second = neighbours[first, number]
        synthetic[rows] = real[first] + rng.random((len(rows), 1)) * (real[second] - real[first])
    return synthetic, _one_hot(requested, labels)


def gaussian(features, labels, requested, seed):
    """Draws features from a normal distribution for each class, with a shrunken covariance.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of Multivariate
    Analysis 88, 2004: (1 - s) S + s μ I, where S is the covariance of the class, μ its mean eigenvalue, and s the
    shrinkage that they estimate. Draws are combinations of the real features, so no matrix of d × d is needed.
    """
    rng, synthetic = np.random.default_rng(seed), np.empty((len(requested), features.shape[1]), features.dtype)
    for label in np.unique(requested):
        real, rows = features[labels == label].astype("float64"), np.flatnonzero(requested == label)
        mean = real.mean(0)
        centred, shrinkage = real - mean, ledoit_wolf_shrinkage(real) if len(real) > 1 else 0.0
        spread = np.sqrt(shrinkage * (centred**2).mean()) * rng.standard_normal((len(rows), real.shape[1]))
        along = np.sqrt((1 - shrinkage) / len(real)) * rng.standard_normal((len(rows), len(real))) @ centred
        synthetic[rows] = mean + along + spread
    return synthetic, _one_hot(requested, labels)


def mixup(features, labels, requested, seed):
    """Averages features, and labels, of two real images of any classes, with a uniform weight.

    Verma et al., "Manifold Mixup: Better Representations by Interpolating Hidden States", ICML 2019, on the last hidden
    layer and with α = 1. The first image is of the class that is requested.
    """
    rng, classes = np.random.default_rng(seed), _one_hot(labels, labels)
    first = np.empty(len(requested), int)
    for label in np.unique(requested):
        rows = requested == label
        first[rows] = rng.choice(np.flatnonzero(labels == label), rows.sum())
    second, weight = rng.integers(len(labels), size=len(requested)), rng.random((len(requested), 1))
    mixed = [weight * values[first] + (1 - weight) * values[second] for values in (features, classes)]
    return mixed[0].astype(features.dtype), mixed[1]


def _one_hot(labels, known):
    return np.eye(known.max() + 1)[labels]


def blend(train, labels, seed):
    """A synthesizer that blends pairs of real images of one class, one in a soft-edged ellipse of the other.

    The two are drawn with replacement, so one image in as many as the class has is a real one as it was.

    Ghiasi et al., "Simple copy-paste is a strong data augmentation method for instance segmentation", CVPR 2021, but
    without masks of objects: the ellipse has a random centre and size, and inside it the weight of the pasted image
    falls smoothly from 1 to 0.

    Args:
        train: ImageSet.
        labels: int `(n,)`.
        seed: int.

    Returns:
        ImageSet of n images.
    """
    rng, (height, width) = np.random.default_rng(seed), train.image_shape[:2]
    rows = np.empty((2, len(labels)), int)
    for label in np.unique(labels):
        own = np.flatnonzero(train.labels == label)
        rows[:, labels == label] = rng.choice(own, (2, np.sum(labels == label)))
    y, x = np.mgrid[:height, :width] + 0.5
    images = np.empty((len(labels), *train.image_shape), "uint8")
    for image, first, second in zip(images, *rows, strict=True):
        centre_y, centre_x = rng.random(2) * (height, width)
        radius_y, radius_x = rng.uniform(0.2, 0.6, 2) * (height, width)
        distance = np.hypot((y - centre_y) / radius_y, (x - centre_x) / radius_x)
        weight = (0.5 + 0.5 * np.cos(np.pi * np.minimum(distance, 1)))[..., None]
        image[:] = np.round((1 - weight) * train.images[first] + weight * train.images[second])
    blended = dataclasses.replace(train, images=images, labels=np.asarray(labels), patients=None, groups=None)
    return dataclasses.replace(blended, name="blend")
