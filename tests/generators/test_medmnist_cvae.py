import keras
import numpy as np
import pytest

from synthkit.generators.medmnist_cvae import DenseCVAE, dense_cvae
from synthkit.pipeline import to_dataset
from tests.conftest import make_imageset


def test_layers_are_the_reports():
    # The MedMNIST study: two hidden fully connected layers each in encoder and decoder.
    model = dense_cvae((28, 28, 1), 11)
    for network in (model.encoder, model.decoder):
        hidden = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)][:-1]
        assert len(hidden) == 2
    assert model.optimizer.learning_rate.numpy() == pytest.approx(1e-3)
    inputs = 28 * 28 + 11
    encoder = inputs * 512 + 512 + 512 * 256 + 256 + 256 * 32 + 32
    decoder = (16 + 11) * 256 + 256 + 256 * 512 + 512 + 512 * 784 + 784
    assert model.encoder.count_params() + model.decoder.count_params() == encoder + decoder


def test_losses_agree_with_the_formula_by_hand():
    keras.utils.set_random_seed(0)
    model = DenseCVAE((2, 2, 1), 2, hidden=(16, 16), latent_size=2)
    rng = np.random.default_rng(0)
    images, labels = rng.random((5, 2, 2, 1), "float32"), np.array([0, 1, 1, 0, 1])
    noise = rng.standard_normal((5, 2)).astype("float32")
    label = keras.ops.array(np.eye(2, dtype="float32")[labels])
    mean, log_variance = np.split(np.array(model.encoder([keras.ops.array(images), label])), 2, axis=1)
    logits = np.array(model.decoder([keras.ops.array(mean + np.exp(log_variance / 2) * noise), label]))
    p = 1 / (1 + np.exp(-logits))
    likelihood = images * np.log(p) + (1 - images) * np.log(1 - p)
    divergence = -0.5 * (1 + log_variance - mean**2 - np.exp(log_variance)).sum(1)
    assert divergence.mean() > 0.05
    losses = [float(loss) for loss in model.losses_of(images, labels, noise)]
    assert losses == pytest.approx([-likelihood.sum((1, 2, 3)).mean(), divergence.mean()], rel=1e-5)


def test_learns_to_tell_the_classes_apart():
    keras.utils.set_random_seed(0)
    model = dense_cvae((20, 20, 1), 2)
    data = to_dataset(make_imageset(64, 1), 64, shuffle_seed=0)
    history = model.fit(data, epochs=60, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0] - 25
    assert set(history) == {"loss", "reconstruction_loss", "kl_loss"}
    images = model.sample([0] * 50 + [1] * 50, seed=1)
    # Class 0 is brighter by 60 of 255 grey levels.
    assert (images[:50].mean() - images[50:].mean()) * 255 == pytest.approx(60, abs=15)
    labels = np.arange(600) % 2  # more than the batch size of sample
    assert (model.sample(labels, 3) == model.sample(labels, 3)).all()
    assert (model.sample(labels, 3) != model.sample(labels, 4)).any()
