import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators.diffusion import (
    Diffusion,
    diffusion,
    predicted_image,
    schedule,
    solver_step,
)
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
    model.fit(to_dataset(make_imageset(64, 1, size=8), 32, shuffle_seed=0), epochs=40, verbose=0)
    return model


class TestSchedule:
    def test_is_nichol_and_dhariwals(self):
        time = np.linspace(0, 1, 11)
        # Their equation 17: f(t) = cos²((t / T + s) / (1 + s) · π / 2), ᾱ = f(t) / f(0), s = 0.008.
        f = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
        signal_rate, noise_rate = schedule(tf.constant(time, "float32"))
        assert signal_rate.numpy() ** 2 == pytest.approx(f / f[0], abs=1e-6)
        assert noise_rate.numpy() ** 2 == pytest.approx(1 - f / f[0], abs=1e-6)

    def test_goes_from_the_image_to_noise(self):
        signal_rate, noise_rate = (rate.numpy() for rate in schedule(tf.constant([0.0, 1.0])))
        assert signal_rate == pytest.approx([1, 0], abs=1e-6)
        assert noise_rate == pytest.approx([0, 1], abs=1e-3)


class TestSolver:
    def test_with_the_true_noise_it_finds_the_image(self):
        rng = np.random.default_rng(0)
        image = rng.uniform(-1, 1, (3, 4, 4, 1)).astype("float32")
        noise = rng.standard_normal(image.shape).astype("float32")
        times = tf.linspace(0.98, 0.0, 6)
        signal_rate, noise_rate = schedule(times[0])
        noisy, later = signal_rate * image + noise_rate * noise, times[0]
        for now, earlier in itertools.pairwise(times):
            signal_rate, noise_rate = schedule(now)
            predicted = predicted_image(noisy, signal_rate * noise - noise_rate * image, now)
            assert predicted.numpy() == pytest.approx(image, abs=1e-4)
            noisy, later = solver_step(noisy, predicted, predicted, now, earlier, later), now
            signal_rate, noise_rate = schedule(earlier)
            assert noisy.numpy() == pytest.approx(np.array(signal_rate * image + noise_rate * noise), abs=1e-4)
        assert noisy.numpy() == pytest.approx(image, abs=1e-4)

    def test_the_second_order_is_nearer_to_the_distribution_in_as_many_steps(self):
        """Images from a normal distribution, whose velocity is known."""
        deviation, noise = 0.3, np.random.default_rng(0).standard_normal((4000, 1, 1, 1)).astype("float32")

        def sampled(order, steps=12):
            times = tf.linspace(1.0, 0.0, steps + 1)
            noisy = before = tf.constant(noise)
            for step in range(steps):
                signal_rate, noise_rate = schedule(times[step])
                image = signal_rate * deviation**2 * noisy / ((signal_rate * deviation) ** 2 + noise_rate**2)
                later = times[max(step - 1, 0)] if order == 2 else times[step]
                noisy = solver_step(noisy, image, before, times[step], times[step + 1], later)
                before = image
            return float(tf.math.reduce_std(noisy)) / deviation

        first, second = sampled(1), sampled(2)
        assert first < 0.85
        assert 0.88 < second < 1.02


