"""Training a classifier from scratch, many times: a budget in steps, weights chosen by validation AUC.

On a small data set, building and tracing a network takes longer than training it for a few hundred steps. A `Trainer`
traces once, and then gives every trial new weights and a new optimizer.
"""

import contextlib
import time

import keras
import numpy as np
import tensorflow as tf

from synthkit._reusable import ProcessCache, reusable
from synthkit.pipeline import to_dataset
from synthkit.splitting import fold, partition
from synthkit.statistics import auc
from synthkit.statistics.estimates import fewest_patients

SELECTIONS = ("one_standard_error", "best")
PIXELS_AT_A_TIME = 2_400_000  # when images are scored: 47 of 224 pixels a side, for which 15 GB are enough


def cross_entropy(labels, probabilities):
    """The cross-entropy with one-hot, smoothed or mixed labels: the loss of every arm of a study.

    Args:
        labels: float32 `(batch, num_classes)`, the fraction of each class.
        probabilities: float32 `(batch, num_classes)`, or `(batch, 1)`, the probability of class 1.

    Returns:
        float32 `(batch,)`.
    """
    if probabilities.shape[-1] == 1:
        return keras.losses.binary_crossentropy(labels[:, 1:], probabilities)
    return keras.losses.categorical_crossentropy(labels, probabilities)


def standard_error(area, patients):
    """Returns the standard error of an AUC, about: that of a proportion of the patients of the rarer class.

    Args:
        area: float, the AUC. Above 1 - 1 / (2 patients) the standard error stays the same: a perfect AUC of few images
            is no certainty.
        patients: float, their number (`statistics.estimates.fewest_patients`).
    """
    area = min(max(area, 0.5), 1 - 0.5 / max(patients, 1))
    return np.sqrt(area * (1 - area) / patients)


