"""Arrays and tables → Matplotlib Axes. Every function takes an optional `ax` and returns the one it drew on."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker

# Okabe and Ito's colours, which people with colour-blindness tell apart; the baseline is grey.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#5E3C99")
NAMED = ("augmentation", "oversample", "shuffled", "cvae", "oracle", "diffusion", "conv_cvae", "conv_cgan")
BASELINE = "#555555"


def arm_colors(arms, baseline="real"):
    """Returns a colour for every arm; `NAMED` ones have the same in every figure, others what is left, in turn."""
    others = [arm for arm in arms if arm != baseline]
    colors = {name: color for name, color in zip(NAMED, COLORS, strict=True) if name in others}
    left = [color for color in COLORS if color not in colors.values()] or COLORS
    unnamed = (arm for arm in others if arm not in colors)
    return {baseline: BASELINE} | colors | dict(zip(unnamed, itertools.cycle(left), strict=False))


def image_grid(images, columns=8, ax=None):
    """Shows images side by side.

    Args:
        images: uint8 `(n, height, width, 1 or 3)`, or float in [0, 1].
        columns: images a row.
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


def forest(summary, metric="auc", ax=None, *, margin=None):
    """Draws every arm's difference to the baseline with its 95 % interval.

    Args:
        summary: DataFrame of `statistics.summarize`.
        metric: "auc" or "accuracy".
        ax: matplotlib Axes.
        margin: differences smaller than this are shaded; None shades none.
    """
    ax = ax or plt.gca()
    if margin is not None:
        ax.axvspan(-margin, margin, color=BASELINE, alpha=0.1, linewidth=0)
    table = summary[(summary["metric"] == metric) & summary["difference"].notna()]
    colors = arm_colors(summary["arm"].unique())
    for place, row in enumerate(table.to_dict("records")):
        color = colors[row["arm"]]
        ax.plot([row["difference_low"], row["difference_high"]], [place, place], color=color, linewidth=2.5)
        ax.plot(row["difference"], place, "o", color=color, markersize=8)
        ax.annotate(
            row["verdict"],
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize="small",
            color=color if row["verdict"] in ("helps", "hurts", "equivalent") else BASELINE,
        )
    ax.axvline(0, color=BASELINE, linewidth=1, linestyle="--")
    ax.set_yticks(range(len(table)), table["arm"])
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:+.2f}".replace("-", "−"))
    ax.xaxis.set_major_locator(ticker.MaxNLocator(6))
    ax.set_xlabel(f"difference in test {metric.upper() if metric == 'auc' else metric} against real images only")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def roc(labels, scores, positive=1, *, color=COLORS[0], label=None, ax=None):
    """Draws the ROC curve averaged over seeds, with a band from the lowest to the highest seed.

    Args:
        labels: int `(n,)`.
        scores: float `(seeds, n, classes)`.
        positive: label of the positive class.
        color, label: of the curve.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    grid = np.linspace(0, 1, 201)
    truth = np.asarray(labels) == positive
    curves = []
    for seed_scores in np.asarray(scores)[:, :, positive]:
        thresholds = np.concatenate([[np.inf], np.unique(seed_scores)[::-1]])
        hits = [np.mean(seed_scores[truth] >= t) for t in thresholds]
        alarms = [np.mean(seed_scores[~truth] >= t) for t in thresholds]
        curves.append(np.interp(grid, alarms, hits))
    ax.fill_between(grid, np.min(curves, 0), np.max(curves, 0), color=color, alpha=0.2, linewidth=0)
    ax.plot(grid, np.mean(curves, 0), color=color, label=label, linewidth=1.8)
    ax.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, linestyle=":")
    ticks = [0, 0.5, 1]
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=ticks, yticks=ticks)
    ax.set(xlabel="1 − specificity", ylabel="sensitivity")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def confusion(labels, scores, class_names, ax=None):
    """Draws the confusion matrix, averaged over seeds: counts in the cells, shares of each true class as shades.

    Args:
        labels: int `(n,)`.
        scores: float `(seeds, n, classes)`.
        class_names: names in the order of the labels.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    labels, classes = np.asarray(labels), len(class_names)
    matrix = np.zeros((classes, classes))
    for seed_scores in scores:
        np.add.at(matrix, (labels, np.argmax(seed_scores, axis=1)), 1 / len(scores))
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if classes <= 6:
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.55 else "black"
            ax.text(column, row, f"{count:.0f}\n{shares[row, column]:.0%}", ha="center", va="center", color=color)
    names = [name if len(name) <= 14 else name[:13] + "…" for name in class_names]
    ax.set_xticks(range(classes), names, rotation=0 if classes <= 2 else 60, ha="center" if classes <= 2 else "right")
    ax.set_yticks(range(classes), names, rotation=90 if classes <= 2 else 0, va="center")
    ax.set(xlabel="predicted", ylabel="true")
    ax.tick_params(length=0)
    return ax


def history(histories, key="val_auc", ax=None):
    """Draws a figure of the training against the step, each arm's mean over seeds.

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
            width = 2.5 if color == BASELINE else 1.6
            ax.plot(runs[0]["step"], np.mean([h[key] for h in runs], 0), color=color, label=arm, linewidth=width)
    ax.set(xlabel="gradient step", ylabel={"val_auc": "validation AUC", "loss": "training loss"}[key])
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def precision_recall(labels, scores, positive=1, *, color=COLORS[0], label=None, ax=None):
    """Draws the precision–recall curve averaged over seeds, with a band from the lowest to the highest seed.

    Args:
        labels: int `(n,)`.
        scores: float `(seeds, n, classes)`.
        positive: label of the positive class.
        color, label: of the curve.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    grid = np.linspace(0, 1, 201)
    truth = np.asarray(labels) == positive
    curves = []
    for seed_scores in np.asarray(scores)[:, :, positive]:
        order = np.argsort(-seed_scores, kind="stable")
        hits = np.cumsum(truth[order])
        # Images of one score are called positive together.
        last = np.append(np.diff(seed_scores[order]) != 0, True)
        recall, precision = hits[last] / truth.sum(), hits[last] / (np.flatnonzero(last) + 1)
        # The best precision at this recall or a higher one: what a threshold can reach.
        reached = np.searchsorted(recall, grid, "left")
        curves.append(np.maximum.accumulate(precision[::-1])[::-1][reached])
    ax.fill_between(grid, np.min(curves, 0), np.max(curves, 0), color=color, alpha=0.2, linewidth=0)
    ax.plot(grid, np.mean(curves, 0), color=color, label=label, linewidth=1.8)
    ax.axhline(truth.mean(), color="#bbbbbb", linewidth=0.8, linestyle=":")
    ticks = [0, 0.5, 1]
    ax.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal", xticks=ticks, yticks=ticks)
    ax.set(xlabel="sensitivity (recall)", ylabel="precision")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def losses(history, ax=None):
    """Draws a generator's losses against the epoch: the skin-lesion study's Figure 4.

    Args:
        history: dict from a loss's name to its values, one an epoch, as `keras.callbacks.History.history` holds.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    for (name, values), color in zip(history.items(), itertools.cycle(COLORS), strict=False):
        ax.plot(range(1, len(values) + 1), values, color=color, label=name.replace("_", " "), linewidth=1.4)
    ax.set(xlabel="epoch", ylabel="loss")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
