"""The U-Net of the diffusion model, which predicts the velocity of noisy images."""

import keras
import numpy as np
from keras import layers

from synthkit.generators import geometry
from synthkit.generators.layers import halvings

PATCHES = 48  # pixels a side from which on the network works on squares of 2×2 pixels


def unet(image_shape, num_labels, width, transformed=False):
    """Builds the network that predicts the velocity, a U-Net that goes down to 5×5 to 9×9 pixels where sides are even.

    It is Ho et al.'s with one residual block per level and attention at the lowest level, small enough for CPUs.
    From 48 pixels on it works on squares of 2×2 pixels, of which it makes twice as many channels (Hoogeboom, Heek and
    Salimans, "Simple diffusion", ICML 2023, section 3.3): most of the time would go into the finest level.

    Args:
        image_shape: `(height, width, channels)`.
        num_labels: int, including the one for a hidden label.
        width: channels at full resolution.
        transformed: whether the network is told how its images were transformed.

    Returns:
        keras.Model `[noisy (batch, *image_shape), time (batch, 1), one-hot label (batch, num_labels)] → (batch,
        *image_shape)`; with `transformed` it has a fourth input, `(batch, 6)` of `geometry.draw_transformations`.
    """
    noisy, time = keras.Input(image_shape, name="noisy"), keras.Input((1,), name="time")
    label = keras.Input((num_labels,), name="label")
    angles = time * keras.ops.convert_to_tensor(2 * np.pi * np.geomspace(0.5, 50, 16)[None], "float32")
    time_embedding = layers.Concatenate()([keras.ops.sin(angles), keras.ops.cos(angles)])
    parts = [layers.Dense(4 * width)(time_embedding), layers.Dense(4 * width, use_bias=False)(label)]
    inputs = [noisy, time, label]
    if transformed:
        inputs.append(keras.Input((len(geometry.COLUMNS),), name="transformations"))
        parts.append(layers.Dense(4 * width, use_bias=False)(inputs[-1]))
    condition = layers.Add()(parts)
    condition = layers.Dense(4 * width, activation="swish")(layers.Activation("swish")(condition))
    patch = 2 if min(image_shape[:2]) >= PATCHES else 1
    widths = [width * min(patch * 2**level, 8) for level in range(halvings(image_shape) + 2 - patch)]
    x = layers.Conv2D(widths[0], 3, padding="same")(_to_patches(noisy, patch))
    skips = []
    for filters in widths[:-1]:
        x = _residual(x, condition, filters)
        skips.append(x)
        x = layers.Conv2D(2 * filters, 3, strides=2, padding="same")(x)
    x = _residual(x, condition, widths[-1])
    x = _attention(x)
    x = _residual(x, condition, widths[-1])
    for filters in reversed(widths[:-1]):
        x = layers.UpSampling2D()(layers.Conv2D(filters, 1)(x))
        x = _residual(layers.Concatenate()([x, skips.pop()]), condition, filters)
    x = layers.Activation("swish")(layers.GroupNormalization(1)(x))
    x = layers.Conv2D(image_shape[-1] * patch**2, 3, padding="same", kernel_initializer="zeros")(x)
    return keras.Model(inputs, _from_patches(x, patch), name="unet")


def _to_patches(x, patch):
    """Puts the pixels of each `patch` × `patch` square into channels."""
    if patch == 1:
        return x
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height // patch, patch, width // patch, patch * channels))(x)
    return layers.Reshape((height // patch, width // patch, patch**2 * channels))(layers.Permute((1, 3, 2, 4))(x))


def _from_patches(x, patch):
    """Undoes `_to_patches`."""
    if patch == 1:
        return x
    height, width, channels = x.shape[1:]
    x = layers.Permute((1, 3, 2, 4))(layers.Reshape((height, width, patch, channels // patch))(x))
    return layers.Reshape((height * patch, width * patch, channels // patch**2))(x)


def _residual(x, condition, filters):
    """Adds two convolutions to their input; time and label scale and shift the features between them."""
    shortcut = x if x.shape[-1] == filters else layers.Conv2D(filters, 1)(x)
    x = layers.Activation("swish")(layers.GroupNormalization(1)(x))
    x = layers.GroupNormalization(1)(layers.Conv2D(filters, 3, padding="same")(x))
    scale, shift = (
        layers.Reshape((1, 1, filters))(layers.Dense(filters, kernel_initializer="zeros")(condition)) for _ in "ab"
    )
    x = layers.Activation("swish")(x * (scale + 1) + shift)
    return layers.Add()([shortcut, layers.Conv2D(filters, 3, padding="same", kernel_initializer="zeros")(x)])


def _attention(x):
    """Adds self-attention over all positions of the feature maps."""
    height, width, filters = x.shape[1:]
    positions = layers.Reshape((height * width, filters))(layers.GroupNormalization(1)(x))
    attended = layers.MultiHeadAttention(4, filters // 4)(positions, positions)
    return layers.Add()([x, layers.Reshape((height, width, filters))(attended)])
