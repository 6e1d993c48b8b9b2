"""A class-conditional diffusion model that a few hundred images and two CPU cores can train."""

import keras
import tensorflow as tf

from synthkit.generators import denoising
from synthkit.generators.contract import Generator
from synthkit.generators.geometry import PARAMETERS, GeometricAugment
from synthkit.generators.layers import follow, moving_average
from synthkit.generators.unet import unet

HIDDEN = 0.1  # fraction of the labels that are hidden in training
GUIDED = 0.28, 2.9  # noise levels between which sampling is guided, as in Kynkäänniemi et al.'s table 1


@keras.saving.register_keras_serializable("synthkit")
class Diffusion(Generator):
    """Denoising diffusion as in EDM (Karras et al., NeurIPS 2022), conditioned on the label.

    - Preconditioning, noise levels, the weights of the loss and the sampler are EDM's (`denoising`).
    - Training images are transformed at random, and the network is told how (`geometry`): it learns from few images
      without showing the transformations in its samples.
    - The noise levels of a batch are evenly spread (Kingma et al., "Variational diffusion models", NeurIPS 2021).
    - A tenth of the labels is hidden in training, so that one network denoises with and without label; sampling
      extrapolates from the image without to that with label (Ho and Salimans, "Classifier-free diffusion guidance",
      2022), at the middle noise levels only: at high ones guidance takes away variety, and at low ones it changes
      nothing (Kynkäänniemi et al., "Applying guidance in a limited interval improves sample and distribution quality
      in diffusion models", NeurIPS 2024).
    - Samples come from a moving average of the weights, over more and more steps as training proceeds.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        width: channels of the network's first level, as in `unet`.
        guidance: scale; 0 ignores the label at the middle noise levels, 1 samples the class, more exaggerates what is
            typical of it.
        sampling_steps: of Heun's method, each with two evaluations of the network.
        decay: of the moving average, per update.
        augment: probability of each transformation of a training image (`geometry.GeometricAugment`).
    """

    def __init__(
        self, image_shape, num_classes, width=32, guidance=2.0, sampling_steps=12, decay=0.998, augment=0.15, **kwargs
    ):
        super().__init__(image_shape, num_classes, noise_shape=image_shape, loss_names=("loss",), **kwargs)
        self.width, self._guidance, self.sampling_steps = width, guidance, sampling_steps
        self.decay, self.augment = decay, augment
        self.transform = GeometricAugment(augment)
        self.network = unet(self.image_shape, num_classes + 1, PARAMETERS, width)
        self.average = moving_average(self.network)
        self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    @property
    def guidance(self):
        """The guidance scale. It cannot be set, since graphs are traced with it; see `with_guidance`."""
        return self._guidance

    def with_guidance(self, scale):
        """Returns a copy with another guidance scale."""
        copy = type(self).from_config({**self.get_config(), "guidance": scale})
        copy.set_weights(self.get_weights())
        return copy

    def get_config(self):
        names = ("width", "guidance", "sampling_steps", "decay", "augment")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def loss_of(self, images, labels, noise, sigma, transformations):
        """Returns the denoiser's mean squared error with EDM's weights, λ(σ) = 1 / c_out(σ)².

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1], transformed.
            labels: int64 `(batch,)`; `num_classes` for a hidden label.
            noise: float32 of the images' shape, standard normal.
            sigma: float32 `(batch,)`, noise levels.
            transformations: float32 `(batch, 9)`, as `GeometricAugment.draw` returns them.

        Returns:
            float32 scalar.
        """
        images, sigma = 2 * images - 1, sigma[:, None, None, None]
        noisy = images + sigma * noise
        skip, out, _, _ = denoising.preconditioning(sigma)
        target = (images - skip * noisy) / out  # of the network: the weighted error of the denoiser is its plain error
        return tf.reduce_mean((self._network(self.network, noisy, labels, sigma, transformations) - target) ** 2)

    def update(self, images, labels):
        images, transformations = self.transform(images)
        count = tf.shape(images)[0]
        hidden = keras.random.uniform((count,), seed=self.seed_generator) < HIDDEN
        labels = tf.where(hidden, tf.constant(self.num_classes, "int64"), labels)
        noise = keras.random.normal(tf.shape(images), seed=self.seed_generator)
        first = keras.random.uniform((), seed=self.seed_generator)
        sigma = denoising.training_levels((first + tf.range(count, dtype="float32") / tf.cast(count, "float32")) % 1)
        with tf.GradientTape() as tape:
            loss = self.loss_of(images, labels, noise, sigma, transformations)
        weights = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        follow(self.average, self.network, self.steps, self.decay)
        return {"loss": loss}

    def draw(self, noise, labels):
        levels = denoising.sampling_levels(self.sampling_steps)
        images = denoising.heun(lambda noisy, sigma: self.guided(noisy, labels, sigma), levels[0] * noise, levels)
        return tf.clip_by_value((images + 1) / 2, 0, 1)

    def guided(self, noisy, labels, sigma):
        """Returns the images that sampling steps towards, extrapolated at the middle noise levels.

        Args:
            noisy: float32 `(batch, height, width, channels)`.
            labels: int64 `(batch,)`.
            sigma: float32 scalar, the noise level.

        Returns:
            float32 `(batch, height, width, channels)`, about in [-1, 1].
        """
        conditional = self.denoise(noisy, labels, sigma)
        if self.guidance == 1:
            return conditional

        def extrapolated():
            hidden = tf.fill(tf.shape(labels), tf.constant(self.num_classes, "int64"))
            unconditional = self.denoise(noisy, hidden, sigma)
            return unconditional + self.guidance * (conditional - unconditional)

        return tf.cond((sigma > GUIDED[0]) & (sigma <= GUIDED[1]), extrapolated, lambda: conditional)

    def denoise(self, noisy, labels, sigma):
        """Returns noisy images without their noise, as the moving average predicts them; arguments as of `guided`."""
        skip, out, _, _ = denoising.preconditioning(sigma)
        none = tf.zeros((tf.shape(labels)[0], PARAMETERS))
        by_image = tf.fill((tf.shape(labels)[0], 1, 1, 1), sigma)
        return skip * noisy + out * self._network(self.average, noisy, labels, by_image, none)

    def _network(self, network, noisy, labels, sigma, transformations):
        _, _, scale, level = denoising.preconditioning(sigma)
        label = tf.one_hot(labels, self.num_classes + 1)
        return network([scale * noisy, level[:, :, 0, 0], label, transformations], training=network is self.network)


def diffusion(image_shape, num_classes):
    """Builds the diffusion model, compiled for a few hundred images and a few thousand steps: Adam at 1e-3.

    Example:

    >>> from synthkit.generators.diffusion import diffusion
    >>> model = diffusion((28, 28, 1), 2)
    >>> model.image_shape, model.network.count_params() < 500_000
    ((28, 28, 1), True)
    """
    model = Diffusion(image_shape, num_classes, name="diffusion")
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.optimizer.build(model.network.trainable_variables)
    return model
