import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from synthkit.generators import denoising


class TestPreconditioning:
    def test_is_that_of_table_1(self):
        sigma = np.array([0.002, 0.1, 0.5, 2.0, 80.0])
        skip, out, scale, noise = (part.numpy() for part in denoising.preconditioning(tf.constant(sigma, "float32")))
        # Karras et al. 2022, table 1, column "Ours", with σ_data = 0.5.
        assert skip == pytest.approx(0.25 / (sigma**2 + 0.25), rel=1e-5)
        assert out == pytest.approx(sigma * 0.5 / np.sqrt(0.25 + sigma**2), rel=1e-5)
        assert scale == pytest.approx(1 / np.sqrt(sigma**2 + 0.25), rel=1e-5)
        assert noise == pytest.approx(np.log(sigma) / 4, rel=1e-5)

    @pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
    def test_input_and_target_have_unit_variance(self, sigma):
        rng = np.random.default_rng(0)
        image = 0.5 * rng.standard_normal(200_000).astype("float32")
        noisy = image + sigma * rng.standard_normal(200_000).astype("float32")
        skip, out, scale, _ = denoising.preconditioning(tf.constant(sigma))
        assert np.std(scale * noisy) == pytest.approx(1, abs=0.01)
        assert np.std((image - skip * noisy) / out) == pytest.approx(1, abs=0.01)


class TestLevels:
    def test_training_levels_are_log_normal(self):
        uniform = np.linspace(0.01, 0.99, 9).astype("float32")
        levels = denoising.training_levels(tf.constant(uniform)).numpy()
        assert levels == pytest.approx(stats.lognorm(s=1.2, scale=np.exp(-1.2)).ppf(uniform), rel=1e-4)
        assert np.isfinite(denoising.training_levels(tf.constant([0.0, 1.0]))).all()

    def test_sampling_levels_are_those_of_equation_5(self):
        levels = denoising.sampling_levels(18)
        assert (len(levels), levels[18]) == (19, 0)
        # (80^(1/7) + i / 17 · (0.002^(1/7) - 80^(1/7)))^7, by a pocket calculator for i = 0, 1, 16 and 17.
        assert levels[[0, 1, 16, 17]] == pytest.approx([80.0, 57.586, 0.0075281, 0.002], rel=1e-4)


class TestHeun:
    """Of normally distributed images the best denoiser is known, and so is the solution of the equation."""

    SPREAD = 0.5

    def error(self, steps):
        levels, rng = denoising.sampling_levels(steps), np.random.default_rng(0)
        noisy = (80 * rng.standard_normal((4, 3, 3, 1))).astype("float32")
        best = lambda x, sigma: x * self.SPREAD**2 / (self.SPREAD**2 + sigma**2)  # noqa: E731
        result = denoising.heun(best, tf.constant(noisy), levels).numpy()
        exact = noisy * self.SPREAD / np.sqrt(self.SPREAD**2 + 80**2)
        return np.abs(result - exact).max() / np.abs(exact).max()

    def test_finds_the_solution(self):
        assert self.error(160) < 1e-3

    def test_is_of_second_order(self):
        assert 3 < self.error(12) / self.error(24) < 6  # twice as many steps, a quarter of the error

    def test_calls_the_denoiser_twice_a_step_and_once_in_the_last(self):
        calls = []

        def denoise(noisy, sigma):
            calls.append(float(sigma))
            return noisy * 0

        levels = denoising.sampling_levels(4)
        image = denoising.heun(denoise, tf.ones((1, 2, 2, 1)), levels)
        assert calls == pytest.approx([levels[i] for i in (0, 1, 1, 2, 2, 3, 3)])
        assert (image.numpy() == 0).all()
