"""Figures of images."""

import matplotlib.pyplot as plt
import numpy as np


def image_grid(images, columns=8, ax=None):
    """Shows images side by side.

    Args:
        images: uint8 `(n, height, width, 1 or 3)`, or float in [0, 1].
        columns: int, images in each row.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    images = np.asarray(images)
    if images.dtype != np.uint8:
        images = np.round(np.clip(images, 0, 1) * 255).astype("uint8")
    n, height, width, channels = images.shape
    columns = max(1, min(columns, n))
    rows = max(1, -(-n // columns))
    gap = max(1, height // 32)
    canvas = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), 255, "uint8")
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = image
    ax.imshow(canvas.squeeze(-1) if channels == 1 else canvas, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set_axis_off()
    return ax


def nearest_pairs(synthetic, training, pairs, ax=None):
    """Shows the synthetic images that are nearest to a training image, each above that training image.

    Args:
        synthetic: uint8 `(n, height, width, channels)`.
        training: uint8 `(m, height, width, channels)`.
        pairs: DataFrame of `fidelity.closest_pairs`. The number below each pair, if it has quantiles, is the fraction
            of held-out images that are as near to a training image; at 0 % none of them is.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    count, (height, width) = len(pairs), synthetic.shape[1:3]
    image_grid(np.concatenate([synthetic[pairs["synthetic"]], training[pairs["training"]]]), columns=count, ax=ax)
    gap = max(1, height // 32)
    for i, quantile in enumerate(pairs.get("quantile", ())):
        middle = i * (width + gap) + width / 2 - 0.5
        ax.text(middle, 2 * height + 2 * gap, f"{quantile:.0%}", ha="center", va="top", fontsize="small")
    for row, name in enumerate(("synthetic", "training")):
        ax.text(-2 * gap, row * (height + gap) + height / 2, name, ha="right", va="center", fontsize="small")
    return ax


def heat_map(image, heat, ax=None):
    """Draws a heat map over its image; less of the image shows through where the map is hotter.

    Args:
        image: uint8 `(height, width, 1 or 3)`, or float in [0, 1].
        heat: float `(height, width)` in [0, 1], of `explain.grad_cam`.
        ax: matplotlib Axes.
    """
    ax = image_grid(np.asarray(image)[None], ax=ax)
    ax.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.65 * np.asarray(heat), interpolation="bilinear")
    return ax