class Trainer:
    """A classifier's architecture and training recipe; `train` starts from scratch in every call.

    Args:
        builder: callable `(image_shape, num_classes) → keras.Model` from float32 `[0, 1]` images to probabilities,
            either `(batch, 1)`, the probability of class 1, or `(batch, num_classes)`.
        image_shape: `(height, width, channels)`.
        num_classes: int.
        steps: gradient steps of one training, the same for every arm of a study; rounded to a multiple of the steps
            between two checks.
        batch_size: images per step.
        optimizer: "adam", or "sgd" without momentum.
        learning_rate: initial learning rate.
        drops: fractions of the steps after which the learning rate is divided by 10.
        checks: approximate number of times that the validation AUC is computed, evenly spread over the steps.
        selection: which weights are used: "one_standard_error", those of the last check whose validation AUC is within
            one standard error of the highest so far (Breiman, Friedman, Olshen and Stone, "Classification and
            regression trees", 1984, section 3.4.3, where it chooses the size of a tree); or "best", the earliest of the
            highest AUC. With few validation images the highest is often a chance find of an early check. With
            fewer than about 100 patients it is nearly always the last check that is used.
        patience: checks without a better validation AUC after which training stops; None always takes all steps, as a
            study does.
        label_smoothing: fraction of every label that is spread evenly over the classes.
        class_weights: whether to weight images so that all classes count the same in the loss.
        mixed_precision: whether to compute in half precision where the network allows it: in float16 on a GPU, which is
            faster on GPUs with tensor cores, and in bfloat16 elsewhere, which is faster on processors with AMX.

    Raises:
        ValueError: for another optimizer or selection.
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
        selection="one_standard_error",
        patience=None,
        label_smoothing=0.0,
        class_weights=False,
        mixed_precision=False,
    ):
        if optimizer not in ("adam", "sgd"):
            raise ValueError(f"optimizer must be 'adam' or 'sgd'. Received: optimizer={optimizer!r}")
        if selection not in SELECTIONS:
            raise ValueError(f"selection must be one of {', '.join(SELECTIONS)}. Received: selection={selection!r}")
        self.steps_per_check = max(1, round(steps / checks))
        self.checks = max(1, round(steps / self.steps_per_check))
        self.steps = self.checks * self.steps_per_check
        self.batch_size, self.selection, self.patience = batch_size, selection, patience
        self.class_weights = class_weights
        rate = learning_rate
        if drops:
            rates = [learning_rate * 0.1**drop for drop in range(len(drops) + 1)]
            # Keras counts steps from 0, and a rate includes its boundary.
            boundaries = [round(fraction * self.steps) - 1 for fraction in drops]
            rate = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)

        def loss(labels, probabilities):
            return cross_entropy(labels * (1 - label_smoothing) + label_smoothing / num_classes, probabilities)

        def build():
            with _half_precision() if mixed_precision else contextlib.nullcontext():
                model = builder(image_shape, num_classes)
            kind = keras.optimizers.Adam if optimizer == "adam" else keras.optimizers.SGD
            # On a CPU, XLA takes eight times as long for these convolutions as TensorFlow's own kernels.
            model.compile(kind(rate), loss, jit_compile=False)
            model.optimizer.build(model.trainable_variables)
            return model

        self._start = reusable(build)
        self.model = None
        signature = [tf.TensorSpec((None, *image_shape), "uint8")]
        self._scores = tf.function(
            lambda images: tf.cast(self.model(tf.cast(images, "float32") / 255, training=False), "float32"),
            input_signature=signature,
        )

    def train(self, train, validation=None, *, seed, augment=None, on_step=None, first=None, share=0.5, begin=None):
        """Trains from scratch and restores the weights that the validation AUC chooses (`selection`).

        Args:
            train: ImageSet, the training set.
            validation: ImageSet whose AUC chooses the weights; None keeps the last weights.
            seed: int, of the initial weights, the order of the images, dropout and augmentation.
            augment: callable for `pipeline.to_dataset`, or None.
            on_step: callable `()`, called after every step.
            first: ImageSet to train on before `train`, within the same number of steps; None for none.
            share: fraction of the steps on `first`.
            begin: callable `(model)`, called before the first step to set weights; the validation AUC of these weights
                is then checked, too, as step 0. None for none.

        Returns:
            dict: lists `step`, `loss` (mean over the steps since the last check) and `val_auc`; `best_step`, the step
            whose weights are used; and `step_seconds` and `scoring_seconds`, the wall time of all gradient steps (the
            median over the checks, times their number, which leaves out tracing if there are several) and of
            validation.

        Raises:
            FloatingPointError: if the loss is NaN or infinite.
            ValueError: if the validation set lacks a class.
        """
        if validation is not None and not all(validation.class_counts().values()):
            missing = [name for name, count in validation.class_counts().items() if not count]
            raise ValueError(
                f"the images to validate on, of {validation.name}, have none of class {', '.join(missing)}, so there "
                "is no AUC to choose weights by; give images of every class, or validation=None, which keeps the last"
            )
        self.model = self._start(seed)
        best_validation = _BestValidation(self, validation, on_step)
        if begin is not None:
            begin(self.model)
            best_validation.check_start()
        options = {"shuffle_seed": seed, "augment": augment, "one_hot": True, "repeat": True}
        data = to_dataset(train, self.batch_size, **options)
        if first is not None:
            pretraining = to_dataset(first, self.batch_size, **options).take(round(share * self.steps))
            data = pretraining.concatenate(data).with_options(data.options())
        counts = np.bincount(train.labels, minlength=len(train.class_names))
        self.model.fit(
            data,
            epochs=self.checks,
            steps_per_epoch=self.steps_per_check,
            class_weight=dict(enumerate(len(train) / (len(counts) * counts))) if self.class_weights else None,
            callbacks=[best_validation],
            verbose=0,
            shuffle=False,
        )
        return best_validation.finish()

    def predict(self, images, batch_size=None, *, flips=False):
        """Scores images with the trained weights.

        Args:
            images: uint8 `(n, height, width, channels)`.
            batch_size: images scored at a time; limits the memory. None takes fewer of larger images, at most 256.
            flips: whether to average the scores of the image and of its three mirror images.

        Returns:
            float32 `(n, num_classes)`, probabilities.
        """
        if flips:
            views = (images, images[:, ::-1], images[:, :, ::-1], images[:, ::-1, ::-1])
            return np.mean([self.predict(view, batch_size) for view in views], axis=0)
        height, width = images.shape[1:3]
        batch_size = batch_size or min(256, max(1, PIXELS_AT_A_TIME // (height * width)))
        starts = range(0, len(images), batch_size)
        scores = np.concatenate([self._scores(np.asarray(images[i : i + batch_size])) for i in starts])
        return np.hstack([1 - scores, scores]) if scores.shape[1] == 1 else scores


@contextlib.contextmanager
def _half_precision():
    """Sets Keras's dtype policy to the half precision that suits this machine, while it is open."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


