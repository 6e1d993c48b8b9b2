"""What every generator keeps to: the data it is fitted on, how it is asked for images, an error for each misuse."""

import keras
import numpy as np
import tensorflow as tf


class Generator(keras.Model):
    """The part that all generators share: `fit` looks at the data first, `sample` at the labels and at the fit.

    A subclass makes its networks in `__init__` and sets `self.built = True` last, takes one gradient step in
    `update`, and turns noise into images in `draw`.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        noise_shape: shape of the standard normal noise that `draw` makes one image from.
        loss_names: the names of what `update` returns; their means over an epoch are the metrics.
    """

    def __init__(self, image_shape, num_classes, *, noise_shape, loss_names, **kwargs):
        super().__init__(**kwargs)
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.noise_shape, self.loss_names = tuple(noise_shape), tuple(loss_names)
        self.trackers = [keras.metrics.Mean(name) for name in loss_names]
        self.steps = self.add_weight(name="steps", shape=(), dtype="int64", initializer="zeros", trainable=False)

    def get_config(self):
        return {**super().get_config(), "image_shape": self.image_shape, "num_classes": self.num_classes}

    def update(self, images, labels):
        """Takes one gradient step, inside a graph.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            labels: int64 `(batch,)`.

        Returns:
            dict of the losses by name, scalars.
        """
        raise NotImplementedError

    def draw(self, noise, labels):
        """Makes images, inside a graph.

        Args:
            noise: float32 `(batch, *noise_shape)`, standard normal.
            labels: int64 `(batch,)`.

        Returns:
            float32 `(batch, height, width, channels)` in [0, 1].
        """
        raise NotImplementedError

    def fit(self, x, y=None, **kwargs):
        """Trains as `keras.Model.fit` does, after a look at one epoch of the data.

        Args:
            x: tf.data.Dataset of `(images, labels)`, or images: float32 `(n, height, width, channels)` in [0, 1].
            y: int `(n,)`, with images.

        Returns:
            keras.callbacks.History.

        Raises:
            ValueError: for images of another shape, type or range, labels that are not classes, or a class without
                an image.
        """
        check_data(x, y, self.image_shape, self.num_classes, kwargs.get("steps_per_epoch"))
        checkpoints = [callback for callback in kwargs.get("callbacks") or () if hasattr(callback, "resume")]
        epoch = max((checkpoint.resume(self) for checkpoint in checkpoints), default=0)
        # Keras warns that it does not shuffle data sets; they come shuffled.
        return super().fit(x, y, **{"shuffle": y is not None, "initial_epoch": epoch} | kwargs)

    def train_step(self, data):
        images, labels = data
        losses = self.update(images, tf.cast(labels, "int64"))
        self.steps.assign_add(1)
        for tracker in self.trackers:
            tracker.update_state(losses[tracker.name])
        return {tracker.name: tracker.result() for tracker in self.trackers}

    def sample(self, labels, seed, *, batch_size=256):
        """Draws an image for every label.

        Args:
            labels: int `(n,)`.
            seed: int; the same seed and labels give the same images.
            batch_size: images drawn at a time, which bounds the memory.

        Returns:
            float32 `(n, height, width, channels)` in [0, 1].

        Raises:
            RuntimeError: if the generator was never fitted.
            ValueError: if a label is not one of the classes.
        """
        labels = self.check_request(labels)
        rng = np.random.default_rng(seed)
        images = np.empty((len(labels), *self.image_shape), "float32")
        for start in range(0, len(labels), batch_size):
            part = slice(start, start + batch_size)
            noise = rng.standard_normal((len(labels[part]), *self.noise_shape), "float32")
            images[part] = self._traced_draw(noise, labels[part])
        return images

    def check_request(self, labels):
        """Returns the labels that `sample` was asked for as int64; raises as it does."""
        if not int(self.steps.numpy()):
            raise RuntimeError(f"{self.name} was not fitted, so its images would be noise: call fit before sample")
        labels = np.asarray(labels, dtype="int64")
        check_labels(labels, self.num_classes)
        return labels

    @property
    def _traced_draw(self):
        if not hasattr(self, "_draw_function"):
            signature = [tf.TensorSpec((None, *self.noise_shape), "float32"), tf.TensorSpec((None,), "int64")]
            self._draw_function = tf.function(self.draw, input_signature=signature)
        return self._draw_function


def check_labels(labels, num_classes):
    """Raises ValueError if an int array's labels are not all between 0 and `num_classes - 1`."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"labels must lie between 0 and {num_classes - 1}. Received: {labels.min()} to {labels.max()}")


def check_data(x, y, image_shape, num_classes, steps=None):
    """Looks at one epoch of what a generator is to be fitted on.

    Args:
        x: tf.data.Dataset of `(images, labels)`, or an array of images.
        y: int `(n,)` with an array of images, else None.
        image_shape: `(height, width, channels)` that the generator makes.
        num_classes: int.
        steps: batches of an epoch, for a data set that goes round for ever.

    Returns:
        int `(num_classes,)`, images of each class.

    Raises:
        ValueError: for images of another shape, type or range, labels that are not classes, a class without an
            image, or an endless data set without `steps`.
    """
    if y is not None:
        batches = [(x, y)]
    elif steps is None and x.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("the data set goes round for ever: give fit steps_per_epoch, or leave repeat out")
    else:
        batches = x.take(-1 if steps is None else steps).as_numpy_iterator()
    counts = np.zeros(num_classes, int)
    for images, labels in batches:
        _check_images(images, image_shape)
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels must be {len(images)} integers, one an image. Received: {labels.dtype} {labels.shape}"
            )
        check_labels(labels, num_classes)
        counts += np.bincount(labels, minlength=num_classes)
    if not counts.all():
        raise ValueError(
            f"every one of the {num_classes} classes needs images to be learnt from. Received: "
            f"{', '.join(f'{count} of class {label}' for label, count in enumerate(counts))}"
        )
    return counts


def _check_images(images, image_shape):
    if images.shape[1:] != tuple(image_shape):
        raise ValueError(
            f"this generator makes images of shape {tuple(image_shape)} and must be fitted on such. "
            f"Received: {images.shape[1:]}; synthkit.imageset.resize changes the size"
        )
    # Written so that images that are not numbers fail too.
    if images.dtype != np.float32 or not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images must be float32 in [0, 1]. Received: {images.dtype}, {images.min()} to {images.max()}; "
            "synthkit.pipeline.to_dataset makes such batches"
        )
