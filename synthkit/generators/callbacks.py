"""Callbacks for training generators: sample grids, early warnings, the best epoch, checkpoints."""

import contextlib
import time
import warnings
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from synthkit._files import local, replacing
from synthkit._reusable import state

PAUSE = 20  # seconds between two checkpoints, at least
COSTS = 20  # times what the last checkpoint took, between two of them, at least


class SampleGrid(keras.callbacks.Callback):
    """Draws samples from the same noise every few epochs and makes a GIF of them (the skin-lesion study's Figure 5).

    Args:
        labels: int `(n,)`, labels of the samples, in the order of the grid.
        folder: for `epoch_00010.png` and so on, and `training.gif`.
        every: epochs between two grids.
        seed: int, of the samples.
        columns: images in a row.
        scale: factor by which the grid is enlarged.
        start: whether to draw a grid before the first epoch as well, which is noise.
    """

    def __init__(self, labels, folder, *, every=10, seed=0, columns=8, scale=3, start=False):
        super().__init__()
        self.labels, self.folder, self.every, self.seed = np.asarray(labels), Path(folder), every, seed
        self.columns, self.scale, self.start = columns, scale, start

    def on_train_begin(self, logs=None):
        if self.start and not int(self.model.steps.numpy()):
            shape = (len(self.labels), *self.model.noise_shape)
            noise = keras.ops.convert_to_tensor(np.random.default_rng(self.seed).standard_normal(shape, "float32"))
            images = self.model.draw(noise, keras.ops.convert_to_tensor(self.labels, dtype="int64"))
            self._write(0, keras.ops.convert_to_numpy(images))

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            self._write(epoch + 1, self.model.sample(self.labels, self.seed))

    def _write(self, epoch, images):
        self.folder.mkdir(parents=True, exist_ok=True)
        grid = tile(images, self.columns)
        large = Image.fromarray(grid.squeeze()).resize([self.scale * n for n in grid.shape[1::-1]], Image.NEAREST)
        large.save(self.folder / f"epoch_{epoch:05}.png")

    def on_train_end(self, logs=None):
        """Writes the GIF from all grids in the folder, so that it includes those from before a stop."""
        # load_img reads the whole file and closes it, which Image.open does not.
        frames = [keras.utils.load_img(path) for path in sorted(self.folder.glob("epoch_*.png"))]
        if frames:
            # The last frame is shown for longer, since it is the result.
            milliseconds = [200] * (len(frames) - 1) + [2000]
            frames[0].save(
                self.folder / "training.gif", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0
            )


def tile(images, columns=8):
    """Arranges images in a grid, with white lines between them.

    Args:
        images: float32 `(n, height, width, channels)` in [0, 1].
        columns: images in a row.

    Returns:
        uint8 `(height, width, channels)`, the grid.
    """
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * columns, height + 1, width + 1, channels), 255, "uint8")
    canvas[:n, :-1, :-1] = np.round(images * 255)
    canvas = canvas.reshape(rows, columns, height + 1, width + 1, channels).swapaxes(1, 2)
    return canvas.reshape(rows * (height + 1), columns * (width + 1), channels)[:-1, :-1]


class Watch(keras.callbacks.Callback):
    """Stops a training that has collapsed or diverged, and warns with the reason.

    A generator has collapsed if its images of some class have less than the fraction `least` of the diversity of the
    real ones, and less than half of their own highest diversity so far. A generator that starts from grey images and
    learns has not collapsed.

    Args:
        real: ImageSet, the training set.
        least: fraction of the diversity of the real images.
        every: epochs between two checks.
        seed: int, of the samples.
        count: samples of each class.

    Attributes:
        history: dict from the epoch to float `(classes,)`, the diversity as a fraction of that of the real images.
        reason: sentence, or None if the training was not stopped.
    """

    def __init__(self, real, *, least=0.4, every=10, seed=0, count=32):
        super().__init__()
        self.names, self.least, self.every, self.seed = real.class_names, least, every, seed
        self.labels = np.repeat(np.arange(len(real.class_names)), count)
        self.real = diversity(real.images / np.float32(255), real.labels)
        self.history, self.reason = {}, None

    def on_epoch_end(self, epoch, logs=None):
        diverged = [name for name, value in logs.items() if not np.isfinite(value)]
        if diverged and self.reason is None:
            self._stop(f"{diverged[0]} is {float(logs[diverged[0]])} in epoch {epoch + 1}; try a lower learning rate")
        if (epoch + 1) % self.every or self.reason:
            return
        relative = diversity(self.model.sample(self.labels, self.seed), self.labels) / self.real
        highest = np.max([relative, *self.history.values()], axis=0)
        self.history[epoch + 1] = relative
        for label in np.flatnonzero((relative < self.least) & (relative < highest / 2)):
            self._stop(
                f"it has collapsed: at epoch {epoch + 1} its images of {self.names[label]} are {relative[label]:.0%} "
                f"as diverse as the real ones, down from {highest[label]:.0%}; try fewer epochs, another seed or "
                "another generator"
            )
            return

    def _stop(self, reason):
        self.reason = f"the training of {self.model.name} was stopped: {reason}"
        self.model.stop_training = True
        warnings.warn(self.reason, stacklevel=2)


