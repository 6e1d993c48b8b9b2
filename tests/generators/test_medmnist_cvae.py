import subprocess
import sys

import keras
import numpy as np
import pytest

from synthkit.generators.medmnist_cvae import DenseCVAE, dense_cvae
from synthkit.pipeline import to_dataset
from tests.conftest import make_imageset


def test_layers_are_the_reports():
    # The MedMNIST study: two hidden fully connected layers each in encoder and decoder.
    model = dense_cvae((28, 28, 1), 11)
    for part in (model.encoder, model.decoder):
        hidden = [layer for layer in part.layers if isinstance(layer, keras.layers.Dense)][:-1]
        assert len(hidden) == 2
    assert model.optimizer.learning_rate.numpy() == pytest.approx(1e-3)
    inputs = 28 * 28 + 11
    encoder = inputs * 512 + 512 + 512 * 256 + 256 + 256 * 32 + 32
    decoder = (16 + 11) * 256 + 256 + 256 * 512 + 512 + 512 * 784 + 784
    assert model.encoder.count_params() + model.decoder.count_params() == encoder + decoder


def test_losses_agree_with_the_formula_by_hand():
    model = DenseCVAE((2, 2, 1), 2, hidden=(3, 3), latent_size=2)
    rng = np.random.default_rng(0)
    images, labels = rng.random((5, 2, 2, 1), "float32"), np.array([0, 1, 1, 0, 1])
    noise = rng.standard_normal((5, 2)).astype("float32")
    onehot = np.eye(2, dtype="float32")[labels]
    mean, log_variance = np.split(
        np.array(model.encoder([keras.ops.array(images), keras.ops.array(onehot)])), 2, axis=1
    )
    p = 1 / (
        1
        + np.exp(
            -np.array(
                model.decoder([keras.ops.array(mean + np.exp(log_variance / 2) * noise), keras.ops.array(onehot)])
            )
        )
    )
    likelihood = images * np.log(p) + (1 - images) * np.log(1 - p)
    divergence = -0.5 * (1 + log_variance - mean**2 - np.exp(log_variance)).sum(1)
    found = [float(loss) for loss in model.losses_of(images, labels, noise)]
    assert found == pytest.approx([-likelihood.sum((1, 2, 3)).mean(), divergence.mean()], rel=1e-5)


@pytest.fixture(scope="module")
def fitted():
    keras.utils.set_random_seed(0)
    model = dense_cvae((20, 20, 1), 2)
    data = to_dataset(make_imageset(64, 1), 64, shuffle_seed=0)
    history = model.fit(data, epochs=60, verbose=0, shuffle=False)
    return model, history.history


def test_learns_and_tells_the_classes_apart(fitted):
    model, history = fitted
    assert history["loss"][-1] < history["loss"][0] - 25
    assert set(history) == {"loss", "reconstruction_loss", "kl_loss"}
    images = model.sample([0] * 50 + [1] * 50, seed=1)
    assert images.dtype == "float32"
    assert 0 <= images.min() <= images.max() <= 1
    # Class 0 is brighter by 60 of 255 grey levels.
    assert (images[:50].mean() - images[50:].mean()) * 255 == pytest.approx(60, abs=15)


def test_seed_decides_the_samples(fitted):
    model, _ = fitted
    labels = np.arange(600) % 2
    assert (model.sample(labels, 3) == model.sample(labels, 3)).all()
    assert (model.sample(labels, 3) != model.sample(labels, 4)).any()
    assert model.sample([], 1).shape == (0, 20, 20, 1)


def test_labels_out_of_range(fitted):
    with pytest.raises(ValueError, match="labels must lie between 0 and 1. Received: 0 to 2"):
        fitted[0].sample([0, 2], seed=0)


def test_saves_and_loads_in_a_fresh_process(fitted, tmp_path):
    model, _ = fitted
    model.save(tmp_path / "cvae.keras")
    np.save(tmp_path / "here.npy", model.sample([0, 1, 1], seed=5))
    code = (
        "import sys, keras, numpy as np, synthkit.generators.vae\n"
        "model = keras.saving.load_model(sys.argv[1] + '/cvae.keras')\n"
        "np.testing.assert_array_equal(model.sample([0, 1, 1], seed=5), np.load(sys.argv[1] + '/here.npy'))\n"
        "print(type(model).__name__, model.optimizer.iterations.numpy())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "DenseCVAE 60", done.stderr
