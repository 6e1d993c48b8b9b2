"""The network of the diffusion model: a U-Net that two CPU cores can train."""

import itertools

import keras
import numpy as np
from keras import layers

from synthkit.generators.layers import halvings


def unet(image_shape, num_labels, num_parameters, width):
    """Builds a U-Net that goes down to 5×5 to 9×9 pixels where sides are even.

    It is that of Ho, Jain and Abbeel, NeurIPS 2020, with one residual block per level and attention at the lowest
    level. Its first level has half of the image's resolution: squares of 2×2 pixels are its input and its output. At 64
    pixels, this trains 1.6 times as fast as a first level of full resolution and half as many channels.

    Args:
        image_shape: `(height, width, channels)`.
        num_labels: int, including the one for a hidden label.
        num_parameters: int, of the transformation of a training image.
        width: channels of the first level; they double with every halving, up to eight times `width`.

    Returns:
        keras.Model `[noisy (batch, *image_shape), noise level (batch, 1), one-hot label (batch, num_labels),
        transformation (batch, num_parameters)] → (batch, *image_shape)`.
    """
    noisy, level = keras.Input(image_shape, name="noisy"), keras.Input((1,), name="level")
    label, transformation = keras.Input((num_labels,), name="label"), keras.Input((num_parameters,), name="transform")
    angles = level * keras.ops.convert_to_tensor(2 * np.pi * np.geomspace(0.125, 8, 16)[None], "float32")
    embedded = layers.Concatenate()([keras.ops.sin(angles), keras.ops.cos(angles)])
    embedded = [layers.Dense(4 * width)(embedded)] + [
        layers.Dense(4 * width, use_bias=False)(part) for part in (label, transformation)
    ]
    condition = layers.Activation("swish")(layers.Add()(embedded))
    condition = layers.Dense(4 * width, activation="swish")(condition)
    times = halvings(image_shape)
    patch = 2 if times else 1
    widths = [width * min(2**n, 8) for n in range(max(times, 1))]
    x = layers.Conv2D(width, 3, strides=patch, padding="same")(noisy)
    skips = []
    for filters, wider in itertools.pairwise(widths):
        x = _residual(x, condition, filters)
        skips.append(x)
        x = layers.Conv2D(wider, 3, strides=2, padding="same")(x)
    x = _residual(x, condition, widths[-1])
    x = _attention(x)
    x = _residual(x, condition, widths[-1])
    for filters in reversed(widths[:-1]):
        x = layers.UpSampling2D()(layers.Conv2D(filters, 1)(x))
        x = _residual(layers.Concatenate()([x, skips.pop()]), condition, filters)
    x = layers.Activation("swish")(layers.GroupNormalization(1)(x))
    x = layers.Conv2D(patch**2 * image_shape[-1], 3, padding="same", kernel_initializer="zeros")(x)
    if patch > 1:
        rows, columns = image_shape[0] // 2, image_shape[1] // 2
        x = layers.Reshape((rows, columns, 2, 2, image_shape[-1]))(x)
        x = layers.Reshape(image_shape)(layers.Permute((1, 3, 2, 4, 5))(x))
    return keras.Model([noisy, level, label, transformation], x, name="unet")


def _residual(x, condition, filters):
    """Adds two convolutions to their input; `condition` scales and shifts the features between them."""
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
