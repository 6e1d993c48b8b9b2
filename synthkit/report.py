"""Results → text for the terminal, and one HTML page that needs no network and no other file."""

import base64
import io
import math
import textwrap
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import numpy as np

from synthkit import catalogue, plots
from synthkit._files import replacing
from synthkit.statistics import MARGIN, verdicts


def text(results, summary):
    """Returns the verdicts, and what the control arms and the study's power mean for them, as text for a terminal.

    Args:
        results: study.Results.
        summary: DataFrame of `results.summary()`.
    """
    sentences = [*verdicts.controls(summary), *verdicts.power(summary)]
    rescored = results.without_near_duplicates()
    blocks = [_table(summary), "\n".join(textwrap.fill(sentence, 100) for sentence in sentences)]
    blocks.append(textwrap.fill(_near_duplicates(results, rescored), 100))
    if rescored:
        blocks.append(_table(rescored.summary()))
    return "\n\n".join(block for block in blocks if block)


def _table(summary):
    """Returns the AUCs and verdicts as a table of text."""
    rows = summary[summary["metric"] == "auc"].to_dict("records")
    width = max(12, *(len(row["arm"]) for row in rows)) + 2
    lines = [f"{'arm':{width}}{'AUC':>5}  {'95 %':14}  {'difference':>10}  {'95 %':16}  {'p (Holm)':>8}  verdict"]
    for row in rows:
        line = f"{row['arm']:{width}}{row['mean']:.3f}  {row['low']:.3f} to {row['high']:.3f}  "
        if isinstance(row["verdict"], str) and row["verdict"] != "baseline":
            interval = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
            line += f"{row['difference']:+10.3f}  {interval}  {row['p_holm']:8.2g}  "
        else:
            line += " " * 40
        lines.append(line + verdicts.label(row))
    return "\n".join(lines)


def _near_duplicates(results, rescored):
    number, limit = (results.settings.get(key) for key in ("near_duplicates", "near_duplicates_above"))
    return verdicts.near_duplicates(len(number or ()), len(results.labels), limit or 0.97, rescored is not None)


def write(results, path, summary=None, margin=MARGIN):
    """Writes the report page.

    Args:
        results: study.Results.
        path: of the HTML file.
        summary: DataFrame of `results.summary()`; None computes it.
        margin: the margin of that summary: a difference smaller than this is too small to matter.

    Returns:
        pathlib.Path, the path.
    """
    summary = results.summary(margin=margin) if summary is None else summary
    rescored = results.without_near_duplicates()
    others = rescored.summary(margin=margin) if rescored else summary.head(0)
    class_names = results.settings["class_names"]
    name = results.settings.get("positive")
    positive = class_names.index(name) if name else len(class_names) - 1
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    with plt.rc_context({"text.parse_math": False, "font.size": 11, "svg.fonttype": "path", "figure.dpi": 100}):
        figures = {
            "forest": _forest(summary, margin),
            "samples": _samples(results),
            "roc": _per_arm(results, _draw_curve(plots.roc, results, positive)),
            "precision_recall": _per_arm(results, _draw_curve(plots.precision_recall, results, positive)),
            "confusion": _per_arm(results, _draw_confusion(results, class_names)),
            "history": _histories(results),
        }
    trials, aucs = results.trials, summary[summary["metric"] == "auc"]
    done = trials[trials["status"] == "done"]
    baselines = aucs["arm"][aucs["verdict"] == "baseline"]
    hidden = ("versions", "arms", "near_duplicates", "near_duplicates_above")
    page = environment.get_template("report.html.jinja").render(
        rows=summary.to_dict("records"),
        baseline=baselines.iloc[0] if len(baselines) else None,
        sentences=[_unbroken(verdicts.sentence(row)) for row in aucs.to_dict("records")],
        notes=map(_unbroken, [*verdicts.controls(summary, margin), *verdicts.power(summary, margin)]),
        near_duplicates=_near_duplicates(results, rescored),
        others=others[others["metric"] == "auc"].to_dict("records"),
        label=verdicts.label,
        margin=margin,
        further=[metric for metric in summary["metric"].unique() if metric not in ("auc", "accuracy")],
        figures=figures,
        positive=class_names[positive],
        settings={key: value for key, value in results.settings.items() if key not in hidden},
        arms=[_arm(arm, settings, done) for arm, settings in results.settings["arms"].items()],
        finished=len(results.scores),
        versions=results.settings.get("versions", {}),
        seeds=results.seeds,
        trials=trials.to_dict("records"),
        steps=f"{done['steps'].max():.0f}" if len(done) else results.settings.get("steps"),  # of done trials, if any
        failed=trials[trials["status"] != "done"].to_dict("records"),
        minutes=trials["seconds"].sum() / 60,
        images=len(results.labels),
        patients=len(np.unique(results.patients)),
    )
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")
    return Path(path)


