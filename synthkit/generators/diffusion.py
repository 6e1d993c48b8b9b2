"""A class-conditional diffusion model that a few hundred images and two CPU cores can train."""

import keras
import numpy as np
import tensorflow as tf

from synthkit.generators import geometry
from synthkit.generators.contract import Generator
from synthkit.generators.layers import follow, mirror, moving_average
from synthkit.generators.unet import unet

OFFSET = 0.008  # of the cosine schedule; without it the noise level would change too little near time 0


def schedule(time):
    """Returns the signal rate and the noise rate at a time: the cosine schedule, in continuous time.

    Nichol and Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021, equation 17.

    Args:
        time: float32 tensor from 0, the image alone, to 1, noise alone.

    Returns:
        `(signal_rate, noise_rate)`, of the shape of `time`; their squares add up to 1.
    """
    angle = (time + OFFSET) / (1 + OFFSET) * np.pi / 2
    # Divided by its value at time 0, so that the image itself has no noise.
    signal_rate = tf.clip_by_value(tf.cos(angle) / np.cos(OFFSET / (1 + OFFSET) * np.pi / 2), 0, 1)
    return signal_rate, tf.sqrt(1 - signal_rate**2)


def predicted_image(noisy, velocity, time):
    """Returns the images without noise, in [-1, 1], that a velocity implies.

    Args:
        noisy: float32 `(batch, height, width, channels)`, the noisy images at `time`.
        velocity: float32 of that shape, signal rate · noise − noise rate · image.
        time: float32 scalar.
    """
    signal_rate, noise_rate = schedule(time)
    return tf.clip_by_value(signal_rate * noisy - noise_rate * velocity, -1, 1)


def solver_step(noisy, image, before, time, earlier, later):
    """Takes one step of deterministic sampling, from one time to an earlier one.

    Lu et al., "DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models", 2022, algorithm 2: the
    line through this and the last predicted image is followed. Without a last one, and from or to times 1 and 0, where
    the logarithm of the signal-to-noise ratio is infinite, this is a step of DDIM (Song, Meng and Ermon, ICLR 2021).

    Args:
        noisy: float32 `(batch, height, width, channels)`, the noisy images at `time`.
        image: float32 of that shape, the images that are predicted from them (`predicted_image`).
        before: the same of the last step, from the time `later`.
        time, earlier, later: float32 scalars; `later` is `time` in the first step.

    Returns:
        float32, the noisy images at `earlier`.
    """
    ratios = [tf.math.log(signal) - tf.math.log(noise) for signal, noise in map(schedule, (later, time, earlier))]
    last, step = ratios[1] - ratios[0], ratios[2] - ratios[1]
    straight = (time < later) & (earlier > 0)
    slope = tf.where(straight, step / tf.where(straight, 2 * last, 1.0), 0.0)
    signal_rate, noise_rate = schedule(earlier)
    ratio = noise_rate / schedule(time)[1]
    return ratio * noisy + (signal_rate - ratio * schedule(time)[0]) * (image + slope * (image - before))


