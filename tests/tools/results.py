"""The stored results: takes over the numbers of a study, draws the figures, writes `data/results/README.md`.

python -m tests.tools.results readme           writes data/results/README.md from the CSV files and results.md.jinja
python -m tests.tools.results take NAME STUDY  takes over the numbers of a study's folder: NAME.csv (the verdicts),
                                               NAME_trials.csv and, where they exist, NAME_over_augmentation.csv,
                                               NAME_others.csv (without near-duplicates) and NAME_gap.csv
python -m tests.tools.results draw NAME STUDY  draws NAME.png, default_study or phantom: the numbers are those of the
                                               CSV files, the sample images those of the study's folder
python -m tests.tools.results page STUDY       photographs the top of a study's report page, report.png (needs chromium)
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from synthkit import plots, report, statistics, study
from synthkit.datasets.phantom import BEST_AUC
from synthkit.statistics import sentences
from tests.conftest import ROOT

RESULTS = ROOT / "data" / "results"
PAGE = RESULTS / "README.md"
RATES = ("sensitivity", "specificity")


def take(name, results):
    """Writes the numbers of a study that the results page shows."""
    results.summary().to_csv(RESULTS / f"{name}.csv", index=False)
    results.trials.to_csv(RESULTS / f"{name}_trials.csv", index=False)
    over = report.answers.over_augmentation(results, results.protocol["baseline"])
    if over is not None:
        over.to_csv(RESULTS / f"{name}_over_augmentation.csv", index=False)
    others = results.without_near_duplicates()
    if others:
        others.summary().to_csv(RESULTS / f"{name}_others.csv", index=False)
    if "oracle" in results.scores:
        gap = statistics.gap_closed(results.scores, results.labels, results.patients, overlap=results.overlap)
        gap.to_csv(RESULTS / f"{name}_gap.csv", index=False)


def draw_phantom(samples, path):
    """Draws test AUCs against the number of real images, for the arms that all sizes have, and sample images.

    Args:
        samples: study.Results, for the images.
        path: of the PNG file.
    """
    sizes = (50, 150, 500)
    tables = {size: areas(f"phantom_{size}") for size in sizes}
    arms = [arm for arm in tables[50].index if all(arm in table.index for table in tables.values())]
    fig = plt.figure(figsize=(11, 4.6), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1.15, 1])
    ax, colors = left.subplots(), plots.arm_colors(arms)
    for number, arm in enumerate(arms):
        rows = [tables[size].loc[arm] for size in sizes]
        x = [place + 0.05 * (number - len(arms) / 2) for place in range(len(sizes))]
        ax.plot(x, [row["mean"] for row in rows], "o-", color=colors[arm], markersize=5, linewidth=1.5)
        ax.vlines(x, [row["low"] for row in rows], [row["high"] for row in rows], color=colors[arm], linewidth=1)
    ends = {arm: tables[sizes[-1]].loc[arm, "mean"] for arm in arms}
    for arm, height in apart(ends, 0.014).items():
        name = {"real": "real images only", "oracle": "fresh images (oracle)"}.get(arm, arm)
        ax.text(len(sizes) - 0.78, height, name, color=colors[arm], va="center")
    ax.axhline(BEST_AUC, color=plots.BASELINE_COLOR, linestyle="--", linewidth=1)
    ax.text(-0.25, BEST_AUC + 0.002, "best possible", color=plots.BASELINE_COLOR, va="bottom", fontsize="small")
    ax.set_xticks(range(len(sizes)), sizes)
    ax.set(xlabel="real training images of each class", ylabel="test AUC", xlim=(-0.3, len(sizes) + 0.3))
    ax.spines[["top", "right"]].set_visible(False)
    draw_samples(samples, ["real", "conv_cvae", "diffusion", "oracle"], right)
    save(fig, path)


def apart(heights, gap):
    """Returns the heights of labels that are near the given ones and at least `gap` from each other, as a dict."""
    shifted, lowest = {}, -np.inf
    for name in sorted(heights, key=heights.get):
        lowest = shifted[name] = max(heights[name], lowest + gap)
    shift = np.mean(list(shifted.values())) - np.mean(list(heights.values()))
    return {name: height - shift for name, height in shifted.items()}


def draw_default_study(samples, path):
    """Draws the differences of the default study, and sample images of three of its arms; Args as `draw_phantom`."""
    fig = plt.figure(figsize=(11, 3.4), layout="constrained")
    left, right = fig.subfigures(1, 2, width_ratios=[1.15, 1])
    plots.forest(read("default_study"), "auc", left.subplots(), margin=statistics.MARGIN)
    draw_samples(samples, ["real", "dense_cvae", "oracle"], right)
    save(fig, path)


def draw_samples(samples, arms, figure):
    """Draws eight images of the first class for each arm."""
    for arm, ax in zip(arms, figure.subplots(len(arms), 1), strict=True):
        images = samples.samples[arm]
        plots.image_grid(images.images[images.labels == 0][:8], 8, ax)
        ax.set_title(f"{arm}, {samples.settings['class_names'][0]}", loc="left", fontsize="small")


def save(fig, path):
    """Saves a figure as a PNG file without the version of Matplotlib in it."""
    fig.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(fig)


def photograph(results, path, height=1010):
    """Photographs the top of a study's report page with Debian's chromium, up to a gap of lines, in 200 colours."""
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars"
    with tempfile.TemporaryDirectory() as profile:
        page = report.write(results, Path(profile) / "report.html")
        picture = Path(profile) / "page.png"
        flags += f" --user-data-dir={profile} --window-size=1000,{height} --screenshot={picture}"
        browser = shutil.which("chromium") or "chromium-browser"
        subprocess.run([browser, *flags.split(), page.as_uri()], check=True, stderr=subprocess.DEVNULL)
        image = Image.open(picture).convert("RGB")
    blank = (np.asarray(image.convert("L")) > 254).all(axis=1)
    rows = [row for row in range(12, height) if blank[row - 12 : row + 1].all()]
    # The usual method would give the few pixels of a line the colour of another.
    image = image.crop((0, 0, image.width, rows[-1])).quantize(
        200, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    image.save(path, optimize=True)


def read(name):
    return pd.read_csv(RESULTS / f"{name}.csv")


def areas(name):
    """Returns a study's AUCs and differences by arm."""
    return read(name).query("metric == 'auc'").set_index("arm")


