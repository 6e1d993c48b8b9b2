"""Mirrored training images: twice as many for nothing, where left and right do not matter."""

import keras
import tensorflow as tf


def mirror(images, labels, classes, seed):
    """Mirrors half of the images left to right, drawn at random, inside a graph.

    Args:
        images: float32 `(batch, height, width, channels)`.
        labels: int64 `(batch,)`.
        classes: labels of the classes whose images may be mirrored, or None for all. A left kidney mirrored is a right
            one: leave such classes out.
        seed: keras.random.SeedGenerator.

    Returns:
        float32 `(batch, height, width, channels)`.
    """
    turned = keras.random.uniform((tf.shape(images)[0],), seed=seed) < 0.5
    if classes is not None:
        allowed = tf.constant(list(classes), "int64", shape=(1, len(classes)))
        turned &= tf.reduce_any(labels[:, None] == allowed, axis=1)
    return tf.where(turned[:, None, None, None], tf.reverse(images, axis=[2]), images)
