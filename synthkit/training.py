"""One network, trained from scratch as often as asked: a budget in steps, weights by validation AUC, scores once.

Building and tracing a network costs more than training it for a few hundred steps on a small data set. A `Trainer`
does both once and then gives every trial new weights and a new optimizer.
"""

import time

import keras
import numpy as np
import tensorflow as tf

from synthkit.imageset import to_dataset
from synthkit.statistics import auc


def reusable(build):
    """Makes a compiled model that can start over: new weights, a new optimizer, the same traced graphs.

    Args:
        build: callable `() → compiled keras.Model`; called once a start, the same architecture each time.

    Returns:
        callable `(seed) → keras.Model`, always the same model, its weights, random states and optimizers as `build`
        makes them after `keras.utils.set_random_seed(seed)`.
    """
    model = None

    def fresh(seed):
        nonlocal model
        keras.utils.set_random_seed(seed)
        new = build()
        if model is None:
            model = new
        else:
            for variable, start in zip(state(model), state(new), strict=True):
                variable.assign(start)
        keras.utils.set_random_seed(seed)
        return model

    return fresh


def state(model):
    """Returns all that a training changes: a compiled model's variables, random states among them, and its optimizers'.

    Args:
        model: keras.Model; optimizers are those that are its attributes.

    Returns:
        list of variables, in an order that depends on the architecture alone.
    """
    owned = [value for value in vars(model).values() if isinstance(value, keras.optimizers.Optimizer)]
    return model.variables + [variable for optimizer in owned for variable in optimizer.variables]


def cross_entropy(labels, probabilities):
    """The loss of a classifier whose labels may be mixed: the one loss that every arm of a study is trained with.

    Args:
        labels: float32 `(batch, num_classes)`, shares of each class.
        probabilities: float32 `(batch, num_classes)`, or `(batch, 1)`, the probability of class 1.

    Returns:
        float32 `(batch,)`.
    """
    if probabilities.shape[-1] == 1:
        return keras.losses.binary_crossentropy(labels[:, 1:], probabilities)
    return keras.losses.categorical_crossentropy(labels, probabilities)


class Trainer:
    """A classifier's architecture and recipe, ready to be trained from scratch for every trial.

    The recipe is Adam at a constant rate with the cross-entropy that fits the network's output.

    Args:
        builder: callable `(image_shape, num_classes) → keras.Model` from float32 `[0, 1]` images to probabilities,
            either `(batch, 1)`, the probability of class 1, or `(batch, num_classes)`.
        image_shape: `(height, width, channels)`.
        num_classes: int.
        steps: gradient steps of one training, the same for every arm of a study; rounded to a multiple of `checks`.
        batch_size: images a step.
        learning_rate: of Adam.
        checks: how many times, evenly spread over the steps, the validation AUC is looked at.
    """

    def __init__(self, builder, image_shape, num_classes, *, steps, batch_size=32, learning_rate=1e-3, checks=10):
        self.checks = min(checks, steps)
        self.steps = self.checks * round(steps / self.checks)
        self.batch_size = batch_size

        def build():
            model = builder(image_shape, num_classes)
            # XLA on a CPU ran these convolutions eight times slower than TensorFlow's own kernels.
            model.compile(keras.optimizers.Adam(learning_rate), cross_entropy, jit_compile=False)
            model.optimizer.build(model.trainable_variables)
            return model

        self._fresh = reusable(build)
        self.model = None
        signature = [tf.TensorSpec((None, *image_shape), "uint8")]
        self._scores = tf.function(
            lambda images: self.model(tf.cast(images, "float32") / 255, training=False), input_signature=signature
        )

    def train(self, train, validation, *, seed, augment=None, on_step=None):
        """Trains from scratch and leaves the weights of the best validation AUC in place.

        Args:
            train: ImageSet to learn from.
            validation: ImageSet whose AUC chooses the weights; the earliest of equals wins.
            seed: int, of the initial weights, the order of the images, dropout and augmentation.
            augment: callable for `imageset.to_dataset`, or None.
            on_step: callable `()`, called after every step.

        Returns:
            dict: lists `step`, `loss` (mean over the steps since the last check) and `val_auc`; `best_step`; and
            `step_seconds` and `scoring_seconds`, the wall time of all gradient steps (their median times their number,
            so that tracing is not in it) and of validation.

        Raises:
            FloatingPointError: if the loss stops being a number.
        """
        self.model = self._fresh(seed)
        watch = _BestValidation(self, validation, on_step)
        data = to_dataset(train, self.batch_size, shuffle_seed=seed, augment=augment, one_hot=True, repeat=True)
        self.model.fit(
            data,
            epochs=self.checks,
            steps_per_epoch=self.steps // self.checks,
            callbacks=[watch],
            verbose=0,
            shuffle=False,
        )
        return watch.history

    def predict(self, images, batch_size=256):
        """Scores images with the trained weights.

        Args:
            images: uint8 `(n, height, width, channels)`.

        Returns:
            float32 `(n, num_classes)`, rows adding up to 1.
        """
        parts = range(0, len(images), batch_size)
        scores = np.concatenate([self._scores(np.asarray(images[i : i + batch_size])).numpy() for i in parts])
        return np.hstack([1 - scores, scores]) if scores.shape[1] == 1 else scores


class _BestValidation(keras.callbacks.Callback):
    """Scores the validation part at the end of every epoch and puts the best weights back at the end."""

    def __init__(self, trainer, validation, on_step):
        super().__init__()
        self.trainer, self.validation, self.on_step = trainer, validation, on_step
        self.history = {"step": [], "loss": [], "val_auc": [], "best_step": 0}
        self.durations, self.scoring = [], 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.durations.append(time.perf_counter() - self.began)
        if self.on_step:
            self.on_step()

    def on_epoch_end(self, epoch, logs=None):
        began = time.perf_counter()
        step, loss = len(self.durations), float(logs["loss"])
        if not np.isfinite(loss):
            raise FloatingPointError(f"the classifier's loss is {loss} at step {step}")
        value = auc(self.validation.labels, self.trainer.predict(self.validation.images))
        if value > max(self.history["val_auc"], default=-1):
            self.history["best_step"] = step
            self.best = self.model.get_weights()
        for key, item in (("step", step), ("loss", loss), ("val_auc", float(value))):
            self.history[key].append(item)
        self.scoring += time.perf_counter() - began

    def on_train_end(self, logs=None):
        self.model.set_weights(self.best)
        self.history["step_seconds"] = float(np.median(self.durations)) * len(self.durations)
        self.history["scoring_seconds"] = self.scoring
