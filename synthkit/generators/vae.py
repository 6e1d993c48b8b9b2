"""Variational autoencoders."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("synthkit")
class ConditionalVAE(keras.Model):
    """The MedMNIST study's conditional variational autoencoder (its section 3.2, "Conditional VAE").

    Two hidden fully connected layers in the encoder q(z | image, label) and two in the decoder p(image | z, label);
    the loss is the negative variational lower bound, a Bernoulli log-likelihood summed over pixels plus the divergence
    of q from the standard normal prior (Kingma and Welling 2013; Sohn et al. 2015). The report leaves the layers'
    widths and the latent size open.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        hidden: widths of the encoder's two hidden layers; the decoder mirrors them.
        latent_size: dimensions of z.
    """

    def __init__(self, image_shape, num_classes, hidden=(512, 256), latent_size=16, **kwargs):
        super().__init__(**kwargs)
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
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
        self.loss_tracker = keras.metrics.Mean("loss")
        self.reconstruction_tracker = keras.metrics.Mean("reconstruction_loss")
        self.divergence_tracker = keras.metrics.Mean("kl_loss")
        self.built = True

    def get_config(self):
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "num_classes": self.num_classes,
            "hidden": self.hidden,
            "latent_size": self.latent_size,
        }

    def call(self, images, labels):
        """Returns the mean reconstruction of float32 `(batch, height, width, channels)` images, in [0, 1]."""
        images, label = keras.ops.convert_to_tensor(images), keras.ops.one_hot(labels, self.num_classes)
        mean, _ = keras.ops.split(self.encoder([images, label]), 2, axis=-1)
        return keras.ops.sigmoid(self.decoder([mean, label]))

    def losses_of(self, images, labels, noise):
        """Returns the two terms of the loss, each a mean over the batch.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            labels: int `(batch,)`.
            noise: float32 `(batch, latent_size)`, standard normal.

        Returns:
            reconstruction loss and divergence, in nats an image.
        """
        images, label = keras.ops.convert_to_tensor(images), keras.ops.one_hot(labels, self.num_classes)
        mean, log_variance = keras.ops.split(self.encoder([images, label]), 2, axis=-1)
        logits = self.decoder([mean + keras.ops.exp(log_variance / 2) * noise, label])
        pixels = tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
        divergence = keras.ops.sum(keras.ops.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1) / 2
        return keras.ops.mean(keras.ops.sum(pixels, axis=(1, 2, 3))), keras.ops.mean(divergence)

    def train_step(self, data):
        images, labels = data
        noise = keras.random.normal((keras.ops.shape(images)[0], self.latent_size), seed=self.seed_generator)
        with tf.GradientTape() as tape:
            reconstruction, divergence = self.losses_of(images, labels, noise)
            loss = reconstruction + divergence
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self.loss_tracker.update_state(loss)
        self.reconstruction_tracker.update_state(reconstruction)
        self.divergence_tracker.update_state(divergence)
        return {metric.name: metric.result() for metric in self.metrics}

    def sample(self, labels, seed):
        """Draws an image for every label: the decoder's mean at a latent vector from the prior.

        Args:
            labels: int `(n,)`.
            seed: int; the same seed and labels give the same images.

        Returns:
            float32 `(n, height, width, channels)` in [0, 1].

        Raises:
            ValueError: if a label is not one of the classes.
        """
        labels = np.asarray(labels, dtype="int64")
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise ValueError(
                f"labels must lie between 0 and {self.num_classes - 1}. Received: {labels.min()} to {labels.max()}"
            )
        latent = np.random.default_rng(seed).standard_normal((len(labels), self.latent_size), "float32")
        label = np.eye(self.num_classes, dtype="float32")[labels]
        parts = [
            keras.ops.sigmoid(self.decoder([latent[i : i + 512], label[i : i + 512]])).numpy()
            for i in range(0, len(labels), 512)
        ]
        return np.concatenate(parts) if parts else np.empty((0, *self.image_shape), "float32")


def conditional_vae(image_shape, num_classes):
    """Builds the MedMNIST study's conditional VAE, compiled as it trained it: Adam, at Keras's default of 1e-3.

    Example:

    >>> from synthkit.generators.vae import conditional_vae
    >>> conditional_vae((28, 28, 1), 2).sample([0, 1, 1], seed=0).shape
    (3, 28, 28, 1)
    """
    model = ConditionalVAE(image_shape, num_classes, name="conditional_vae")
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model
