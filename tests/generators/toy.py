"""The smallest generator and a small GAN, for tests of what all generators share."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from synthkit.generators.contract import Generator
from synthkit.generators.gan import GAN


@keras.saving.register_keras_serializable("tests")
class Toy(Generator):
    """Learns one brightness for every class."""

    def __init__(self, image_shape, num_classes, **kwargs):
        super().__init__(image_shape, num_classes, noise_shape=(3,), loss_names=("loss",), **kwargs)
        self.level = self.add_weight(name="level", shape=(num_classes,), initializer="zeros")
        self.built = True

    def update(self, images, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.reduce_mean(images, (1, 2, 3)) - tf.gather(self.level, labels)) ** 2)
        self.optimizer.apply(tape.gradient(loss, [self.level]), [self.level])
        return {"loss": loss}

    def draw(self, noise, labels):
        level = tf.gather(self.level, labels) + 0.01 * noise[:, 0]
        return tf.clip_by_value(level[:, None, None, None] * tf.ones(self.image_shape), 0, 1)


def toy(image_shape=(4, 4, 1), num_classes=2, *, learning_rate=0.5):
    """Builds the toy, compiled."""
    model = Toy(image_shape, num_classes, name="toy")
    model.compile(keras.optimizers.SGD(learning_rate), jit_compile=False)
    return model


def toy_gan(image_shape=(4, 4, 1), num_classes=2, *, auxiliary=False, **options):
    """Builds a GAN of dense layers, compiled: two optimizers, random states, moving statistics and what options add.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        auxiliary: whether the discriminator predicts the class instead of using it.
        options: of `GAN`.
    """
    noise, label = keras.Input((3,)), keras.Input((num_classes,))
    x = layers.Dense(int(np.prod(image_shape)))(layers.Concatenate()([noise, label]))
    x = layers.Activation("sigmoid")(layers.BatchNormalization()(x))
    generator = keras.Model([noise, label], layers.Reshape(image_shape)(x))
    image = keras.Input(image_shape)
    x = layers.Dense(4, activation="tanh")(layers.Dropout(0.5)(layers.Flatten()(image)))
    if auxiliary:
        discriminator = keras.Model([image], [layers.Dense(1)(x), layers.Dense(num_classes)(x)])
    else:
        discriminator = keras.Model([image, label], layers.Dense(1)(layers.Concatenate()([x, label])))
    model = GAN(image_shape, num_classes, generator, discriminator, name="toy_gan", **options)
    model.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam(1e-2))
    return model
