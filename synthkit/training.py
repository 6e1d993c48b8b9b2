"""One network, trained from scratch as often as asked: a budget in steps, weights by validation AUC, scores once.

Building and tracing a network costs more than training it for a few hundred steps on a small data set. A `Trainer`
does both once and then gives every trial new weights and a new optimizer.
"""

import contextlib
import time

import keras
import numpy as np
import tensorflow as tf

from synthkit._reusable import Kept, reusable
from synthkit.pipeline import to_dataset
from synthkit.splitting import fold, partition
from synthkit.statistics import auc


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

    Args:
        builder: callable `(image_shape, num_classes) → keras.Model` from float32 `[0, 1]` images to probabilities,
            either `(batch, 1)`, the probability of class 1, or `(batch, num_classes)`.
        image_shape: `(height, width, channels)`.
        num_classes: int.
        steps: gradient steps of one training, the same for every arm of a study; rounded to a multiple of those between
            two checks.
        batch_size: images a step.
        optimizer: "adam" or "sgd", without momentum.
        learning_rate: at the start.
        drops: shares of the steps from which on the rate is a tenth of what it was.
        checks: about how many times, evenly spread over the steps, the validation AUC is looked at.
        patience: checks without a better validation AUC after which training stops; None spends the whole budget, as
            every arm of a study does.
        label_smoothing: share of every label that is spread evenly over the classes.
        class_weights: whether classes weigh alike in the loss, however many images they have.
        mixed_precision: whether to compute in half precision where the network allows: in float16 on a GPU, which pays
            on those with tensor cores, in bfloat16 elsewhere, which pays on processors with AMX.
    """

    def __init__(
        self,
        builder,
        image_shape,
        num_classes,
        *,
        steps,
        batch_size=32,
        optimizer="adam",
        learning_rate=1e-3,
        drops=(),
        checks=10,
        patience=None,
        label_smoothing=0.0,
        class_weights=False,
        mixed_precision=False,
    ):
        if optimizer not in ("adam", "sgd"):
            raise ValueError(f"optimizer must be 'adam' or 'sgd'. Received: optimizer={optimizer!r}")
        self.each = max(1, round(steps / checks))  # steps between two checks
        self.checks = max(1, round(steps / self.each))
        self.steps = self.checks * self.each
        self.batch_size, self.patience, self.class_weights = batch_size, patience, class_weights
        rate = learning_rate
        if drops:
            rates = [learning_rate * 0.1**drop for drop in range(len(drops) + 1)]
            # Keras keeps a rate up to and with its boundary, and counts steps from 0.
            bounds = [round(share * self.steps) - 1 for share in drops]
            rate = keras.optimizers.schedules.PiecewiseConstantDecay(bounds, rates)

        def loss(labels, probabilities):
            return cross_entropy(labels * (1 - label_smoothing) + label_smoothing / num_classes, probabilities)

        def build():
            with _half_precision() if mixed_precision else contextlib.nullcontext():
                model = builder(image_shape, num_classes)
            kind = keras.optimizers.Adam if optimizer == "adam" else keras.optimizers.SGD
            # XLA on a CPU ran these convolutions eight times slower than TensorFlow's own kernels.
            model.compile(kind(rate), loss, jit_compile=False)
            model.optimizer.build(model.trainable_variables)
            return model

        self._fresh = reusable(build)
        self.model = None
        signature = [tf.TensorSpec((None, *image_shape), "uint8")]
        self._scores = tf.function(
            lambda images: tf.cast(self.model(tf.cast(images, "float32") / 255, training=False), "float32"),
            input_signature=signature,
        )

    def train(self, train, validation=None, *, seed, augment=None, on_step=None, first=None, share=0.5):
        """Trains from scratch and leaves the weights of the best validation AUC in place.

        Args:
            train: ImageSet to learn from.
            validation: ImageSet whose AUC chooses the weights; the earliest of equals wins. None keeps the last.
            seed: int, of the initial weights, the order of the images, dropout and augmentation.
            augment: callable for `pipeline.to_dataset`, or None.
            on_step: callable `()`, called after every step.
            first: ImageSet to learn from first, out of the same budget of steps; None for none.
            share: fraction of the steps that go to `first`.

        Returns:
            dict: lists `step`, `loss` (mean over the steps since the last check) and `val_auc`; `best_step`; and
            `step_seconds` and `scoring_seconds`, the wall time of all gradient steps (their median times their number,
            which leaves tracing out) and of validation.

        Raises:
            FloatingPointError: if the loss is no longer a number.
        """
        self.model = self._fresh(seed)
        watch = _BestValidation(self, validation, on_step)
        options = {"shuffle_seed": seed, "augment": augment, "one_hot": True, "repeat": True}
        data = to_dataset(train, self.batch_size, **options)
        if first is not None:
            early = to_dataset(first, self.batch_size, **options).take(round(share * self.steps))
            data = early.concatenate(data).with_options(data.options())
        counts = np.bincount(train.labels, minlength=len(train.class_names))
        self.model.fit(
            data,
            epochs=self.checks,
            steps_per_epoch=self.each,
            class_weight=dict(enumerate(len(train) / (len(counts) * counts))) if self.class_weights else None,
            callbacks=[watch],
            verbose=0,
            shuffle=False,
        )
        return watch.finish()

    def predict(self, images, batch_size=256, *, flips=False):
        """Scores images with the trained weights.

        Args:
            images: uint8 `(n, height, width, channels)`.
            flips: whether to average over the image and its three mirror images.

        Returns:
            float32 `(n, num_classes)`, rows adding up to 1.
        """
        if flips:
            views = (images, images[:, ::-1], images[:, :, ::-1], images[:, ::-1, ::-1])
            return np.mean([self.predict(view, batch_size) for view in views], axis=0)
        parts = range(0, len(images), batch_size)
        scores = np.concatenate([self._scores(np.asarray(images[i : i + batch_size])) for i in parts])
        return np.hstack([1 - scores, scores]) if scores.shape[1] == 1 else scores


@contextlib.contextmanager
def _half_precision():
    """Builds what is built meanwhile under the dtype policy of Keras that this machine is fast with."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class _BestValidation(keras.callbacks.Callback):
    """Scores the validation set at the end of every epoch and keeps the best weights."""

    def __init__(self, trainer, validation, on_step):
        super().__init__()
        self.trainer, self.validation, self.on_step = trainer, validation, on_step
        self.history = {"step": [], "loss": [], "val_auc": [], "best_step": 0}
        self.durations, self.scoring, self.best = [], 0.0, None

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
        self.history["step"].append(step)
        self.history["loss"].append(loss)
        if self.validation is not None:
            value = auc(self.validation.labels, self.trainer.predict(self.validation.images))
            if value > max(self.history["val_auc"], default=-1):
                self.history["best_step"] = step
                self.best = self.model.get_weights()
            self.history["val_auc"].append(float(value))
            late = epoch - self.history["step"].index(self.history["best_step"])
            if self.trainer.patience is not None and late >= self.trainer.patience:
                self.model.stop_training = True
        self.scoring += time.perf_counter() - began

    def finish(self):
        """Restores the best weights. Returns the history."""
        if self.best is not None:
            self.trainer.model.set_weights(self.best)
        self.history["step_seconds"] = float(np.median(self.durations)) * len(self.durations)
        self.history["scoring_seconds"] = self.scoring
        return self.history


