"""Distances between two distributions of images: KID, and FID where there are enough of them."""

import typing

import numpy as np

from synthkit.fidelity.spaces import PAIRS, paired, strips

FID_IMAGES = 10  # images a dimension below which FID is not reported


class Kid(typing.NamedTuple):
    """Kernel inception distance and its standard error."""

    value: float
    error: float


def kid(real, synthetic, pairs=PAIRS):
    """Measures the kernel inception distance: the squared maximum mean discrepancy of a cubic kernel, unbiased.

    Bińkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", ICLR 2018, with k(x, y) = (x·y / d + 1)³.
    The paper averages the estimate over random subsets of 1,000 images to save memory; here all pairs are visited
    instead. Both have the same mean, so figures compare; this one varies less. No bias: two sets of one distribution
    give 0 on average at any size, and half of the time a little less than 0.

    Args:
        real: float `(m, dimensions)`, features of real images; m at least 3.
        synthetic: float `(n, dimensions)`, features of synthetic images; n at least 3.
        pairs: images compared at once; changes memory and speed, not the result.

    Returns:
        Kid. Its error is the jackknife's over images of both sets, which errs on the large side (Efron and Stein,
        Annals of Statistics 9, 1981).

    Raises:
        ValueError: if the two do not have the same dimensions or one has fewer than 3 images.
    """
    real, synthetic = paired(real, synthetic, least=3)
    m, n = len(real), len(synthetic)
    within_real, within_synthetic = _within(real, pairs), _within(synthetic, pairs)
    across_real, across_synthetic = np.zeros(m), np.zeros(n)
    for rows in strips(m, n, pairs):
        kernel = _cubic(real[rows], synthetic)
        across_real[rows] = kernel.sum(1)
        across_synthetic += kernel.sum(0)
    a, b, c = within_real.sum(), within_synthetic.sum(), across_real.sum()
    value = _discrepancy(a, b, c, m, n)
    without_real = _discrepancy(a - 2 * within_real, b, c - across_real, m - 1, n)
    without_synthetic = _discrepancy(a, b - 2 * within_synthetic, c - across_synthetic, m, n - 1)
    variance = (m - 1) * without_real.var() + (n - 1) * without_synthetic.var()
    return Kid(float(value), float(np.sqrt(variance)))


def _discrepancy(within_real, within_synthetic, across, m, n):
    return within_real / (m * (m - 1)) + within_synthetic / (n * (n - 1)) - 2 * across / (m * n)


def _cubic(a, b):
    return (a @ b.T / a.shape[1] + 1) ** 3


def _within(features, pairs):
    """Returns each row's sum of kernel values with all other rows."""
    n = len(features)
    sums = np.concatenate([_cubic(features[rows], features).sum(1) for rows in strips(n, n, pairs)])
    return sums - ((features**2).sum(1) / features.shape[1] + 1) ** 3


def fid(real, synthetic):
    """Measures the Fréchet distance between two normal distributions fitted to the features.

    Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NeurIPS 2017.
    Its bias grows with the dimensions over the number of images and differs between generators (Bińkowski et al.
    2018), so it is not given for few images: take `kid` then.

    Args:
        real, synthetic: float `(m, dimensions)` and `(n, dimensions)`, features.

    Returns:
        float.

    Raises:
        ValueError: with fewer than 10 images for every dimension in either set.
    """
    real, synthetic = paired(real, synthetic, least=2)
    least = FID_IMAGES * real.shape[1]
    if min(len(real), len(synthetic)) < least:
        raise ValueError(
            f"FID is not reported: {real.shape[1]} dimensions need at least {least} images in each set, as its bias is "
            f"of the size of what it measures with fewer. Received: {len(real)} real and {len(synthetic)} synthetic"
        )
    first, second = np.cov(real, rowvar=False), np.cov(synthetic, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # The eigenvalues of a product are those of its symmetric form, which is never complex.
    mixed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    distance = np.sum((real.mean(0) - synthetic.mean(0)) ** 2)
    return float(distance + np.trace(first) + np.trace(second) - 2 * mixed)
