"""The mammography study's conditional GAN."""

import keras
from keras import layers

from synthkit.generators.gan import GAN
from synthkit.generators.layers import LabelPlanes, doublings

LATENT_SIZE = 100
SMALLEST = 5  # pixels a side from which the generator may start: it starts from 7 for 224 and 28 pixels, from 8 for 64
FILTERS = 128  # of the first transposed convolution; they halve with every doubling of the size


def generator(image_shape, num_classes):
    """Builds the mammography study's generator (its slides, "Generator Architecture").

    Noise and label become 7×7×128; five transposed convolutions double that up to 224×224×3. Smaller images take fewer
    of them. The slides do not give kernel sizes and numbers of filters.

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
    return keras.Model([noise, label], layers.Rescaling(0.5, offset=0.5)(x), name="generator")


def discriminator(image_shape, num_classes):
    """Builds the mammography study's discriminator of image and label (its slides).

    It has as many strided convolutions as the generator has transposed ones. Their input is the image with a plane for
    each class.

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
    return keras.Model([image, label], layers.Dense(1)(x), name="discriminator")


def mammography_cgan(image_shape=(224, 224, 3), num_classes=2, jit_compile=False, **options):
    """Builds the mammography study's conditional GAN. The slides name no optimizer; Adam at 2e-4, β₁ 0.5, is common.

    Its images hardly depend on the label. `mismatched=1.0, decay=0.998` and batches of 16 change that without changing
    a layer: on mass crops at 32×32 pixels, after 1.5 minutes, a classifier then found the class that was asked for with
    an AUC of 0.65 to 0.69 instead of 0.52 to 0.54; but the classes then differ more than real ones do. (Exploratory,
    two seeds; `data/results`.)

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        jit_compile: whether XLA compiles the step.
        options: other arguments of `GAN`, which change the training; without them it is the study's.

    Raises:
        ValueError: for image sizes that the generator cannot reach by doubling 5 to 9 pixels.
    """
    networks = generator(image_shape, num_classes), discriminator(image_shape, num_classes)
    model = GAN(image_shape, num_classes, *networks, name="mammography_cgan", **options)
    model.compile(
        keras.optimizers.Adam(2e-4, beta_1=0.5), keras.optimizers.Adam(2e-4, beta_1=0.5), jit_compile=jit_compile
    )
    return model