def signed(value):
    return f"{value:+.3f}".replace("-", "−")


def interval(low, high, show="{:.3f}".format):
    return f"({show(low)} to {show(high)})"


def mean(name, arm, metric="auc"):
    """Returns an arm's mean over seeds."""
    return f"{read(name).set_index(['arm', 'metric']).loc[(arm, metric), 'mean']:.3f}"


def difference(name, arm):
    """Returns an arm's difference to the study's baseline, with its interval."""
    row = areas(name).loc[arm]
    return f"{signed(row['difference'])} {interval(row['difference_low'], row['difference_high'], signed)}"


def over_augmentation(name, arm):
    """Returns an arm's difference to classical augmentation, with its interval."""
    return difference(f"{name}_over_augmentation", arm)


def changed(name, other, arm):
    """Returns by how much an arm's AUC in one study differs from that in another, mean and range over the seeds."""
    first, second = (read(f"{study}_trials").set_index(["arm", "seed"]).loc[arm, "auc"] for study in (name, other))
    changes = first - second
    return f"{signed(changes.mean())} {interval(changes.min(), changes.max(), signed)}"


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
        lines.append(f"| {'' if lines else title} | {arm} | {area} | {change} | {sentences.label(row)} |")
    return "\n".join(lines)


def operating_rows(title, name):
    """Returns the lines of a study's table with AUC, sensitivity and specificity at the operating point."""
    lines, table = [], read(name).set_index(["metric", "arm"])
    for line, arm in zip(study_rows(title, name).split("\n"), areas(name).index, strict=True):
        rows = [table.loc[(metric, arm)] for metric in RATES]
        cells = [f"{row['mean']:.2f} {interval(row['low'], row['high'], '{:.2f}'.format)}" for row in rows]
        lines.append(f"{line} {' | '.join(cells)} |")
    return "\n".join(lines)


