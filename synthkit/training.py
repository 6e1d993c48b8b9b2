"""One network, trained from scratch as often as asked: a budget in steps, weights by validation AUC, scores once.

Building and tracing a network costs more than training it for a few hundred steps on a small data set. A `Trainer`
does both once and then gives every trial new weights and a new optimizer.
"""

import contextlib
import glob
import json
import math
import time
import warnings

import keras
import numpy as np
import tensorflow as tf

from synthkit.files import replacing
from synthkit.imageset import to_dataset
from synthkit.reusable import reusable, state
from synthkit.statistics import auc

BACKUP_SECONDS = 20  # at least, between two backups: a large network's takes a second


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

    def train(self, train, validation=None, *, seed, augment=None, on_step=None, backup=None, first=None, share=0.5):
        """Trains from scratch and leaves the weights of the best validation AUC in place.

        Args:
            train: ImageSet to learn from.
            validation: ImageSet whose AUC chooses the weights; the earliest of equals wins. None keeps the last.
            seed: int, of the initial weights, the order of the images, dropout and augmentation.
            augment: callable for `imageset.to_dataset`, or None.
            on_step: callable `()`, called after every step.
            backup: path of a file that a training which is killed goes on from, bit for bit, if it is called again with
                the same arguments; written after a check, at most every `BACKUP_SECONDS`, and removed at the end.
            first: ImageSet to learn from before, out of the same budget of steps; None for none.
            share: of the steps that go to `first`.

        Returns:
            dict: lists `step`, `loss` (mean over the steps since the last check) and `val_auc`; `best_step`; and
            `step_seconds` and `scoring_seconds`, the wall time of all gradient steps (their median times their number,
            so that tracing is not in it) and of validation.

        Raises:
            FloatingPointError: if the loss stops being a number.
            ValueError: if the backup is damaged.
        """
        self.model = self._fresh(seed)
        identity = [part.fingerprint() for part in (train, first) if part is not None]
        watch = _BestValidation(self, validation, on_step, backup, f"{identity} {seed} {self.steps} {share}")
        done = watch.go_on()
        before = 0 if first is None else round(share * self.steps)
        past = done * self.each
        options = {"shuffle_seed": seed, "augment": augment, "one_hot": True, "repeat": True}
        data = to_dataset(train, self.batch_size, **options, skip=max(0, past - before))
        if past < before:
            early = to_dataset(first, self.batch_size, **options, skip=past).take(before - past)
            data = early.concatenate(data).with_options(data.options())
        counts = np.bincount(train.labels, minlength=len(train.class_names))
        self.model.fit(
            data,
            epochs=self.checks,
            initial_epoch=done,
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
    """Scores the validation part at the end of every epoch; keeps the best weights, and a backup of everything."""

    def __init__(self, trainer, validation, on_step, backup, identity):
        super().__init__()
        self.trainer, self.validation, self.on_step = trainer, validation, on_step
        self.backup, self.identity, self.saved = backup, identity, time.perf_counter()
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
            late = epoch + 1 - self.history["step"].index(self.history["best_step"]) - 1
            if self.trainer.patience is not None and late >= self.trainer.patience:
                self.model.stop_training = True
        self.scoring += time.perf_counter() - began
        if self.backup and time.perf_counter() - self.saved > BACKUP_SECONDS:
            self._save()

    def _save(self):
        told = {"history": self.history, "scoring": self.scoring, "identity": self.identity}
        arrays = {f"state{i}": variable.numpy() for i, variable in enumerate(state(self.model))}
        arrays |= {f"best{i}": weight for i, weight in enumerate(self.best or [])}
        try:
            with replacing(self.backup) as file:
                np.savez(file, told=json.dumps(told), durations=self.durations, **arrays)
            self.saved = time.perf_counter()
        except OSError as error:  # no reason to lose the training
            warnings.warn(f"the training goes on without a backup: {error}", stacklevel=2)
            self.saved = math.inf

    def go_on(self):
        """Takes up the backup, if there is one of this training. Returns the number of checks that it has behind it."""
        if self.backup is None or not self.backup.exists():
            return 0
        try:
            with open(self.backup, "rb") as raw, np.load(raw, allow_pickle=False) as file:
                held = dict(file)
            told = json.loads(str(held["told"]))
            same = told["identity"] == self.identity
        except Exception as error:  # damaged bytes fail in many ways
            raise ValueError(
                f"{self.backup} is not a training that can be gone on with ({error}); delete it to start that one anew"
            ) from error
        if not same:
            return 0
        for i, variable in enumerate(state(self.trainer.model)):
            variable.assign(held[f"state{i}"])
        count = sum(name.startswith("best") for name in held)
        self.best = [held[f"best{i}"] for i in range(count)] or None
        self.history, self.scoring = told["history"], told["scoring"]
        self.durations = held["durations"].tolist()
        for _ in self.durations if self.on_step else ():
            self.on_step()
        return len(self.history["step"])

    def finish(self):
        """Puts the best weights back and removes the backup. Returns the history."""
        if self.best is not None:
            self.trainer.model.set_weights(self.best)
        if self.backup is not None:
            with contextlib.suppress(OSError):
                for path in [self.backup, *self.backup.parent.glob(f"{glob.escape(self.backup.name)}.*.part")]:
                    path.unlink(missing_ok=True)
        self.history["step_seconds"] = float(np.median(self.durations)) * len(self.durations)
        self.history["scoring_seconds"] = self.scoring
        return self.history