def diversity(images, labels):
    """Returns how much the images of each class differ from one another.

    Args:
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int `(n,)`.

    Returns:
        float `(classes,)`: the standard deviation of each pixel over the images of a class, as root mean square over
        pixels. It is 1/√2 of the root mean square difference of two images.
    """
    return np.array([np.sqrt(images[labels == label].var(axis=0).mean()) for label in np.unique(labels)])


class BestEpoch(keras.callbacks.Callback):
    """Restores the weights of the epoch whose samples are closest to real images outside the training set.

    For example, with the kernel inception distance to the validation set:

        space = fidelity.pixels(splits.train.images)
        real = space(splits.validation.images)
        best = BestEpoch(lambda images: fidelity.kid(real, space(images)).value, labels=splits.train.labels)

    Never give it the test set: a test score of what was chosen on the test set is biased.

    Args:
        distance: callable from uint8 `(n, height, width, channels)` to float; lower is better.
        labels: int `(n,)`, labels of the samples.
        every: epochs between two checks.
        seed: int, of the samples.
        path: file for the best weights, from which a `fit` that was stopped resumes; None keeps them in memory.

    Attributes:
        history: dict from the epoch to the distance.
        epoch: number of the best epoch, from 1.
    """

    def __init__(self, distance, labels, *, every=10, seed=0, path=None):
        super().__init__()
        self.distance, self.labels, self.every, self.seed = distance, np.asarray(labels), every, seed
        self.path, self.history, self.epoch, self.best = path, {}, None, None

    def on_train_begin(self, logs=None):
        self.begun = False

    def on_epoch_begin(self, epoch, logs=None):
        # Only now is it known whether `fit` has resumed an earlier training. A new one leaves an earlier one's file.
        if not self.begun and epoch and self.best is None and self.path and Path(self.path).exists():
            self.epoch, value, self.best = _read(self.path)
            self.history[self.epoch] = float(value)
        self.begun = True

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        images = np.round(self.model.sample(self.labels, self.seed) * 255).astype("uint8")
        value = float(self.distance(images))
        if value < min(self.history.values(), default=np.inf):
            self.epoch, self.best = epoch + 1, self.model.get_weights()
            if self.path:
                _write(self.path, self.epoch, value, self.best)
        self.history[epoch + 1] = value

    def on_train_end(self, logs=None):
        if self.best is not None:
            self.model.set_weights(self.best)


class Checkpoint(keras.callbacks.Callback):
    """Lets a generator's `fit` that was stopped resume after its last checkpoint, with the same result.

    A checkpoint has the weights, moving averages, random states and the states of all optimizers, in one file that is
    replaced whole. (`keras.callbacks.BackupAndRestore` leaves out random states and a second optimizer.) Run the same
    `fit` again to resume; when it has ended, the file is deleted. A data set that repeats forever, with
    steps_per_epoch, continues where it stopped. The order of any other shuffled data set is not part of a checkpoint.

    Args:
        path: file; of one on Google Drive, a file on the local disk takes the place.
        every: epochs between two checkpoints. None writes one after at least 20 seconds of training, and so rarely that
            it takes at most a twentieth of the time: that of a large network on a slow disk less often.
    """

    def __init__(self, path, *, every=1):
        super().__init__()
        self.path, self.every, self.cost = local(path), every, 0.0

    def on_train_begin(self, logs=None):
        self.written = time.monotonic()

    def resume(self, model):
        """Restores a generator from the checkpoint, if there is one. Returns the number of epochs of its training."""
        if not self.path.exists():
            return 0
        epoch, _, values = _read(self.path)
        for variable, value in zip(state(model), values, strict=True):
            variable.assign(value)
        return epoch

    def on_epoch_end(self, epoch, logs=None):
        began = time.monotonic()
        due = (
            began - self.written >= max(PAUSE, COSTS * self.cost)
            if self.every is None
            else not (epoch + 1) % self.every
        )
        if due:
            _write(self.path, epoch + 1, np.nan, [variable.numpy() for variable in state(self.model)])
            self.written = time.monotonic()
            self.cost = self.written - began

    def on_train_end(self, logs=None):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.path.unlink()


def _write(path, epoch, value, arrays):
    """Writes arrays; a process that is killed leaves either the old file or the new one."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, *arrays, epoch=epoch, value=value)


def _read(path):
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = [file[f"arr_{i}"] for i in range(len(file.files) - 2)]
            return int(file["epoch"]), float(file["value"]), arrays
    except Exception as error:  # damaged bytes fail in many ways
        raise ValueError(f"{path} is damaged ({error}); delete it to train from the start") from error
