"""Convolutional conditional GANs for a few hundred images."""

import keras
from keras import layers

from synthkit.generators import losses
from synthkit.generators.gan import GAN
from synthkit.generators.layers import DiffAugment, doublings

# architecture
LATENT_SIZE = 64
SMALLEST = 5  # pixels a side from which the generator may start: it starts from 7 for 28 pixels, from 8 for 32 and 64
WIDTH = 32  # channels at full resolution; they double with every halving of the size, up to WIDEST
WIDEST = 128


def generator(image_shape, num_classes):
    """Builds a generator that doubles the size by repeating pixels, so that no kernel overlaps itself unevenly.

    Its images may show the blocks of repeated pixels all the same, as those of a generator without noise at every level
    do (Karras, Laine and Aila, "A style-based generator architecture", CVPR 2019, section 3.2).

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.

    Returns:
        keras.Model from noise `(batch, 64)` and one-hot labels to float32 images in [0, 1].
    """
    start, times = doublings(image_shape, SMALLEST)
    noise, label = keras.Input((LATENT_SIZE,), name="noise"), keras.Input((num_classes,), name="label")
    # The label is embedded in as many dimensions as the noise; before training, in smaller numbers.
    x = layers.Concatenate()([noise, layers.Dense(LATENT_SIZE, use_bias=False)(label)])
    return keras.Model([noise, label], decoded(x, start, times, image_shape[-1]), name="generator")


def decoded(x, start, times, channels):
    """Returns the generator's images of `start << times` pixels a side from its noise, symbolic tensors of Keras."""
    x = layers.Dense(start * start * _width(times), use_bias=False)(x)
    x = layers.Reshape((start, start, _width(times)))(x)
    x = layers.ReLU()(_normalization()(x))
    for n in reversed(range(times)):
        x = layers.UpSampling2D()(x)
        x = layers.Conv2D(_width(n), 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(_normalization()(x))
    return layers.Conv2D(channels, 3, padding="same", activation="sigmoid")(x)


def discriminator(image_shape, num_classes, head="projection"):
    """Builds a discriminator of strided convolutions without batch normalisation, which would mix images of a batch.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        head: "projection" adds the inner product of features and the label's vector to the score (Miyato and Koyama,
            "cGANs with projection discriminator", ICLR 2018); "auxiliary" predicts the class besides the score
            (Odena, Olah and Shlens, "Conditional image synthesis with auxiliary classifier GANs", ICML 2017).

    Returns:
        keras.Model from `[image, label]` to scores `(batch, 1)`, or from `[image]` to scores and class logits.
    """
    _, times = doublings(image_shape, SMALLEST)
    image, label = keras.Input(image_shape, name="image"), keras.Input((num_classes,), name="label")
    features = features_of(image, times)
    score = layers.Dense(1)(features)
    if head == "auxiliary":
        return keras.Model([image], [score, layers.Dense(num_classes)(features)], name="discriminator")
    direction = layers.Dense(_width(times), use_bias=False)(label)
    match = layers.Dot(-1)([features, direction])
    return keras.Model([image, label], layers.Add()([score, match]), name="discriminator")


def features_of(image, times):
    """Returns the features that the discriminator has of images after `times` halvings, symbolic tensors of Keras."""
    x = layers.Rescaling(2.0, offset=-1.0)(image)
    for n in range(times):
        x = layers.Conv2D(_width(n), 3, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
        x = layers.Conv2D(_width(n + 1), 4, 2, "same")(x)
        x = layers.LeakyReLU(0.2)(x)
    features = layers.Dense(_width(times))(layers.Flatten()(x))
    return layers.LeakyReLU(0.2)(features)


def _width(halvings):
    return min(WIDTH << halvings, WIDEST)


def _normalization():
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)


def _gan(name, image_shape, num_classes, head="projection", *, flips=(), learning_rate=2e-4, beta_1=0.5, **options):
    model = GAN(
        image_shape,
        num_classes,
        generator(image_shape, num_classes),
        discriminator(image_shape, num_classes, head),
        augment=DiffAugment(),
        flips=flips,
        decay=0.998,
        name=name,
        **options,
    )
    adam = {"learning_rate": learning_rate, "beta_1": beta_1, "beta_2": 0.99}
    model.compile(keras.optimizers.Adam(**adam), keras.optimizers.Adam(**adam))
    return model


R1 = {"penalty": losses.r1, "penalty_weight": 0.5, "penalty_every": 4}


def conv_cgan(image_shape, num_classes, flips=None):
    """Builds a conditional GAN for a few hundred images; `flips` as in `gan.GAN`."""
    return _gan("conv_cgan", image_shape, num_classes, flips=flips, **R1)


def acgan(image_shape, num_classes, flips=None):
    """Builds `conv_cgan` with an auxiliary classifier instead of a conditional discriminator."""
    return _gan("acgan", image_shape, num_classes, "auxiliary", flips=flips, **R1)


def wgan_gp(image_shape, num_classes, flips=None):
    """Builds `conv_cgan` with the Wasserstein loss and a gradient penalty.

    Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, but for few images: three updates of the
    critic for one of the generator instead of five, all on the same batch; images are transformed, also under the
    penalty (`layers.DiffAugment`); Adam at 2e-4 with β₂ 0.99 instead of 1e-4 and 0.9.
    """
    return _gan(
        "wgan_gp",
        image_shape,
        num_classes,
        flips=flips,
        beta_1=0.0,
        generator_loss=losses.raise_scores,
        discriminator_loss=losses.wasserstein_discriminator,
        penalty=losses.gradient_penalty,
        penalty_weight=10.0,
        critic_steps=3,
    )
