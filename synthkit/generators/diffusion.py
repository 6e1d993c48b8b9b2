"""A class-conditional diffusion model that a few hundred images and two CPU cores can train."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from synthkit.generators import geometry
from synthkit.generators.contract import Generator
from synthkit.generators.layers import follow, halvings, mirror, moving_average

PATCHES = 48  # pixels a side from which on the network works on squares of 2×2 pixels
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
    - Samples come from a moving average of the weights, over more and more steps as training proceeds.
    - Training images may be transformed, and the network is told how (`geometry`), so that samples are not.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        width: channels at full resolution; they double with every halving, up to eight times `width`.
        guidance: scale; 0 ignores the label, 1 samples the class, more exaggerates what is typical of it.
        sampling_steps: of the solver.
        decay: of the moving average, per update.
        flips: labels of the classes whose images may be mirrored left to right; None for all.
        interval: times between which guidance acts; outside them the label is used as it is.
        augment: probability of each kind of transformation of a training image; 0 for none.
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
        **kwargs,
    ):
        if not 0 <= interval[0] < interval[1] <= 1:
            raise ValueError(
                f"interval must be two times from 0 to 1, the smaller first. Received: interval={interval}"
            )
        super().__init__(image_shape, num_classes, noise_shape=image_shape, loss_names=("loss",), **kwargs)
        self.width, self._guidance, self.sampling_steps = width, guidance, sampling_steps
        self.decay, self.flips, self._interval, self.augment = decay, flips, tuple(interval), augment
        self.network = unet(self.image_shape, num_classes + 1, width, transformed=augment > 0)
        self.average = moving_average(self.network)
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

    def with_guidance(self, scale, interval=None):
        """Returns a copy with another guidance scale and interval; None keeps the interval."""
        interval = self.interval if interval is None else interval
        copy = type(self).from_config({**self.get_config(), "guidance": scale, "interval": interval})
        copy.set_weights(self.get_weights())
        return copy

    def get_config(self):
        names = ("width", "guidance", "sampling_steps", "decay", "flips", "interval", "augment")
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
        return {"loss": loss}

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
        """Returns the velocity that sampling follows, extrapolated from the predictions without and with label.

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
        if self.guidance == 1:
            return conditional

        def extrapolated():
            unconditional = self._velocity(self.average, noisy, hidden, times)
            return unconditional + self.guidance * (conditional - unconditional)

        first, last = self.interval
        return tf.cond((first <= time) & (time <= last), extrapolated, lambda: conditional)

    def _velocity(self, network, noisy, labels, time, transformations=None, training=False):
        inputs = [noisy, time[:, None], tf.one_hot(labels, self.num_classes + 1)]
        if self.augment:
            none = tf.zeros((tf.shape(labels)[0], len(geometry.COLUMNS)))
            inputs.append(none if transformations is None else transformations)
        return network(inputs, training=training)


def unet(image_shape, num_labels, width, transformed=False):
    """Builds the network that predicts the velocity, a U-Net that goes down to 5×5 to 9×9 pixels where sides are even.

    It is Ho et al.'s with one residual block per level and attention at the lowest level, small enough for CPUs.
    From 48 pixels on it works on squares of 2×2 pixels, of which it makes twice as many channels (Hoogeboom, Heek and
    Salimans, "Simple diffusion", ICML 2023, section 3.3): most of the time would go into the finest level.

    Args:
        image_shape: `(height, width, channels)`.
        num_labels: int, including the one for a hidden label.
        width: channels at full resolution.
        transformed: whether the network is told how its images were transformed.

    Returns:
        keras.Model `[noisy (batch, *image_shape), time (batch, 1), one-hot label (batch, num_labels)] → (batch,
        *image_shape)`; with `transformed` it has a fourth input, `(batch, 6)` of `geometry.draw_transformations`.
    """
    noisy, time = keras.Input(image_shape, name="noisy"), keras.Input((1,), name="time")
    label = keras.Input((num_labels,), name="label")
    angles = time * keras.ops.convert_to_tensor(2 * np.pi * np.geomspace(0.5, 50, 16)[None], "float32")
    time_embedding = layers.Concatenate()([keras.ops.sin(angles), keras.ops.cos(angles)])
    parts = [layers.Dense(4 * width)(time_embedding), layers.Dense(4 * width, use_bias=False)(label)]
    inputs = [noisy, time, label]
    if transformed:
        inputs.append(keras.Input((len(geometry.COLUMNS),), name="transformations"))
        parts.append(layers.Dense(4 * width, use_bias=False)(inputs[-1]))
    condition = layers.Add()(parts)
    condition = layers.Dense(4 * width, activation="swish")(layers.Activation("swish")(condition))
    patch = 2 if min(image_shape[:2]) >= PATCHES else 1
    widths = [width * min(patch * 2**level, 8) for level in range(halvings(image_shape) + 2 - patch)]
    x = layers.Conv2D(widths[0], 3, padding="same")(_to_patches(noisy, patch))
    skips = []
    for filters in widths[:-1]:
        x = _residual(x, condition, filters)
        skips.append(x)
        x = layers.Conv2D(2 * filters, 3, strides=2, padding="same")(x)
    x = _residual(x, condition, widths[-1])
    x = _attention(x)
    x = _residual(x, condition, widths[-1])
    for filters in reversed(widths[:-1]):
        x = layers.UpSampling2D()(layers.Conv2D(filters, 1)(x))
        x = _residual(layers.Concatenate()([x, skips.pop()]), condition, filters)
    x = layers.Activation("swish")(layers.GroupNormalization(1)(x))
    x = layers.Conv2D(image_shape[-1] * patch**2, 3, padding="same", kernel_initializer="zeros")(x)
    return keras.Model(inputs, _from_patches(x, patch), name="unet")


def _to_patches(x, patch):
    """Puts the pixels of each `patch` × `patch` square into channels."""
    if patch == 1:
        return x
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height // patch, patch, width // patch, patch * channels))(x)
    return layers.Reshape((height // patch, width // patch, patch**2 * channels))(layers.Permute((1, 3, 2, 4))(x))


def _from_patches(x, patch):
    """Undoes `_to_patches`."""
    if patch == 1:
        return x
    height, width, channels = x.shape[1:]
    x = layers.Permute((1, 3, 2, 4))(layers.Reshape((height, width, patch, channels // patch))(x))
    return layers.Reshape((height * patch, width * patch, channels // patch**2))(x)


def _residual(x, condition, filters):
    """Adds two convolutions to their input; time and label scale and shift the features between them."""
    shortcut = x if x.shape[-1] == filters else layers.Conv2D(filters, 1)(x)
    x = layers.Activation("swish")(layers.GroupNormalization(1)(x))
    x = layers.GroupNormalization(1)(layers.Conv2D(filters, 3, padding="same")(x))
    scale, shift = (
        layers.Reshape((1, 1, filters))(layers.Dense(filters, kernel_initializer="zeros")(condition)) for _ in "ab"
    )
    x = layers.Activation("swish")(x * (scale + 1) + shift)
    return layers.Add()([shortcut, layers.Conv2D(filters, 3, padding="same", kernel_initializer="zeros")(x)])


def _attention(x):
    """Adds self-attention over all positions of the feature maps."""
    height, width, filters = x.shape[1:]
    positions = layers.Reshape((height * width, filters))(layers.GroupNormalization(1)(x))
    attended = layers.MultiHeadAttention(4, filters // 4)(positions, positions)
    return layers.Add()([x, layers.Reshape((height, width, filters))(attended)])


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
