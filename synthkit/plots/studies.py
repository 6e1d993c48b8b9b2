"""Figures of a study: the differences between its arms, their training, and what they depend on."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker

from synthkit.catalogue import colors
from synthkit.plots._style import BASELINE_COLOR, COLORS, REFERENCE, ZERO, finish, signed
from synthkit.statistics import sentences

LONGEST = 54  # characters that a figure of four inches shows in one line


def arm_colors(arms, baseline="real"):
    """Returns a colour for every arm: its own in the catalogue, or one of the remaining ones in turn."""
    own = {name: color for name, color in colors().items() if name in arms} | {baseline: BASELINE_COLOR}
    remaining = [color for color in COLORS if color not in own.values()] or COLORS
    others = dict.fromkeys(arm for arm in arms if arm not in own)
    return {baseline: BASELINE_COLOR} | own | dict(zip(others, itertools.cycle(remaining), strict=False))


def forest(summary, metric="auc", ax=None, *, margin=None, colors=None):
    """Draws the difference between every arm and the baseline, with its 95 % interval, and above it the verdict.

    Args:
        summary: DataFrame of `statistics.summarize`.
        metric: name of a metric in it.
        ax: matplotlib Axes.
        margin: float, differences smaller than this are shaded; None for no shading.
        colors: dict of `arm_colors`, for panels that share arms; None for those of the arms in the summary.
    """
    ax = ax or plt.gca()
    if margin is not None:
        ax.axvspan(-margin, margin, color=BASELINE_COLOR, alpha=0.1, linewidth=0)
    table = summary[(summary["metric"] == metric) & summary["difference"].notna()]
    color_of = colors or arm_colors(summary["arm"].unique())
    for y, row in enumerate(table.to_dict("records")):
        color = color_of[row["arm"]]
        ax.plot([row["difference_low"], row["difference_high"]], [y, y], color=color, linewidth=2.5)
        ax.plot(row["difference"], y, "o", color=color, markersize=8)
        shown = color if row["verdict"] in ("helps", "hurts", "equivalent") else BASELINE_COLOR
        # Above the line, so that a figure as narrow as a telephone has room for both.
        text = f"{row['arm']}: {sentences.label(row)}"
        text = text.replace(" (", "\n(") if len(text) > LONGEST else text
        place = {"xycoords": ("axes fraction", "data"), "xytext": (0, 6), "textcoords": "offset points"}
        paper = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8}
        label = ax.annotate(text, (0, y), color=shown, fontsize="small", va="bottom", bbox=paper, **place)
        label.set_in_layout(False)  # else a long one would make the axes narrower
    ax.axvline(0, **ZERO)
    ax.set_yticks([])
    ax.set_ylim(len(table) - 0.5, -0.8)
    ax.xaxis.set_major_formatter(signed)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(4))
    ax.set_xlabel(f"difference in test {sentences.metric_name(metric)} from the baseline")
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def history(histories, key="val_auc", ax=None):
    """Draws a metric of the training against the gradient step, for each arm the mean over seeds.

    Args:
        histories: dict from (arm, seed) to a history of `training.Trainer.train`.
        key: "val_auc" or "loss".
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    arms = list(dict.fromkeys(arm for arm, _ in histories))
    for arm, color in arm_colors(arms).items():
        runs = [h for (name, _), h in histories.items() if name == arm]
        if runs:
            width = 2.5 if color == BASELINE_COLOR else 1.6
            ax.plot(runs[0]["step"], np.mean([h[key] for h in runs], 0), color=color, label=arm, linewidth=width)
    return finish(ax, xlabel="gradient step", ylabel={"val_auc": "validation AUC", "loss": "training loss"}[key])


def sweep(table, x, *, group=None, baseline=None, xlabel=None, ylabel="test AUC", ax=None):
    """Draws a metric and its interval against a quantity that was varied, such as the ratio of synthetic images.

    Args:
        table: DataFrame with the columns `mean`, `low` and `high` (of `statistics.summarize`) and the two below.
        x: name of the column on the x axis, which is logarithmic if all its values are positive.
        group: name of a column, such as the fraction of real images, with a line for each of its values; None for one
            line.
        baseline: float, or `(mean, low, high)`, drawn as a horizontal line; None for none.
        xlabel, ylabel: of the axes.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    if baseline is not None:
        mean, *interval = np.atleast_1d(baseline)
        ax.axhline(mean, color=BASELINE_COLOR, linestyle="--", linewidth=1.2, label="real only")
        if interval:
            ax.axhspan(*interval, color=BASELINE_COLOR, alpha=0.12, linewidth=0)
    groups = [(None, table)] if group is None else list(table.groupby(group, sort=True))
    own = arm_colors([name for name, _ in groups]) if any(name in colors() for name, _ in groups) else {}
    for (name, rows), color in zip(groups, COLORS, strict=False):
        rows, color = rows.sort_values(x), own.get(name, color)
        ax.fill_between(rows[x], rows["low"], rows["high"], color=color, alpha=0.15, linewidth=0)
        ax.plot(rows[x], rows["mean"], "o-", color=color, label=name, markersize=5, linewidth=1.8)
    values = np.unique(table[x])
    if (values > 0).all() and len(values) > 1:
        ax.set_xscale("log")
        ax.xaxis.set_minor_locator(ticker.NullLocator())
    ax.set_xticks(values, [f"{value:g}" for value in values])
    return finish(ax, xlabel=xlabel or x, ylabel=ylabel)


def power(curve, *, level=0.05, target=0.8, color=COLORS[0], label=None, ax=None):
    """Draws how often a true effect is detected, with the band of its Monte Carlo interval.

    Args:
        curve: DataFrame of `statistics.power_curve`.
        level, target: the false-alarm rate and the power that are aimed at, drawn as horizontal lines.
        color, label: of the curve.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    ax.fill_between(curve["effect"], curve["low"], curve["high"], color=color, alpha=0.2, linewidth=0)
    ax.plot(curve["effect"], curve["share"], "o-", color=color, label=label, markersize=4, linewidth=1.8)
    for height in (level, target):
        ax.axhline(height, **REFERENCE)
    ax.yaxis.set_major_formatter(ticker.PercentFormatter(1))
    return finish(ax, xlabel="true difference in AUC", ylabel="found to help", ylim=(0, 1.02))


def fidelity_against_utility(table, x="kid", *, xlabel=None, ax=None):
    """Draws every arm's difference in test AUC against the fidelity of its images.

    Args:
        table: DataFrame with the columns `arm`, `difference`, `difference_low` and `difference_high` (of
            `statistics.summarize`), `x`, and optionally `{x}_error`.
        x: name of a metric of `fidelity.measure`.
        xlabel: of the axis.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    color_of = arm_colors(table["arm"])
    for row in table.to_dict("records"):
        point, color = (row[x], row["difference"]), color_of[row["arm"]]
        ends = [[row["difference"] - row["difference_low"]], [row["difference_high"] - row["difference"]]]
        style = {"fmt": "o", "color": color, "markersize": 7, "linewidth": 1.5}
        ax.errorbar(*point, yerr=ends, xerr=row.get(f"{x}_error"), **style)
        place = {"xytext": (7, 5), "textcoords": "offset points", "fontsize": "small"}
        ax.annotate(row["arm"], point, color=color, **place)
    ax.axhline(0, **ZERO)
    ax.yaxis.set_major_formatter(signed)
    ax.margins(x=0.18)
    return finish(ax, xlabel=xlabel or x, ylabel="difference in test AUC")
