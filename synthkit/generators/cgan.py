"""The conditional GANs of the MedMNIST study (fully connected) and of the mammography study (convolutional)."""

import keras
import numpy as np
from keras import layers

from synthkit.generators import gan_losses
from synthkit.generators.gan import GAN
from synthkit.generators.layers import LabelPlanes, doublings

LATENT_SIZE = 100
HIDDEN = (256, 512, 1024)  # of the dense generator; its discriminator has them in reverse
SMALLEST = 5  # pixels a side that the convolutional generator starts from; 224 and 28 then start from 7, 64 from 8
FILTERS = 128  # of the first transposed convolution; they halve as the size doubles


def dense_generator(image_shape, num_classes):
    """Builds the MedMNIST study's generator: three hidden fully connected layers (its section 3.2).

    The report leaves widths and activations open.

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

    The dropout of 0.3 is ours, not the report's: without it a few hundred images are known by heart within a few
    epochs.

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


def convolutional_generator(image_shape, num_classes):
    """Builds the mammography study's generator (its slides, "Generator Architecture").

    Noise and label become 7×7×128; five transposed convolutions double that to 224×224×3. Smaller images take fewer
    of them. The slides leave kernels and widths open.

    Args:
        image_shape: `(height, width, channels)`; 28, 32, 56, 64, 112 or 224 pixels a side, for example.
        num_classes: int.

    Returns:
        keras.Model from noise `(batch, 100)` and one-hot labels `(batch, num_classes)` to float32 images in [0, 1].
    """
    start, times = doublings(image_shape, SMALLEST)
    noise, label = keras.Input((LATENT_SIZE,), name="noise"), keras.Input((num_classes,), name="label")
    x = layers.Concatenate()([noise, label])
    x = layers.LeakyReLU(0.2)(layers.Dense(start * start * FILTERS)(x))
    x = layers.Reshape((start, start, FILTERS))(x)
    for n in range(times - 1):
        x = layers.Conv2DTranspose(FILTERS >> n, 4, 2, "same")(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Conv2DTranspose(image_shape[-1], 4, 2, "same", activation="tanh")(x)
    return keras.Model([noise, label], layers.Rescaling(0.5, offset=0.5)(x), name="convolutional_generator")


def convolutional_discriminator(image_shape, num_classes):
    """Builds the mammography study's discriminator, which takes image and label (its slides).

    As many strided convolutions as the generator has transposed ones, on the image with a plane for each class.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.

    Returns:
        keras.Model from images and one-hot labels to scores `(batch, 1)`.
    """
    _, times = doublings(image_shape, SMALLEST)
    image, label = keras.Input(image_shape, name="image"), keras.Input((num_classes,), name="label")
    x = layers.Rescaling(2.0, offset=-1.0)(image)
    x = layers.Concatenate()([x, LabelPlanes(*image_shape[:2])(label)])
    for n in reversed(range(times)):
        x = layers.Conv2D(FILTERS >> n, 4, 2, "same")(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Dropout(0.4)(layers.Flatten()(x))
    return keras.Model([image, label], layers.Dense(1)(x), name="convolutional_discriminator")


def _compiled(generator, discriminator, image_shape, num_classes, name, jit_compile, **adam):
    model = GAN(
        image_shape,
        num_classes,
        generator(image_shape, num_classes),
        discriminator(image_shape, num_classes),
        generator_loss=gan_losses.cross_entropy_generator,
        discriminator_loss=gan_losses.cross_entropy_discriminator,
        name=name,
    )
    model.compile(keras.optimizers.Adam(**adam), keras.optimizers.Adam(**adam), jit_compile=jit_compile)
    return model


def dense_cgan(image_shape, num_classes, jit_compile=False):
    """Builds the MedMNIST study's conditional GAN, compiled as it trained it: Adam at 1e-4, for 1,000 epochs.

    Example:

    >>> from synthkit.generators.cgan import dense_cgan
    >>> dense_cgan((28, 28, 1), 2).generator.output_shape
    (None, 28, 28, 1)

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        jit_compile: whether XLA compiles the step.
    """
    parts = dense_generator, dense_discriminator
    return _compiled(*parts, image_shape, num_classes, "dense_cgan", jit_compile, learning_rate=1e-4)


def mammography_cgan(image_shape=(224, 224, 3), num_classes=2, jit_compile=False):
    """Builds the mammography study's conditional GAN. The slides name no optimizer: Adam, 2e-4, β₁ 0.5, is usual.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        jit_compile: whether XLA compiles the step.
    """
    parts = convolutional_generator, convolutional_discriminator
    return _compiled(*parts, image_shape, num_classes, "mammography_cgan", jit_compile, learning_rate=2e-4, beta_1=0.5)
