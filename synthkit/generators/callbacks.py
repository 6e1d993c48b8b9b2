"""Watching a generator's training: pictures of it, early warning, the best epoch, and going on after a kill."""

import warnings
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from synthkit._files import replacing
from synthkit._reusable import state


class SampleGrid(keras.callbacks.Callback):
    """Draws the same samples every few epochs and makes a GIF of them: the skin-lesion study's Figure 5.

    Args:
        labels: int `(n,)`, of the samples, in the grid's order.
        folder: where `epoch_00010.png` … and `training.gif` go.
        every: epochs between two grids.
        seed: int, of the samples.
        columns: images a row.
        scale: pixels of the grid for a pixel of an image.
    """

    def __init__(self, labels, folder, *, every=10, seed=0, columns=8, scale=3):
        super().__init__()
        self.labels, self.folder, self.every, self.seed = np.asarray(labels), Path(folder), every, seed
        self.columns, self.scale = columns, scale

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            grid = tile(self.model.sample(self.labels, self.seed), self.columns)
            large = Image.fromarray(grid.squeeze()).resize([self.scale * n for n in grid.shape[1::-1]], Image.NEAREST)
            large.save(self.folder / f"epoch_{epoch + 1:05}.png")

    def on_train_end(self, logs=None):
        """Writes the GIF from all grids in the folder, so those from before a kill are in it too."""
        # load_img reads the whole file and closes it, which Image.open does not.
        frames = [keras.utils.load_img(path) for path in sorted(self.folder.glob("epoch_*.png"))]
        if frames:
            # The last frame stays, for a look at the result.
            lengths = [200] * (len(frames) - 1) + [2000]
            frames[0].save(
                self.folder / "training.gif", save_all=True, append_images=frames[1:], duration=lengths, loop=0
            )


def tile(images, columns=8):
    """Puts images side by side, a white line between them.

    Args:
        images: float32 `(n, height, width, channels)` in [0, 1].
        columns: images a row.

    Returns:
        uint8 `(height, width, channels)` of all.
    """
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    canvas = np.full((rows * columns, height + 1, width + 1, channels), 255, "uint8")
    canvas[:n, :-1, :-1] = np.round(images * 255)
    canvas = canvas.reshape(rows, columns, height + 1, width + 1, channels).swapaxes(1, 2)
    return canvas.reshape(rows * (height + 1), columns * (width + 1), channels)[:-1, :-1]


class Watch(keras.callbacks.Callback):
    """Stops a training that has collapsed or diverged, with a sentence that says why, as a warning and in `reason`.

    Collapsed is a generator whose images of some class are less diverse than a share of the real ones', and less than
    half as diverse as they have been: one that starts with grey and learns is left alone.

    Args:
        real: ImageSet, the training part.
        least: share of the real images' diversity.
        every: epochs between two looks.
        seed: int, of the samples.
        count: samples of each class.

    Attributes:
        history: dict from the epoch to float `(classes,)`, the diversity as a share of the real images'.
        reason: the sentence, or None.
    """

    def __init__(self, real, *, least=0.4, every=10, seed=0, count=32):
        super().__init__()
        self.names, self.least, self.every, self.seed = real.class_names, least, every, seed
        self.labels = np.repeat(np.arange(len(real.class_names)), count)
        self.real = diversity(real.images / np.float32(255), real.labels)
        self.history, self.reason = {}, None

    def on_train_batch_end(self, batch, logs=None):
        wrong = [name for name, value in logs.items() if not np.isfinite(value)]
        if wrong and self.reason is None:
            self._stop(
                f"{wrong[0]} is {float(logs[wrong[0]])} at step {batch + 1} of this epoch: a lower learning rate"
            )

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every or self.reason:
            return
        share = diversity(self.model.sample(self.labels, self.seed), self.labels) / self.real
        highest = np.max([share, *self.history.values()], axis=0)
        self.history[epoch + 1] = share
        for label in np.flatnonzero((share < self.least) & (share < highest / 2)):
            self._stop(
                f"at epoch {epoch + 1} its images of {self.names[label]} are {share[label]:.0%} as diverse as the real "
                f"ones, down from {highest[label]:.0%}: it has collapsed; fewer epochs, another seed, or another loss"
            )
            return

    def _stop(self, why):
        self.reason = f"the training of {self.model.name} was stopped, as {why} may help"
        self.model.stop_training = True
        warnings.warn(self.reason, stacklevel=2)