def _unbroken(sentence):
    """Returns a sentence in which no line ends between a number and its percent sign."""
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")


def _arm(name, settings, done):
    """Returns what the page says about an arm: its text in the catalogue, its numbers of images, its settings."""
    first, *endings = name.split(" ")
    try:
        catalogue.check([name])
        texts = [catalogue.texts()[first], *(catalogue.ENDINGS[ending] for ending in endings if ending[0] != "x")]
    except ValueError:
        texts = []  # an arm of the user's own
    trials = done[done["arm"] == name]
    images = [f"{trials[column].iloc[0]:.0f}" if len(trials) else "" for column in ("n_real", "n_synthetic")]
    others = [f"{key} {value}" for key, value in settings.items() if key not in ("ratio", "code")]
    return {"name": name, "text": "; ".join(texts), "images": images, "settings": ", ".join(others)}


def _embed(figure, kind="svg", **options):
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, bbox_inches="tight", **options)
    plt.close(figure)
    mime = {"svg": "image/svg+xml", "png": "image/png"}[kind]
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _forest(summary, margin):
    arms = (summary["difference"].notna() & (summary["metric"] == "auc")).sum()
    if not arms:
        return None
    figure, axes = plt.subplots(2, 1, figsize=(6.5, 1.6 + 0.75 * arms), sharex=True, layout="constrained")
    for metric, ax in zip(("auc", "accuracy"), axes, strict=True):
        plots.forest(summary, metric, ax, margin=margin)
    return _embed(figure)


def _samples(results):
    """Returns a picture for every class, with a row of sample images for every arm; oversample's are those of real."""
    arms = [arm for arm in results.samples if arm != "oversample"]
    pictures = []
    for label, name in enumerate(results.settings["class_names"]):
        figure, axes = plt.subplots(len(arms), 1, figsize=(7, 1.02 * len(arms)), squeeze=False, layout="constrained")
        for arm, ax in zip(arms, axes[:, 0], strict=True):
            samples = results.samples[arm]
            images = samples.images[samples.labels == label]
            if len(images):
                plots.image_grid(images, 8, ax)
            ax.set_axis_off()
            ax.set_title(arm, loc="left", fontsize=10, pad=2)
        pictures.append({"name": name, "source": _embed(figure, "png", dpi=160)})
    return pictures


def _per_arm(results, draw):
    arms = list(results.scores)
    if not arms:
        return None
    columns = min(3, len(arms))
    rows = math.ceil(len(arms) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.6 * columns, 2.8 * rows), squeeze=False, layout="constrained")
    for ax in axes.flat[len(arms) :]:
        ax.set_axis_off()
    for arm, ax in zip(arms, axes.flat, strict=False):
        draw(arm, ax)
        ax.set_title(arm, fontsize=11)
        ax.label_outer()
    return _embed(figure)


def _draw_curve(curve, results, positive):
    colors = plots.arm_colors(results.scores)

    def draw(arm, ax):
        if "real" in results.scores and arm != "real":
            curve(results.labels, results.scores["real"], positive, color=plots.BASELINE_COLOR, ax=ax)
        curve(results.labels, results.scores[arm], positive, color=colors[arm], ax=ax)

    return draw


def _draw_confusion(results, class_names):
    return lambda arm, ax: plots.confusion(results.labels, results.scores[arm], class_names, ax)


def _histories(results):
    if not results.histories:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for key, ax in zip(("loss", "val_auc"), axes, strict=True):
        plots.history(results.histories, key, ax)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return _embed(figure)
