import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from synthkit import _files
from synthkit._reusable import state
from synthkit.generators import callbacks
from synthkit.generators.contract import Generator
from synthkit.generators.skin_dcgan import PerClass
from tests.conftest import ROOT, make_imageset
from tests.generators.toy import toy, toy_gan

REAL = make_imageset(40, 1, size=8)


class Spread(Generator):
    """A generator whose samples follow a plan: the spread around mid-grey in each epoch."""

    def __init__(self, plan, **kwargs):
        super().__init__((8, 8, 1), 2, noise_shape=(1,), loss_names=("loss",), name="spread")
        self.spread = self.add_weight(name="spread", shape=(), initializer="zeros", trainable=False)
        self.plan = tf.constant(plan, "float32")
        self.built = True

    def update(self, images, labels):
        self.spread.assign(tf.gather(self.plan, self.steps))
        return {"loss": self.spread}

    def draw(self, noise, labels):
        return tf.clip_by_value(0.5 + self.spread * noise[:, None, None] * tf.ones(self.image_shape), 0, 1)


def fit(plan, *watching, **options):
    model = Spread(plan)
    model.compile(keras.optimizers.SGD(), jit_compile=False)
    data = (REAL.images / np.float32(255), REAL.labels)
    options = {"batch_size": 40, "epochs": len(plan), "verbose": 0, "callbacks": list(watching)} | options
    return model, model.fit(*data, **options).history["loss"]


class TestSampleGrid:
    def test_draws_grids_and_a_gif(self, tmp_path):
        grid = callbacks.SampleGrid([0, 1, 0], tmp_path / "grids", every=2, columns=2, scale=2)
        model, _ = fit([0.1, 0.2, 0.3, 0.1, 0.1], grid)
        pictures = sorted((tmp_path / "grids").glob("*.png"))
        assert [path.name for path in pictures] == ["epoch_00002.png", "epoch_00004.png"]
        with Image.open(pictures[0]) as picture:
            drawn = np.array(picture)
        # Two columns and two rows of 8 pixels and white lines between them, enlarged twice.
        assert drawn.shape == (34, 34)
        assert (drawn[16:18] == 255).all()
        assert (drawn[18:, 18:] == 255).all()
        model.spread.assign(0.2)
        assert drawn[::2, ::2][:8, :8] == pytest.approx(model.sample([0, 1, 0], 0)[0, ..., 0] * 255, abs=0.51)
        with Image.open(tmp_path / "grids" / "training.gif") as gif:
            assert gif.n_frames == 2

    def test_may_start_with_noise(self, tmp_path):
        fit([0.1, 0.2], callbacks.SampleGrid([0, 1], tmp_path, every=2, start=True))
        assert sorted(path.name for path in tmp_path.glob("*.png")) == ["epoch_00000.png", "epoch_00002.png"]
        with Image.open(tmp_path / "training.gif") as gif:
            assert gif.n_frames == 2


class TestWatch:
    def test_diversity_by_hand(self):
        images = np.zeros((4, 1, 2, 1), "float32")
        images[0, 0, 0], images[2:, 0, :, 0] = 0.4, 0.7
        # One of two pixels is 0.4 and 0: variance 0.04, the mean over both 0.02.
        diversity = callbacks.diversity(images, np.array([0, 0, 1, 1]))
        assert diversity == pytest.approx([0.02**0.5, 0], abs=1e-6)

    def test_stops_a_collapse_and_says_why(self):
        watch = callbacks.Watch(REAL, every=1)
        sentence = r"of spread was stopped: it has collapsed: at epoch 3 its images of bright are \d+% as diverse"
        with pytest.warns(UserWarning, match=sentence):
            _, losses = fit([0.1, 0.2, 0.01, 0.2], watch)
        assert len(losses) == 3
        assert watch.history[2].min() > 0.8
        assert watch.history[3].max() < 0.2

    def test_growing_diversity_is_no_collapse(self):
        watch = callbacks.Watch(REAL, every=1)
        _, losses = fit([0.001, 0.01, 0.02, 0.1, 0.07], watch)
        assert len(losses) == 5
        assert watch.reason is None

    def test_stops_at_nan(self):
        watch = callbacks.Watch(REAL, every=10)
        with pytest.warns(UserWarning, match="of spread was stopped: loss is nan in epoch 2; try a"):
            _, losses = fit([0.1, np.nan, 0.1], watch)
        assert len(losses) == 2


