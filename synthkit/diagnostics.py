"""Figures of one classifier: is it calibrated, what does it look at, how was it found.

Every function takes arrays or a table and an optional `ax`, and returns the `ax`.
"""

import matplotlib.pyplot as plt
import numpy as np

from synthkit.plots import BASELINE, COLORS, image_grid


def reliability(table, *, color=COLORS[0], label=None, ax=None):
    """Draws a reliability diagram: observed frequency against predicted probability, dots as large as their bins full.

    Args:
        table: DataFrame of `calibration.reliability`.
        color, label: of the curve.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    ax.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, linestyle=":")
    ax.plot(table["predicted"], table["observed"], color=color, linewidth=1.6, label=label)
    sizes = 120 * table["images"] / table["images"].sum()
    ax.scatter(table["predicted"], table["observed"], sizes + 8, color=color, clip_on=False, zorder=3)
    ticks = [0, 0.5, 1]
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=ticks, yticks=ticks)
    ax.set(xlabel="predicted probability", ylabel="observed frequency")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def heat_map(image, heat, ax=None):
    """Lays a heat map over its image: the hotter, the less of the image shows through.

    Args:
        image: uint8 `(height, width, 1 or 3)`, or float in [0, 1].
        heat: float `(height, width)` in [0, 1], of `explain.grad_cam`.
        ax: matplotlib Axes.
    """
    ax = image_grid(np.asarray(image)[None], ax=ax)
    ax.imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=0.65 * np.asarray(heat), interpolation="bilinear")
    return ax


def parallel_coordinates(trials, value="val_auc", ax=None):
    """Draws every trial of a search as a line over its hyperparameters to what it reached, the best one in colour.

    An axis runs from the lowest to the highest value that was tried, in powers where that is a tenfold. A line
    passes by the axes that its trial does not have; trials that failed are left out, and the title counts them.

    Args:
        trials: DataFrame of `tuning.search`.
        value: column that was to be as high as possible.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    names = [*trials.columns[trials.columns.get_loc("layers") :], value]
    done = trials[trials[value].notna()].sort_values(value)
    low, high = done[names].min(), done[names].max()
    powers = [name for name in names if low[name] > 0 and high[name] / low[name] >= 10]
    scaled = done[names].astype(float)
    scaled[powers], low[powers], high[powers] = (np.log(part[powers]) for part in (scaled, low, high))
    scaled = (scaled - low) / (high - low).where(high > low, 1)
    for i, row in enumerate(scaled.to_numpy()):
        there, best = np.flatnonzero(np.isfinite(row)), i == len(scaled) - 1
        style = {"color": COLORS[1], "linewidth": 2.5} if best else {"color": plt.cm.Blues(0.2 + 0.7 * row[-1])}
        ax.plot(there, row[there], clip_on=False, **style)
    for place, name in enumerate(names):
        ax.axvline(place, color=BASELINE, linewidth=0.8)
        for height, end in ((-0.03, done[name].min()), (1.03, done[name].max())):
            ax.text(place, height, f"{end:.3g}", ha="center", va="top" if height < 0 else "bottom", fontsize="small")
    ax.set_xticks(range(len(names)), [name.replace("val_auc", "validation_auc").replace("_", "\n") for name in names])
    ax.set(xlim=(0, len(names) - 1), ylim=(0, 1), yticks=[])
    if len(done) < len(trials):
        ax.set_title(f"{len(trials) - len(done)} of {len(trials)} trials failed", fontsize="small", pad=18)
    ax.tick_params(length=0, pad=18)
    ax.spines[:].set_visible(False)
    return ax
