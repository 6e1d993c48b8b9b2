import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators.conv_cvae import ConvCVAE, bands, conv_cvae
from synthkit.pipeline import to_dataset
from tests.conftest import make_imageset


def small(**kwargs):
    keras.utils.set_random_seed(0)
    model = ConvCVAE((16, 16, 1), 2, width=8, latent_size=4, **kwargs)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def test_bands_are_orthogonal_and_complete():
    images = tf.constant(np.random.default_rng(0).random((3, 8, 4, 2), "float32"))
    pyramid = bands(images, 2)
    assert [freedom for _, freedom in pyramid] == [48, 12, 4]
    fine, middle, coarse = (band.numpy() for band, _ in pyramid)
    assert coarse == pytest.approx(images.numpy().reshape(3, 2, 4, 1, 4, 2).mean((2, 4)), abs=1e-6)
    whole = fine + np.kron(middle + np.kron(coarse, np.ones((1, 2, 2, 1))), np.ones((1, 2, 2, 1)))
    assert whole == pytest.approx(images.numpy(), abs=1e-6)
    assert fine.reshape(3, 4, 2, 2, 2, 2).mean((2, 4)) == pytest.approx(0, abs=1e-6)


def test_losses_agree_with_the_formulas_by_hand():
    model = small(free_bits=0.5)
    rng = np.random.default_rng(0)
    images, noise = rng.random((5, 16, 16, 1), "float32"), rng.standard_normal((5, 4)).astype("float32")
    labels = np.array([0, 1, 1, 0, 1])
    label = tf.one_hot(labels, 2)
    mean, log_variance = np.split(model.encoder([tf.constant(images), label]).numpy(), 2, axis=1)
    latent = mean + np.exp(log_variance / 2) * noise
    errors = images - model.decoder([tf.constant(latent), label]).numpy()
    coarse = errors.reshape(5, 8, 2, 8, 2).mean((2, 4))
    fine = errors[..., 0] - np.kron(coarse, np.ones((2, 2)))
    # −log N(error; 0, s²) at s² = mean of error², without its constants, is log(s²) / 2 per degree of freedom.
    expected = 192 / 2 * np.log((fine**2).sum() / 5 / 192) + 64 / 2 * np.log((coarse**2).mean())
    divergence = -0.5 * (1 + log_variance - mean**2 - np.exp(log_variance)).mean(0)
    losses = model.losses_of(tf.constant(images), tf.constant(labels), tf.constant(noise))
    assert float(losses[0]) == pytest.approx(expected, rel=1e-3)
    assert divergence.min() < 0.5 < divergence.max()
    assert float(losses[1]) == pytest.approx(np.maximum(divergence, 0.5).sum(), rel=1e-4)
    assert losses[2].numpy() == pytest.approx(latent, abs=1e-5)


def test_draws_latent_vectors_like_those_of_the_class():
    model = small()
    rng = np.random.default_rng(0)
    latent, labels = rng.standard_normal((4000, 4)), np.arange(4000) % 2
    latent[:, 1] += latent[:, 0]
    latent[labels == 1] += 3
    for _ in range(5):
        model._remember(tf.constant(latent, "float32"), tf.constant(labels))
    drawn = []
    model.decoder = lambda inputs, training: drawn.append(inputs[0].numpy()) or tf.zeros((4000, 16, 16, 1))
    model.draw(tf.constant(rng.standard_normal((4000, 4)), "float32"), tf.constant(labels))
    for label in (0, 1):
        encoded, sampled = latent[labels == label], drawn[0][labels == label]
        assert sampled.mean(0) == pytest.approx(encoded.mean(0), abs=0.15)
        assert np.cov(sampled.T) == pytest.approx(np.cov(encoded.T), abs=0.25)


def test_learns_to_tell_the_classes_apart():
    model = small()
    model.fit(to_dataset(make_imageset(64, 1, size=16), 32, shuffle_seed=0), epochs=50, verbose=0)
    images = model.sample([0] * 50 + [1] * 50, seed=1)
    # Class 0 is brighter by 60 of 255 grey levels.
    assert (images[:50].mean() - images[50:].mean()) * 255 == pytest.approx(60, abs=15)


@pytest.mark.parametrize(("size", "lowest"), [(28, 7), (32, 8), (64, 8), (8, 8)])
def test_works_at_other_sizes(size, lowest):
    model = conv_cvae((size, size, 3), 2)
    assert size >> model.halvings == lowest
    assert model.decoder.output_shape == (None, size, size, 3)
