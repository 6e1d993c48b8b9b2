import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators.diffusion import Diffusion, ddim_step, diffusion, schedule, unet
from synthkit.generators.layers import mirror
from synthkit.pipeline import to_dataset
from tests.conftest import make_imageset


def small(**kwargs):
    keras.utils.set_random_seed(0)
    model = Diffusion((8, 8, 1), 2, width=8, sampling_steps=4, **kwargs)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    model.optimizer.build(model.network.trainable_variables)
    return model


def predict(network, noisy, labels, time):
    inputs = (noisy, time[:, None], np.eye(3)[np.array(labels)])
    return network([tf.constant(value, "float32") for value in inputs]).numpy()


@pytest.fixture(scope="module")
def fitted():
    model = small(decay=0.95)
    model.fit(to_dataset(make_imageset(64, 1, size=8), 32, shuffle_seed=0), epochs=60, verbose=0)
    return model


class TestSchedule:
    def test_is_nichol_and_dhariwals(self):
        time = np.linspace(0, 1, 11)
        # Their equation 17: f(t) = cos²((t / T + s) / (1 + s) · π / 2), ᾱ = f(t) / f(0), s = 0.008.
        f = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
        signal, noise = schedule(tf.constant(time, "float32"))
        assert signal.numpy() ** 2 == pytest.approx(f / f[0], abs=1e-6)
        assert noise.numpy() ** 2 == pytest.approx(1 - f / f[0], abs=1e-6)

    def test_goes_from_the_image_to_noise(self):
        signal, noise = (part.numpy() for part in schedule(tf.constant([0.0, 1.0])))
        assert signal == pytest.approx([1, 0], abs=1e-6)
        assert noise == pytest.approx([0, 1], abs=1e-3)


def test_ddim_with_the_true_noise_finds_the_image():
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (3, 4, 4, 1)).astype("float32")
    noise = rng.standard_normal(image.shape).astype("float32")
    times = tf.linspace(0.98, 0.0, 6)
    signal, level = schedule(times[0])
    noisy = signal * image + level * noise
    for now, earlier in itertools.pairwise(times):
        signal, level = schedule(now)
        found, noisy = ddim_step(noisy, signal * noise - level * image, now, earlier)
        assert found.numpy() == pytest.approx(image, abs=1e-4)
        signal, level = schedule(earlier)
        assert noisy.numpy() == pytest.approx(np.array(signal * image + level * noise), abs=1e-4)
    assert noisy.numpy() == pytest.approx(image, abs=1e-4)


def test_loss_agrees_with_the_formula_by_hand(fitted):
    rng = np.random.default_rng(0)
    images, noise = rng.random((3, 8, 8, 1), "float32"), rng.standard_normal((3, 8, 8, 1), "float32")
    labels, time = np.array([0, 1, 2]), np.array([0.1, 0.5, 0.9], "float32")
    cosine = np.cos((time + 0.008) / 1.008 * np.pi / 2) / np.cos(0.008 / 1.008 * np.pi / 2)
    signal, level = (part[:, None, None, None] for part in (cosine, np.sqrt(1 - cosine**2)))
    scaled = images * 2 - 1
    predicted = predict(fitted.network, signal * scaled + level * noise, labels, time)
    assert predicted.std() > 0.1
    # The velocity of Salimans and Ho: α ε − σ x. The image it implies is α z − σ v.
    expected = np.mean((predicted - (signal * noise - level * scaled)) ** 2)
    found = fitted.loss_of(*(tf.constant(value) for value in (images, labels, noise, time)))
    assert float(found) == pytest.approx(expected, rel=1e-5)


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
    def velocities(self, model, scale):
        rng = np.random.default_rng(1)
        noisy, labels = tf.constant(rng.standard_normal((4, 8, 8, 1), "float32")), tf.constant([0, 1, 0, 1], "int64")
        model.guidance = scale
        found = model.guided(noisy, labels, 0.7).numpy()
        time = np.full(4, 0.7, "float32")
        conditional, unconditional = (predict(model.average, noisy, which, time) for which in (labels, [2] * 4))
        return found, conditional, unconditional

    def test_one_is_conditional_and_nought_unconditional(self, fitted):
        found, conditional, unconditional = self.velocities(fitted, 1)
        assert np.abs(conditional - unconditional).max() > 0.01
        assert found == pytest.approx(conditional, abs=1e-6)
        found, _, unconditional = self.velocities(fitted, 0)
        assert found == pytest.approx(unconditional, abs=1e-6)
        fitted.guidance = 1

    def test_samples_follow_a_change(self, fitted):
        before = fitted.sample([0, 1], seed=1)
        fitted.guidance = 3
        assert (fitted.sample([0, 1], seed=1) != before).any()
        fitted.guidance = 1

    def test_two_goes_as_far_beyond(self, fitted):
        found, conditional, unconditional = self.velocities(fitted, 2)
        assert found - conditional == pytest.approx(conditional - unconditional, abs=1e-4)
        fitted.guidance = 1


def test_learns_and_tells_the_classes_apart(fitted):
    images = fitted.sample([0] * 50 + [1] * 50, seed=1)
    assert images.dtype == "float32"
    assert 0 <= images.min() <= images.max() <= 1
    brightness = images.mean((1, 2, 3))
    assert brightness[:50].min() > brightness[50:].max()
    assert (images == fitted.sample([0] * 50 + [1] * 50, seed=1)).all()
    assert (images != fitted.sample([0] * 50 + [1] * 50, seed=2)).any()


def test_saves_and_loads_in_a_fresh_process(fitted, tmp_path):
    fitted.save(tmp_path / "model.keras")
    np.save(tmp_path / "here.npy", fitted.sample([0, 1, 1], seed=5))
    code = (
        "import sys, keras, numpy as np, synthkit.generators.diffusion\n"
        "model = keras.saving.load_model(sys.argv[1] + '/model.keras')\n"
        "np.testing.assert_array_equal(model.sample([0, 1, 1], seed=5), np.load(sys.argv[1] + '/here.npy'))\n"
        "print(type(model).__name__, model.optimizer.iterations.numpy())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Diffusion 120", done.stderr


@pytest.mark.parametrize("size", [28, 32, 64])
def test_network_goes_down_to_about_seven_pixels(size):
    network = unet((size, size, 1), 3, 8)
    lowest = next(layer for layer in network.layers if isinstance(layer, keras.layers.MultiHeadAttention)).output
    assert lowest.shape[1] in (49, 64)
    assert network.output_shape == (None, size, size, 1)


def test_builder_gives_a_small_network():
    model = diffusion((28, 28, 1), 2)
    assert model.network.count_params() < 500_000
    assert isinstance(model.optimizer, keras.optimizers.Adam)


def test_mirror_turns_half_of_the_allowed_classes():
    images = tf.constant(np.tile(np.arange(4, dtype="float32"), (400, 1)).reshape(400, 1, 4, 1))
    labels = tf.constant(np.arange(400) % 2)
    for classes, shares in ((None, (0.5, 0.5)), ((1,), (0, 0.5)), ((), (0, 0))):
        turned = mirror(images, labels, classes, keras.random.SeedGenerator(0)).numpy()[:, 0, :, 0]
        assert ((turned == [0, 1, 2, 3]).all(1) | (turned == [3, 2, 1, 0]).all(1)).all()
        for label, share in enumerate(shares):
            found = (turned[labels == label, 0] == 3).mean()
            assert found == pytest.approx(share, abs=0.1 if share else 0)
