"""The stored results: takes over the numbers of a study, draws the figures, writes `data/results/README.md`.

python -m tests.tools.results                     writes data/results/README.md from the CSV files
python -m tests.tools.results NAME STUDY          takes over a study: NAME.csv (the verdicts), NAME_trials.csv and,
                                                  where they exist, NAME_over_augmentation.csv, NAME_others.csv
                                                  (without near-duplicates) and NAME_gap.csv
python -m tests.tools.results NAME STUDY STUDY …  the same for studies with different numbers of real images, NAME_50
                                                  and so on, and their figure, NAME.png
python -m tests.tools.results default_study STUDY the same, and default_study.png
python -m tests.tools.results page STUDY          a picture of the top of a study's page, report.png (needs chromium)
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import pandas as pd

from synthkit import plots, report, statistics, study
from tests.conftest import ROOT

RESULTS = ROOT / "data" / "results"
PAGE = RESULTS / "README.md"


def take_over(name, results):
    """Copies the numbers of a study that the results page shows."""
    results.summary().to_csv(RESULTS / f"{name}.csv", index=False)
    results.trials.to_csv(RESULTS / f"{name}_trials.csv", index=False)
    if "augmentation" in results.scores:
        results.summary(baseline="augmentation").to_csv(RESULTS / f"{name}_over_augmentation.csv", index=False)
    apart = results.without_near_duplicates()
    if apart:
        apart.summary().to_csv(RESULTS / f"{name}_others.csv", index=False)
    if "oracle" in results.scores:
        gap = statistics.gap_closed(results.scores, results.labels, results.patients)
        gap.to_csv(RESULTS / f"{name}_gap.csv", index=False)


def draw_sizes(studies, path):
    """Draws the test AUC of the arms that all studies have against the number of real images, and sample images.

    Args:
        studies: dict from real images of each class to Results.
        path: of the PNG file.
    """
    summaries = {size: results.summary().query("metric == 'auc'").set_index("arm") for size, results in studies.items()}
    shared = [arm for arm in next(iter(summaries.values())).index if all(arm in s.index for s in summaries.values())]
    fig = plt.figure(figsize=(11, 4.6), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1.15, 1])
    ax, colors, sizes = left.subplots(), plots.arm_colors(shared), list(studies)
    last = {}
    for place, arm in enumerate(shared):
        rows = [summaries[size].loc[arm] for size in sizes]
        x = [number + 0.05 * (place - len(shared) / 2) for number in range(len(sizes))]
        ax.plot(x, [row["mean"] for row in rows], "o-", color=colors[arm], markersize=5, linewidth=1.5)
        for position, row in zip(x, rows, strict=True):
            ax.plot([position, position], [row["low"], row["high"]], color=colors[arm], linewidth=1)
        last[arm] = rows[-1]["mean"]
    order, heights, lowest = sorted(last, key=last.get), [], -1.0
    for arm in order:  # names beside the lines' ends, none over another
        lowest = max(last[arm], lowest + 0.014)
        heights.append(lowest)
    shift = sum(heights) / len(heights) - sum(last.values()) / len(last)
    for arm, height in zip(order, heights, strict=True):
        name = {"real": "real images only", "oracle": "fresh images (oracle)"}.get(arm, arm)
        ax.text(len(sizes) - 0.78, height - shift, name, color=colors[arm], va="center")
    ax.axhline(0.9, color=plots.BASELINE_COLOR, linestyle="--", linewidth=1)
    ax.text(-0.25, 0.902, "best possible classifier", color=plots.BASELINE_COLOR, va="bottom", fontsize="small")
    ax.set_xticks(range(len(sizes)), [f"{size}" for size in sizes])
    ax.set(xlabel="real training images of each class", ylabel="test AUC", xlim=(-0.3, len(sizes) + 0.3))
    ax.spines[["top", "right"]].set_visible(False)
    middle = studies[sizes[len(sizes) // 2]]
    draw_samples(middle, [arm for arm in shared if arm not in ("augmentation", "oversample")], right)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def draw_default(results, path):
    """Draws the differences of the default study and malignant images of three of its arms."""
    fig = plt.figure(figsize=(11, 3.4), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1.15, 1])
    plots.forest(results.summary(), "auc", left.subplots(), margin=statistics.MARGIN)
    draw_samples(results, ["real", "dense_cvae", "oracle"], right)
    fig.savefig(path, dpi=110)
    plt.close(fig)


def draw_samples(results, arms, figure):
    """Draws eight images of the first class for each arm."""
    for arm, ax in zip(arms, figure.subplots(len(arms), 1), strict=True):
        samples = results.samples[arm]
        plots.image_grid(samples.images[samples.labels == 0][:8], 8, ax)
        ax.set_title(f"{arm}, {results.settings['class_names'][0]}", loc="left", fontsize="small")


def photograph(folder, path):
    """Photographs the top of a study's report page with Debian's chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
    page = report.write(study.load(folder), Path(folder) / "report.html").resolve()
    with tempfile.TemporaryDirectory() as profile:
        flags = (
            "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars "
        )
        flags += f"--user-data-dir={profile} --window-size=1000,1150 --screenshot={path}"
        subprocess.run([browser, *flags.split(), page.as_uri()], check=True, stderr=subprocess.DEVNULL)


