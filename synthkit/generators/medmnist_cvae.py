"""The MedMNIST study's conditional variational autoencoder."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from synthkit.generators.contract import Generator

LOSSES = ("loss", "reconstruction_loss", "kl_loss")


@keras.saving.register_keras_serializable("synthkit")
class DenseCVAE(Generator):
    """The MedMNIST study's conditional variational autoencoder (its section 3.2, "Conditional VAE").

    The encoder q(z | image, label) and the decoder p(image | z, label) have two hidden fully connected layers each. The
    loss is the negative evidence lower bound: a negative Bernoulli log-likelihood, summed over pixels, plus the
    divergence of q from the standard normal prior (Kingma and Welling 2013; Sohn et al. 2015). The report does not give
    the layers' widths and the latent size.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        hidden: widths of the encoder's two hidden layers; the decoder has them in reverse order.
        latent_size: dimensions of z.
    """

    # The last bits of a traced decoder differ, and the tables in data/results were made without.
    traced_draw = False

    def __init__(self, image_shape, num_classes, hidden=(512, 256), latent_size=16, **kwargs):
        super().__init__(image_shape, num_classes, noise_shape=(latent_size,), loss_names=LOSSES, **kwargs)
        self.hidden, self.latent_size = tuple(hidden), latent_size
        image = keras.Input(self.image_shape, name="image")
        label = keras.Input((num_classes,), name="label")
        x = layers.Concatenate()([layers.Flatten()(image), label])
        for width in self.hidden:
            x = layers.Dense(width, activation="relu")(x)
        self.encoder = keras.Model([image, label], layers.Dense(2 * latent_size)(x), name="encoder")
        latent = keras.Input((latent_size,), name="latent")
        x = layers.Concatenate()([latent, label])
        for width in reversed(self.hidden):
            x = layers.Dense(width, activation="relu")(x)
        x = layers.Dense(int(np.prod(self.image_shape)))(x)
        self.decoder = keras.Model([latent, label], layers.Reshape(self.image_shape)(x), name="decoder")
        self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "latent_size": self.latent_size}

    def call(self, images, labels):
        """Returns the mean reconstruction of float32 `(batch, height, width, channels)` images, in [0, 1]."""
        images, label = keras.ops.convert_to_tensor(images), keras.ops.one_hot(labels, self.num_classes)
        mean, _ = keras.ops.split(self.encoder([images, label]), 2, axis=-1)
        return keras.ops.sigmoid(self.decoder([mean, label]))

    def losses_of(self, images, labels, noise):
        """Returns the two terms of the loss, each averaged over the batch.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            labels: int `(batch,)`.
            noise: float32 `(batch, latent_size)`, standard normal.

        Returns:
            `(reconstruction, divergence)`, float32 scalars in nats per image.
        """
        images, label = keras.ops.convert_to_tensor(images), keras.ops.one_hot(labels, self.num_classes)
        mean, log_variance = keras.ops.split(self.encoder([images, label]), 2, axis=-1)
        logits = self.decoder([mean + keras.ops.exp(log_variance / 2) * noise, label])
        pixels = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
        divergence = keras.ops.sum(keras.ops.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1) / 2
        return keras.ops.mean(keras.ops.sum(pixels, axis=(1, 2, 3))), keras.ops.mean(divergence)

    def update(self, images, labels):
        noise = keras.random.normal((keras.ops.shape(images)[0], self.latent_size), seed=self.seed_generator)
        with tf.GradientTape() as tape:
            reconstruction, divergence = self.losses_of(images, labels, noise)
            loss = reconstruction + divergence
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return dict(zip(LOSSES, (loss, reconstruction, divergence), strict=True))

    def draw(self, noise, labels):
        """Decodes latent vectors drawn from the prior; arguments and result as in `Generator.draw`."""
        noise = keras.ops.convert_to_tensor(noise)
        return keras.ops.sigmoid(self.decoder([noise, keras.ops.one_hot(labels, self.num_classes)]))

    def sample(self, labels, seed, *, batch_size=512):
        return super().sample(labels, seed, batch_size=batch_size)


def dense_cvae(image_shape, num_classes):
    """Builds the MedMNIST study's conditional VAE, compiled as in the study: Adam, at Keras's default of 1e-3.

    Example:

    >>> from synthkit.generators.medmnist_cvae import dense_cvae
    >>> dense_cvae((28, 28, 1), 2).decoder.output_shape
    (None, 28, 28, 1)
    """
    model = DenseCVAE(image_shape, num_classes, name="dense_cvae")
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


conditional_vae = dense_cvae  # its name until version 0.2