def gap_rows(count, name):
    """Returns the lines of a study on phantoms, with the percentage of the gap to the oracle that an arm closes."""
    gap, lines = read(f"{name}_gap").set_index("arm"), []
    for line, arm in zip(operating_rows(count, name).split("\n"), areas(name).index, strict=True):
        closed = percent(name, arm) if arm in gap.index else ""
        before, verdict, *rates = line.removesuffix(" |").rsplit(" | ", 3)
        lines.append(f"{before} | {closed} | {' | '.join([verdict, *rates])} |")
    return "\n".join(lines)


def recipe_rows(title, name):
    """Returns each seed's AUC, accuracy and sensitivity of ResNet-18 on BreastMNIST, and their means."""
    trials, table = read(f"{name}_trials"), read(name).set_index("metric")
    metrics = ("auc", "accuracy", "sensitivity")
    values = [", ".join(f"{value:.3f}" for value in trials[metric]) for metric in metrics]
    means = [table.loc[metric] for metric in metrics]
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


def quality_rows(table):
    """Returns a line for each generator's measurements."""
    lines = []
    for generator, row in read(table).set_index("generator").iterrows():
        cells = [f"{row[column]:.2f}" for column in ("precision", "recall", "coverage", "label_auc")]
        steps, seconds = ("" if row[key] != row[key] else f"{row[key]:,.0f}" for key in ("steps", "sampling_seconds"))
        lines.append(f"| {_generator(generator)} | {steps} | {row['kid']:.3f} | {' | '.join(cells)} | {seconds} |")
    return "\n".join(lines)


def guidance_rows(table):
    """Returns a line for each guidance of one diffusion model, and one for real images."""
    lines = []
    for row in read(table).to_dict("records"):
        if row["guidance"] != row["guidance"]:
            lines.append(f"| real |  |  |  |  |  |  | {row['label_auc']:.2f} |  |")
            continue
        cells = [f"{row[column]:.2f}" for column in ("precision", "recall", "coverage", "label_auc")]
        times = "all" if (row["first"], row["last"]) == (0, 1) else f"{row['first']:g} to {row['last']:g}"
        figures = f"{row['kid']:.3f} | {' | '.join(cells)} | {row['sampling_seconds']:.0f}"
        lines.append(f"| {row['guidance']:g} | {times} | {row['steps']:.0f} | {figures} |")
    return "\n".join(lines)


def guided_share(table, guidance, first):
    """Returns the label's AUC with this guidance from this time on as a percentage of that of real images."""
    rows = read(table)
    steps = rows["steps"] == USUAL_STEPS
    guided = rows[(rows["guidance"] == guidance) & (rows["first"] == first) & (rows["last"] == 1) & steps]
    return f"{100 * guided['label_auc'].item() / rows['label_auc'].iloc[0]:.0f} %"


def _generator(name):
    """Returns the words for a generator of `generator_quality`; the guidance of diffusion is 2 unless the name says."""
    name = {"keras_ddim": "DDIM of keras.io", "keras_cgan": "conditional GAN of keras.io"}.get(name, name)
    name = name.replace("diffusion_augment", "diffusion of transformed images")
    name = f"{name}_guidance_2" if name.startswith("diffusion") and "guidance" not in name else name
    for kind in ("_autoguidance_", "_guidance_"):
        name = name.replace(kind, f",{kind.replace('_', ' ')}")
    return name


def gan_training_rows():
    """Returns a line for each change of the training of the studies' GANs, and one for real images."""
    lines = []
    for name, row in read("gan_training_crops").set_index("generator").iterrows():
        steps = "" if row["steps"] != row["steps"] else f"{row['steps']:,.0f}"
        cells = f"{row['kid']:.2f} | {row['label_auc']:.2f} | {row['diversity']:.2f} | {row['class_difference']:.1f}"
        gan, _, change = name.partition(", ")
        change += ", second seed" if row["seed"] > 1 else ""
        lines.append(f"| {gan} | {change} | {steps} | {cells} |")
    return "\n".join(lines)


def gan_label_share():
    """Returns the label's AUC of the changes that worked, lowest to highest seed, in percent of that of real images."""
    rows = read("gan_training_crops").set_index("generator")["label_auc"]
    shares = 100 * rows["mammography_cgan, three together"] / rows["real"]
    return f"{shares.min():.0f} to {shares.max():.0f} %"