def read(name):
    return pd.read_csv(RESULTS / f"{name}.csv")


def areas(name):
    """Returns a study's AUCs and differences by arm."""
    return read(name).query("metric == 'auc'").set_index("arm")


def signed(value):
    return f"{value:+.3f}".replace("-", "−")


def interval(low, high, show="{:.3f}".format):
    return f"({show(low)} to {show(high)})"


def difference(name, arm):
    """Returns an arm's difference to real images only, with its interval."""
    row = areas(name).loc[arm]
    return f"{signed(row['difference'])} {interval(row['difference_low'], row['difference_high'], signed)}"


def over_augmentation(name, arm):
    """Returns an arm's difference to classical augmentation, with its interval."""
    return difference(f"{name}_over_augmentation", arm)


def percent(name, arm):
    """Returns the percentage of the gap to the oracle that an arm closes, with its interval."""
    row = 100 * read(f"{name}_gap").set_index("arm").loc[arm, ["share", "low", "high"]]
    return f"{row['share']:.0f} % ({row['low']:.0f} to {row['high']:.0f} %)".replace("-", "−")


def study_rows(title, name):
    """Returns the lines of a study's table, the first with its title."""
    lines = []
    for arm, row in areas(name).iterrows():
        change = "" if row["verdict"] == "baseline" else difference(name, arm)
        area = f"{row['mean']:.3f} {interval(row['low'], row['high'])}"
        lines.append(f"| {'' if lines else title} | {arm} | {area} | {change} | {row['verdict']} |")
    return "\n".join(lines)


def gap_rows(count, name):
    """Returns the lines of a study on phantoms, with the percentage of the gap to the oracle that an arm closes."""
    gap, lines = read(f"{name}_gap").set_index("arm"), []
    for line, arm in zip(study_rows(count, name).split("\n"), areas(name).index, strict=True):
        closed = percent(name, arm) if arm in gap.index else ""
        before, _, verdict = line.removesuffix(" |").rpartition(" | ")
        lines.append(f"{before} | {closed} | {verdict} |")
    return "\n".join(lines)


def recipe_rows(title, name):
    """Returns each seed's AUC and accuracy of ResNet-18 on BreastMNIST, and their means."""
    trials, table = read(f"{name}_trials"), read(name).set_index("metric")
    values = [", ".join(f"{value:.3f}" for value in trials[metric]) for metric in ("auc", "accuracy")]
    means = [table.loc[metric] for metric in ("auc", "accuracy")]
    means = [f"{row['mean']:.3f} {interval(row['low'], row['high'])}" for row in means]
    seeds = ", ".join(map(str, trials["seed"]))
    return f"| {title}, seeds {seeds} | {' | '.join(values)} |\n| its mean (95 %) | {' | '.join(means)} |"