def diversity(images, labels):
    """Measures how much the images of each class differ from one another.

    Args:
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int `(n,)`.

    Returns:
        float `(classes,)`: the standard deviation of a pixel over the images of the class, root mean square over
        pixels; 1/√2 of the root mean square difference of two images.
    """
    return np.array([np.sqrt(images[labels == label].var(axis=0).mean()) for label in np.unique(labels)])


class BestEpoch(keras.callbacks.Callback):
    """Puts the weights of the epoch back whose samples lie nearest to real images that the training did not see.

    For example, with the kernel inception distance to the validation part:

        space = fidelity.pixels(splits.train.images)
        real = space(splits.validation.images)
        best = BestEpoch(lambda images: fidelity.kid(real, space(images)).value, labels=splits.train.labels)

    Never give it the test part: a figure chosen on it is no longer one.

    Args:
        distance: callable from uint8 `(n, height, width, channels)` to float, lower is better.
        labels: int `(n,)`, of the samples it is shown.
        every: epochs between two looks.
        seed: int, of the samples.
        path: file for the best weights, from which a killed `fit` goes on; None keeps them in memory alone.

    Attributes:
        history: dict from the epoch to the distance.
        epoch: the best one's number, from 1.
    """

    def __init__(self, distance, labels, *, every=10, seed=0, path=None):
        super().__init__()
        self.distance, self.labels, self.every, self.seed = distance, np.asarray(labels), every, seed
        self.path, self.history, self.epoch, self.best = path, {}, None, None

    def on_epoch_begin(self, epoch, logs=None):
        # Only here is it known whether another callback has taken up an earlier training.
        if self.best is None and self.path and epoch and Path(self.path).exists():
            self.epoch, value, self.best = _read(self.path)
            self.history[self.epoch] = float(value)

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
    """Lets a killed `fit` go on after its last whole epoch, as if nothing had happened.

    Writes weights, moving averages, random states and every optimizer's state after each epoch, in one file that is
    replaced whole; `keras.callbacks.BackupAndRestore` leaves out random states and a second optimizer. Give the same
    command again; when `fit` has ended, the file is removed. A shuffled data set starts its order anew.

    Args:
        path: file.
        every: epochs between two writes.
    """

    def __init__(self, path, *, every=1):
        super().__init__()
        self.path, self.every = Path(path), every

    def resume(self, model):
        """Puts a generator back to where its last checkpoint was. Returns the number of epochs behind it."""
        if not self.path.exists():
            return 0
        epoch, _, values = _read(self.path)
        for variable, value in zip(state(model), values, strict=True):
            variable.assign(value)
        return epoch

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            _write(self.path, epoch + 1, np.nan, [variable.numpy() for variable in state(self.model)])

    def on_train_end(self, logs=None):
        self.path.unlink(missing_ok=True)


def _write(path, epoch, value, arrays):
    """Writes arrays so that a kill leaves either the old file or the new one."""
    with replacing(path) as part, open(part, "wb") as file:
        np.savez(file, *arrays, epoch=epoch, value=value)


def _read(path):
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = [file[f"arr_{i}"] for i in range(len(file.files) - 2)]
            return int(file["epoch"]), float(file["value"]), arrays
    except Exception as error:  # damaged bytes fail in many ways
        raise ValueError(
            f"{path} does not hold a training that can be gone on with ({error}); delete it to start anew"
        ) from error
