"""Arrays and tables → Matplotlib Axes. Every function takes an optional `ax` and returns the one it drew on."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker
from sklearn import metrics

from synthkit.catalogue import BASELINE_COLOR, COLORS, colors

GRID = np.linspace(0, 1, 201)  # where curves of several seeds are averaged


def arm_colors(arms, baseline="real"):
    """Returns a colour for every arm: its own in the catalogue, or one of those left, in turn."""
    own = {name: color for name, color in colors().items() if name in arms} | {baseline: BASELINE_COLOR}
    left = [color for color in COLORS if color not in own.values()] or COLORS
    others = (arm for arm in arms if arm not in own)
    return {baseline: BASELINE_COLOR} | own | dict(zip(others, itertools.cycle(left), strict=False))


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
        ax.axvspan(-margin, margin, color=BASELINE_COLOR, alpha=0.1, linewidth=0)
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
            color=color if row["verdict"] in ("helps", "hurts", "equivalent") else BASELINE_COLOR,
        )
    ax.axvline(0, color=BASELINE_COLOR, linewidth=1, linestyle="--")
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

    def curve(truth, scores):
        false_alarms, hits, _ = metrics.roc_curve(truth, scores)
        return np.interp(GRID, false_alarms, hits)

    ax = _band(curve, labels, scores, positive, color, label, ax)
    ax.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, linestyle=":")
    ax.set(ylim=(0, 1), xlabel="1 − specificity", ylabel="sensitivity")
    return ax


def precision_recall(labels, scores, positive=1, *, color=COLORS[0], label=None, ax=None):
    """Draws the precision–recall curve averaged over seeds; arguments as in `roc`."""

    def curve(truth, scores):
        precision, recall, _ = metrics.precision_recall_curve(truth, scores)
        # The best precision at this recall or a higher one: what a threshold can reach.
        best = np.maximum.accumulate(precision)
        return best[len(recall) - 1 - np.searchsorted(recall[::-1], GRID, "left")]

    ax = _band(curve, labels, scores, positive, color, label, ax)
    ax.axhline(np.mean(np.asarray(labels) == positive), color="#bbbbbb", linewidth=0.8, linestyle=":")
    ax.set(ylim=(0, 1.02), xlabel="sensitivity (recall)", ylabel="precision")
    return ax


def _band(curve, labels, scores, positive, color, label, ax):
    """Draws the mean over seeds of scikit-learn's curves, and their range."""
    ax = ax or plt.gca()
    truth = np.asarray(labels) == positive
    curves = [curve(truth, seed_scores) for seed_scores in np.asarray(scores)[:, :, positive]]
    ax.fill_between(GRID, np.min(curves, 0), np.max(curves, 0), color=color, alpha=0.2, linewidth=0)
    ax.plot(GRID, np.mean(curves, 0), color=color, label=label, linewidth=1.8)
    ax.set(xlim=(0, 1), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def confusion(labels, scores, class_names, ax=None):
    """Draws the confusion matrix averaged over seeds: counts in the cells, fractions of each true class as shades.

    Args:
        labels: int `(n,)`.
        scores: float `(seeds, n, classes)`.
        class_names: names in the order of the labels.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    classes = len(class_names)
    predicted = np.argmax(scores, axis=-1)
    counts = np.mean([metrics.confusion_matrix(labels, seed, labels=range(classes)) for seed in predicted], axis=0)
    fractions = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = [name if len(name) <= 14 else name[:13] + "…" for name in class_names]
    display = metrics.ConfusionMatrixDisplay(fractions, display_labels=names)
    display.plot(cmap="Blues", colorbar=False, include_values=classes <= 6, ax=ax, im_kw={"vmin": 0, "vmax": 1})
    for (row, column), cell in np.ndenumerate(display.text_) if classes <= 6 else ():
        cell.set_text(f"{counts[row, column]:.0f}\n{fractions[row, column]:.0%}")
    two = classes <= 2
    plt.setp(ax.get_xticklabels(), rotation=0 if two else 60, ha="center" if two else "right")
    plt.setp(ax.get_yticklabels(), rotation=90 if two else 0, va="center")
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
            width = 2.5 if color == BASELINE_COLOR else 1.6
            ax.plot(runs[0]["step"], np.mean([h[key] for h in runs], 0), color=color, label=arm, linewidth=width)
    ax.set(xlabel="gradient step", ylabel={"val_auc": "validation AUC", "loss": "training loss"}[key])
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
        ax.axhline(level, color=BASELINE_COLOR, linestyle="--", linewidth=1.2, label="real only")
        if interval:
            ax.axhspan(*interval, color=BASELINE_COLOR, alpha=0.12, linewidth=0)
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
    ax.axhline(0, color=BASELINE_COLOR, linewidth=1, linestyle="--")
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
        ax.axvline(place, color=BASELINE_COLOR, linewidth=0.8)
        for height, end in ((-0.03, done[name].min()), (1.03, done[name].max())):
            ax.text(place, height, f"{end:.3g}", ha="center", va="top" if height < 0 else "bottom", fontsize="small")
    ax.set_xticks(range(len(names)), [name.replace("val_auc", "validation_auc").replace("_", "\n") for name in names])
    ax.set(xlim=(0, len(names) - 1), ylim=(0, 1), yticks=[])
    if len(done) < len(trials):
        ax.set_title(f"{len(trials) - len(done)} of {len(trials)} trials failed", fontsize="small", pad=18)
    ax.tick_params(length=0, pad=18)
    ax.spines[:].set_visible(False)
    return ax
