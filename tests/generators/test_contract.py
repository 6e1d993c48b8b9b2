import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit import catalogue, generators
from synthkit.generators.contract import check_data
from tests.conftest import ROOT, make_imageset
from tests.generators.toy import toy


def data(count=8):
    labels = np.arange(count) % 2
    return np.tile((0.25 + 0.5 * labels).astype("float32")[:, None, None, None], (1, 4, 4, 1)), labels


class TestToy:
    def test_fit_and_sample(self):
        model = toy()
        history = model.fit(tf.data.Dataset.from_tensor_slices(data()).batch(4), epochs=20, verbose=0).history
        assert set(history) == {"loss"}
        assert int(model.steps) == 40
        images = model.sample([1, 0, 1], seed=0)
        assert images.dtype == "float32"
        noise = 0.01 * np.random.default_rng(0).standard_normal((3, 3), "float32")[:, 0]
        assert images[:, 0, 0, 0] == pytest.approx(np.array([0.75, 0.25, 0.75]) + noise, abs=0.01)
        assert (model.sample([1, 0, 1], 0, batch_size=2) == images).all()
        assert model.sample([], 0).shape == (0, 4, 4, 1)

    def test_losses_are_those_of_an_epoch_also_after_a_second_compile(self):
        model = toy()
        for _ in range(2):
            model.level.assign([0.0, 0.0])
            losses = model.fit(*data(), epochs=20, verbose=0).history["loss"]
            assert losses[0] == pytest.approx((0.25**2 + 0.75**2) / 2)
            assert losses[-1] < 1e-6  # the mean over all epochs is larger
            model.compile(keras.optimizers.SGD(0.5))

    def test_sampling_before_a_fit(self):
        with pytest.raises(RuntimeError, match="toy was not fitted, so its images would be noise: call fit before"):
            toy().sample([0], seed=0)

    def test_labels_that_are_not_classes(self):
        model = toy()
        model.fit(*data(), verbose=0)
        with pytest.raises(ValueError, match="labels must be between 0 and 1. Received: labels from 0 to 2"):
            model.sample([0, 2], seed=0)


class TestData:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x, y: (x[:, :3], y), r"images of shape \(4, 4, 1\) .* Received: \(3, 4, 1\)"),
            (lambda x, y: (np.repeat(x, 3, -1), y), r"Received: \(4, 4, 3\)"),
            (lambda x, y: (x * 255, y), r"float32 in \[0, 1\]. Received: float32 from 63.75 to 191.25"),
            (lambda x, y: (x - 0.5, y), r"Received: float32 from -0.25 to 0.25"),
            (lambda x, y: (x * np.float32("nan"), y), "Received: float32 from nan to nan"),
            (lambda x, y: ((x * 255).astype("uint8"), y), "Received: uint8 from 63 to 191; synthkit.pipeline.to_data"),
            (lambda x, y: (x, y + 1), "labels must be between 0 and 1. Received: labels from 1 to 2"),
            (lambda x, y: (x, y - 1), "Received: labels from -1 to 0"),
            (lambda x, y: (x, np.eye(2)[y]), r"8 integers, one for each image. Received: float64 of shape \(8, 2\)"),
            (lambda x, y: (x, y * 0), "each of the 2 classes needs .* Received: 8 of class 0, 0 of class 1"),
        ],
    )
    def test_errors_come_before_training(self, change, message):
        x, y = change(*data())
        model = toy()
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, verbose=0)
        if "8 integers" not in message and "8 of class" not in message:
            with pytest.raises(ValueError, match=message):
                model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(4), verbose=0)
        assert int(model.steps) == 0

    def test_every_batch_of_an_epoch_is_checked(self):
        x, y = data()
        too_bright = x.copy()
        too_bright[-1] += 1
        with pytest.raises(ValueError, match="0.25 to 1.75"):
            check_data(tf.data.Dataset.from_tensor_slices((too_bright, y)).batch(4), None, (4, 4, 1), 2)
        with pytest.raises(ValueError, match="repeats forever: give steps_per_epoch= to fit"):
            check_data(tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(4), None, (4, 4, 1), 2)
        check_data(tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(4), None, (4, 4, 1), 2, steps=2)


TRAIN, LABELS = make_imageset(24, 1, size=20), np.array([0, 1, 1, 0, 1])
OPTIONS = {"epochs": 2, "batch_size": 12}
# Their classes have small versions in test_gan.py, test_bagan.py and test_diffusion.py.
SLOW = ("wgan_gp", "acgan", "bagan", "diffusion")
NAMES = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in catalogue.GENERATORS]
IN_A_NEW_PROCESS = """
import sys
from pathlib import Path
import keras
import numpy as np
from synthkit import catalogue, generators
from synthkit.generators.contract import Generator
from tests.generators.test_contract import LABELS, OPTIONS, TRAIN

def fit(*arguments, **options):
    raise AssertionError("fitted again")

Generator.fit, folder, counts = fit, Path(sys.argv[1]), {}
for name, row in catalogue.GENERATORS.items():
    if not (folder / name).exists():
        continue
    builder = catalogue.build(row)
    (path,) = (folder / name).glob("*.keras")
    model = keras.saving.load_model(path)
    assert np.array_equal(model.sample(LABELS, 3), np.load(folder / f"{name}.npy")), name
    if name in ("autoencoder", "dense_cvae", "dcgan"):
        synthetic = generators.synthesizer(builder, keep=folder / name, **OPTIONS)(TRAIN, LABELS, 7)
        assert np.array_equal(synthetic.images, np.load(folder / f"{name}_7.npy")), name
    counts[name] = model.optimizer and int(model.optimizer.iterations)
print(counts)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("generators")


class TestEveryGenerator:
    @pytest.mark.parametrize("name", NAMES)
    def test_is_fitted_and_sampled(self, name, folder):
        models = []

        def build(image_shape, num_classes):
            models.append(catalogue.build(catalogue.GENERATORS[name])(image_shape, num_classes))
            with pytest.raises(RuntimeError, match="was not fitted"):
                models[-1].sample([0], 0)
            return models[-1]

        synthetic = generators.synthesizer(build, keep=folder / name, **OPTIONS)(TRAIN, LABELS, 7)
        assert synthetic.images.shape == (5, 20, 20, 1)
        assert synthetic.labels.tolist() == LABELS.tolist()
        (model,) = models
        history = model.history.history
        assert set(history) == set(model.loss_names)
        assert all(np.isfinite(values).all() and len(values) == 2 for values in history.values())
        images = model.sample(LABELS, 3)
        assert (images.dtype, images.shape) == ("float32", (5, 20, 20, 1))
        assert 0 <= images.min() <= images.max() <= 1
        np.testing.assert_array_equal(images, model.sample(LABELS, 3))
        assert (images != model.sample(LABELS, 4)).any()
        np.save(folder / f"{name}.npy", images)
        np.save(folder / f"{name}_7.npy", synthetic.images)

    def test_comes_back_from_its_file_in_a_new_process(self, folder):
        command = [sys.executable, "-c", IN_A_NEW_PROCESS, str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        fitted = [name for name in catalogue.GENERATORS if (folder / name).exists()]
        assert fitted
        # 2 epochs of 2 steps; the skin-lesion study's networks have optimizers of their own.
        assert done.stdout.strip() == str({name: None if name == "dcgan" else 4 for name in fitted})