def test_loss_agrees_with_the_formula_by_hand(fitted):
    rng = np.random.default_rng(0)
    images, noise = rng.random((3, 8, 8, 1), "float32"), rng.standard_normal((3, 8, 8, 1), "float32")
    labels, time = np.array([0, 1, 2]), np.array([0.1, 0.5, 0.9], "float32")
    cosine = np.cos((time + 0.008) / 1.008 * np.pi / 2) / np.cos(0.008 / 1.008 * np.pi / 2)
    signal_rate, noise_rate = (rate[:, None, None, None] for rate in (cosine, np.sqrt(1 - cosine**2)))
    scaled = images * 2 - 1
    predicted = predict(fitted.network, signal_rate * scaled + noise_rate * noise, labels, time)
    assert predicted.std() > 0.1
    # The velocity of Salimans and Ho: α ε − σ x. The image it implies is α z − σ v.
    expected = np.mean((predicted - (signal_rate * noise - noise_rate * scaled)) ** 2)
    loss = fitted.loss_of(*(tf.constant(value) for value in (images, labels, noise, time)))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


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
    def velocities(self, model):
        rng = np.random.default_rng(1)
        noisy, labels = tf.constant(rng.standard_normal((4, 8, 8, 1), "float32")), tf.constant([0, 1, 0, 1], "int64")
        time = np.full(4, 0.7, "float32")
        conditional, unconditional = (predict(model.average, noisy, which, time) for which in (labels, [2] * 4))
        return model.guided(noisy, labels, 0.7).numpy(), conditional, unconditional

    def test_one_is_conditional_and_zero_unconditional(self, fitted):
        guided, conditional, unconditional = self.velocities(fitted.with_guidance(1))
        assert np.abs(conditional - unconditional).max() > 0.01
        assert guided == pytest.approx(conditional, abs=1e-6)
        guided, _, unconditional = self.velocities(fitted.with_guidance(0))
        assert guided == pytest.approx(unconditional, abs=1e-6)

    def test_two_goes_twice_as_far(self, fitted):
        assert fitted.guidance == 2
        guided, conditional, unconditional = self.velocities(fitted)
        assert guided - conditional == pytest.approx(conditional - unconditional, abs=1e-4)

    def test_another_scale_is_a_copy(self, fitted):
        before = fitted.sample([0, 1], seed=1)
        stronger = fitted.with_guidance(3)
        assert (stronger.sample([0, 1], seed=1) != before).any()
        assert stronger.get_config()["guidance"] == 3
        assert (fitted.with_guidance(2).sample([0, 1], seed=1) == before).all()
        with pytest.raises(AttributeError, match="guidance"):
            fitted.guidance = 3
        assert (fitted.sample([0, 1], seed=1) == before).all()

    def test_outside_its_interval_it_has_no_effect(self, fitted):
        stronger = fitted.with_guidance(5, interval=(0.2, 0.6))
        assert stronger.get_config()["interval"] == (0.2, 0.6)
        assert stronger.with_guidance(3).interval == (0.2, 0.6)
        with pytest.raises(ValueError, match="the smaller first. Received: interval="):
            fitted.with_guidance(2, interval=(0.8, 0.2))
        guided, conditional, _ = self.velocities(stronger)  # at a time of 0.7
        assert guided == pytest.approx(conditional, abs=1e-6)
        assert (stronger.sample([0, 1], seed=1) != fitted.with_guidance(1).sample([0, 1], seed=1)).any()

    def test_autoguidance_leads_away_from_earlier_weights(self, tmp_path):
        model = small(autoguidance=2, decay=0.5)
        model.compile(keras.optimizers.Adam(1e-2))
        images, means = np.random.default_rng(0).random((4, 8, 8, 1), "float32"), {}
        for step in range(17):
            model.steps.assign(step)
            model.update(tf.constant(images), tf.constant([0, 1, 0, 1], "int64"))
            means[step] = model.average.get_weights()
        assert all((a == b).all() for a, b in zip(model.earlier.get_weights(), means[3], strict=True))
        assert all((a == b).all() for a, b in zip(model.recent.get_weights(), means[15], strict=True))
        rng = np.random.default_rng(1)
        noisy, labels = tf.constant(rng.standard_normal((4, 8, 8, 1), "float32")), tf.constant([0, 1, 0, 1], "int64")
        networks = model.average, model.earlier
        now, worse = (predict(network, noisy, labels, np.full(4, 0.7, "float32")) for network in networks)
        assert np.abs(now - worse).max() > 0.001
        alone = model.with_guidance(1)
        assert alone.guided(noisy, labels, 0.7).numpy() - now == pytest.approx(now - worse, abs=1e-5)
        assert model.with_guidance(1, autoguidance=1).guided(noisy, labels, 0.7).numpy() == pytest.approx(now, abs=1e-6)
        plain = model.with_guidance(2, autoguidance=1).guided(noisy, labels, 0.7)
        both = model.guided(noisy, labels, 0.7) - plain
        assert both.numpy() == pytest.approx(now - worse, abs=1e-5)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert loaded.autoguidance == 2
        assert (loaded.sample([0, 1], seed=1) == model.sample([0, 1], seed=1)).all()
        with pytest.raises(ValueError, match="no earlier weights"):
            small().with_guidance(2, autoguidance=2)


def test_the_network_is_told_how_its_images_were_transformed():
    model = small(augment=0.5)
    assert [tuple(part.shape) for part in model.network.inputs][3:] == [(None, 6)]
    images = np.random.default_rng(0).random((16, 8, 8, 1), "float32")
    for _ in range(3):
        model.update(tf.constant(images), tf.constant(np.arange(16) % 2, "int64"))
    noisy, labels, time = tf.constant(images), tf.constant(np.arange(16) % 2, "int64"), tf.fill((16,), 0.5)
    told = tf.one_hot(tf.zeros(16, "int32"), 6)  # turned upside down
    plain, upside_down = (model._velocity(model.network, noisy, labels, time, each) for each in (None, told))
    assert np.abs(plain - upside_down).max() > 0
    model.steps.assign(3)
    again = Diffusion.from_config(model.get_config())
    assert again.augment == 0.5
    assert model.sample([0, 1], seed=1).shape == (2, 8, 8, 1)


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


def test_builder_gives_a_small_network():
    model = diffusion((28, 28, 1), 2)
    assert model.network.count_params() < 500_000
    assert isinstance(model.optimizer, keras.optimizers.Adam)
