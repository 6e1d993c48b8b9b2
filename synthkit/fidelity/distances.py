"""How synthetic images differ from real ones: KID, FID, precision, recall, density, coverage, similarity."""

import typing

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

from synthkit.fidelity.spaces import PAIRS, blocks, numbered, paired, strips

FID_IMAGES = 10  # images per dimension, the fewest for which FID is reported


class Kid(typing.NamedTuple):
    """Kernel inception distance and its standard error."""

    value: float
    error: float


def kid(real, synthetic, *, patients=None, synthetic_patients=None, pairs=PAIRS):
    """Computes the kernel inception distance: the squared maximum mean discrepancy of a cubic kernel, unbiased.

    Bińkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", ICLR 2018, with k(x, y) = (x·y / d + 1)³.
    The paper averages the estimate over random subsets of 1,000 images to save memory; here all pairs are used, block
    by block. Both estimates have the same mean, so values can be compared; this one has a smaller variance. It is
    unbiased: two sets of the same distribution give 0 on average at any size, and slightly negative values about half
    of the time.

    Images of one patient are more alike than images of two, which would make the distance too large and its standard
    error too small. Pairs of images of one patient are therefore left out, and the standard error is that of patients.

    Args:
        real: float `(m, dimensions)`, features of real images.
        synthetic: float `(n, dimensions)`, features of synthetic images.
        patients, synthetic_patients: `(m,)` and `(n,)`, the patient of every image; None for one patient per image. At
            least 3 patients in each set.
        pairs: int, pairs of images compared at once; changes memory and speed, not the result.

    Returns:
        Kid. Its standard error is a jackknife estimate over the patients of both sets, which is on average too large
        rather than too small (Efron and Stein, Annals of Statistics 9, 1981).

    Raises:
        ValueError: if the two do not have the same dimensions, one has fewer than 3 patients, or there is not one
            patient per image.
    """
    real, synthetic = paired(real, synthetic, least=3)
    patients, synthetic_patients = numbered(patients, len(real)), numbered(synthetic_patients, len(synthetic))
    if min(patients.max(), synthetic_patients.max()) < 2:
        raise ValueError(
            "the kernel inception distance needs images of at least 3 patients in each set. Received: "
            f"{patients.max() + 1} and {synthetic_patients.max() + 1} patients"
        )
    across_real, across_synthetic = np.zeros(len(real)), np.zeros(len(synthetic))
    for rows in strips(len(real), len(synthetic), pairs):
        across_real[rows], columns = _kernel_sums(real[rows], synthetic)
        across_synthetic += columns
    mean = across_real.sum() / (len(real) * len(synthetic))
    value, variance = -2 * mean, 0.0
    sets = (real, patients, across_real), (synthetic, synthetic_patients, across_synthetic)
    for (features, patient, across), others in zip(sets, (len(synthetic), len(real)), strict=True):
        m, images, within = len(features), np.bincount(patient), _within(features, patient, pairs)
        number = m**2 - (images**2).sum()  # pairs of images of two patients
        value += within.sum() / number
        without = (within.sum() - 2 * within) / (number - 2 * images * (m - images))  # each patient in turn
        without -= 2 * (across.sum() - np.bincount(patient, across)) / ((m - images) * others)
        variance += (len(images) - 1) * without.var()
    return Kid(float(value), float(np.sqrt(variance)))


def _kernel_sums(first, second):
    """Returns the sums of the kernel's rows and columns; only one matrix is in memory at a time."""
    kernel = first @ second.T
    kernel /= first.shape[1]
    kernel += 1
    kernel **= 3
    return kernel.sum(1), kernel.sum(0)


def _within(features, patient, pairs):
    """Returns the sum of the kernel over the pairs of each patient's images with those of other patients."""
    n = len(features)
    rows = np.concatenate([_kernel_sums(features[rows], features)[0] for rows in strips(n, n, pairs)])
    sums = np.bincount(patient, rows - ((features**2).sum(1) / features.shape[1] + 1) ** 3)
    for number in np.flatnonzero(np.bincount(patient) > 1):
        own = features[patient == number]
        sums[number] -= _kernel_sums(own, own)[0].sum() - (((own**2).sum(1) / own.shape[1] + 1) ** 3).sum()
    return sums


