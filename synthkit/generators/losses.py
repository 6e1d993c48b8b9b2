"""Losses of the two networks of a GAN, and penalties on the gradient of the discriminator.

Scores are the discriminator's outputs before any sigmoid, float32 `(batch, 1)`. Losses are scalars.
"""

import keras
import tensorflow as tf

serializable = keras.saving.register_keras_serializable("synthkit")


@serializable
def cross_entropy_discriminator(real, fake):
    """Goodfellow et al., "Generative adversarial nets", 2014: classify real and fake; the sigmoid is in the loss."""
    return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))


@serializable
def cross_entropy_generator(fake):
    """Goodfellow et al. 2014, the form that does not saturate: fakes should be classified as real."""
    return tf.reduce_mean(tf.nn.softplus(-fake))


@serializable
def wasserstein_discriminator(real, fake):
    """Arjovsky, Chintala and Bottou, "Wasserstein GAN", 2017: high scores for real images, low ones for fakes."""
    return tf.reduce_mean(fake) - tf.reduce_mean(real)


@serializable
def raise_scores(fake):
    """Arjovsky, Chintala and Bottou 2017, the generator's loss: high scores for fakes."""
    return -tf.reduce_mean(fake)


@serializable
def r1(score, real, fake, seed):
    """Mean squared norm of the gradient of the score at real images.

    Mescheder, Geiger and Nowozin, "Which training methods for GANs do actually converge?", ICML 2018.

    Args:
        score: callable from images to scores.
        real, fake: float32 `(batch, height, width, channels)`.
        seed: keras.random.SeedGenerator.

    Returns:
        float32 scalar.
    """
    return tf.reduce_mean(_squared_norm(score, real))


@serializable
def gradient_penalty(score, real, fake, seed):
    """Mean squared deviation of the gradient's norm from 1, at random points between real and fake images.

    Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017. Arguments and result as in `r1`.
    """
    fraction = keras.random.uniform((tf.shape(real)[0], 1, 1, 1), seed=seed)
    norm = tf.sqrt(_squared_norm(score, fraction * real + (1 - fraction) * fake) + 1e-12)
    return tf.reduce_mean((norm - 1) ** 2)


def _squared_norm(score, images):
    """Returns the squared norm of the gradient of the score at each image, `(batch,)`."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = score(images)
    return tf.reduce_sum(tape.gradient(scores, images) ** 2, axis=(1, 2, 3))
