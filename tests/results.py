"""Files the README rests on: `python -m tests.results STUDY NAME` takes a study's figures over into `data/results/`.

Writes NAME.csv (the verdicts), NAME_trials.csv and, where there is an oracle, NAME_gap.csv. Without arguments it draws
the figures anew from what lies there.
"""

import sys

import matplotlib.pyplot as plt
import pandas as pd

from synthkit import arms, plots, results, statistics
from tests.conftest import ROOT

RESULTS = ROOT / "data" / "results"
GAP = {50: "phantom_50", 150: "phantom_150", 500: "phantom_500"}  # real images of each class: the study


def take_over(study, name):
    """Copies what the README shows of a study."""
    found = results.load(study)
    found.summary().to_csv(RESULTS / f"{name}.csv", index=False)
    found.trials.to_csv(RESULTS / f"{name}_trials.csv", index=False)
    if "oracle" in found.scores:
        gap = statistics.gap_closed(found.scores, found.labels, found.patients)
        gap.to_csv(RESULTS / f"{name}_gap.csv", index=False)


def draw_gap():
    """Draws the phantoms' figure: test AUC of the arms that matter against the number of real images."""
    parts = [pd.read_csv(RESULTS / f"{name}.csv").assign(images=count) for count, name in GAP.items()]
    table = pd.concat(parts)
    table = table[table["metric"] == "auc"]
    fig, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
    names = [arm for arm in table["arm"].unique() if arm not in ("oversample", "shuffled")]
    colors = plots.arm_colors(names)
    ends = []
    for name in names:
        rows = table[table["arm"] == name].sort_values("images")
        ax.fill_between(rows["images"], rows["low"], rows["high"], color=colors[name], alpha=0.1, linewidth=0)
        ax.plot(rows["images"], rows["mean"], "o-", color=colors[name], linewidth=1.8, markersize=5)
        ends.append((rows["mean"].iloc[-1], name))
    ax.axhline(arms.BEST_AUC, color="#555555", linestyle=":", linewidth=1.2)
    ax.annotate("the best possible classifier", (min(GAP), arms.BEST_AUC), xytext=(0, 4), textcoords="offset points")
    ax.set_xscale("log")
    ax.set_xticks(list(GAP), [str(count) for count in GAP])
    ax.minorticks_off()
    height = -1.0
    for mean, name in sorted(ends):  # names beside their lines' ends, one above the other
        height = max(mean, height + 0.011)
        ax.annotate(name, (max(GAP), height), xytext=(8, -4), textcoords="offset points", color=colors[name])
    ax.set(xlabel="real training images of each class", ylabel="test AUC")
    ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(RESULTS / "phantom_gap.png", dpi=110)
    plt.close(fig)


if __name__ == "__main__":
    if sys.argv[1:]:
        take_over(*sys.argv[1:])
    else:
        draw_gap()