def fid(real, synthetic):
    """Computes the Fréchet distance between two normal distributions fitted to the features.

    Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NeurIPS 2017.
    Its bias grows with the ratio of dimensions to images and differs between generators (Bińkowski et al. 2018), so it
    is not reported for few images; use `kid` instead.

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
            f"FID is not reported: {real.shape[1]} dimensions need at least {least} images in each set; with fewer its "
            f"bias is as large as the distance itself. Received: {len(real)} real and {len(synthetic)} synthetic. "
            f"Use kid instead"
        )
    first, second = np.cov(real, rowvar=False), np.cov(synthetic, rowvar=False)
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # The product of the covariances has the eigenvalues of this symmetric matrix, which are never complex.
    mixed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    distance = np.sum((real.mean(0) - synthetic.mean(0)) ** 2)
    return float(distance + np.trace(first) + np.trace(second) - 2 * mixed)


class Neighbourhoods(typing.NamedTuple):
    """The result of `neighbourhoods`."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhoods(real, synthetic, k=5, pairs=PAIRS):
    """Computes precision, recall, density and coverage.

    An image's neighbourhood is the ball around it that reaches to the k-th nearest neighbour in its own set. Precision
    is the fraction of synthetic images that are in the neighbourhood of a real image; recall is the fraction of real
    images that are in the neighbourhood of a synthetic image (Kynkäänniemi et al., "Improved precision and recall
    metric for assessing generative models", NeurIPS 2019). Density is the mean number of real neighbourhoods that a
    synthetic image is in, divided by k; it may exceed 1. Coverage is the fraction of real neighbourhoods that contain a
    synthetic image (Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020).

    Patients are not regarded: where they have several images, the nearest are of the same patient, the neighbourhoods
    small, and precision, density and coverage low.

    Args:
        real, synthetic: float `(m, dimensions)` and `(n, dimensions)`, features.
        k: int, less than m and n.
        pairs: int, pairs of images compared at once; changes memory and speed, not the result.

    Returns:
        Neighbourhoods.
    """
    real, synthetic = paired(real, synthetic, least=k + 1)
    radii, synthetic_radii = _radii(real, k, pairs), _radii(synthetic, k, pairs)
    containing = np.zeros(len(synthetic))  # real neighbourhoods that contain each synthetic image
    recalled, nearest = np.zeros(len(real), bool), np.full(len(real), np.inf)
    for rows in strips(len(synthetic), len(real), pairs):
        distances = euclidean_distances(real, synthetic[rows])
        containing[rows] = (distances < radii[:, None]).sum(0)
        recalled |= (distances < synthetic_radii[rows]).any(1)
        nearest = np.minimum(nearest, distances.min(1))
        del distances  # before the next are computed
    precision, density = (containing > 0).mean(), containing.mean() / k
    coverage = (nearest < radii).mean()
    return Neighbourhoods(float(precision), float(recalled.mean()), float(density), float(coverage))


def _radii(features, k, pairs):
    """Returns each image's distance to its k-th nearest neighbour; the 0th is the image itself."""
    radii = np.empty(len(features))
    for rows in strips(len(features), len(features), pairs):
        distances = euclidean_distances(features[rows], features)
        distances.partition(k, axis=1)
        radii[rows] = distances[:, k]
        del distances  # before the next are computed
    return radii


def similarity(images, pairs=500, seed=0):
    """Computes how similar images are: the mean multi-scale structural similarity (MS-SSIM) of random pairs of them.

    Odena, Olah and Shlens, "Conditional image synthesis with auxiliary classifier GANs", ICML 2017. Compare synthetic
    with real images of the same class: a generator whose images are more similar than the real ones lacks variety.
    The weights of the scales are those of Wang, Simoncelli and Bovik (Asilomar 2003), for as many scales as the size of
    the images allows.

    Args:
        images: uint8 `(n, height, width, channels)`, of one class, at least 11 × 11 pixels.
        pairs: int, number of random pairs.
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
    similarities = [
        tf.image.ssim_multiscale(images[first[r]], images[second[r]], 255, weights / weights.sum(), window).numpy()
        for r in blocks(pairs, 64)
    ]
    return float(np.concatenate(similarities).mean())


def measure(space, real, synthetic, k=5):
    """Compares synthetic with real images by every metric of two sets of images.

    Args:
        space: FeatureSpace.
        real, synthetic: ImageSets of the same classes.
        k: neighbours, as in `neighbourhoods`.

    Returns:
        dict: space (its name), real and synthetic (numbers of images), kid and kid_error (its standard error), fid (NaN
        where there are too few images, with the reason in fid_note), precision, recall, density, coverage, and
        similarity and real_similarity (means over classes).
    """
    real_features, synthetic_features = space(real.images), space(synthetic.images)
    distance = kid(real_features, synthetic_features, patients=real.patients, synthetic_patients=synthetic.patients)
    row = {"space": space.name, "real": len(real), "synthetic": len(synthetic), "kid": distance.value}
    row |= {"kid_error": distance.error, "fid": np.nan, "fid_note": ""}
    try:
        row["fid"] = fid(real_features, synthetic_features)
    except ValueError as error:
        row["fid_note"] = str(error)
    row |= neighbourhoods(real_features, synthetic_features, k)._asdict()
    for name, imageset in (("similarity", synthetic), ("real_similarity", real)):
        of_class = [similarity(imageset.images[imageset.labels == label]) for label in np.unique(imageset.labels)]
        row[name] = float(np.mean(of_class))
    return row
