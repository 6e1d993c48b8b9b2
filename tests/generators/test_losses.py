import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators import losses

REAL, FAKE = np.array([[2.0], [-0.5]], "float32"), np.array([[-3.0], [0.25]], "float32")


def softplus(x):
    return np.log1p(np.exp(x))


def test_losses_by_hand():
    expected = softplus(-REAL).mean() + softplus(FAKE).mean()
    assert float(losses.cross_entropy_discriminator(REAL, FAKE)) == pytest.approx(expected, rel=1e-6)
    assert float(losses.cross_entropy_generator(FAKE)) == pytest.approx(softplus(-FAKE).mean())
    assert float(losses.wasserstein_discriminator(REAL, FAKE)) == (-3 + 0.25) / 2 - (2 - 0.5) / 2
    assert float(losses.raise_scores(FAKE)) == (3 - 0.25) / 2


def test_penalties_of_a_plane_and_of_a_bowl():
    seed = keras.random.SeedGenerator(0)
    x = tf.constant(np.random.default_rng(0).random((3, 2, 2, 1), "float32"))
    slope = tf.constant([[1.0], [2.0], [-2.0], [4.0]])  # of norm 5

    def plane(images):
        return tf.reshape(images, (-1, 4)) @ slope

    def bowl(images):
        return tf.reduce_sum(images**2, (1, 2, 3))[:, None]

    assert float(losses.r1(plane, x, x, seed)) == pytest.approx(25)
    assert float(losses.gradient_penalty(plane, x, 0 * x, seed)) == pytest.approx(16)
    squares = (4 * x.numpy() ** 2).sum((1, 2, 3))
    assert float(losses.r1(bowl, x, 0 * x, seed)) == pytest.approx(squares.mean(), rel=1e-5)
    penalty = float(losses.gradient_penalty(bowl, x, x, seed))
    assert penalty == pytest.approx(((np.sqrt(squares) - 1) ** 2).mean(), rel=1e-4)