def generator_rows():
    """Returns a line for each generator: means over seeds, lowest to highest."""
    columns = {"classifier_kid_train": 4, "classifier_kid_validation": 4, "pixel_kid_train": 3, "label_auc": 2}
    lines = []
    for name, rows in read("generator_quality_breastmnist").groupby("generator", sort=False):
        cells = [f"{name}, {rows['epochs'].iloc[0]} epochs"]
        for column, digits in columns.items():
            show = f"{{:.{digits}f}}".format
            cells.append(f"{show(rows[column].mean())} {interval(rows[column].min(), rows[column].max(), show)}")
        lines.append(f"| {' | '.join(cells)} | {rows['cpu_seconds'].mean() / 60:.1f} |")
    return "\n".join(lines)


def stability_rows():
    """Returns a line for each seed: the lowest diversity of a class, at any look and at the last, and KID at each."""
    lines = []
    for seed, rows in read("conv_cgan_stability").groupby("seed"):
        lowest = rows[["benign", "malignant"]].min(axis=1)
        curve = ", ".join(f"{kid:.2f}" for kid in rows["kid"])
        lines.append(f"| {seed} | {lowest.min():.2f} | {lowest.iloc[-1]:.2f} | {curve} |")
    return "\n".join(lines)


def listed(values):
    *most, last = values
    return f"{', '.join(most)} and {last}"


def page():
    """Returns the text of the results page."""
    default, trials = read("default_study"), read("default_study_trials")
    by_seed = trials.pivot_table(index="seed", columns="arm", values="auc")
    names = ("phantom_150", "phantom_150_designs")
    one, other = (read(f"{name}_trials").set_index(["arm", "seed"])["auc"] for name in names)
    apart = (one - other).dropna()
    rates = 100 * read("error_rates").query("arms == 1")["share"]
    labels = read("generator_quality_phantom").itertuples()
    template = Path(__file__).with_suffix(".md.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(
        study_rows=study_rows,
        gap_rows=gap_rows,
        recipe_rows=recipe_rows,
        generator_rows=generator_rows(),
        stability_rows=stability_rows(),
        difference=difference,
        over_augmentation=over_augmentation,
        p_over_augmentation=lambda name, arm: areas(f"{name}_over_augmentation").loc[arm, "p_holm"],
        percent=percent,
        auc=lambda name, arm: f"{areas(name).loc[arm, 'mean']:.3f}",
        seed_aucs=lambda name, arm: listed(f"{auc:.3f}" for auc in read(f"{name}_trials").query("arm == @arm")["auc"]),
        reference=lambda place: read("references")["value"].astype(str)[place],
        default_study=report._table(default),
        seeds_apart=listed(map(signed, by_seed["dense_cvae"] - by_seed["real"])),
        processors={"trial": f"{apart.abs().max():.3f}", "mean": f"{apart.groupby('arm').mean().abs().max():.3f}"},
        false_alarms=f"{rates.min():.1f} to {rates.max():.1f}",
        phantom_labels=listed(f"{row.label_auc:.2f} ({row.generator})" for row in labels),
    )


def main(arguments):
    if not arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return
    name, *folders = arguments
    if name == "page":
        photograph(folders[0], RESULTS / "report.png")
    elif len(folders) == 1:
        results = study.load(folders[0])
        take_over(name, results)
        if name == "default_study":
            draw_default(results, RESULTS / "default_study.png")
    else:
        by_size = {results.settings["train_per_class"]: results for results in map(study.load, folders)}
        by_size = dict(sorted(by_size.items()))
        for size, results in by_size.items():
            take_over(f"{name}_{size}", results)
        draw_sizes(by_size, RESULTS / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
