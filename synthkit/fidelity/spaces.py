"""Feature spaces: the features that images are compared by. A distance only means something in a named space."""

import dataclasses
import typing

import numpy as np
from sklearn.decomposition import PCA

PAIRS = 1 << 22  # pairs of images compared at once: 32 MB of distances
PIXELS = 1 << 26  # largest number of pixel values that a PCA is fitted on: 256 MB
ROWS = 1024  # images converted to features at once


@dataclasses.dataclass(frozen=True)
class FeatureSpace:
    """A named callable from uint8 images `(n, height, width, channels)` to float features `(n, dimensions)`."""

    name: str
    transform: typing.Callable

    def __call__(self, images):
        return self.transform(images)


def pixels(real, components=64, seed=0):
    """Makes the space of raw pixels after a PCA fitted on real images.

    Features are centred and divided by one number, so that the variance of a component over the real images is 1 on
    average. Distances keep their proportions between pixels, and metrics do not depend on the image size.

    Args:
        real: uint8 `(n, height, width, channels)`. If they have more than 2²⁶ pixel values (1,337 images of 224×224 or
            85,598 of 28×28), the PCA is fitted on a random subset of that size.
        components: int, number of components, at most n - 1 and the number of pixel values of an image.
        seed: int, of that subset, and of the randomised PCA that scikit-learn uses for large inputs.

    Returns:
        FeatureSpace.
    """
    limit = max(2, PIXELS // real[0].size)
    if len(real) > limit:
        real = real[np.sort(np.random.default_rng(seed).choice(len(real), limit, replace=False))]
    components = min(components, len(real) - 1, real[0].size)
    pca = PCA(components, random_state=seed).fit(_flat(real))
    scale = np.sqrt(pca.explained_variance_.mean())

    def transform(images):
        return np.concatenate([pca.transform(_flat(images[rows])) for rows in blocks(len(images), ROWS)]) / scale

    return FeatureSpace(f"pixels after PCA to {components} components", transform)


def penultimate(classifier):
    """Makes the space of the inputs to a classifier's last layer.

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
        lambda images: np.concatenate([run(np.asarray(images[rows])).numpy() for rows in blocks(len(images), 256)]),
    )


def inception(weights="imagenet"):
    """Makes the space of InceptionV3's last pooling layer, 2,048 features.

    Keras's weights differ from those of the original FID, so values can only be compared within this space.

    Args:
        weights: path of a Keras weights file; "imagenet" downloads one; None uses random weights.

    Returns:
        FeatureSpace.
    """
    import keras
    import tensorflow as tf

    body = keras.applications.InceptionV3(include_top=False, weights=weights, pooling="avg")

    @tf.function(reduce_retracing=True)
    def run(images):
        images = tf.image.resize(tf.cast(images, "float32"), (299, 299))
        if images.shape[-1] == 1:
            images = tf.image.grayscale_to_rgb(images)
        return body(images / 127.5 - 1, training=False)

    return FeatureSpace(
        "InceptionV3's last pooling",
        lambda images: np.concatenate([run(np.asarray(images[rows])).numpy() for rows in blocks(len(images), 32)]),
    )


def _flat(images):
    return np.asarray(images).reshape(len(images), -1).astype("float32") / 255


def blocks(count, rows):
    """Returns slices that divide `count` rows into blocks of `rows`."""
    return [slice(start, start + rows) for start in range(0, count, rows)]


def strips(count, others, pairs):
    """Returns slices that divide `count` rows into blocks that form at most `pairs` pairs with `others` rows."""
    return blocks(count, max(1, pairs // others))


def paired(real, synthetic, least):
    """Returns two arrays of features as float64.

    Raises:
        ValueError: if they do not have the same dimensions, or one has fewer than `least` images.
    """
    real, synthetic = np.asarray(real, float), np.asarray(synthetic, float)
    if real.ndim != 2 or real.shape[1:] != synthetic.shape[1:] or min(len(real), len(synthetic)) < least:
        raise ValueError(
            f"features must be two arrays (images, dimensions) of the same space, each of at least {least} images. "
            f"Received: {real.shape} real and {synthetic.shape} synthetic"
        )
    return real, synthetic


def numbered(patients, count):
    """Returns the patient of each of `count` images as a number from 0; None gives every image a patient of its own.

    Raises:
        ValueError: if there is not one patient per image.
    """
    if patients is None:
        return np.arange(count)
    if np.shape(patients) != (count,):
        raise ValueError(f"patients must be {count} identifiers, one per image. Received: {np.shape(patients)}")
    return np.unique(patients, return_inverse=True)[1]