PLANNED_MARGIN = 0.02
PLANS = {  # studies with a frozen plan, by their real images, the earliest first
    "100 brain MRI slices": ("brain_25_plan", "brain_25_blend", "brain_25_gaussian", "brain_25_pretrained"),
    "BreastMNIST, five folds": (
        "breastmnist_plan",
        "breastmnist_pretrained",
        "breastmnist_gaussian",
        "breastmnist_pretrained_20",
        "breastmnist_pretrained_diffusion",
        "breastmnist_blend",
    ),
    "100 mammogram crops": ("mass_crops_50_plan",),
    "100 brain MRI slices, sets swapped": ("brain_25_swapped", "brain_25_swapped_vae"),
}
USUAL_STEPS = 16  # of the solver
SETTLED = ("100 brain MRI slices", "BreastMNIST, five folds")  # with enough test patients to show equivalence


MAIN = {  # the main comparison of each
    "mass_crops_50_plan": "conv_cvae pretrained x1",
    "brain_25_plan": "conv_cvae pretrained x1",
    "brain_25_blend": "blend x3",
    "breastmnist_plan": "diffusion x1",
    "breastmnist_pretrained": "conv_cvae pretrained x1",
    "brain_25_gaussian": "feature_gaussian x1",
    "brain_25_pretrained": "diffusion pretrained x1",
    "breastmnist_gaussian": "feature_gaussian x1",
    "breastmnist_pretrained_20": "conv_cvae pretrained x1",
    "breastmnist_pretrained_diffusion": "diffusion pretrained x1",
    "breastmnist_blend": "blend x3",
    "brain_25_swapped": "blend x3",
    "brain_25_swapped_vae": "conv_cvae pretrained x1",
    "brain_25_tuned": "blend x3",
}


def p_over_plans(study):
    """Returns the p-value of a plan's main comparison with Holm's correction for the main comparisons of all plans."""
    p = {name: areas(name).loc[f"{arm} augmented", "p"] for name, arm in MAIN.items()}
    smaller = sorted(value for value in p.values() if value <= p[study])
    return min(1.0, max(value * (len(p) - rank) for rank, value in enumerate(smaller)))


def if_patients_had(study, arm, images):
    """Returns the interval of a difference as if each test patient had so many images that are alike."""
    row = areas(study).loc[arm]
    half = (row["difference_high"] - row["difference_low"]) / 2
    half *= (1 + (images - 1) * row["patient_share"]) ** 0.5
    return interval(row["difference"] - half, row["difference"] + half, signed)


def seeds_above(study, arm):
    """Returns in how many seeds an arm's AUC is above that of augmentation, as text."""
    by_seed = read(f"{study}_trials").pivot_table(index="seed", columns="arm", values="auc")
    return f"{(by_seed[arm] > by_seed['augmentation']).sum()} of {len(by_seed)}"


def planned_arms():
    """Returns the arms with augmentation of studies with a frozen plan, without that ending, in an order of kinds."""
    names = {arm for studies in PLANS.values() for study in studies for arm in areas(study).index}
    names = [arm.removesuffix(" augmented") for arm in names if arm.endswith(" augmented")]
    kinds = ("diffusion", "conv_cvae", "blend", "feature_smote", "feature_gaussian", "feature_mixup", "oversample")
    return sorted(names, key=lambda arm: (kinds.index(arm.split()[0]), "pretrained" in arm, arm))


def planned(images, arm):
    """Returns the rows of an arm on top of augmentation in the frozen plans of these real images, by study."""
    tables = {study: areas(study) for study in PLANS[images]}
    return {
        study: table.loc[f"{arm} augmented"] for study, table in tables.items() if f"{arm} augmented" in table.index
    }


def planned_rows():
    """Returns a line for each arm: its difference to augmentation in each plan of each set of real images."""
    return "\n".join(f"|{'|'.join([arm, *_planned_cells(arm, PLANS)])}|" for arm in planned_arms())


def last_planned_rows():
    """Returns the README's lines: of the last plan of each arm, on the sets where equivalence can be shown."""
    lines = []
    for arm in planned_arms():
        cells = _planned_cells(arm, SETTLED, last=True)
        if any(cells) and arm not in ("oversample x3", "feature_mixup x1"):  # for want of space
            lines.append(f"|{'|'.join([arm.removesuffix(' x1'), *cells])}|")
    return "\n".join(lines)