class _BestValidation(keras.callbacks.Callback):
    """Scores the validation set at the end of every epoch, which is a check, and keeps the weights to be used.

    A step is known to have ended when the next one begins: a callback for the end of a step would make Keras wait for
    its loss. On a GPU, which may be steps behind, only the time of a whole epoch means anything.
    """

    def __init__(self, trainer, validation, on_step):
        super().__init__()
        self.trainer, self.validation, self.on_step = trainer, validation, on_step
        self.history = {"step": [], "loss": [], "val_auc": [], "best_step": 0}
        self.pending, self.steps, self.durations, self.scoring, self.best = False, 0, [], 0.0, None

    def check_start(self):
        """Scores the weights before the first step."""
        if self.validation is not None:
            value = auc(self.validation.labels, self.trainer.predict(self.validation.images))
            self.history |= {"step": [0], "loss": [np.nan], "val_auc": [float(value)]}
            self.best = self.trainer.model.get_weights()

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()

    def on_train_batch_begin(self, batch, logs=None):
        self._end_step()
        self.pending = True

    def _end_step(self):
        if self.pending:
            self.pending, self.steps = False, self.steps + 1
            if self.on_step:
                self.on_step()

    def on_epoch_end(self, epoch, logs=None):
        self._end_step()
        began = time.perf_counter()
        self.durations.append(began - self.began)
        step, loss = self.steps, float(logs["loss"])
        if not np.isfinite(loss):
            raise FloatingPointError(f"the classifier's loss is {loss} at step {step}; try a lower learning rate")
        self.history["step"].append(step)
        self.history["loss"].append(loss)
        if self.validation is not None:
            value, before = auc(self.validation.labels, self.trainer.predict(self.validation.images)), self.highest
            self.history["val_auc"].append(float(value))
            if value > before or (self.trainer.selection != "best" and value >= before - self._error(before)):
                self.history["best_step"] = step
                self.best = self.model.get_weights()
            checks_since_highest = len(self.history["step"]) - 1 - int(np.argmax(self.history["val_auc"]))
            if self.trainer.patience is not None and checks_since_highest >= self.trainer.patience:
                self.model.stop_training = True
        self.scoring += time.perf_counter() - began

    @property
    def highest(self):
        """The highest validation AUC so far; -1 before the first check."""
        return max(self.history["val_auc"], default=-1.0)

    def _error(self, area):
        """Returns the standard error of a validation AUC."""
        return standard_error(area, fewest_patients(self.validation.labels, self.validation.patients))

    def finish(self):
        """Restores the weights that were chosen. Returns the history."""
        if self.best is not None:
            self.trainer.model.set_weights(self.best)
        self.history["step_seconds"] = float(np.median(self.durations)) * len(self.durations)
        self.history["scoring_seconds"] = self.scoring
        return self.history


def cross_validate(trainer, imageset, folds=5, *, seed=0, augment=None):
    """Scores every image by a network that was not trained on its patient.

    The skin-lesion study validates on folds of its training set (its section 3.1). No weights are chosen on a fold: the
    last ones are used.

    Args:
        trainer: Trainer.
        imageset: ImageSet, a training set.
        folds: int, number of folds; all images of a patient are in one fold, and classes are spread evenly.
        seed: int, of the folds and of every training.
        augment: as in `Trainer.train`.

    Returns:
        float32 `(n, num_classes)`, probabilities.
    """
    fold_of = fold(imageset, folds, seed=seed)
    scores = np.empty((len(imageset), len(imageset.class_names)), "float32")
    for i in range(folds):
        trainer.train(imageset[np.flatnonzero(fold_of != i)], seed=seed, augment=augment)
        scores[fold_of == i] = trainer.predict(imageset.images[fold_of == i])
    return scores


def scorer(builder, *, steps, held_back=0.25, augment=(None,), **recipe):
    """Makes a callable that fits a classifier on some images, to score other images with.

    Args:
        builder: as in `Trainer`.
        steps: gradient steps.
        held_back: fraction of the images, by patient, whose AUC chooses the weights.
        augment: callables for `Trainer.train`, None for no augmentation. One network is trained with each; the one with
            the best AUC on the images held back is used.
        recipe: further arguments of `Trainer`.

    Returns:
        callable `(images: ImageSet, seed) → callable (uint8 images) → float32 probabilities (n, num_classes)`. The
        network is built once, so a second fit also changes what the callable of the first one predicts.
    """
    trainers = ProcessCache()

    recipe = {"selection": "best"} | recipe

    def fit(images, seed=0):
        kind = (images.image_shape, len(images.class_names))
        if kind not in trainers:
            trainers[kind] = Trainer(builder, *kind, steps=steps, **recipe)
        trainer = trainers[kind]
        train, validation = partition(images, [held_back], seed=seed)
        candidates = []
        for augmentation in augment:
            history = trainer.train(train, validation, seed=seed, augment=augmentation)
            candidates.append((max(history["val_auc"]), trainer.model.get_weights()))
        trainer.model.set_weights(max(candidates, key=lambda candidate: candidate[0])[1])
        return trainer.predict

    fit.check = lambda images, counts: builder(images.image_shape, len(images.class_names))
    return fit
