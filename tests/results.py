"""What the README rests on: `python -m tests.results STUDY NAME` takes a study's figures over into `data/results/`.

Writes NAME.csv (the verdicts) and NAME_trials.csv; NAME_others.csv where test images are near-copies, the verdicts on
the others; NAME_gap.csv and the picture NAME.png where there is an oracle.
"""

import sys

import matplotlib.pyplot as plt
from matplotlib import ticker

from synthkit import plots, results, statistics
from tests.conftest import ROOT

RESULTS = ROOT / "data" / "results"


def take_over(study, name):
    """Copies what the README shows of a study."""
    found = results.load(study)
    found.summary().to_csv(RESULTS / f"{name}.csv", index=False)
    found.trials.to_csv(RESULTS / f"{name}_trials.csv", index=False)
    apart = found.without_near_copies()
    if apart:
        apart.summary().to_csv(RESULTS / f"{name}_others.csv", index=False)
    if "oracle" in found.scores:
        gap = statistics.gap_closed(found.scores, found.labels, found.patients)
        gap.to_csv(RESULTS / f"{name}_gap.csv", index=False)
        draw(found, gap, RESULTS / f"{name}.png")


def draw(found, gap, path):
    """Draws the share of the gap that every arm closes, and some of the images it has to do it with."""
    fig = plt.figure(figsize=(11, 4.2), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1, 1.1])
    ax, colors = left.subplots(), plots.arm_colors(list(found.scores))
    gap = gap.iloc[::-1]
    for place, row in enumerate(gap.itertuples()):
        ax.plot([row.low, row.high], [place, place], color=colors[row.arm], linewidth=2)
        ax.plot(row.share, place, "o", color=colors[row.arm], markersize=7)
    for share, what in ((0, "real only"), (1, "fresh images from\nthe simulator")):
        ax.axvline(share, color=plots.BASELINE, linestyle="--", linewidth=1)
        ax.text(share, len(gap) - 0.4, what, ha="center", va="bottom", fontsize="small", color=plots.BASELINE)
    ax.set_yticks(range(len(gap)), gap["arm"])
    ax.xaxis.set_major_formatter(ticker.PercentFormatter(1))
    ax.set(xlabel="share of the gap in test AUC that is closed", ylim=(-0.6, len(gap) - 0.4))
    ax.spines[["top", "right"]].set_visible(False)
    shown = [arm for arm in found.samples if arm not in ("augmentation", "oversample", "shuffled")]
    for arm, ax in zip(shown, right.subplots(len(shown), 1), strict=True):
        images = found.samples[arm]
        plots.image_grid(images.images[images.labels == 0][:8], 8, ax)
        ax.set_title(f"{arm}, {found.settings['class_names'][0]}", loc="left", fontsize="small")
    fig.savefig(path, dpi=110)
    plt.close(fig)


if __name__ == "__main__":
    take_over(*sys.argv[1:])