def _planned_cells(arm, sets, last=False):
    """Returns what the plans of each set found; with `last` the last of them alone, marked where there were several."""
    cells = []
    for images in sets:
        rows = planned(images, arm)
        cell = [f"{difference(study, f'{arm} augmented')}{_mark(row)}" for study, row in rows.items()]
        cells.append(f"{cell[-1]}{'†' * (len(cell) > 1)}" if last and cell else "; ".join(cell))
    return cells


def planned_level():
    """Returns the README's line of augmentation alone: AUC in all plans, sensitivity and specificity in the first."""
    cells = []
    for images in SETTLED:
        levels = [areas(study).loc["augmentation", "mean"] for study in PLANS[images]]
        means = read(PLANS[images][0]).query("arm == 'augmentation'").set_index("metric")["mean"]
        rates = " / ".join(f"{means[metric]:.2f}" for metric in RATES)
        cells.append(f"{min(levels):.3f}–{max(levels):.3f}, {rates}")
    return f"|AUC, sensitivity / specificity|{'|'.join(cells)}|"


def planned_on_crops():
    """Returns from where to where the intervals reach on mammogram crops, where no arm with augmentation is decided."""
    (study,) = PLANS["100 mammogram crops"]
    rows = areas(study)
    rows = rows[rows.index.str.endswith(" augmented")]
    assert rows["verdict"].isin(("inconclusive", "not tested")).all()
    return f"{signed(rows['difference_low'].min())} to {signed(rows['difference_high'].max())}"


def _mark(row):
    return {"equivalent": " =", "helps": " helps", "hurts": " hurts"}.get(row["verdict"], "")


def _negligible(row):
    """Returns whether an arm is shown to change the AUC by less than the margin of the frozen plans."""
    within = row["difference_low"] > -PLANNED_MARGIN and row["difference_high"] < PLANNED_MARGIN
    return row["verdict"] == "equivalent" or (row["verdict"] in ("helps", "hurts") and within)


def negligible_on_both():
    """Returns the kinds of arms, without ratios, that are shown to change the AUC by less than the margin on both sets.

    Where two plans of a set tested an arm, the last one counts.
    """
    shown = {}
    for arm in planned_arms():
        for images in SETTLED:
            *_, last = planned(images, arm).values() or [None]
            if last is not None:
                shown.setdefault(arm.rsplit(" x", 1)[0], {}).setdefault(images, []).append(_negligible(last))
    kinds = [kind for kind, sets in shown.items() if len(sets) == len(SETTLED) and all(map(all, sets.values()))]
    return [f"`{kind}`" for kind in kinds]


def label_share(table, scale, kind="guidance"):
    """Returns the label's AUC, where diffusion is guided at this scale, as a percentage of that of real images."""
    label = read(table).set_index("generator")["label_auc"]
    name = "diffusion" if (kind, scale) == ("guidance", 2) else f"diffusion_{kind}_{scale}"
    return f"{100 * label[name] / label['real']:.0f} %"


def stability_rows():
    """Returns a line for each seed: the lowest diversity of a class, at any look and at the last, and KID at each."""
    lines = []
    for seed, rows in read("conv_cgan_stability").groupby("seed"):
        lowest = rows[["benign", "malignant"]].min(axis=1)
        curve = ", ".join(f"{kid:.2f}" for kid in rows["kid"])
        lines.append(f"| {seed} | {lowest.min():.2f} | {lowest.iloc[-1]:.2f} | {curve} |")
    return "\n".join(lines)


def reference(what):
    """Returns a single number that was measured."""
    return read("references").astype(str).set_index("what").loc[what, "value"]


def false_alarms():
    """Returns the lowest and highest percentage of simulated studies without any effect in which one is found."""
    rates = read("error_rates").query("counted == 'any false alarm'")
    return f"{100 * rates['share'].min():.1f} to {100 * rates['share'].max():.1f}"


def error_rows(name="error_rates"):
    """Returns the lines of a table of simulated studies."""
    rows = read(name).to_dict("records")
    line = "| {design} | {counted} | {share:.3f} ({low:.3f} to {high:.3f}) | {wanted} | {studies} |"
    return "\n".join(line.format(**row) for row in rows)