def cross_validate(trainer, imageset, folds=5, *, seed=0, augment=None):
    """Scores every image by a network that has seen no image of its patient.

    The skin-lesion study validates on folds of its training part (its section 3.1). Nothing is chosen on a fold: the
    weights are the last ones.

    Args:
        trainer: Trainer.
        imageset: ImageSet, a training part.
        folds: int, parts of whole patients, classes spread evenly.
        seed: int, of the folds and of every training.
        augment: as in `Trainer.train`.

    Returns:
        float32 `(n, num_classes)`.
    """
    number = fold(imageset, folds, seed=seed)
    scores = np.empty((len(imageset), len(imageset.class_names)), "float32")
    for i in range(folds):
        trainer.train(imageset[np.flatnonzero(number != i)], seed=seed, augment=augment)
        scores[number == i] = trainer.predict(imageset.images[number == i])
    return scores


def scorer(builder, *, steps, held_back=0.25, augment=(None,), **recipe):
    """Makes a callable that fits a classifier on one set of images, for judging others by.

    Args:
        builder: as in `Trainer`.
        steps: gradient steps.
        held_back: share of the images, by patient, whose AUC chooses the weights.
        augment: callables for `Trainer.train`, None for no augmentation. With each one network is trained, and the one
            of the best AUC on the images held back is kept.
        recipe: further arguments of `Trainer`.

    Returns:
        callable `(images: ImageSet, seed) → callable (uint8 images) → float32 probabilities (n, num_classes)`. The
        network is built once; fitting anew changes what an earlier result predicts.
    """
    started = Kept()

    def fit(images, seed=0):
        kind = (images.image_shape, len(images.class_names))
        if kind not in started:
            started[kind] = Trainer(builder, *kind, steps=steps, **recipe)
        trainer = started[kind]
        train, validation = partition(images, [held_back], seed=seed)
        fitted = []
        for way in augment:
            history = trainer.train(train, validation, seed=seed, augment=way)
            fitted.append((max(history["val_auc"]), trainer.model.get_weights()))
        trainer.model.set_weights(max(fitted, key=lambda pair: pair[0])[1])
        return trainer.predict

    return fit
