"""How real synthetic images look: distances between two sets of images in a named feature space.

A figure of this module means nothing without the space it was measured in, so a space carries its name: raw pixels
after a PCA (`pixels`), or what a classifier trained on real images sees before its last layer (`penultimate`). The
figures themselves take feature vectors and visit pairs of them block by block: 10,000 against 10,000 fit in 1 GB.
"""

import dataclasses
import typing

import numpy as np

BLOCK = 1024  # rows compared with all others at once


@dataclasses.dataclass(frozen=True)
class FeatureSpace:
    """A name and a callable from uint8 images `(n, height, width, channels)` to float features `(n, dimensions)`."""

    name: str
    transform: typing.Callable

    def __call__(self, images):
        return self.transform(images)


def pixels(real, components=64, seed=0):
    """Makes the space of raw pixels after a PCA fitted on real images.

    Features are centred and divided by one number, so that a component's variance over the real images is 1 on
    average: distances keep the proportions they have between pixels, and figures do not depend on the image size.

    Args:
        real: uint8 `(n, height, width, channels)`.
        components: how many to keep, at most n - 1 and the number of pixel values.
        seed: int, of the randomised PCA that scikit-learn takes for large inputs.

    Returns:
        FeatureSpace.
    """
    from sklearn.decomposition import PCA

    components = min(components, len(real) - 1, real[0].size)
    pca = PCA(components, random_state=seed).fit(_flat(real))
    scale = np.sqrt(pca.explained_variance_.mean())
    return FeatureSpace(
        f"pixels after PCA to {components} components",
        lambda images: np.concatenate([pca.transform(_flat(images[rows])) for rows in _blocks(len(images))]) / scale,
    )


def penultimate(classifier):
    """Makes the space of what goes into a classifier's last layer.

    Args:
        classifier: keras.Model from float32 images in [0, 1] to probabilities, trained on real images.

    Returns:
        FeatureSpace.
    """
    import keras
    import tensorflow as tf

    inputs = classifier.layers[-1].input
    body = keras.Model(classifier.inputs[0], keras.layers.Flatten()(inputs))
    signature = [tf.TensorSpec((None, *classifier.inputs[0].shape[1:]), "uint8")]
    run = tf.function(lambda images: body(tf.cast(images, "float32") / 255, training=False), input_signature=signature)
    return FeatureSpace(
        f"{classifier.name} before its last layer",
        lambda images: np.concatenate([run(np.asarray(images[rows])).numpy() for rows in _blocks(len(images), 256)]),
    )


class Kid(typing.NamedTuple):
    """Kernel inception distance and its standard error."""

    value: float
    error: float


def kid(real, synthetic, block=BLOCK):
    """Measures the kernel inception distance: the squared maximum mean discrepancy of a cubic kernel, unbiased.

    Bińkowski, Sutherland, Arbel and Gretton, "Demystifying MMD GANs", ICLR 2018, with k(x, y) = (x·y / d + 1)³.
    The paper averages the estimate over random subsets of 1,000 images to save memory; here all pairs are visited
    instead. Both have the same mean, so figures compare; this one varies less. No bias: two sets of one distribution
    give 0 on average at any size, and half of the time a little less than 0.

    Args:
        real: float `(m, dimensions)`, features of real images; m at least 3.
        synthetic: float `(n, dimensions)`, features of synthetic images; n at least 3.
        block: rows compared at once; changes memory and speed, not the result.

    Returns:
        Kid. Its error is the jackknife's over images of both sets, which errs on the large side (Efron and Stein,
        Annals of Statistics 9, 1981).

    Raises:
        ValueError: if the two do not have the same dimensions or one has fewer than 3 images.
    """
    real, synthetic = _features(real, synthetic, least=3)
    m, n = len(real), len(synthetic)
    within_real, within_synthetic = _within(real, block), _within(synthetic, block)
    across_real, across_synthetic = np.zeros(m), np.zeros(n)
    for rows in _blocks(m, block):
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


def _within(features, block):
    """Returns each row's sum of kernel values with all other rows."""
    sums = np.concatenate([_cubic(features[rows], features).sum(1) for rows in _blocks(len(features), block)])
    return sums - ((features**2).sum(1) / features.shape[1] + 1) ** 3


def _blocks(count, block=BLOCK):
    return [slice(start, start + block) for start in range(0, count, block)]


def _flat(images):
    return np.asarray(images).reshape(len(images), -1).astype("float32") / 255


def _features(real, synthetic, least):
    real, synthetic = np.asarray(real, float), np.asarray(synthetic, float)
    if real.ndim != 2 or real.shape[1:] != synthetic.shape[1:] or min(len(real), len(synthetic)) < least:
        raise ValueError(
            f"features must be two arrays (images, dimensions) of one space, each of at least {least} images. "
            f"Received: {real.shape} real and {synthetic.shape} synthetic"
        )
    return real, synthetic
