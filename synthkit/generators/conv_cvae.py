"""A convolutional conditional VAE whose samples keep the texture of the images."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from synthkit.generators.contract import Generator
from synthkit.generators.layers import halvings, mirror

LOSSES = ("loss", "reconstruction_loss", "kl_loss")


def bands(images, levels):
    """Splits images into bands of detail, finest first; each is what one more averaging over 2×2 pixels loses.

    This is a Laplacian pyramid (Burt and Adelson, 1983) with the simplest filter. The bands are orthogonal, so their
    degrees of freedom add up to the number of pixels and channels.

    Args:
        images: float32 `(batch, height, width, channels)`; height and width divisible by `2 ** levels`.
        levels: int.

    Returns:
        list of `levels + 1` pairs: a band, float32 tensor, and its degrees of freedom per image, float. The last is the
        coarsest image.
    """
    pyramid = []
    for _ in range(levels):
        size = float(np.prod(images.shape[1:]))
        coarse = tf.nn.avg_pool2d(images, 2, 2, "VALID")
        pyramid.append((images - tf.repeat(tf.repeat(coarse, 2, 1), 2, 2), 0.75 * size))
        images = coarse
    return [*pyramid, (images, float(np.prod(images.shape[1:])))]


@keras.saving.register_keras_serializable("synthkit")
class ConvCVAE(Generator):
    """A conditional VAE for a few hundred images, with three remedies for the blur of the dense one.

    - The likelihood is normal, with one variance for each band of detail, set to the optimal value (Rybkin, Daniilidis
      and Levine, "Simple and effective VAE training with calibrated decoders", ICML 2021). With one variance for all
      pixels, losing details costs little, since nearly all of the squared error is in the coarse bands.
    - The divergence is multiplied by `beta` (Higgins et al., "beta-VAE", ICLR 2017), and costs nothing below
      `free_bits` nats per dimension (Kingma et al., "Improved variational inference with inverse autoregressive flow",
      NeurIPS 2016). With few images it would otherwise switch off the latent dimensions that carry detail.
    - Latent vectors are drawn from the normal distribution with the mean and covariance of the encoded images of the
      class, instead of the prior, which such a posterior no longer fills (Ghosh et al., "From variational to
      deterministic autoencoders", ICLR 2020). Both moments are moving averages over the training steps, so sampling
      needs no second pass over the data.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        width: channels at full resolution; they double with every halving, up to four times `width`.
        latent_size: dimensions of the latent vector.
        beta: weight of the divergence.
        free_bits: divergence of a latent dimension that costs nothing, in nats, averaged over a batch.
        flips: labels of the classes whose images may be mirrored left to right; None for all.
    """

    def __init__(
        self, image_shape, num_classes, width=16, latent_size=64, beta=1.0, free_bits=0.0, flips=None, **kwargs
    ):
        super().__init__(image_shape, num_classes, noise_shape=(latent_size,), loss_names=LOSSES, **kwargs)
        self.width, self.latent_size, self.beta = width, latent_size, beta
        self.free_bits, self.flips = free_bits, flips
        self.halvings = halvings(self.image_shape)
        self.encoder = _encoder(self.image_shape, num_classes, self.halvings, width, latent_size)
        self.decoder = _decoder(self.image_shape, num_classes, self.halvings, width, latent_size)
        self.seed_generator = keras.random.SeedGenerator()
        for name, shape in (("count", ()), ("first", (latent_size,)), ("second", (latent_size, latent_size))):
            weight = self.add_weight(name=name, shape=(num_classes, *shape), initializer="zeros", trainable=False)
            setattr(self, f"latent_{name}", weight)
        self.built = True

    def get_config(self):
        names = ("width", "latent_size", "beta", "free_bits", "flips")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def losses_of(self, images, labels, noise):
        """Returns the terms of the loss and the latent vectors at which they were computed.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            labels: int64 `(batch,)`.
            noise: float32 `(batch, latent_size)`, standard normal.

        Returns:
            `(reconstruction, divergence, latent)`: the negative log-likelihood up to a constant and the divergence from
            the prior, both in nats per image, and the latent vectors, float32 `(batch, latent_size)`.
        """
        label = tf.one_hot(labels, self.num_classes)
        mean, log_variance = tf.split(self.encoder([images, label], training=True), 2, axis=-1)
        latent = mean + tf.exp(log_variance / 2) * noise
        errors = images - self.decoder([latent, label], training=True)
        # At the optimal variance, squared error / variance equals the degrees of freedom, a constant.
        reconstruction = sum(
            freedom / 2 * tf.math.log(tf.reduce_mean(tf.reduce_sum(band**2, (1, 2, 3))) / freedom + 1e-6)
            for band, freedom in bands(errors, self.halvings)
        )
        divergence = tf.reduce_mean(tf.exp(log_variance) + mean**2 - 1 - log_variance, axis=0) / 2
        return reconstruction, tf.reduce_sum(tf.maximum(divergence, self.free_bits)), latent

    def update(self, images, labels):
        images = mirror(images, labels, self.flips, self.seed_generator)
        noise = keras.random.normal((tf.shape(images)[0], self.latent_size), seed=self.seed_generator)
        with tf.GradientTape() as tape:
            reconstruction, divergence, latent = self.losses_of(images, labels, noise)
            loss = reconstruction + self.beta * divergence
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        self._remember(latent, labels)
        return dict(zip(LOSSES, (loss, reconstruction, divergence), strict=True))

    def _remember(self, latent, labels, decay=0.98):
        """Updates the moving averages of every class's moments with those of a batch."""
        member = tf.one_hot(labels, self.num_classes)
        sums = (
            (self.latent_count, tf.reduce_sum(member, 0)),
            (self.latent_first, tf.einsum("nk,ni->ki", member, latent)),
            (self.latent_second, tf.einsum("nk,ni,nj->kij", member, latent, latent)),
        )
        for average, batch in sums:
            average.assign(decay * average + (1 - decay) * batch)

    def draw(self, noise, labels):
        count = self.latent_count[:, None]
        mean = self.latent_first / count
        covariance = self.latent_second / count[..., None] - mean[:, :, None] * mean[:, None, :]
        # Without the small diagonal, the covariance of fewer images than dimensions has no Cholesky factor.
        root = tf.linalg.cholesky(covariance + 1e-3 * tf.eye(self.latent_size))
        latent = tf.gather(mean, labels) + tf.einsum("nij,nj->ni", tf.gather(root, labels), noise)
        images = self.decoder([latent, tf.one_hot(labels, self.num_classes)], training=False)
        return tf.clip_by_value(images, 0, 1)


def _encoder(image_shape, num_classes, count, width, latent_size):
    image, label = keras.Input(image_shape, name="image"), keras.Input((num_classes,), name="label")
    x = layers.Conv2D(width, 3, padding="same")(image * 2 - 1)
    for level in range(1, count + 1):
        x = layers.Activation("swish")(layers.GroupNormalization(1)(x))
        x = layers.Conv2D(width * min(2**level, 4), 4, strides=2, padding="same")(x)
    x = layers.Activation("swish")(layers.GroupNormalization(1)(x))
    x = layers.Concatenate()([layers.Flatten()(x), label])
    return keras.Model([image, label], layers.Dense(2 * latent_size)(x), name="encoder")


def _decoder(image_shape, num_classes, count, width, latent_size):
    latent, label = keras.Input((latent_size,), name="latent"), keras.Input((num_classes,), name="label")
    rows, columns = (side >> count for side in image_shape[:2])
    filters = width * min(2**count, 4)
    x = layers.Dense(rows * columns * filters)(layers.Concatenate()([latent, label]))
    x = layers.Reshape((rows, columns, filters))(x)
    for level in reversed(range(count)):
        x = layers.Activation("swish")(layers.GroupNormalization(1)(x))
        x = layers.Conv2DTranspose(width * min(2**level, 4), 4, strides=2, padding="same")(x)
    x = layers.Activation("swish")(layers.GroupNormalization(1)(x))
    x = layers.Conv2D(image_shape[-1], 3, padding="same", bias_initializer="zeros")(x)
    return keras.Model([latent, label], 0.5 + 0.5 * x, name="decoder")


def conv_cvae(image_shape, num_classes, flips=None):
    """Builds the convolutional conditional VAE, compiled for a few hundred images: Adam at 1e-3; `flips` as there.

    Example:

    >>> from synthkit.generators.conv_cvae import conv_cvae
    >>> conv_cvae((28, 28, 1), 2).decoder.output_shape
    (None, 28, 28, 1)
    """
    model = ConvCVAE(image_shape, num_classes, flips=flips, name="conv_cvae")
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model
