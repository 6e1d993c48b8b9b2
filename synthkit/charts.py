"""Tables → Matplotlib Axes: how much synthetic data, how real it is, how sure the study is, what it copied.

As in `plots`, every function takes an optional `ax` and returns the one it drew on.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker

from synthkit.plots import BASELINE, COLORS, arm_colors, image_grid


def sweep(table, x, *, group=None, baseline=None, xlabel=None, ylabel="test AUC", ax=None):
    """Draws a figure against how much of something there was, with the band of its interval.

    Args:
        table: DataFrame with columns `mean`, `low` and `high` (those of `statistics.summarize`) and the two below.
        x: name of the column to draw against, such as synthetic images a real one. Drawn on a logarithmic axis if all
            its values are positive.
        group: name of the column that tells the lines apart, such as the share of real images; None for one line.
        baseline: float, or `(mean, low, high)`, of what is drawn as a level; None for none.
        xlabel, ylabel: of the axes.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    if baseline is not None:
        level, *interval = np.atleast_1d(baseline)
        ax.axhline(level, color=BASELINE, linestyle="--", linewidth=1.2, label="real only")
        if interval:
            ax.axhspan(*interval, color=BASELINE, alpha=0.12, linewidth=0)
    parts = [(None, table)] if group is None else list(table.groupby(group, sort=True))
    for (name, part), color in zip(parts, COLORS, strict=False):
        part = part.sort_values(x)
        ax.fill_between(part[x], part["low"], part["high"], color=color, alpha=0.15, linewidth=0)
        ax.plot(part[x], part["mean"], "o-", color=color, label=name, markersize=5, linewidth=1.8)
    values = np.unique(table[x])
    if (values > 0).all() and len(values) > 1:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.set_xticks(values, [f"{value:g}" for value in values])
    ax.set(xlabel=xlabel or x, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def power(curve, *, level=0.05, target=0.8, color=COLORS[0], label=None, ax=None):
    """Draws how often an effect is found, with the band of its Monte Carlo interval.

    Args:
        curve: DataFrame of `statistics.power_curve`.
        level: the false-alarm rate allowed, drawn as a line.
        target: the power wished for, drawn as a line.
        color, label: of the curve.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    ax.fill_between(curve["effect"], curve["low"], curve["high"], color=color, alpha=0.2, linewidth=0)
    ax.plot(curve["effect"], curve["share"], "o-", color=color, label=label, markersize=4, linewidth=1.8)
    for height in (level, target):
        ax.axhline(height, color="#bbbbbb", linewidth=0.8, linestyle=":")
    ax.set(xlabel="true difference in AUC", ylabel="found to help", ylim=(0, 1.02))
    ax.yaxis.set_major_formatter(ticker.PercentFormatter(1))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def fidelity_against_utility(table, x="kid", *, xlabel=None, ax=None):
    """Draws every arm's difference in test AUC against how real its images are.

    Args:
        table: DataFrame with columns `arm`, `difference`, `difference_low`, `difference_high` (`statistics.summarize`)
            and `x`; also `{x}_error` if there is one.
        x: name of a figure of `fidelity.measure`.
        xlabel: of the axis.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    colors = arm_colors(table["arm"])
    for row in table.to_dict("records"):
        color, error = colors[row["arm"]], row.get(f"{x}_error")
        ends = [[row["difference"] - row["difference_low"]], [row["difference_high"] - row["difference"]]]
        ax.errorbar(row[x], row["difference"], yerr=ends, xerr=error, fmt="o", color=color, markersize=7, linewidth=1.5)
        ax.annotate(
            row["arm"],
            (row[x], row["difference"]),
            xytext=(7, 5),
            textcoords="offset points",
            color=color,
            fontsize="small",
        )
    ax.axhline(0, color=BASELINE, linewidth=1, linestyle="--")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:+.2f}".replace("-", "−"))
    ax.margins(x=0.18)
    ax.set(xlabel=xlabel or x, ylabel="difference in test AUC")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def nearest_pairs(synthetic, training, pairs, ax=None):
    """Shows the synthetic images that are nearest to a training image, each above that image.

    Args:
        synthetic: uint8 `(n, height, width, channels)`.
        training: uint8 `(m, height, width, channels)`.
        pairs: DataFrame of `fidelity.closest_pairs`. Below each pair stands the share of held-out images that lie as
            near to a training image: 0 % is nearer than any of them.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    count, (height, width) = len(pairs), synthetic.shape[1:3]
    rows = np.concatenate([synthetic[pairs["synthetic"]], training[pairs["training"]]])
    image_grid(rows, columns=count, ax=ax)
    gap = max(1, height // 32)
    for i, quantile in enumerate(pairs["quantile"]):
        middle = i * (width + gap) + width / 2 - 0.5
        ax.text(middle, 2 * height + 2 * gap, f"{quantile:.0%}", ha="center", va="top", fontsize="small")
    for row, name in enumerate(("synthetic", "training")):
        ax.text(-2 * gap, row * (height + gap) + height / 2, name, ha="right", va="center", fontsize="small")
    return ax
