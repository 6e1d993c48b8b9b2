"""Figures of one classifier or one generator: its scores, its training, the search for its hyperparameters."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import ticker
from sklearn import metrics

from synthkit import statistics
from synthkit.plots._style import BASELINE_COLOR, COLORS, REFERENCE, UNIT_SQUARE, finish
from synthkit.statistics.scores import predict

GRID = np.linspace(0, 1, 201)  # the x values at which the curves of several seeds are averaged


def roc(labels, scores, positive=1, *, color=COLORS[0], label=None, ax=None):
    """Draws the mean of the seeds' ROC curves, with a band from the lowest to the highest.

    Args:
        labels: int `(n,)`.
        scores: float `(seeds, n, classes)`.
        positive: label of the positive class.
        color, label: of the curve.
        ax: matplotlib Axes.
    """

    def curve(truth, seed_scores):
        false_positive_rate, true_positive_rate, _ = metrics.roc_curve(truth, seed_scores)
        return np.interp(GRID, false_positive_rate, true_positive_rate)

    ax = _band(curve, labels, scores, positive, color, label, ax)
    ax.plot([0, 1], [0, 1], **REFERENCE)
    return finish(ax, **UNIT_SQUARE, xlabel="1 − specificity", ylabel="sensitivity")


def precision_recall(labels, scores, positive=1, *, color=COLORS[0], label=None, ax=None):
    """Draws the mean of the seeds' precision–recall curves; arguments as in `roc`."""

    def curve(truth, seed_scores):
        # scikit-learn's last point, precision 1 at recall 0, belongs to no threshold.
        precision, recall = (values[:-1] for values in metrics.precision_recall_curve(truth, seed_scores)[:2])
        best = np.maximum.accumulate(precision)  # that a threshold can reach at this recall or a higher one
        return best[len(recall) - 1 - np.searchsorted(recall[::-1], GRID, "left")]

    ax = _band(curve, labels, scores, positive, color, label, ax)
    ax.axhline(np.mean(np.asarray(labels) == positive), **REFERENCE)
    return finish(ax, **UNIT_SQUARE | {"ylim": (0, 1.02)}, xlabel="sensitivity (recall)", ylabel="precision")


def decision_curve(labels, scores, positive=1, *, prevalence=None, most=1.0, color=COLORS[0], label=None, ax=None):
    """Draws the net benefit of treating by the mean of the seeds' predictions, treating all and treating none.

    Args:
        labels, scores, positive, color, label, ax: as in `roc`; two classes.
        prevalence: as in `statistics.net_benefit`.
        most: the highest threshold probability to draw.
    """
    at = np.linspace(0, most, len(GRID) + 1)[:-1]  # at 1 no net benefit is defined
    ax = ax or plt.gca()
    curves = [statistics.decision_curve(labels, s, positive, at, prevalence) for s in np.asarray(scores)]
    _mean_and_range(at, curves, color, label, ax)
    rate = float(np.mean(np.asarray(labels) == positive)) if prevalence is None else prevalence
    ax.plot(at, statistics.treat_all(rate, at), **REFERENCE | {"linestyle": "--", "color": "#777777"})
    ax.axhline(0, **REFERENCE | {"color": "#777777"})
    ticks = {"xticks": [0, most / 2, most], "yticks": [0, rate]}
    finish(ax, xlim=(0, most), ylim=(-0.3 * rate, 1.08 * rate), **ticks)
    ax.set_yticklabels(["0", f"{rate:.2g}"])
    ax.set_xticklabels([f"{tick:.2g}" for tick in ticks["xticks"]])
    return finish(ax, xlabel="threshold probability", ylabel="net benefit")


def _band(curve, labels, scores, positive, color, label, ax):
    """Draws the mean and the range of the curves of all seeds."""
    truth = np.asarray(labels) == positive
    curves = [curve(truth, seed_scores) for seed_scores in np.asarray(scores)[:, :, positive]]
    return _mean_and_range(GRID, curves, color, label, ax or plt.gca())


def _mean_and_range(x, curves, color, label, ax):
    ax.fill_between(x, np.min(curves, 0), np.max(curves, 0), color=color, alpha=0.2, linewidth=0)
    ax.plot(x, np.mean(curves, 0), color=color, label=label, linewidth=1.8)
    return ax


