import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators.diffusion import Diffusion, diffusion
from synthkit.generators.geometry import PARAMETERS
from synthkit.generators.unet import unet
from synthkit.pipeline import to_dataset
from tests.conftest import make_imageset


def small(**kwargs):
    keras.utils.set_random_seed(0)
    model = Diffusion((8, 8, 1), 2, width=8, sampling_steps=4, **kwargs)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    model.optimizer.build(model.network.trainable_variables)
    return model


def denoised(network, noisy, labels, sigma, transformations=None):
    """Returns what a network makes of noisy images, by the equations of Karras et al. 2022, table 1."""
    sigma = np.broadcast_to(sigma, len(noisy)).astype("float32")
    transformations = np.zeros((len(noisy), PARAMETERS)) if transformations is None else transformations
    by_image = sigma[:, None, None, None]
    inputs = (noisy / np.sqrt(by_image**2 + 0.25), np.log(sigma)[:, None] / 4, np.eye(3)[labels], transformations)
    output = network([tf.constant(value, "float32") for value in inputs]).numpy()
    return noisy * 0.25 / (by_image**2 + 0.25) + output * by_image * 0.5 / np.sqrt(by_image**2 + 0.25)


@pytest.fixture(scope="module")
def fitted():
    model = small(decay=0.95)
    model.fit(to_dataset(make_imageset(64, 1, size=8), 32, shuffle_seed=0), epochs=40, verbose=0)
    return model


def test_loss_agrees_with_the_formula_by_hand(fitted):
    rng = np.random.default_rng(0)
    images, noise = rng.random((3, 8, 8, 1), "float32"), rng.standard_normal((3, 8, 8, 1), "float32")
    labels, sigma = np.array([0, 1, 2]), np.array([0.1, 0.5, 4.0], "float32")
    transformations = rng.standard_normal((3, PARAMETERS)).astype("float32")
    noisy = 2 * images - 1 + sigma[:, None, None, None] * noise
    squared = (denoised(fitted.network, noisy, labels, sigma, transformations) - (2 * images - 1)) ** 2
    # Their weight of the denoiser's error: (σ² + σ_data²) / (σ · σ_data)².
    expected = np.mean(squared.mean((1, 2, 3)) * (sigma**2 + 0.25) / (sigma * 0.5) ** 2)
    loss = fitted.loss_of(*(tf.constant(value) for value in (images, labels, noise, sigma, transformations)))
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_update_moves_the_network_and_its_average_follows():
    model = small(decay=0.9)
    before = [weight.numpy() for weight in model.network.weights]
    model.steps.assign(1000)
    images = np.random.default_rng(0).random((4, 8, 8, 1), "float32")
    model.update(tf.constant(images), tf.constant([0, 1, 0, 1], "int64"))
    after = [weight.numpy() for weight in model.network.weights]
    assert any((a != b).any() for a, b in zip(after, before, strict=True))
    for mean, a, b in zip(model.average.weights, after, before, strict=True):
        assert mean.numpy() == pytest.approx(0.9 * b + 0.1 * a, abs=1e-6)
    assert not model.average.trainable_variables


class TestGuidance:
    def images(self, model, sigma):
        rng = np.random.default_rng(1)
        noisy, labels = sigma * rng.standard_normal((4, 8, 8, 1)).astype("float32"), np.array([0, 1, 0, 1])
        conditional, unconditional = (denoised(model.average, noisy, which, sigma) for which in (labels, [2] * 4))
        return (
            model.guided(tf.constant(noisy), tf.constant(labels), tf.constant(sigma)).numpy(),
            conditional,
            unconditional,
        )

    def test_one_is_conditional_and_zero_unconditional(self, fitted):
        guided, conditional, unconditional = self.images(fitted.with_guidance(1), 1.0)
        assert np.abs(conditional - unconditional).max() > 0.01
        assert guided == pytest.approx(conditional, abs=1e-5)
        guided, _, unconditional = self.images(fitted.with_guidance(0), 1.0)
        assert guided == pytest.approx(unconditional, abs=1e-5)

    @pytest.mark.parametrize("sigma", [0.29, 1.0, 2.89])
    def test_two_goes_twice_as_far_at_the_middle_noise_levels(self, fitted, sigma):
        guided, conditional, unconditional = self.images(fitted.with_guidance(2), sigma)
        assert guided - conditional == pytest.approx(conditional - unconditional, abs=1e-4)

    @pytest.mark.parametrize("sigma", [0.002, 0.27, 2.91, 80.0])
    def test_it_is_conditional_at_the_others(self, fitted, sigma):
        guided, conditional, unconditional = self.images(fitted.with_guidance(2), sigma)
        assert guided == pytest.approx(conditional, abs=1e-4)
        assert (conditional != unconditional).any()

    def test_another_scale_is_a_copy(self, fitted):
        scale, before = fitted.guidance, fitted.sample([0, 1], seed=1)
        stronger = fitted.with_guidance(scale + 2)
        assert (stronger.sample([0, 1], seed=1) != before).any()
        assert stronger.get_config()["guidance"] == scale + 2
        assert (fitted.with_guidance(scale).sample([0, 1], seed=1) == before).all()
        with pytest.raises(AttributeError, match="guidance"):
            fitted.guidance = 3
        assert (fitted.sample([0, 1], seed=1) == before).all()


def test_samples_do_not_show_the_transformations():
    """The training images are bright above and dark below, and half of them are turned upside down."""
    images = np.concatenate([np.full((64, 4, 8, 1), 0.8), np.full((64, 4, 8, 1), 0.2)], axis=1).astype("float32")
    images += 0.05 * np.random.default_rng(0).standard_normal(images.shape).astype("float32")
    model = small(decay=0.98, augment=0.15)
    data = tf.data.Dataset.from_tensor_slices((images, np.arange(64) % 2)).batch(32)
    model.fit(data, epochs=300, verbose=0)
    above, below = (part.mean((1, 2, 3)) for part in np.split(model.sample(np.arange(60) % 2, seed=0), 2, axis=1))
    assert np.mean(above > below + 0.2) > 0.95


def test_learns_to_tell_the_classes_apart(fitted):
    images = fitted.sample([0] * 50 + [1] * 50, seed=1)
    assert images.dtype == "float32"
    assert 0 <= images.min() <= images.max() <= 1
    brightness = images.mean((1, 2, 3))
    assert brightness[:50].min() > brightness[50:].max()
    assert (images == fitted.sample([0] * 50 + [1] * 50, seed=1)).all()
    assert (images != fitted.sample([0] * 50 + [1] * 50, seed=2)).any()


def test_comes_back_from_its_file(fitted, tmp_path):
    fitted.save(tmp_path / "diffusion.keras")
    loaded = keras.saving.load_model(tmp_path / "diffusion.keras")
    assert (loaded.sample([0, 1, 1], seed=5) == fitted.sample([0, 1, 1], seed=5)).all()
    assert int(loaded.optimizer.iterations) == 80


@pytest.mark.parametrize("size", [28, 32, 64])
def test_network_goes_down_to_about_seven_pixels(size):
    network = unet((size, size, 1), 3, PARAMETERS, 8)
    lowest = next(layer for layer in network.layers if isinstance(layer, keras.layers.MultiHeadAttention)).output
    assert lowest.shape[1] in (49, 64)
    assert network.output_shape == (None, size, size, 1)


def test_builder_gives_a_small_network():
    model = diffusion((28, 28, 1), 2)
    assert model.network.count_params() < 500_000
    assert isinstance(model.optimizer, keras.optimizers.Adam)