class TestBestEpoch:
    def distance(self, images):
        return abs(images.std() / 255 - 0.1)

    def test_restores_the_best_weights(self):
        best = callbacks.BestEpoch(self.distance, [0, 1] * 200, every=1)
        model, _ = fit([0.3, 0.2, 0.1, 0.15, 0.3], best)
        assert best.epoch == 3
        assert float(model.spread) == pytest.approx(0.1)
        assert best.history[1] == pytest.approx(0.2, abs=0.05)

    def test_the_best_epoch_may_be_before_a_stop(self, tmp_path):
        path = tmp_path / "best.npz"
        fit([0.3, 0.1], callbacks.BestEpoch(self.distance, [0, 1] * 200, every=1, path=path))
        best = callbacks.BestEpoch(self.distance, [0, 1] * 200, every=1, path=path)
        model, _ = fit([0.3] * 4, best, initial_epoch=2)
        assert best.epoch == 2
        assert float(model.spread) == pytest.approx(0.1)

    def test_a_new_fit_leaves_the_file_of_an_earlier_one(self, tmp_path):
        path = tmp_path / "best.npz"
        fit([0.3, 0.1], callbacks.BestEpoch(self.distance, [0, 1] * 200, every=1, path=path))
        best = callbacks.BestEpoch(self.distance, [0, 1] * 200, every=2, path=path)
        model, _ = fit([0.3, 0.3, 0.3, 0.2], best)
        assert best.epoch == 4
        assert float(model.spread) == pytest.approx(0.2)


class Recorder(keras.callbacks.Callback):
    """Records the epochs, and stops the process, or raises, at the beginning of one of them."""

    def __init__(self, epoch=None, signal=None):
        super().__init__()
        self.epochs, self.stop_in, self.signal = [], epoch, signal

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)
        if epoch == self.stop_in:
            if self.signal:
                os.kill(os.getpid(), self.signal)
            raise KeyboardInterrupt


def averaged_gan():
    return toy_gan(decay=0.9, flips=None)


def train(build, path, **stop):
    """Trains for six epochs, or until the recorder stops it.

    Returns the epochs, and all that the training changed: weights, averages, random states, both optimizers.
    """
    keras.utils.set_random_seed(0)
    model, recorder = build(), Recorder(**stop)
    images, labels = np.random.default_rng(0).random((8, 4, 4, 1), "float32"), np.arange(8) % 2
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(4)
    model.fit(data, epochs=6, verbose=0, callbacks=[callbacks.Checkpoint(path), recorder])
    return recorder.epochs, [variable.numpy() for variable in state(model)]


class TestCheckpoint:
    def check(self, build, path):
        """Resumes a training that was stopped in its fourth epoch and compares it with one that was not."""
        assert path.exists()
        epochs, resumed = train(build, path)
        assert epochs == [3, 4, 5]
        assert not path.exists()
        epochs, uninterrupted = train(build, path)
        assert epochs == list(range(6))
        for one, other in zip(resumed, uninterrupted, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_killed_training_resumes_with_the_same_result(self, tmp_path):
        code = (
            "import sys, pathlib, signal\n"
            "from tests.generators.test_callbacks import averaged_gan, train\n"
            "train(averaged_gan, pathlib.Path(sys.argv[1]), epoch=3, signal=signal.SIGKILL)"
        )
        path = tmp_path / "gan.npz"
        command = [sys.executable, "-c", code, str(path)]
        killed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        self.check(averaged_gan, path)

    def test_interrupted_training_of_a_network_per_class_resumes_with_the_same_result(self, tmp_path):
        def build():
            model = PerClass([toy(num_classes=1), toy(num_classes=1)])
            model.compile()
            return model

        path = tmp_path / "per_class.npz"
        with pytest.raises(KeyboardInterrupt):
            train(build, path, epoch=3)
        self.check(build, path)

    def test_without_a_number_of_epochs_it_is_rare(self, tmp_path, monkeypatch):
        def written(pause, cost=0.0):
            monkeypatch.setattr(callbacks, "PAUSE", pause)
            checkpoint = callbacks.Checkpoint(tmp_path / "gan.npz", every=None)
            checkpoint.cost = cost
            data = tf.data.Dataset.from_tensor_slices((np.zeros((4, 4, 4, 1), "float32"), np.arange(4) % 2)).batch(4)
            toy().fit(data, epochs=2, verbose=0, callbacks=[checkpoint])
            return checkpoint.cost != cost

        assert written(0)
        assert not written(1000)
        assert not written(0, cost=1000)

    def test_on_google_drive_it_is_on_the_local_disk(self, tmp_path, monkeypatch):
        monkeypatch.setattr(_files, "DRIVE", tmp_path / "drive")
        folder = tmp_path / "drive" / "study"
        first, again = (callbacks.Checkpoint(folder / "fit.npz").path for _ in range(2))
        assert first == again
        assert first.is_relative_to(Path(tempfile.gettempdir()) / "synthkit")
        shutil.rmtree(folder)
        assert callbacks.Checkpoint(folder / "fit.npz").path != first, "without the folder, one starts anew"

    def test_damaged_file_is_named(self, tmp_path):
        path = tmp_path / "gan.npz"
        path.write_bytes(b"PK")
        with pytest.raises(ValueError, match="gan.npz is damaged .*; delete it to train from the start"):
            train(averaged_gan, path)
