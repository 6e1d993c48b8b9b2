"""The skin-lesion study's deep convolutional GAN, and one network for each class."""

import keras
import numpy as np
import tensorflow as tf
from keras import initializers, layers

from synthkit.generators.contract import Generator
from synthkit.generators.gan import GAN
from synthkit.generators.layers import doublings

LATENT_SIZE = 100
WIDTH = 32  # channels at half the image's size; they double with every further halving
SMALLEST = 4  # pixels a side from which the generator may start: it starts from 4 for 32 and 64, from 7 for 28


def dcgan_generator(image_shape=(32, 32, 3)):
    """Builds the skin-lesion study's generator (its appendix, "Full structure of GAN").

    At 32×32 it has four transposed convolutions and 370,624 trainable parameters. Other sizes start from 4 to 7 pixels
    and have more or fewer.

    Args:
        image_shape: `(height, width, channels)`.

    Returns:
        keras.Model from noise `(batch, 100)` to float32 images in [0, 1].
    """
    start, times = doublings(image_shape, SMALLEST)
    noise = keras.Input((LATENT_SIZE,), name="noise")
    x = layers.Reshape((1, 1, LATENT_SIZE))(noise)
    x = layers.Conv2DTranspose(WIDTH << (times - 1), start, **_plain())(x)
    for n in reversed(range(times - 1)):
        x = layers.ReLU()(_normalization()(x))
        x = layers.Conv2DTranspose(WIDTH << n, 4, 2, "same", **_plain())(x)
    x = layers.ReLU()(_normalization()(x))
    x = layers.Conv2DTranspose(image_shape[-1], 4, 2, "same", **_plain())(x)
    x = layers.Activation("tanh")(x)
    return keras.Model([noise], layers.Rescaling(0.5, offset=0.5)(x), name="dcgan_generator")


def dcgan_discriminator(image_shape=(32, 32, 3)):
    """Builds the skin-lesion study's discriminator (its appendix): 167,872 trainable parameters at 32×32.

    The report's sigmoid is in the loss, where it does not lose precision.

    Args:
        image_shape: `(height, width, channels)`.

    Returns:
        keras.Model from float32 images in [0, 1] to scores `(batch, 1)`.
    """
    start, times = doublings(image_shape, SMALLEST)
    image = keras.Input(image_shape, name="image")
    x = layers.Rescaling(2.0, offset=-1.0)(image)
    for n in range(times):
        x = layers.Conv2D(WIDTH << n, 4, 2, "same", **_plain())(x)
        x = layers.LeakyReLU(0.2)(_normalization()(x))
    x = layers.Conv2D(1, start, **_plain())(x)
    return keras.Model([image], layers.Flatten()(x), name="dcgan_discriminator")


def _plain():
    return {"use_bias": False, "kernel_initializer": initializers.RandomNormal(0.0, 0.02)}


def _normalization():
    # PyTorch's momentum of 0.1 is 0.9 in Keras. PyTorch's tutorial, the study's source, draws the scales around 1.
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=initializers.RandomNormal(1.0, 0.02))


def dcgan(image_shape=(32, 32, 3), jit_compile=False):
    """Builds the skin-lesion study's DCGAN for one class, compiled as in its source: Adam at 2e-4, β₁ 0.5.

    The report names neither; they are those of PyTorch's DCGAN tutorial, which it cites.

    Args:
        image_shape: `(height, width, channels)`.
        jit_compile: whether XLA compiles the step.

    Returns:
        GAN with one class.
    """
    model = GAN(image_shape, 1, dcgan_generator(image_shape), dcgan_discriminator(image_shape), name="dcgan")
    model.compile(
        keras.optimizers.Adam(2e-4, beta_1=0.5), keras.optimizers.Adam(2e-4, beta_1=0.5), jit_compile=jit_compile
    )
    return model


