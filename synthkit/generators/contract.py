"""The contract of every generator: the data it is fitted on, how it is asked for images, an error for each misuse."""

import functools

import keras
import numpy as np
import tensorflow as tf


class Generator(keras.Model):
    """The base class of all generators: `fit` checks the data, `sample` checks the labels and that there was a fit.

    A subclass builds its networks in `__init__` and sets `self.built = True` last, takes one gradient step in
    `update`, and turns noise into images in `draw`.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        noise_shape: shape of the standard normal noise from which `draw` makes one image.
        loss_names: names of the losses that `update` returns. Their means over an epoch are the metrics.
    """

    traced_draw = True  # whether `sample` runs `draw` as a graph

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
            dict from the names of the losses to scalars.
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
        """Trains as `keras.Model.fit` does, after checking one epoch of the data.

        With a `callbacks.Checkpoint` among the callbacks, a training that was stopped resumes.

        Args:
            x: tf.data.Dataset of `(images, labels)`, or images: float32 `(n, height, width, channels)` in [0, 1].
            y: int `(n,)`, if `x` is an array of images.
            kwargs: further arguments of `keras.Model.fit`.

        Returns:
            keras.callbacks.History.

        Raises:
            ValueError: for images of another shape, type or range, for labels that are not classes, or for a class
                without images.
        """
        check_data(x, y, self.image_shape, self.num_classes, kwargs.get("steps_per_epoch"))
        return self._fit(x, y, **kwargs)

    def _fit(self, x, y=None, **kwargs):
        """Trains on data that `fit` has checked, from where a checkpoint among the callbacks stopped."""
        checkpoints = [callback for callback in kwargs.get("callbacks") or () if hasattr(callback, "resume")]
        epoch = max((checkpoint.resume(self) for checkpoint in checkpoints), default=0)
        if epoch and y is None and x.cardinality() == tf.data.INFINITE_CARDINALITY:
            x = x.skip(epoch * kwargs["steps_per_epoch"])
        # Keras warns that it does not shuffle data sets. Ours are shuffled already.
        return super().fit(x, y, **{"shuffle": y is not None, "initial_epoch": epoch} | kwargs)

    def train_step(self, data):
        images, labels = data
        losses = self.update(images, tf.cast(labels, "int64"))
        self.steps.assign_add(1)
        for tracker in self.trackers:
            tracker.update_state(losses[tracker.name])
        return self._results()

    # The metrics are the losses of `update`, whatever `compile` was given. Keras resets and reads them operation by
    # operation in every epoch, which takes a third as long as the step of a small network.
    def reset_metrics(self):
        self._resetting_graph()

    def get_metrics_result(self):
        return self._results_graph()

    @functools.cached_property
    def _resetting_graph(self):
        return tf.function(functools.partial(self._reset))

    @functools.cached_property
    def _results_graph(self):
        return tf.function(functools.partial(self._results))

    def _reset(self):
        for tracker in self.trackers:
            tracker.reset_state()

    def _results(self):
        return {tracker.name: tracker.result() for tracker in self.trackers}

    def sample(self, labels, seed, *, batch_size=256):
        """Draws an image for every label.

        Args:
            labels: int `(n,)`.
            seed: int; the same seed and labels give the same images.
            batch_size: images drawn at a time; limits the memory.

        Returns:
            float32 `(n, height, width, channels)` in [0, 1].

        Raises:
            RuntimeError: if the generator was not fitted.
            ValueError: if a label is not one of the classes.
        """
        labels = self.check_request(labels)
        draw = self._drawing_graph if self.traced_draw else self.draw
        rng = np.random.default_rng(seed)
        images = np.empty((len(labels), *self.image_shape), "float32")
        for start in range(0, len(labels), batch_size):
            rows = slice(start, start + batch_size)
            noise = rng.standard_normal((len(labels[rows]), *self.noise_shape), "float32")
            images[rows] = draw(noise, labels[rows])
        return images

    def check_request(self, labels):
        """Returns the labels given to `sample` as int64, or raises what `sample` raises."""
        if not int(self.steps.numpy()):
            raise RuntimeError(f"{self.name} was not fitted, so its images would be noise: call fit before sample")
        labels = np.asarray(labels, dtype="int64")
        check_labels(labels, self.num_classes)
        return labels

    @functools.cached_property
    def _drawing_graph(self):
        signature = [tf.TensorSpec((None, *self.noise_shape), "float32"), tf.TensorSpec((None,), "int64")]
        # Of a partial, TensorFlow counts the tracings of each generator alone, and does not warn that there are many.
        return tf.function(functools.partial(self.draw), input_signature=signature)


def check_labels(labels, num_classes):
    """Raises ValueError unless all labels, an int array, are between 0 and `num_classes - 1`."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"labels must be between 0 and {num_classes - 1}. Received: labels from {labels.min()} to {labels.max()}"
        )


def one_epoch(dataset, steps=None):
    """Returns the batches of one epoch, and one more of a data set that repeats forever.

    An epoch is a whole number of batches, the nearest one, so the last images may be in the next batch.

    Args:
        dataset: tf.data.Dataset.
        steps: batches in an epoch; None for all that there are.
    """
    endless = bool(dataset.cardinality() == tf.data.INFINITE_CARDINALITY)
    return dataset if steps is None else dataset.take(steps + endless)


def check_data(x, y, image_shape, num_classes, steps=None):
    """Checks one epoch of the data that a generator is to be fitted on.

    Args:
        x: tf.data.Dataset of `(images, labels)`, or an array of images.
        y: int `(n,)` if `x` is an array, else None.
        image_shape: `(height, width, channels)` of the generator's images.
        num_classes: int.
        steps: batches in an epoch, for a data set that repeats forever.

    Returns:
        int `(num_classes,)`, the number of images of each class.

    Raises:
        ValueError: for images of another shape, type or range, for labels that are not classes, for a class without
            images, or for an endless data set without `steps`.
    """
    if y is not None:
        batches = [(x, y)]
    elif steps is None and x.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError("the data set repeats forever: give steps_per_epoch= to fit, or do not repeat the data set")
    else:
        batches = one_epoch(x, steps).as_numpy_iterator()
    counts = np.zeros(num_classes, int)
    for images, labels in batches:
        _check_images(images, image_shape)
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"labels must be {len(images)} integers, one for each image. "
                f"Received: {labels.dtype} of shape {labels.shape}"
            )
        check_labels(labels, num_classes)
        counts += np.bincount(labels, minlength=num_classes)
    if not counts.all():
        raise ValueError(
            f"each of the {num_classes} classes needs at least one image. Received: "
            f"{', '.join(f'{count} of class {label}' for label, count in enumerate(counts))}"
        )
    return counts


def _check_images(images, image_shape):
    if images.shape[1:] != tuple(image_shape):
        raise ValueError(
            f"this generator makes images of shape {tuple(image_shape)} and must be fitted on images of that shape. "
            f"Received: {images.shape[1:]}; synthkit.imageset.resize changes the size"
        )
    # Written so that NaN fails too.
    if images.dtype != np.float32 or not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images must be float32 in [0, 1]. Received: {images.dtype} from {images.min()} to {images.max()}; "
            "synthkit.pipeline.to_dataset makes such batches"
        )
