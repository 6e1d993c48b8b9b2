"""The MedMNIST study's fully connected conditional GAN."""

import keras
import numpy as np
from keras import layers

from synthkit.generators.gan import GAN

LATENT_SIZE = 100
HIDDEN = (256, 512, 1024)  # widths of the generator's hidden layers; the discriminator has them in reverse order


def dense_generator(image_shape, num_classes):
    """Builds the MedMNIST study's generator: three hidden fully connected layers (its section 3.2).

    The report does not give widths and activations.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.

    Returns:
        keras.Model from noise `(batch, 100)` and one-hot labels `(batch, num_classes)` to float32 images in [0, 1].
    """
    noise, label = keras.Input((LATENT_SIZE,), name="noise"), keras.Input((num_classes,), name="label")
    x = layers.Concatenate()([noise, label])
    for width in HIDDEN:
        x = layers.LeakyReLU(0.2)(layers.Dense(width)(x))
    x = layers.Dense(int(np.prod(image_shape)), activation="sigmoid")(x)
    return keras.Model([noise, label], layers.Reshape(image_shape)(x), name="dense_generator")


def dense_discriminator(image_shape, num_classes):
    """Builds the MedMNIST study's discriminator: three hidden fully connected layers on image and label.

    The dropout of 0.3 is ours, not the report's: without it the discriminator memorises a few hundred images within a
    few epochs.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.

    Returns:
        keras.Model from images and one-hot labels to scores `(batch, 1)`.
    """
    image, label = keras.Input(image_shape, name="image"), keras.Input((num_classes,), name="label")
    x = layers.Rescaling(2.0, offset=-1.0)(image)
    x = layers.Concatenate()([layers.Flatten()(x), label])
    for width in reversed(HIDDEN):
        x = layers.LeakyReLU(0.2)(layers.Dense(width)(x))
        x = layers.Dropout(0.3)(x)
    return keras.Model([image, label], layers.Dense(1)(x), name="dense_discriminator")


def dense_cgan(image_shape, num_classes, jit_compile=False):
    """Builds the MedMNIST study's conditional GAN, compiled as in the study: Adam at 1e-4, for 1,000 epochs.

    Example:

    >>> from synthkit.generators.medmnist_cgan import dense_cgan
    >>> dense_cgan((28, 28, 1), 2).generator.output_shape
    (None, 28, 28, 1)

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        jit_compile: whether XLA compiles the step.
    """
    networks = dense_generator(image_shape, num_classes), dense_discriminator(image_shape, num_classes)
    model = GAN(image_shape, num_classes, *networks, name="dense_cgan")
    model.compile(keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4), jit_compile=jit_compile)
    return model