@keras.saving.register_keras_serializable("synthkit")
class PerClass(Generator):
    """One network per class (the skin-lesion study's section 3.2), each trained on batches of its class alone.

    In an epoch every network takes as many steps as if it were trained on the images of its class by itself, and at
    least one: a class with fewer images than a batch is one batch.

    Args:
        networks: compiled generators for one class each, in the order of the labels.
    """

    def __init__(self, networks, **kwargs):
        first = networks[0]
        super().__init__(
            first.image_shape,
            len(networks),
            noise_shape=first.noise_shape,
            loss_names=[f"{name}_{label}" for label in range(len(networks)) for name in first.loss_names],
            **kwargs,
        )
        self.networks = list(networks)
        self.built = True

    def get_config(self):
        config = keras.Model.get_config(self)
        return {**config, "networks": [keras.saving.serialize_keras_object(network) for network in self.networks]}

    @classmethod
    def from_config(cls, config):
        networks = [keras.saving.deserialize_keras_object(network) for network in config.pop("networks")]
        return cls(networks, **config)

    def compile(self, jit_compile=False):
        """Prepares for training; the networks are compiled already, with their own optimizers."""
        super().compile(None, jit_compile=jit_compile)

    def get_compile_config(self):
        return {"jit_compile": self.jit_compile}

    def compile_from_config(self, config):
        self.compile(**config)

    def _fit(self, x, y=None, **kwargs):
        """Trains as `Generator` does, on the images sorted into batches of one class."""
        if y is not None:
            batch_size = kwargs.pop("batch_size", None) or 128
            x = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(y)).batch(batch_size)
        data, steps = one_class_batches(x, kwargs.get("steps_per_epoch"))
        return super()._fit(data, **kwargs | ({"steps_per_epoch": steps} if kwargs.get("steps_per_epoch") else {}))

    def train_step(self, data):
        images, labels = data

        def train(label):
            network = self.networks[label]
            losses = network.update(images, tf.zeros_like(labels, "int64"))
            network.steps.assign_add(1)
            for name in network.loss_names:
                self.trackers[self.loss_names.index(f"{name}_{label}")].update_state(losses[name])
            return network.steps

        tf.switch_case(tf.cast(labels[0], "int32"), [lambda n=n: train(n) for n in range(self.num_classes)])
        self.steps.assign_add(1)
        return self._results()

    def check_request(self, labels):
        labels = super().check_request(labels)
        for label in np.unique(labels):
            if not int(self.networks[label].steps.numpy()):
                raise RuntimeError(
                    f"the network of class {label} took no step, so its images would be noise: a step takes a batch of "
                    "its class alone. Fit for more epochs, or with smaller batches"
                )
        return labels

    def draw(self, noise, labels):
        labels = tf.cast(labels, "int32")
        rows_by_class = tf.dynamic_partition(tf.range(tf.size(labels)), labels, self.num_classes)
        images_by_class = [
            network.draw(tf.gather(noise, rows), tf.zeros_like(rows, "int64"))
            for network, rows in zip(self.networks, rows_by_class, strict=True)
        ]
        return tf.dynamic_stitch(rows_by_class, images_by_class)


def one_class_batches(dataset, steps=None):
    """Sorts the images of a data set into batches of one class each, of the same size as before.

    Args:
        dataset: tf.data.Dataset of `(images, labels)` batches.
        steps: batches in an epoch; None for all that there are.

    Returns:
        tf.data.Dataset of such batches, and how many of them are an epoch. In an endless data set the batches of a
        class are no larger than its number of images in an epoch; in any other one the last batch of a class is
        smaller.
    """
    size = len(next(iter(dataset))[1])
    endless = bool(dataset.cardinality() == tf.data.INFINITE_CARDINALITY)
    epoch = dataset.take(-1 if steps is None else steps)
    counts = np.bincount(np.concatenate(list(epoch.map(lambda images, labels: labels).as_numpy_iterator())))
    windows = np.clip(counts, 1, size) if endless else np.full(len(counts), size)
    by_class = dataset.unbatch().group_by_window(
        lambda image, label: tf.cast(label, "int64"),
        lambda _, group: group.batch(size),
        window_size_func=lambda label: tf.gather(windows, label),
    )
    batches = int(np.maximum(1, np.round(counts / windows)).sum() if endless else np.ceil(counts / size).sum())
    # Keras warns that a data set of unknown length ran out of data.
    length = tf.data.INFINITE_CARDINALITY if endless else batches
    return by_class.apply(tf.data.experimental.assert_cardinality(length)).prefetch(2), batches


def per_class_dcgan(image_shape, num_classes, jit_compile=False):
    """Builds the skin-lesion study's generator: one DCGAN for every class.

    Example:

    >>> from synthkit.generators.skin_dcgan import per_class_dcgan
    >>> per_class_dcgan((32, 32, 3), 2).networks[0].generator.count_params()
    371072

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        jit_compile: whether XLA compiles the step.
    """
    model = PerClass([dcgan(image_shape) for _ in range(num_classes)], name="per_class_dcgan")
    model.compile(jit_compile=jit_compile)
    return model
