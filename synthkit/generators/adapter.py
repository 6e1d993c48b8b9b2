"""The adapter that makes a synthesizer of a generator: fitted on the training set, then sampled."""

import contextlib
import hashlib
import inspect
import json
import re
from pathlib import Path

import keras
import numpy as np
from tqdm.auto import tqdm

from synthkit._environment import versions
from synthkit._files import replacing, waiting
from synthkit._identity import describe
from synthkit._reusable import ProcessCache, reusable
from synthkit._sides import mirrorable
from synthkit.generators.callbacks import Checkpoint
from synthkit.imageset import ImageSet, resize
from synthkit.pipeline import to_dataset

EPOCH = 100  # gradient steps of pretraining between two checkpoints, at most


def synthesizer(
    build,
    *,
    epochs=300,
    batch_size=128,
    augment=None,
    image_size=None,
    pretrained_on=None,
    pretrain_steps=3000,
    pretrain_seed=0,
    keep=None,
    progress=False,
):
    """Makes a synthesizer of a generator: fitted on the training set, then sampled.

    The network is built and traced once. The last fit is kept, so that arms that use the same generator, training set
    and seed do not fit it twice.

    Args:
        build: callable `(image_shape, num_classes) → compiled generator`. One that mirrors images, which has an
            argument `flips`, is told the labels of the classes that do not differ by side (`build_for`).
        epochs: passes over the training images.
        batch_size: images per step.
        augment: callable for `pipeline.to_dataset`, applied to the training images; None for none.
        image_size: pixels a side at which the generator works. Its training images are resized to this, and its images
            are resized to the size of the training images. None is the size of the training images.
        pretrained_on: ImageSet that the generator learns first, once for all seeds and without its labels
            (`pretrain`); None for none. A study refuses it if it has near-duplicates of validation or test images.
        pretrain_steps, pretrain_seed: gradient steps on it, and the seed of their randomness.
        keep: folder for fitted generators, made if missing. A generator that was fitted before on the same images, with
            the same seed, epochs and network, is read from there, a fit that is killed resumes, and of two processes
            that need the same one the second waits for it. Empty it after changing a generator's code. The file of an
            autoencoder contains the training images. None keeps the last fit in memory only.
        progress: whether to show a progress bar over the epochs.

    Returns:
        callable `(train: ImageSet, labels (n,), seed) → ImageSet` of n synthetic images. It raises FloatingPointError
        if pixels are not finite, and ValueError for a damaged file in `keep`. A study calls its `check(train, counts)`
        before the first trial, which raises what `build` does for images of a size that it cannot make.
    """
    starts, learned, fitted, checked = ProcessCache(), ProcessCache(), ProcessCache(), ProcessCache()
    others = [] if pretrained_on is None else [pretrained_on.fingerprint(), pretrain_steps, pretrain_seed]
    shown = {"batch_size": batch_size, "progress": progress, "bar_position": 2}

    def resized(train):
        return train if image_size is None else resize(train, image_size)

    def path_of(model, ending, *key):
        return keep and Path(keep) / f"{model.name}{ending}-{_digest(model, *key)}.keras"

    def learn(kind, train):
        if kind not in learned:
            model = starts[kind](pretrain_seed)
            path = path_of(model, "-pretrained", (kind[0], len(kind[1])), batch_size, *others)
            then = lambda: learned.update({kind: model.get_weights()})  # noqa: E731
            _kept(model, path, then, pretrain, pretrained_on, train, pretrain_seed, steps=pretrain_steps, **shown)
        return learned[kind]

    def synthesize(train, labels, seed):
        full_size, train = train.image_shape[0], resized(train)
        kind = (train.image_shape, train.class_names)
        if kind not in starts:
            starts[kind] = reusable(lambda: build_for(build, *kind))
        key = (train.fingerprint(), seed)
        if key not in fitted:
            fitted.clear()
            model = starts[kind](seed)
            settings = [epochs, batch_size, getattr(augment, "__name__", augment and type(augment).__name__), *others]
            path = path_of(model, "", *key, *settings)
            if pretrained_on is not None and not (path and path.exists()):
                weights = learn(kind, train)
                model = starts[kind](seed)
                model.set_weights(weights)
            then = lambda: fitted.update({key: model})  # noqa: E731
            _kept(model, path, then, fit, train, seed, epochs=epochs, augment=augment, **shown)
        synthetic = draw(fitted[key], train.class_names, labels, seed)
        return synthetic if image_size is None else resize(synthetic, full_size)

    def check(train, counts):
        kind = (resized(train[:1]).image_shape, train.class_names)
        if kind not in checked:
            build_for(build, *kind)  # raises for images of a size that it cannot make
            if pretrained_on is not None:
                check_channels(pretrained_on, train)
            checked[kind] = True

    augmentation = augment and getattr(augment, "__name__", type(augment).__name__)
    synthesize.check, synthesize.pretrained_on = check, pretrained_on
    size = [] if image_size is None else [image_size]
    synthesize.identity = lambda: [describe(build), epochs, batch_size, augmentation, *size, *others]
    return synthesize


def build_for(build, image_shape, class_names):
    """Builds a generator that mirrors no image of a class that differs from another one by its side.

    Args:
        build: callable `(image_shape, num_classes) → compiled generator`, with or without an argument `flips`.
        image_shape: `(height, width, channels)`.
        class_names: the classes, in the order of their labels.
    """
    labels = mirrorable(class_names)
    told = labels is not None and "flips" in inspect.signature(build).parameters
    return build(image_shape, len(class_names), **({"flips": labels} if told else {}))


