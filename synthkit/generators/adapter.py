"""A generator as a synthesizer: fitted on the training set, then asked for images."""

import hashlib
import json
import re
from pathlib import Path

import keras
import numpy as np
from tqdm.auto import tqdm

from synthkit._environment import versions
from synthkit._files import replacing
from synthkit._reusable import Kept, reusable
from synthkit.imageset import ImageSet
from synthkit.pipeline import to_dataset


def synthesizer(build, *, epochs=300, batch_size=128, augment=None, keep=None, progress=False):
    """Makes a synthesizer of a generator: fitted on the training part, then asked for images.

    The network is built and traced once. A fit is kept until another training set or seed comes, so that arms that
    only differ in what they ask of the same generator do not train it twice.

    Args:
        build: callable `(image_shape, num_classes) → compiled generator`.
        epochs: passes over the training images.
        batch_size: images a step.
        augment: callable for `pipeline.to_dataset`, applied to the images that it is fitted on; None for none.
        keep: folder for fitted generators, made if missing: one that was fitted before on the same images, with the
            same seed, epochs and network, is read from there. Empty it after changing a generator's code. An
            autoencoder's file holds the training images. None keeps the last one, in memory.
        progress: whether to show a bar over the epochs.

    Returns:
        callable `(train: ImageSet, labels (n,), seed) → ImageSet` of n synthetic images. It raises FloatingPointError
        if they are not numbers, and ValueError for a file in `keep` that is damaged.
    """
    started, fitted = Kept(), Kept()

    def synthesize(train, labels, seed):
        kind = (train.image_shape, len(train.class_names))
        if kind not in started:
            started[kind] = reusable(lambda: build(*kind))
        key = (train.fingerprint(), seed)
        if key not in fitted:
            fitted.clear()
            model = started[kind](seed)
            way = [epochs, batch_size, getattr(augment, "__name__", augment and type(augment).__name__)]
            path = keep and Path(keep) / f"{model.name}-{_digest(model, *key, *way)}.keras"
            if path and path.exists():
                _read(path, model)
            else:
                data = to_dataset(train, batch_size, shuffle_seed=seed, repeat=True, augment=augment)
                steps = max(1, round(len(train) / batch_size))
                bars = [_EpochBar(position=2)] if progress else []
                model.fit(data, epochs=epochs, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=bars)
            fitted[key] = model
            if path and not path.exists():
                with replacing(path) as part:
                    model.save(part)
        images = fitted[key].sample(labels, seed)
        if not np.isfinite(images).all():
            raise FloatingPointError(f"{fitted[key].name} makes images that are not numbers: its training diverged")
        return ImageSet(
            np.round(np.clip(images, 0, 1) * 255).astype("uint8"), labels, train.class_names, name=fitted[key].name
        )

    return synthesize


def _digest(model, *rest):
    """Returns a text that differs wherever what decides a fit does: the network, its optimizers, `rest`, versions."""
    told = json.dumps([keras.saving.serialize_keras_object(model), rest, versions()], sort_keys=True)
    told = re.sub(r'_\d+"', '"', told)  # Keras numbers the names of a process's layers and optimizers
    return hashlib.sha256(told.encode()).hexdigest()[:20]


def _read(path, model):
    """Reads a generator's weights, and nothing else of the file, into one of its kind."""
    try:
        model.load_weights(path)
    except Exception as error:  # damaged bytes fail in many ways
        raise ValueError(f"{path} holds no generator that can be read ({error}); delete it to fit anew") from error


class _EpochBar(keras.callbacks.Callback):
    """A bar over the epochs of one fit, with the losses beside it."""

    def __init__(self, position):
        super().__init__()
        self.position = position

    def on_train_begin(self, logs=None):
        description = f"fitting {self.model.name}"
        self.bar = tqdm(
            total=self.params["epochs"], desc=description, unit="epoch", leave=False, position=self.position
        )

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in logs.items()}, refresh=False)
        self.bar.update()

    def on_train_end(self, logs=None):
        self.bar.close()
