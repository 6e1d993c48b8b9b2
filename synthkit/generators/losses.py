"""What the two networks of a GAN are trained with: losses from scores, and penalties on the discriminator's slope.

Scores are the discriminator's outputs before any sigmoid, float32 `(batch, 1)`. Losses are scalars.
"""

import keras
import tensorflow as tf

serializable = keras.saving.register_keras_serializable("synthkit")


@serializable
def cross_entropy_discriminator(real, fake):
    """Goodfellow et al., "Generative adversarial nets", 2014: tell real from fake; the sigmoid is in the loss."""
    return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))


@serializable
def cross_entropy_generator(fake):
    """Goodfellow et al. 2014, the form that does not saturate: have fakes taken for real."""
    return tf.reduce_mean(tf.nn.softplus(-fake))


@serializable
def wasserstein_discriminator(real, fake):
    """Arjovsky, Chintala and Bottou, "Wasserstein GAN", 2017: real scores high, fake ones low."""
    return tf.reduce_mean(fake) - tf.reduce_mean(real)


@serializable
def raise_scores(fake):
    """The generator's side of both hinge and Wasserstein."""
    return -tf.reduce_mean(fake)


@serializable
def r1(score, real, fake, seed):
    """Mean squared length of the score's gradient at real images.

    Mescheder, Geiger and Nowozin, "Which training methods for GANs do actually converge?", ICML 2018.

    Args:
        score: callable from images to scores.
        real, fake: float32 `(batch, height, width, channels)`.
        seed: keras.random.SeedGenerator.

    Returns:
        float32 scalar.
    """
    return tf.reduce_mean(_squared_slope(score, real))


@serializable
def gradient_penalty(score, real, fake, seed):
    """Mean squared distance of the gradient's length from 1, between real and fake images.

    Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017. Arguments and result as in `r1`.
    """
    share = keras.random.uniform((tf.shape(real)[0], 1, 1, 1), seed=seed)
    length = tf.sqrt(_squared_slope(score, share * real + (1 - share) * fake) + 1e-12)
    return tf.reduce_mean((length - 1) ** 2)


def _squared_slope(score, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = score(images)
    return tf.reduce_sum(tape.gradient(scores, images) ** 2, axis=(1, 2, 3))
