"""The equations of EDM: preconditioning, noise levels and the sampler.

Karras, Aittala, Aila and Laine, "Elucidating the design space of diffusion-based generative models", NeurIPS 2022;
their table 1 lists them all.

A noise level σ is the standard deviation of the noise that is added to images in [-1, 1].
"""

import numpy as np
import tensorflow as tf

SIGMA_DATA = 0.5  # standard deviation of the images
LOG_MEAN, LOG_DEVIATION = -1.2, 1.2  # of ln σ in training
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0  # of the levels in sampling


def preconditioning(sigma):
    """Returns what keeps a network's input and target at unit variance at every noise level (their section 5).

    The denoiser is D(x; σ) = skip · x + out · F(in · x; noise), where F is the network.

    Args:
        sigma: float32 tensor, noise levels.

    Returns:
        `(skip, out, in, noise)`: c_skip, c_out, c_in and c_noise of their table 1, of the shape of `sigma`.
    """
    root = tf.sqrt(sigma**2 + SIGMA_DATA**2)
    return SIGMA_DATA**2 / root**2, sigma * SIGMA_DATA / root, 1 / root, tf.math.log(sigma) / 4


def training_levels(uniform):
    """Returns the noise levels of a training batch: quantiles of their log-normal distribution.

    Args:
        uniform: float32 `(batch,)` in [0, 1]. Evenly spaced ones spread the levels of a batch evenly (Kingma et al.,
            "Variational diffusion models", NeurIPS 2021): over a few thousand updates, random levels would be the main
            source of noise in the loss.

    Returns:
        float32 `(batch,)`.
    """
    return tf.exp(LOG_MEAN + LOG_DEVIATION * tf.math.ndtri(tf.clip_by_value(uniform, 1e-4, 1 - 1e-4)))


def sampling_levels(steps):
    """Returns the noise levels from the highest to 0 (their equation 5), float32 `(steps + 1,)`; at least 2 steps."""
    ends = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    return np.append(np.linspace(*ends, steps) ** RHO, 0).astype("float32")


def heun(denoise, noisy, levels):
    """Removes the noise: Heun's method for the probability-flow equation dx/dσ = (x - D(x; σ)) / σ (algorithm 1).

    Args:
        denoise: callable `(noisy, sigma) → images`, the denoiser D; `sigma` is a scalar.
        noisy: float32 `(batch, height, width, channels)` at the first noise level.
        levels: float32 `(steps + 1,)`, falling, the last one 0.

    Returns:
        float32 `(batch, height, width, channels)`.
    """
    levels = tf.constant(levels)
    for step in tf.range(len(levels) - 2):
        sigma, lower = levels[step], levels[step + 1]
        slope = (noisy - denoise(noisy, sigma)) / sigma
        moved = noisy + (lower - sigma) * slope
        noisy += (lower - sigma) * (slope + (moved - denoise(moved, lower)) / lower) / 2
    return denoise(noisy, levels[-2])  # the last step, to σ = 0, is Euler's
