import os
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from synthkit._reusable import state
from synthkit.generators import callbacks
from synthkit.generators.contract import Generator
from tests.conftest import ROOT, make_imageset

REAL = make_imageset(40, 1, size=8)


class Spread(Generator):
    """A generator that shows what it is told: `plan` holds each epoch's spread around the class's brightness."""

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


def fit(plan, *watching):
    model = Spread(plan)
    model.compile(keras.optimizers.SGD(), jit_compile=False)
    data = (REAL.images / np.float32(255), REAL.labels)
    history = model.fit(*data, batch_size=40, epochs=len(plan), verbose=0, callbacks=list(watching))
    return model, history.history["loss"]


class TestSampleGrid:
    def test_draws_grids_and_a_gif(self, tmp_path):
        grid = callbacks.SampleGrid([0, 1, 0], tmp_path / "grids", every=2, columns=2, scale=2)
        model, _ = fit([0.1, 0.2, 0.3, 0.1, 0.1], grid)
        pictures = sorted((tmp_path / "grids").glob("*.png"))
        assert [path.name for path in pictures] == ["epoch_00002.png", "epoch_00004.png"]
        with Image.open(pictures[0]) as picture:
            drawn = np.array(picture)
        # Two columns and two rows of 8 pixels, a white line between, everything twice as large.
        assert drawn.shape == (34, 34)
        assert (drawn[16:18] == 255).all()
        assert (drawn[18:, 18:] == 255).all()
        model.spread.assign(0.2)
        assert drawn[::2, ::2][:8, :8] == pytest.approx(model.sample([0, 1, 0], 0)[0, ..., 0] * 255, abs=0.51)
        with Image.open(tmp_path / "grids" / "training.gif") as gif:
            assert gif.n_frames == 2


class TestWatch:
    def test_diversity_by_hand(self):
        images = np.zeros((4, 1, 2, 1), "float32")
        images[0, 0, 0], images[2:, 0, :, 0] = 0.4, 0.7
        # One of two pixels is 0.4 and 0: variance 0.04, the mean over both 0.02.
        found = callbacks.diversity(images, np.array([0, 0, 1, 1]))
        assert found == pytest.approx([0.02**0.5, 0], abs=1e-6)

    def test_stops_a_collapse_with_a_sentence(self):
        watch = callbacks.Watch(REAL, every=1)
        with pytest.warns(UserWarning, match="of spread was stopped, as at epoch 3 its images of bright are .* it has"):
            _, losses = fit([0.1, 0.2, 0.01, 0.2], watch)
        assert len(losses) == 3
        assert watch.history[2].min() > 0.8
        assert watch.history[3].max() < 0.2

    def test_leaves_one_alone_that_grows(self):
        watch = callbacks.Watch(REAL, every=1)
        _, losses = fit([0.001, 0.01, 0.02, 0.1, 0.07], watch)
        assert len(losses) == 5
        assert watch.reason is None

    def test_stops_at_what_is_not_a_number(self):
        watch = callbacks.Watch(REAL, every=10)
        with pytest.warns(UserWarning, match="of spread was stopped, as loss is nan at step 1 of this epoch"):
            _, losses = fit([0.1, np.nan, 0.1], watch)
        assert len(losses) == 2


class TestBestEpoch:
    def distance(self, images):
        return abs(images.std() / 255 - 0.1)

    def test_puts_the_best_weights_back(self):
        best = callbacks.BestEpoch(self.distance, [0, 1] * 200, every=1)
        model, _ = fit([0.3, 0.2, 0.1, 0.15, 0.3], best)
        assert best.epoch == 3
        assert float(model.spread) == pytest.approx(0.1)
        assert best.history[1] == pytest.approx(0.2, abs=0.05)

    def test_remembers_the_best_over_a_kill(self, tmp_path):
        path = tmp_path / "best.npz"
        fit([0.3, 0.1], callbacks.BestEpoch(self.distance, [0, 1] * 200, every=1, path=path))
        best = callbacks.BestEpoch(self.distance, [0, 1] * 200, every=1, path=path)
        later = Spread([0.3] * 4)
        later.compile(keras.optimizers.SGD(), jit_compile=False)
        data = (REAL.images / np.float32(255), REAL.labels)
        later.fit(*data, batch_size=40, initial_epoch=2, epochs=4, verbose=0, callbacks=[best])
        assert best.epoch == 2
        assert float(later.spread) == pytest.approx(0.1)


class Pair(Generator):
    """All that a GAN's training has to lose: two optimizers, a moving average, and random states."""

    def __init__(self):
        super().__init__((4, 4, 1), 2, noise_shape=(1,), loss_names=("loss",), name="pair")
        self.generator = self.add_weight(name="generator", shape=(4, 4, 1))
        self.discriminator = self.add_weight(name="discriminator", shape=(4, 4, 1))
        self.average = self.add_weight(name="average", shape=(4, 4, 1), trainable=False)
        self.seed_generator = keras.random.SeedGenerator()
        self.discriminator_optimizer = keras.optimizers.Adam(1e-2)
        self.discriminator_optimizer.build([self.discriminator])
        self.built = True

    def update(self, images, labels):
        noise = keras.random.normal(tf.shape(images), seed=self.seed_generator)
        pairs = ((self.discriminator_optimizer, self.discriminator), (self.optimizer, self.generator))
        for optimizer, weight in pairs:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self.discriminator * images - self.generator * noise) ** 2)
            optimizer.apply([tape.gradient(loss, weight)], [weight])
        self.average.assign(0.9 * self.average + 0.1 * self.generator)
        return {"loss": loss}


def train(folder, kill_in=None):
    """Trains a `Pair` for six epochs, or until it is killed.

    Returns the epochs and everything that it came to: weights, their average, random states, both optimizers.
    """
    epochs = []

    class Tell(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            epochs.append(epoch)
            if epoch == kill_in:
                os.kill(os.getpid(), signal.SIGKILL)

    keras.utils.set_random_seed(0)
    model = Pair()
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    model.optimizer.build([model.generator])
    images, labels = np.random.default_rng(0).random((8, 4, 4, 1), "float32"), np.arange(8) % 2
    watching = [callbacks.Checkpoint(folder / "fit.npz"), Tell()]
    model.fit(images, labels, batch_size=8, shuffle=False, epochs=6, verbose=0, callbacks=watching)
    return epochs, [variable.numpy() for variable in state(model)]


def test_killed_fit_goes_on_to_the_same_end(tmp_path):
    code = (
        "import sys, pathlib\n"
        "from tests.generators.test_callbacks import train\n"
        "train(pathlib.Path(sys.argv[1]), kill_in=3)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "fit.npz").exists()
    epochs, resumed = train(tmp_path)
    assert epochs == [3, 4, 5]
    assert not (tmp_path / "fit.npz").exists()
    epochs, unbroken = train(tmp_path / "another")
    assert epochs == list(range(6))
    assert len(unbroken) > 12
    for one, other in zip(unbroken, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