def confusion(labels, scores, class_names, ax=None, *, positive=None, thresholds=None):
    """Draws the mean of the seeds' confusion matrices: counts in the cells, fractions of each true class as shades.

    Args:
        labels: int `(n,)`.
        scores: float `(seeds, n, classes)`.
        class_names: names in the order of the labels.
        ax: matplotlib Axes.
        positive, thresholds: label of the positive class of two, and the threshold of each seed, as
            `study.Results.thresholds` has them; None predicts the class with the highest score.
    """
    ax = ax or plt.gca()
    classes, cuts = len(class_names), [None] * len(scores) if thresholds is None else thresholds
    predicted = [predict(of_seed, positive, cut) for of_seed, cut in zip(scores, cuts, strict=True)]
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


def reliability(table, *, color=COLORS[0], label=None, ax=None):
    """Draws a reliability diagram: observed frequency against predicted probability; larger dots have more images.

    Args:
        table: DataFrame of `calibration.reliability`.
        color, label: of the curve.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    ax.plot([0, 1], [0, 1], **REFERENCE)
    ax.plot(table["predicted"], table["observed"], color=color, linewidth=1.6, label=label)
    sizes = 120 * table["images"] / table["images"].sum()
    ax.scatter(table["predicted"], table["observed"], sizes + 8, color=color, clip_on=False, zorder=3)
    return finish(ax, **UNIT_SQUARE, xlabel="predicted probability", ylabel="observed frequency")


def losses(history, ax=None):
    """Draws a generator's losses against the epoch, as in the skin-lesion study's Figure 4.

    Args:
        history: dict from the name of a loss to its value after each epoch, as `keras.callbacks.History.history`.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    for (name, values), color in zip(history.items(), itertools.cycle(COLORS), strict=False):
        ax.plot(range(1, len(values) + 1), values, color=color, label=name.replace("_", " "), linewidth=1.4)
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.legend(frameon=False)
    return finish(ax, xlabel="epoch", ylabel="loss")


def parallel_coordinates(trials, value="val_auc", ax=None):
    """Draws every trial of a search as a line from its hyperparameters to its result, the best trial in colour.

    An axis runs from the lowest to the highest value that was tried, on a logarithmic scale if that is tenfold or more.
    A line skips the axes of hyperparameters that its trial does not have. Failed trials are not drawn; the title counts
    them.

    Args:
        trials: DataFrame of `tuning.search`.
        value: name of the column with the result; higher is better.
        ax: matplotlib Axes.
    """
    ax = ax or plt.gca()
    names = [*trials.columns[trials.columns.get_loc("layers") :], value]
    done = trials[trials[value].notna()].sort_values(value)
    low, high = done[names].min(), done[names].max()
    logarithmic = [name for name in names if low[name] > 0 and high[name] / low[name] >= 10]
    scaled = done[names].astype(float)
    scaled[logarithmic], low[logarithmic], high[logarithmic] = (np.log(v[logarithmic]) for v in (scaled, low, high))
    scaled = (scaled - low) / (high - low).where(high > low, 1)
    for i, row in enumerate(scaled.to_numpy()):
        present, best = np.flatnonzero(np.isfinite(row)), i == len(scaled) - 1
        style = {"color": COLORS[1], "linewidth": 2.5} if best else {"color": plt.cm.Blues(0.2 + 0.7 * row[-1])}
        ax.plot(present, row[present], clip_on=False, **style)
    for x, name in enumerate(names):
        ax.axvline(x, color=BASELINE_COLOR, linewidth=0.8)
        for height, end in ((-0.03, done[name].min()), (1.03, done[name].max())):
            ax.text(x, height, f"{end:.3g}", ha="center", va="top" if height < 0 else "bottom", fontsize="small")
    ax.set_xticks(range(len(names)), [name.replace("val_auc", "validation_auc").replace("_", "\n") for name in names])
    ax.set(xlim=(0, len(names) - 1), ylim=(0, 1), yticks=[])
    if len(done) < len(trials):
        ax.set_title(f"{len(trials) - len(done)} of {len(trials)} trials failed", fontsize="small", pad=18)
    ax.tick_params(length=0, pad=18)
    ax.spines[:].set_visible(False)
    return ax