def listed(values):
    *most, last = values
    return f"{', '.join(most)} and {last}"


def page():
    """Returns the text of the results page."""
    default, trials = read("default_study"), read("default_study_trials")
    by_seed = trials.pivot_table(index="seed", columns="arm", values="auc")
    names = ("phantom_150", "phantom_150_designs")
    one, other = (read(f"{name}_trials").set_index(["arm", "seed"])["auc"] for name in names)
    changes = (one - other).dropna()
    recipes = [areas(f"breastmnist_resnet18_{recipe}").loc["real", "mean"] for recipe in ("medmnist", "medmnist_study")]
    labels = read("generator_quality_phantom").itertuples()
    template = Path(__file__).with_suffix(".md.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(
        study_rows=study_rows,
        operating_rows=operating_rows,
        gap_rows=gap_rows,
        recipe_rows=recipe_rows,
        generator_rows=generator_rows(),
        quality_rows=quality_rows,
        gan_training_rows=gan_training_rows,
        gan_label_share=gan_label_share,
        guidance_rows=guidance_rows,
        guided_share=guided_share,
        label_share=label_share,
        planned_rows=planned_rows(),
        planned_margin=PLANNED_MARGIN,
        patient_share=lambda name, arm: areas(name).loc[arm, "patient_share"],
        on_both=listed(negligible_on_both()),
        plans=len(MAIN),
        p=lambda name, arm: areas(name).loc[arm, "p_holm"],
        p_over_plans=p_over_plans,
        if_patients_had=if_patients_had,
        seeds_above=seeds_above,
        more_real=signed(areas("brain_25_plan").loc["more_real", "mean"] - areas("brain_25_plan").loc["real", "mean"]),
        crops_test=340,
        kid=lambda table, generator: read(table).set_index("generator").loc[generator, "kid"],
        largest_error=lambda table: f"{read(table)['kid_error'].max():.2f}",
        stability_rows=stability_rows(),
        difference=difference,
        over_augmentation=over_augmentation,
        p_over_augmentation=lambda name, arm: areas(f"{name}_over_augmentation").loc[arm, "p_holm"],
        verdict_over_augmentation=lambda name, arm: areas(f"{name}_over_augmentation").loc[arm, "verdict"],
        percent=percent,
        changed=changed,
        verdict=lambda name, arm: areas(name).loc[arm, "verdict"],
        mean=mean,
        recipes_apart=f"{recipes[0] - recipes[1]:.3f}",
        reference=reference,
        run_row=run_row,
        default_study=report.table(default),
        seeds_apart=listed(map(signed, by_seed["dense_cvae"] - by_seed["real"])),
        processors={"trial": f"{changes.abs().max():.3f}", "mean": f"{changes.groupby('arm').mean().abs().max():.3f}"},
        error_rows=error_rows(),
        simulated=f"{read('error_rates')['studies'].max():,}",
        fidelity_rows=error_rows("error_rates_fidelity"),
        fidelity_simulated=f"{read('error_rates_fidelity')['studies'].min():,}",
        phantom_labels=listed(f"{row.label_auc:.2f} ({row.generator})" for row in labels),
    )


def run_row(title, name, commit):
    """Returns the line of a study's run: its trials, their minutes, the commit that stored its numbers."""
    trials = read(f"{name}_trials")
    arms, seeds = trials["arm"].nunique(), trials["seed"].nunique()
    return f"| {title} | {arms} × {seeds} | {trials['seconds'].sum() / 60:.0f} | {commit} |"


DRAW = {"default_study": draw_default_study, "phantom": draw_phantom}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("readme")
    commands.add_parser("page").add_argument("study")
    for command, names in (("take", None), ("draw", DRAW)):
        commands.add_parser(command).add_argument("name", choices=names)
        commands.choices[command].add_argument("study")
    arguments = parser.parse_args(argv)
    if arguments.command == "readme":
        PAGE.write_text(page(), encoding="utf-8")
        return
    results = study.load(arguments.study)
    if arguments.command == "take":
        take(arguments.name, results)
    elif arguments.command == "draw":
        DRAW[arguments.name](results, RESULTS / f"{arguments.name}.png")
    else:
        photograph(results, RESULTS / "report.png")


if __name__ == "__main__":
    main()
