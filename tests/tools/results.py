"""What the README rests on: `python -m tests.tools.results NAME STUDY` takes a study's figures over into `data/results/`.

Writes NAME.csv (the verdicts) and NAME_trials.csv; NAME_over_augmentation.csv, the verdicts against the arm
augmentation, where there is one; NAME_others.csv where test images are near-copies, the verdicts on the others;
NAME_gap.csv where there is an oracle. Of several studies of phantoms, `python -m tests.tools.results NAME STUDY STUDY …`,
each with another number of real images of each class, it is NAME_50.csv and so on, and the picture NAME.png.
"""

import sys

import matplotlib.pyplot as plt

from synthkit import plots, statistics
from synthkit.study import results
from tests.conftest import ROOT

RESULTS = ROOT / "data" / "results"


def take_over(name, found):
    """Copies what the README shows of a study."""
    found.summary().to_csv(RESULTS / f"{name}.csv", index=False)
    found.trials.to_csv(RESULTS / f"{name}_trials.csv", index=False)
    if "augmentation" in found.scores:
        found.summary(baseline="augmentation").to_csv(RESULTS / f"{name}_over_augmentation.csv", index=False)
    apart = found.without_near_duplicates()
    if apart:
        apart.summary().to_csv(RESULTS / f"{name}_others.csv", index=False)
    if "oracle" in found.scores:
        gap = statistics.gap_closed(found.scores, found.labels, found.patients)
        gap.to_csv(RESULTS / f"{name}_gap.csv", index=False)


def draw(studies, path):
    """Draws the test AUC of the arms that all studies have against the number of real images, and the middle's images.

    Args:
        studies: dict from real images of each class to Results.
        path: where to.
    """
    summaries = {size: found.summary().query("metric == 'auc'").set_index("arm") for size, found in studies.items()}
    shared = [arm for arm in next(iter(summaries.values())).index if all(arm in s.index for s in summaries.values())]
    fig = plt.figure(figsize=(11, 4.6), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1.15, 1])
    ax, colors, sizes = left.subplots(), plots.arm_colors(shared), list(studies)
    ends = {}
    for place, arm in enumerate(shared):
        rows = [summaries[size].loc[arm] for size in sizes]
        x = [number + 0.05 * (place - len(shared) / 2) for number in range(len(sizes))]
        ax.plot(x, [row["mean"] for row in rows], "o-", color=colors[arm], markersize=5, linewidth=1.5)
        for here, row in zip(x, rows, strict=True):
            ax.plot([here, here], [row["low"], row["high"]], color=colors[arm], linewidth=1)
        ends[arm] = rows[-1]["mean"]
    order, heights, lowest = sorted(ends, key=ends.get), [], -1.0
    for arm in order:  # names beside the lines' ends, none over another
        lowest = max(ends[arm], lowest + 0.014)
        heights.append(lowest)
    higher = sum(heights) / len(heights) - sum(ends.values()) / len(ends)
    for arm, height in zip(order, heights, strict=True):
        what = {"real": "real images only", "oracle": "fresh images (oracle)"}.get(arm, arm)
        ax.text(len(sizes) - 0.78, height - higher, what, color=colors[arm], va="center")
    ax.axhline(0.9, color=plots.BASELINE, linestyle="--", linewidth=1)
    ax.text(-0.25, 0.902, "the best that any classifier can reach", color=plots.BASELINE, va="bottom", fontsize="small")
    ax.set_xticks(range(len(sizes)), [f"{size}" for size in sizes])
    ax.set(xlabel="real training images of each class", ylabel="test AUC", xlim=(-0.3, len(sizes) + 0.3))
    ax.spines[["top", "right"]].set_visible(False)
    found = studies[sizes[len(sizes) // 2]]
    shown = [arm for arm in shared if arm not in ("augmentation", "oversample")]
    for arm, ax in zip(shown, right.subplots(len(shown), 1), strict=True):
        images = found.samples[arm]
        plots.image_grid(images.images[images.labels == 0][:8], 8, ax)
        ax.set_title(f"{arm}, {found.settings['class_names'][0]}", loc="left", fontsize="small")
    fig.savefig(path, dpi=110)
    plt.close(fig)


if __name__ == "__main__":
    name, *studies = sys.argv[1:]
    if len(studies) == 1:
        take_over(name, results.load(studies[0]))
    else:
        found = sorted(map(results.load, studies), key=lambda found: found.settings["train_per_class"])
        found = {study.settings["train_per_class"]: study for study in found}
        for size, study in found.items():
            take_over(f"{name}_{size}", study)
        draw(found, RESULTS / f"{name}.png")
