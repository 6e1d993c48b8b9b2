"""Realism and variety told apart: precision, recall, density and coverage; how alike images are."""

import typing

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from synthkit.fidelity.spaces import PAIRS, blocks, paired, strips


class Neighbourhoods(typing.NamedTuple):
    """Shares of images that lie among the other set's: see `neighbourhoods`."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhoods(real, synthetic, k=5, pairs=PAIRS):
    """Measures precision, recall, density and coverage.

    An image's neighbourhood is the ball that reaches to its k-th nearest neighbour in its own set. Precision is the
    share of synthetic images within some real image's ball, recall the share of real ones within some synthetic
    image's (Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models", NeurIPS
    2019). Density counts the real balls that a synthetic image is in, over k, and may exceed 1; coverage is the share
    of real balls with a synthetic image in them (Naeem et al., "Reliable fidelity and diversity metrics for generative
    models", ICML 2020).

    Args:
        real, synthetic: float `(m, dimensions)` and `(n, dimensions)`, features.
        k: int, less than m and n.
        pairs: images compared at once; changes memory and speed, not the result.

    Returns:
        Neighbourhoods.
    """
    real, synthetic = paired(real, synthetic, least=k + 1)
    reach_real, reach_synthetic = _reach(real, k, pairs), _reach(synthetic, k, pairs)
    inside, nearest, balls = np.zeros(len(real), bool), np.full(len(real), np.inf), np.zeros(len(synthetic))
    for rows in strips(len(synthetic), len(real), pairs):
        distances = euclidean_distances(real, synthetic[rows])
        balls[rows] = (distances < reach_real[:, None]).sum(0)
        inside |= (distances < reach_synthetic[rows]).any(1)
        nearest = np.minimum(nearest, distances.min(1))
    found = ((balls > 0).mean(), inside.mean(), balls.mean() / k, (nearest < reach_real).mean())
    return Neighbourhoods(*(float(value) for value in found))


def _reach(features, k, pairs):
    """Returns each image's distance to its k-th nearest neighbour; the nearest of all is the image itself."""
    reach = np.empty(len(features))
    for rows in strips(len(features), len(features), pairs):
        reach[rows] = np.partition(euclidean_distances(features[rows], features), k, axis=1)[:, k]
    return reach


def similarity(images, pairs=500, seed=0):
    """Measures how alike images are: the mean multi-scale structural similarity of random pairs of them.

    Odena, Olah and Shlens, "Conditional image synthesis with auxiliary classifier GANs", ICML 2017: compare within a
    class, synthetic images with real ones; a generator whose images are more alike than the real ones lacks variety.
    The weights of the scales are Wang, Simoncelli and Bovik's (Asilomar 2003), as many as the image's size allows.

    Args:
        images: uint8 `(n, height, width, channels)`, of one class, at least 11 × 11 pixels.
        pairs: int, how many random pairs.
        seed: int.

    Returns:
        float, 1 for images that are all the same.
    """
    import tensorflow as tf

    rng = np.random.default_rng(seed)
    first = rng.integers(len(images), size=pairs)
    second = (first + rng.integers(1, len(images), size=pairs)) % len(images)
    window = 11
    scales = 1 + int(np.log2(min(images.shape[1:3]) / window))
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:scales])
    found = [
        tf.image.ssim_multiscale(images[first[r]], images[second[r]], 255, weights / weights.sum(), window).numpy()
        for r in blocks(pairs, 64)
    ]
    return float(np.concatenate(found).mean())
