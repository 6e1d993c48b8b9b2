"""Random transformations of training images that a generator is told, so that it learns from them and makes none."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SCALE = 0.2  # standard deviation of the logarithm to base 2 of the factor of scaling, and of that of stretching
SHIFT = 1 / 8  # standard deviation of shifts, as a fraction of the side
PARAMETERS = 9  # numbers that describe a transformation


@keras.saving.register_keras_serializable("synthkit")
class GeometricAugment(layers.Layer):
    """Transforms images at random and returns what was done to each.

    Karras et al., "Elucidating the design space of diffusion-based generative models", NeurIPS 2022, their table 6 with
    its ranges: mirroring, turning upside down, scaling, rotation, stretching and shifting, each with the same
    probability. A network that gets the nine parameters as an input, and zeros when it makes images, learns from all
    transformations and makes untransformed images. Pixels from outside the image are its reflection.

    Args:
        probability: of each of the six transformations.
        seed: int or None.
    """

    def __init__(self, probability=0.15, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.probability = probability
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def get_config(self):
        return {**super().get_config(), "probability": self.probability}

    def draw(self, count):
        """Draws the parameters of `count` transformations, float32 `(count, 9)`.

        They are: mirrored (0 or 1), upside down (0 or 1), the exponent of the scaling in units of `SCALE`, cos - 1 and
        sin of the angle of rotation, x and y of a vector along which the image is stretched, by its length in those
        units, and the shifts to the right and down in units of `SHIFT`. All are 0 for an image left as it is.
        """

        def maybe(*values):
            on = keras.random.uniform((count,), seed=self.seed_generator) < self.probability
            return [tf.where(on, value, 0.0) for value in values]

        def normal():
            return keras.random.normal((count,), seed=self.seed_generator)

        angle, direction = (keras.random.uniform((count,), -np.pi, np.pi, seed=self.seed_generator) for _ in "ab")
        stretch = normal()
        parts = [*maybe(tf.ones(count)), *maybe(tf.ones(count)), *maybe(normal())]
        parts += maybe(tf.cos(angle) - 1, tf.sin(angle))
        parts += maybe(stretch * tf.cos(direction), stretch * tf.sin(direction)) + maybe(normal(), normal())
        return tf.stack(parts, axis=1)

    def apply(self, images, parameters):
        """Transforms images.

        Args:
            images: float32 `(batch, height, width, channels)`.
            parameters: float32 `(batch, 9)`, as `draw` returns them.

        Returns:
            float32 `(batch, height, width, channels)`.
        """
        height, width = images.shape[1:3]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=_inverse(parameters, height, width),
            output_shape=(height, width),
            interpolation="BILINEAR",
            fill_mode="REFLECT",
            fill_value=0.0,
        )

    def call(self, images):
        """Returns transformed images and the parameters."""
        parameters = self.draw(tf.shape(images)[0])
        return self.apply(images, parameters), parameters


def _inverse(parameters, height, width):
    """Returns where every pixel comes from, as `(batch, 8)` coefficients of ImageProjectiveTransformV3.

    The transformations are undone in the opposite order: shift, stretch, rotation, scaling, flips.
    """
    mirrored, upside_down, scale, cosine, sine, x, y, right, down = tf.unstack(parameters, axis=1)
    length = tf.sqrt(x**2 + y**2)
    c, s = (part / tf.maximum(length, 1e-6) for part in (x, y))
    along, across = 2 ** (-SCALE * length), 2 ** (SCALE * length)  # of the direction (c, s)
    even, odd = (along + across) / 2, (along - across) / 2
    stretch = (even + odd * (c**2 - s**2), 2 * odd * c * s), (2 * odd * c * s, even - odd * (c**2 - s**2))
    turn = (1 + cosine, sine), (-sine, 1 + cosine)
    signs = (1 - 2 * mirrored, 1 - 2 * upside_down)
    matrix = [
        [2 ** (-SCALE * scale) * sign * (row[0] * stretch[0][j] + row[1] * stretch[1][j]) for j in (0, 1)]
        for sign, row in zip(signs, turn, strict=True)
    ]
    middle = (width - 1) / 2, (height - 1) / 2
    shifted = middle[0] + SHIFT * width * right, middle[1] + SHIFT * height * down
    offsets = [at - row[0] * shifted[0] - row[1] * shifted[1] for at, row in zip(middle, matrix, strict=True)]
    nothing = tf.zeros_like(x)
    return tf.stack([*matrix[0], offsets[0], *matrix[1], offsets[1], nothing, nothing], axis=1)
