"""Distances between real and synthetic images: KID, FID, precision and recall, density and coverage, two-sample tests."""

import typing

import numpy as np
from scipy import stats
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from synthkit.fidelity.spaces import PAIRS, blocks, paired, strips

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


def measure(space, real, synthetic, k=5):
    """Measures synthetic images against real ones by every figure that takes two sets of images.

    Args:
        space: FeatureSpace.
        real, synthetic: ImageSets of the same classes.
        k: neighbours, as in `neighbourhoods`.

    Returns:
        dict: space (its name), real and synthetic (how many), kid, kid_error, fid (NaN where the count does not
        allow it, with the reason in fid_note), precision, recall, density, coverage, and similarity and
        real_similarity (mean over classes).
    """
    first, second = space(real.images), space(synthetic.images)
    distance = kid(first, second)
    row = {"space": space.name, "real": len(real), "synthetic": len(synthetic), "kid": distance.value}
    row |= {"kid_error": distance.error, "fid": np.nan, "fid_note": ""}
    try:
        row["fid"] = fid(first, second)
    except ValueError as reason:
        row["fid_note"] = str(reason)
    row |= neighbourhoods(first, second, k)._asdict()
    for name, part in (("similarity", synthetic), ("real_similarity", real)):
        row[name] = float(np.mean([similarity(part.images[part.labels == label]) for label in np.unique(part.labels)]))
    return row
