"""Two examples of keras.io, rebuilt from their descriptions as generators: peers for `generator_quality`.

Layers, losses and settings are the examples' own; `wide` networks of other sizes follow from the size of the images.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from synthkit.generators.contract import Generator
from synthkit.generators.layers import doublings

WIDTHS, DEPTH, FREQUENCIES = (32, 64, 96, 128), 2, 16
MIN_SIGNAL, MAX_SIGNAL = 0.02, 0.95


class DDIM(Generator):
    """ "Denoising Diffusion Implicit Models" (András Béres, 2022). It knows no labels.

    A U-Net of residual blocks predicts the noise; mean absolute error, AdamW, moving average of 0.999, 20 steps.
    """

    def __init__(self, image_shape, num_classes, sampling_steps=20):
        super().__init__(image_shape, num_classes, noise_shape=image_shape, loss_names=("loss",), name="keras_ddim")
        self.network, self.average = _residual_unet(image_shape), _residual_unet(image_shape)
        self.average.set_weights(self.network.get_weights())
        self.normalization = layers.Normalization()
        self.sampling_steps, self.built = sampling_steps, True

    def fit(self, x, y=None, **kwargs):
        self.normalization.adapt(x.take(kwargs["steps_per_epoch"]).map(lambda images, labels: images))
        return super().fit(x, y, **kwargs)

    def rates(self, time):
        first, last = np.arccos(MAX_SIGNAL), np.arccos(MIN_SIGNAL)
        angle = first + time * (last - first)
        return tf.sin(angle), tf.cos(angle)

    def update(self, images, labels):
        images, noise = self.normalization(images), tf.random.normal(tf.shape(images))
        noise_rate, signal_rate = self.rates(tf.random.uniform((tf.shape(images)[0], 1, 1, 1)))
        with tf.GradientTape() as tape:
            predicted = self.network([signal_rate * images + noise_rate * noise, noise_rate**2], training=True)
            loss = tf.reduce_mean(tf.abs(predicted - noise))
        variables = self.network.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        for average, weight in zip(self.average.weights, self.network.weights, strict=True):
            average.assign(0.999 * average + 0.001 * weight)
        return {"loss": loss}

    def draw(self, noise, labels):
        noisy = image = noise
        for step in range(self.sampling_steps):
            time = tf.fill((tf.shape(noise)[0], 1, 1, 1), 1 - step / self.sampling_steps)
            noise_rate, signal_rate = self.rates(time)
            predicted = self.average([noisy, noise_rate**2], training=False)
            image = (noisy - noise_rate * predicted) / signal_rate
            noise_rate, signal_rate = self.rates(time - 1 / self.sampling_steps)
            noisy = signal_rate * image + noise_rate * predicted
        return tf.clip_by_value(self.normalization.mean + image * self.normalization.variance**0.5, 0, 1)


def _block(x, width):
    shortcut = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
    x = layers.BatchNormalization(center=False, scale=False)(x)
    x = layers.Conv2D(width, 3, padding="same", activation="swish")(x)
    return layers.Add()([layers.Conv2D(width, 3, padding="same")(x), shortcut])


def _residual_unet(image_shape):
    noisy, variance = keras.Input(image_shape), keras.Input((1, 1, 1))
    angles = variance * keras.ops.convert_to_tensor(2 * np.pi * np.geomspace(1, 1000, FREQUENCIES), "float32")
    embedding = layers.Concatenate()([keras.ops.sin(angles), keras.ops.cos(angles)])
    embedding = layers.UpSampling2D(image_shape[0], interpolation="nearest")(embedding)
    x, skips = layers.Concatenate()([layers.Conv2D(WIDTHS[0], 1)(noisy), embedding]), []
    for width in WIDTHS[:-1]:
        for _ in range(DEPTH):
            x = _block(x, width)
            skips.append(x)
        x = layers.AveragePooling2D(2)(x)
    for _ in range(DEPTH):
        x = _block(x, WIDTHS[-1])
    for width in reversed(WIDTHS[:-1]):
        x = layers.UpSampling2D(interpolation="bilinear")(x)
        for _ in range(DEPTH):
            x = _block(layers.Concatenate()([x, skips.pop()]), width)
    return keras.Model([noisy, variance], layers.Conv2D(image_shape[-1], 1, kernel_initializer="zeros")(x))


def ddim(image_shape, num_classes):
    """Builds the example "Denoising Diffusion Implicit Models", compiled; batches of 64."""
    model = DDIM(image_shape, num_classes)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=1e-4), jit_compile=False)
    model.optimizer.build(model.network.trainable_variables)
    return model


class ConditionalGAN(Generator):
    """ "Conditional GAN" (Sayak Paul, 2021): labels as further inputs and as further channels, here planes."""

    def __init__(self, image_shape, num_classes, latent_size=128):
        names = ("generator_loss", "discriminator_loss")
        super().__init__(image_shape, num_classes, noise_shape=(latent_size,), loss_names=names, name="keras_cgan")
        start, times = doublings(image_shape, 7)
        channels = latent_size + num_classes
        parts = [layers.Dense(start * start * channels), layers.LeakyReLU(0.2)]
        parts.append(layers.Reshape((start, start, channels)))
        for _ in range(times):
            parts += [layers.Conv2DTranspose(128, 4, 2, "same"), layers.LeakyReLU(0.2)]
        parts.append(layers.Conv2D(image_shape[-1], 7, padding="same", activation="sigmoid"))
        self.generator = keras.Sequential([keras.Input((channels,)), *parts])
        height, width, depth = image_shape
        parts = [keras.Input((height, width, depth + num_classes))]
        for filters in (64, 128):
            parts += [layers.Conv2D(filters, 3, 2, "same"), layers.LeakyReLU(0.2)]
        self.discriminator = keras.Sequential([*parts, layers.GlobalMaxPooling2D(), layers.Dense(1)])
        self.loss_of = keras.losses.BinaryCrossentropy(from_logits=True)
        self.optimizers = [keras.optimizers.Adam(3e-4) for _ in range(2)]
        self.built = True

    def make(self, noise, labels, training):
        return self.generator(tf.concat([noise, tf.one_hot(labels, self.num_classes)], -1), training=training)

    def judge(self, images, labels):
        planes = tf.one_hot(labels, self.num_classes)[:, None, None]
        planes = tf.broadcast_to(planes, (*tf.unstack(tf.shape(images))[:3], self.num_classes))
        return self.discriminator(tf.concat([images, planes], -1), training=True)

    def update(self, images, labels):
        count = tf.shape(images)[0]
        fake = self.make(tf.random.normal((count, *self.noise_shape)), labels, True)
        ones, zeros = tf.ones((count, 1)), tf.zeros((count, 1))
        with tf.GradientTape() as tape:
            scores = self.judge(tf.concat([fake, images], 0), tf.concat([labels, labels], 0))
            discriminator_loss = self.loss_of(tf.concat([ones, zeros], 0), scores)
        variables = self.discriminator.trainable_variables
        self.optimizers[1].apply(tape.gradient(discriminator_loss, variables), variables)
        with tf.GradientTape() as tape:
            fake = self.make(tf.random.normal((count, *self.noise_shape)), labels, True)
            generator_loss = self.loss_of(zeros, self.judge(fake, labels))
        variables = self.generator.trainable_variables
        self.optimizers[0].apply(tape.gradient(generator_loss, variables), variables)
        return {"generator_loss": generator_loss, "discriminator_loss": discriminator_loss}

    def draw(self, noise, labels):
        return self.make(noise, labels, False)


def cgan(image_shape, num_classes):
    """Builds the example "Conditional GAN", compiled; batches of 64."""
    model = ConditionalGAN(image_shape, num_classes)
    model.compile(jit_compile=False)
    for optimizer, network in zip(model.optimizers, (model.generator, model.discriminator), strict=True):
        optimizer.build(network.trainable_variables)
    return model