@keras.saving.register_keras_serializable("synthkit")
class Diffusion(Generator):
    """Denoising diffusion (Ho, Jain and Abbeel, NeurIPS 2020), conditioned on the label and sampled in few steps.

    - The network predicts the velocity instead of the noise (Salimans and Ho, "Progressive distillation", ICLR 2022).
      The squared error then weights all noise rates alike, and few updates suffice.
    - The times of a batch are evenly spaced (Kingma et al., "Variational diffusion models", NeurIPS 2021). Over a few
      thousand updates, random times would be the main source of noise in the loss.
    - A tenth of the labels is hidden in training, so that one network predicts with and without label; sampling
      extrapolates from the prediction without to that with label (Ho and Salimans, "Classifier-free diffusion
      guidance", 2022).
    - Guidance may be limited to the middle of the noise levels (Kynkäänniemi et al., "Applying guidance in a limited
      interval improves sample and distribution quality in diffusion models", NeurIPS 2024).
    - Sampling may also be guided away from what the model itself predicted earlier in its training, when it was worse
      (Karras et al., "Guiding a diffusion model with a bad version of itself", NeurIPS 2024). The earlier weights are
      those after a power of four steps, between a sixteenth and a quarter of all.
    - Samples come from a moving average of the weights, over more and more steps as training proceeds.
    - Training images may be transformed, and the network is told how (`geometry`), so that samples are not.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        width: channels at full resolution; they double with every halving, up to eight times `width`.
        guidance: scale; 0 ignores the label and the autoguidance, 1 samples the class, more exaggerates what is
            typical of it.
        sampling_steps: of the solver; they count from the first call of `sample` on, and do not change after it.
        decay: of the moving average, per update.
        flips: labels of the classes whose images may be mirrored left to right; None for all.
        interval: times between which guidance acts; outside them the label is used as it is.
        augment: probability of each kind of transformation of a training image; 0 for none.
        autoguidance: scale of the guidance away from earlier weights, where 1 has no effect; None does not keep them.
    """

    def __init__(
        self,
        image_shape,
        num_classes,
        width=16,
        guidance=2.0,
        sampling_steps=16,
        decay=0.998,
        flips=None,
        interval=(0.0, 1.0),
        augment=0.0,
        autoguidance=None,
        **kwargs,
    ):
        if not 0 <= interval[0] < interval[1] <= 1:
            raise ValueError(
                f"interval must be two times from 0 to 1, the smaller first. Received: interval={interval}"
            )
        super().__init__(image_shape, num_classes, noise_shape=image_shape, loss_names=("loss",), **kwargs)
        self.width, self._guidance, self.sampling_steps = width, guidance, sampling_steps
        self.decay, self.flips, self._interval, self.augment = decay, flips, tuple(interval), augment
        self._autoguidance = autoguidance
        self.network = unet(self.image_shape, num_classes + 1, width, transformed=augment > 0)
        self.average = moving_average(self.network)
        if autoguidance is not None:
            self.recent, self.earlier = moving_average(self.network), moving_average(self.network)
        self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    @property
    def guidance(self):
        """The guidance scale. It cannot be set, since graphs are traced with it; see `with_guidance`."""
        return self._guidance

    @property
    def interval(self):
        """The times between which guidance acts. They cannot be set either."""
        return self._interval

    @property
    def autoguidance(self):
        """The scale of the guidance away from earlier weights. It cannot be set either."""
        return self._autoguidance

    def with_guidance(self, scale, interval=None, autoguidance=None):
        """Returns a copy with another guidance scale, interval and autoguidance; None keeps what there is.

        Raises:
            ValueError: for autoguidance of a model that was built without.
        """
        if autoguidance is not None and self.autoguidance is None:
            raise ValueError("this model has no earlier weights; autoguidance=1 keeps them, if it is built with it")
        given = {"guidance": scale, "interval": interval, "autoguidance": autoguidance}
        given = {name: value for name, value in given.items() if value is not None}
        copy = type(self).from_config({**self.get_config(), **given})
        copy.set_weights(self.get_weights())
        return copy

    def get_config(self):
        names = ("width", "guidance", "sampling_steps", "decay", "flips", "interval", "augment")
        names += () if self.autoguidance is None else ("autoguidance",)  # kept fits are found by this configuration
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def loss_of(self, images, labels, noise, time, transformations=None):
        """Returns the mean squared error of the predicted velocity.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            labels: int64 `(batch,)`; `num_classes` for a hidden label.
            noise: float32 of the images' shape, standard normal.
            time: float32 `(batch,)` in [0, 1].
            transformations: float32 `(batch, 6)`, of `geometry.draw_transformations`, that were applied to the images;
                None for none.

        Returns:
            float32 scalar.
        """
        images = 2 * images - 1
        signal_rate, noise_rate = schedule(time[:, None, None, None])
        noisy = signal_rate * images + noise_rate * noise
        predicted = self._velocity(self.network, noisy, labels, time, transformations, training=True)
        return tf.reduce_mean((predicted - (signal_rate * noise - noise_rate * images)) ** 2)

    def update(self, images, labels):
        images = mirror(images, labels, self.flips, self.seed_generator)
        count = tf.shape(images)[0]
        transformations = None
        if self.augment:
            transformations = geometry.draw_transformations(count, self.augment, self.seed_generator)
            images = geometry.transform(images, transformations)
        hidden = keras.random.uniform((count,), seed=self.seed_generator) < 0.1
        labels = tf.where(hidden, tf.constant(self.num_classes, "int64"), labels)
        noise = keras.random.normal(tf.shape(images), seed=self.seed_generator)
        first = keras.random.uniform((), seed=self.seed_generator)
        time = (first + tf.range(count, dtype="float32") / tf.cast(count, "float32")) % 1
        with tf.GradientTape() as tape:
            loss = self.loss_of(images, labels, noise, time, transformations)
        weights = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        follow(self.average, self.network, self.steps, self.decay)
        if self.autoguidance is not None:
            powers = tf.constant([4**power for power in range(1, 31)], "int64")
            tf.cond(tf.reduce_any(powers == tf.cast(self.steps, "int64") + 1), self._remember, lambda: False)
        return {"loss": loss}

    def _remember(self):
        """Makes the weights that were remembered last the earlier ones, and remembers those of today."""
        for earlier, recent, average in zip(
            *(net.weights for net in (self.earlier, self.recent, self.average)), strict=True
        ):
            earlier.assign(recent)
            recent.assign(average)
        return True

    def draw(self, noise, labels):
        times = tf.linspace(1.0, 0.0, self.sampling_steps + 1)
        image = before = noisy = noise
        for step in tf.range(self.sampling_steps):
            time, earlier, later = times[step], times[step + 1], times[tf.maximum(step - 1, 0)]
            image = predicted_image(noisy, self.guided(noisy, labels, time), time)
            noisy = solver_step(noisy, image, before, time, earlier, later)
            before = image
        return (image + 1) / 2

    def guided(self, noisy, labels, time):
        """Returns the velocity that sampling follows, extrapolated from those without label or of earlier weights.

        Outside the interval it is the prediction with label, and there is no other.

        Args:
            noisy: float32 `(batch, height, width, channels)`.
            labels: int64 `(batch,)`.
            time: float32 scalar.

        Returns:
            float32 `(batch, height, width, channels)`.
        """
        times = tf.fill(tf.shape(labels), time)
        hidden = tf.fill(tf.shape(labels), tf.constant(self.num_classes, "int64"))
        if self.guidance == 0:
            return self._velocity(self.average, noisy, hidden, times)
        conditional = self._velocity(self.average, noisy, labels, times)
        automatic = self.autoguidance not in (None, 1)
        if self.guidance == 1 and not automatic:
            return conditional

        def extrapolated():
            velocity = conditional
            if self.guidance != 1:
                unconditional = self._velocity(self.average, noisy, hidden, times)
                velocity += (self.guidance - 1) * (conditional - unconditional)
            if automatic:
                worse = self._velocity(self.earlier, noisy, labels, times)
                velocity += (self.autoguidance - 1) * (conditional - worse)
            return velocity

        first, last = self.interval
        return tf.cond((first <= time) & (time <= last), extrapolated, lambda: conditional)

    def _velocity(self, network, noisy, labels, time, transformations=None, training=False):
        inputs = [noisy, time[:, None], tf.one_hot(labels, self.num_classes + 1)]
        if self.augment:
            none = tf.zeros((tf.shape(labels)[0], len(geometry.COLUMNS)))
            inputs.append(none if transformations is None else transformations)
        return network(inputs, training=training)


def diffusion(image_shape, num_classes, flips=None, **options):
    """Builds the diffusion model, compiled for a few hundred images and a few thousand steps: Adam at 1e-3.

    Args:
        image_shape, num_classes, flips, options: of `Diffusion`.

    Example:

    >>> from synthkit.generators.diffusion import diffusion
    >>> model = diffusion((28, 28, 1), 2)
    >>> model.image_shape, model.network.count_params() < 500_000
    ((28, 28, 1), True)
    """
    model = Diffusion(image_shape, num_classes, flips=flips, name="diffusion", **options)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.optimizer.build(model.network.trainable_variables)
    return model