def _kept(model, path, then, fit, *images, **options):
    """Fits a generator and writes its file, or reads that; a fit that was killed resumes, and two processes take turns.

    Args:
        model: compiled generator.
        path: of the file, or None to fit only.
        then: callable `()`, called before the file is written: if that fails, the fit is not lost.
        fit: callable `(model, *images, callbacks=…, **options)`.
    """
    with waiting(path.with_name(f".{path.stem}.lock")) if path else contextlib.nullcontext():
        if path and path.exists():
            load_weights(model, path)
            then()
            return
        checkpoints = [Checkpoint(path.with_suffix(".checkpoint.npz"), every=None)] if path else []
        fit(model, *images, callbacks=checkpoints, **options)
        then()
        if path:
            with replacing(path) as part:
                model.save(part)


def pretrain(model, others, train, seed, *, steps, batch_size, callbacks=(), progress=False, bar_position=None):
    """Fits a generator to other images, before it is fitted to those of a training set.

    Their labels are not used: each image gets a random class, so that the generator learns what images look like, and
    nothing about classes.

    Args:
        model: compiled generator.
        others: ImageSet, of any classes and size, with the channels of the training set.
        train: ImageSet, the training set, at the generator's size.
        seed: int, of the labels and of the order of the images.
        steps: gradient steps.
        batch_size, callbacks, progress, bar_position: as in `fit`.

    Raises:
        ValueError: for another number of channels.
    """
    check_channels(others, train)
    images = resize(others, train.image_shape[0]).images
    labels = np.random.default_rng(seed).permutation(np.arange(len(images)) % len(train.class_names))
    unlabelled = ImageSet(images, labels, train.class_names, name=others.name)
    options = {"batch_size": batch_size, "callbacks": callbacks, "progress": progress, "bar_position": bar_position}
    each = max(number for number in range(1, EPOCH + 1) if steps % number == 0)
    fit(model, unlabelled, seed, epochs=steps // each, steps_per_epoch=each, **options)


def check_channels(others, train):
    """Raises ValueError if other images do not have as many channels as those of the training set."""
    if others.image_shape[-1] != train.image_shape[-1]:
        raise ValueError(
            f"a generator can only be pretrained on images of {train.image_shape[-1]} channels, as those of "
            f"{train.name} have (--pretrain-on). Received: {others.name}, {others.image_shape[-1]} channels"
        )


def _steps(train, batch_size):
    return max(1, round(len(train) / batch_size))


def fit(
    model,
    train,
    seed,
    *,
    epochs=300,
    batch_size=128,
    steps_per_epoch=None,
    augment=None,
    callbacks=(),
    progress=False,
    bar_position=None,
):
    """Fits a generator to the images of a training set.

    Args:
        model: compiled generator (`contract.Generator`).
        train: ImageSet.
        seed: int, of the order of the images.
        epochs, batch_size, augment, progress: as in `synthesizer`.
        steps_per_epoch: gradient steps; None for one pass over the images.
        callbacks: list of keras.callbacks.Callback; with a `Checkpoint` a fit that was killed resumes.
        bar_position: row of the bar on the terminal, counted from 0; None for the next free one.

    Raises:
        ValueError: for images that do not fit the generator.
    """
    data = to_dataset(train, batch_size, shuffle_seed=seed, repeat=True, augment=augment)
    steps = steps_per_epoch or _steps(train, batch_size)
    bars = [_EpochBar(bar_position)] if progress else []
    model.fit(data, epochs=epochs, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=[*callbacks, *bars])


def draw(model, class_names, labels, seed):
    """Draws an image of a fitted generator for every label.

    Args:
        model: fitted generator.
        class_names: the classes, in the order of their labels.
        labels: int `(n,)`.
        seed: int; the same seed and labels give the same images.

    Returns:
        ImageSet, named after the generator.

    Raises:
        FloatingPointError: if pixels are NaN or infinite.
    """
    images = model.sample(labels, seed)
    if not np.isfinite(images).all():
        raise FloatingPointError(f"{model.name} makes pixels that are NaN or infinite: its training diverged")
    return ImageSet(np.round(np.clip(images, 0, 1) * 255).astype("uint8"), labels, class_names, name=model.name)


def _digest(model, *rest):
    """Returns a text that identifies a fit: by the network, its optimizers, `rest` and versions of packages."""
    config = json.dumps([keras.saving.serialize_keras_object(model), rest, versions()], sort_keys=True)
    config = re.sub(r'_\d+"', '"', config)  # Keras numbers the names of layers and optimizers within a process
    return hashlib.sha256(config.encode()).hexdigest()[:20]


def load_weights(model, path):
    """Reads the weights in a generator's file, and nothing else of it, into a generator of the same architecture.

    Raises:
        ValueError: if the file is damaged or of another architecture; names it.
    """
    try:
        model.load_weights(path)
    except Exception as error:  # damaged bytes fail in many ways
        raise ValueError(f"{path} is damaged ({error}); delete it to fit the generator again") from error


class _EpochBar(keras.callbacks.Callback):
    """A progress bar over the epochs of one fit, with the losses."""

    def __init__(self, position):
        super().__init__()
        self.position = position

    def on_train_begin(self, logs=None):
        description = f"fitting {self.model.name}"
        self.bar = tqdm(
            total=self.params["epochs"], desc=description, unit="epoch", leave=False, position=self.position
        )

    def on_epoch_end(self, epoch, logs=None):
        if not self.bar.n:  # a fit that resumes
            self.bar.n = self.bar.initial = epoch
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in logs.items()}, refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        self.bar.close()
