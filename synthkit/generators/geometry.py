"""Random geometric transformations of training images, with a description of each for the network to be told.

Karras, Aittala, Aila and Laine, "Elucidating the design space of diffusion-based generative models", NeurIPS 2022,
section 5: a network that is told what was done to an image learns from transformed images and makes untransformed ones.
The paper also scales along one axis alone, which is left out here, and tells the network of mirrored images, of which
`diffusion` makes mirrored samples instead.
"""

import keras
import numpy as np
import tensorflow as tf

COLUMNS = ("flip", "sine", "cosine - 1", "log2 scale", "right", "down")
SCALE, SHIFT = 0.2, 0.125  # standard deviations, of the paper: of log2 of the scale, and in sides


def draw_transformations(count, probability, seed):
    """Draws upside-down flips, rotations by any angle, scales and shifts, each with a probability of its own.

    Args:
        count: int scalar, of images.
        probability: float, of each of the four.
        seed: keras.random.SeedGenerator.

    Returns:
        float32 `(count, 6)` with the columns `COLUMNS`; zeros for an image that is not transformed.
    """

    def chosen(values, chance=probability):
        return tf.where(keras.random.uniform((count, 1), seed=seed) < chance, values, 0.0)

    angle = chosen(keras.random.uniform((count, 1), -np.pi, np.pi, seed=seed))
    flip = chosen(tf.ones((count, 1)), probability / 2)  # half of the images that the paper flips come out as they were
    scale = chosen(SCALE * keras.random.normal((count, 1), seed=seed))
    shift = chosen(SHIFT * keras.random.normal((count, 2), seed=seed))
    return tf.concat([flip, tf.sin(angle), tf.cos(angle) - 1, scale, shift], axis=1)


def transform(images, transformations):
    """Transforms images about their centres, with bilinear interpolation; what is outside is reflected.

    Args:
        images: float32 `(batch, height, width, channels)`.
        transformations: float32 `(batch, 6)`, of `draw_transformations`.

    Returns:
        float32 of the images' shape.
    """
    height, width = images.shape[1:3]
    flip, sine, cosine, scale, right, down = tf.unstack(transformations, axis=1)
    # From the pixels of the result to those of the image, as the warp wants them.
    shrink = 2.0**-scale
    x_row = [shrink * (cosine + 1), shrink * sine]
    y_row = [(2 * flip - 1) * shrink * sine, (1 - 2 * flip) * shrink * (cosine + 1)]
    x, y = (width - 1) / 2, (height - 1) / 2
    rows = []
    for row, centre in ((x_row, x), (y_row, y)):
        rows += [*row, centre - row[0] * (x + right * width) - row[1] * (y + down * height)]
    matrices = tf.stack([*rows, tf.zeros_like(flip), tf.zeros_like(flip)], axis=1)
    return keras.ops.image.affine_transform(
        images, matrices, interpolation="bilinear", fill_mode="reflect", data_format="channels_last"
    )
