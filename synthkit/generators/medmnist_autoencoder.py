"""The MedMNIST study's deep autoencoder."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from synthkit.generators.contract import Generator, one_epoch


@keras.saving.register_keras_serializable("synthkit")
class Autoencoder(Generator):
    """A deep autoencoder whose samples are reconstructions of training images (the MedMNIST study, section 3.1).

    Encoder and decoder have four hidden fully connected layers each; the loss is the mean squared error. The network
    makes nothing new: each sample is the reconstruction of a training image of the class, and no image is used twice
    before all were used once. It therefore keeps the training images, at 8 bits, and saves them with its weights: share
    such a file only as you would share the images.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse order. The report does not give
            them.
        code_size: int, dimensions of the code between encoder and decoder.
    """

    holds_training_images = True

    def __init__(self, image_shape, num_classes, hidden=(512, 256, 128, 64), code_size=32, **kwargs):
        super().__init__(image_shape, num_classes, noise_shape=(0,), loss_names=("loss",), **kwargs)
        self.hidden, self.code_size = tuple(hidden), code_size
        x = image = keras.Input(self.image_shape, name="image")
        x = layers.Flatten()(x)
        for width in self.hidden:
            x = layers.Dense(width, activation="relu")(x)
        self.encoder = keras.Model(image, layers.Dense(code_size)(x), name="encoder")
        x = code = keras.Input((code_size,), name="code")
        for width in reversed(self.hidden):
            x = layers.Dense(width, activation="relu")(x)
        x = layers.Dense(int(np.prod(self.image_shape)), activation="sigmoid")(x)
        self.decoder = keras.Model(code, layers.Reshape(self.image_shape)(x), name="decoder")
        self.originals = {"images": np.empty((0, *self.image_shape), "uint8"), "labels": np.empty(0, "int64")}
        self.built = True

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "code_size": self.code_size}

    def _fit(self, x, y=None, **kwargs):
        """Trains as `Generator` does and keeps the images of one epoch, each once."""
        batches = [(x, y)] if y is not None else one_epoch(x, kwargs.get("steps_per_epoch")).as_numpy_iterator()
        images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
        images = np.round(images * 255).astype("uint8")
        _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
        self.originals = {"images": images[first], "labels": labels[first].astype("int64")}
        return super()._fit(x, y, **kwargs)

    def call(self, images):
        """Returns the reconstruction of float32 `(batch, height, width, channels)` images, in [0, 1]."""
        return self.decoder(self.encoder(images))

    def update(self, images, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(images) - images) ** 2)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        return {"loss": loss}

    def sample(self, labels, seed, *, batch_size=256):
        """Reconstructs a training image for every label; arguments, result and errors as in `Generator.sample`."""
        labels = self.check_request(labels)
        rng, chosen = np.random.default_rng(seed), np.empty(len(labels), int)
        for label in np.unique(labels):
            originals = np.flatnonzero(self.originals["labels"] == label)
            rows = np.flatnonzero(labels == label)
            rounds = [rng.permutation(originals) for _ in range(-(-len(rows) // len(originals)))]
            chosen[rows] = np.concatenate(rounds)[: len(rows)]
        images = np.empty((len(labels), *self.image_shape), "float32")
        for start in range(0, len(labels), batch_size):
            rows = slice(start, start + batch_size)
            images[rows] = self(self.originals["images"][chosen[rows]].astype("float32") / 255)
        return images

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for name, array in self.originals.items():
            store[name] = array

    def load_own_variables(self, store):
        self.originals = {name: np.array(store[name]) for name in self.originals}
        weights = [name for name in list(store.keys()) if name not in self.originals]
        super().load_own_variables({name: store[name] for name in weights})


def autoencoder(image_shape, num_classes):
    """Builds the MedMNIST study's autoencoder, compiled as in the study: Adam at 1e-3 (batches of 128, 300 epochs).

    Example:

    >>> from synthkit.generators.medmnist_autoencoder import autoencoder
    >>> [layer.units for layer in autoencoder((28, 28, 1), 2).encoder.layers[2:-1]]
    [512, 256, 128, 64]
    """
    model = Autoencoder(image_shape, num_classes, name="autoencoder")
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model
