"""Results → one HTML page that needs nothing else: no network, no other file."""

import base64
import io
import math
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import numpy as np

from synthkit import plots
from synthkit.leaks import NEAR_COPY
from synthkit.statistics import MARGIN, sentence


def controls(summary, margin=MARGIN):
    """Returns what the control arms say of the study itself: a list of sentences.

    Args:
        summary: DataFrame of `results.summary()`.
        margin: the one that it was made with.
    """
    verdicts = summary[summary["metric"] == "auc"].set_index("arm")["verdict"].to_dict()
    said = []
    if "oracle" in verdicts:
        said.append(
            {
                "helps": "The positive control works: fresh images from the simulator help, so this study can find "
                "help where there is some.",
                "equivalent": f"The positive control shows that there is nothing to gain: even perfect synthetic "
                f"images move the AUC by less than {margin:g}. The study is precise enough to say so; with fewer real "
                f"images there may be more to gain.",
            }.get(
                verdicts["oracle"],
                "The positive control fails: even perfect synthetic images show no help here, so this study is too "
                "small or too short to judge any others. Run more seeds or steps.",
            )
        )
    if "shuffled" in verdicts:
        said.append(
            "The negative control fails: synthetic images with wrong labels seem to help. What helps here is not what "
            "the images show."
            if verdicts["shuffled"] == "helps"
            else "The negative control works: synthetic images with permuted labels do not help."
        )
    return said


def power(summary, margin=MARGIN):
    """Returns what the study could have found: a list of sentences.

    Args:
        summary: DataFrame of `results.summary()`.
        margin: the one that it was made with.
    """
    table = summary[(summary["metric"] == "auc") & summary["detectable"].notna()]
    if table.empty or table["seeds_needed"].isna().all():
        return []
    smallest, largest = table["detectable"].min(), table["detectable"].max()
    reach = f"{smallest:.3f}" if f"{smallest:.3f}" == f"{largest:.3f}" else f"{smallest:.3f} to {largest:.3f}"
    said = [
        f"Power: after the correction this study had an 80 % chance to find a true difference in AUC of {reach}, "
        f"depending on the arm. Smaller ones it would mostly have missed."
    ]
    undecided = table[(table["detectable"] > margin) & (table["verdict"] == "no detectable effect")]
    needed = [f"{row.arm} {row.seeds_needed:.0f}" for row in undecided.itertuples() if np.isfinite(row.seeds_needed)]
    if needed:
        said.append(f"Seeds that it would take to find a difference of {margin:g} as surely: {', '.join(needed)}.")
    limited = [row.arm for row in undecided.itertuples() if np.isinf(row.seeds_needed)]
    if limited:
        said.append(f"No number of seeds would do for {', '.join(limited)}: the test part has too few patients.")
    return said


def near_copies(results):
    """Returns what is known of test images that nearly stand in another part as well: a text, or "" without any."""
    count, images = len(results.settings.get("near_copies", [])), len(results.labels)
    if not count:
        return ""
    apart = "Without them:" if results.without_near_copies() else "Too few others are left to score."
    return (
        f"{count} of {images} test images look like copies of training or validation images (a correlation above "
        f"{NEAR_COPY:g}). If they are, a network that learns by heart does well on them, and what keeps it from that, "
        f"augmentation or synthetic images, seems to hurt. {apart}"
    )


def write(results, path, summary=None, others=None, margin=MARGIN):
    """Writes the page.

    Args:
        results: `results.Results`.
        path: where to.
        summary: DataFrame of `results.summary()`; made anew if None.
        others: DataFrame of `results.without_near_copies().summary()`; made anew if None and there are near-copies.
        margin: the one that the summary was made with, below which a difference is none.

    Returns:
        pathlib.Path.
    """
    summary = results.summary(margin=margin) if summary is None else summary
    apart = results.without_near_copies()
    if others is None and apart:
        others = apart.summary(margin=margin)
    class_names = results.settings["class_names"]
    named = results.settings.get("positive")
    positive = class_names.index(named) if named else len(class_names) - 1
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
    trials = results.trials
    done = trials[trials["status"] == "done"]
    page = environment.get_template("report.html.jinja").render(
        rows=summary.to_dict("records"),
        sentences=[sentence(row) for row in summary[summary["metric"] == "auc"].to_dict("records")],
        controls=controls(summary, margin),
        power=power(summary, margin),
        near_copies=near_copies(results),
        others=[] if others is None else others[others["metric"] == "auc"].to_dict("records"),
        margin=margin,
        further=[metric for metric in summary["metric"].unique() if metric not in ("auc", "accuracy")],
        figures=figures,
        positive=class_names[positive],
        settings={
            key: value for key, value in results.settings.items() if key not in ("versions", "arms", "near_copies")
        },
        arms=results.settings["arms"],
        finished=len(results.scores),
        versions=results.settings.get("versions", {}),
        seeds=results.seeds,
        trials=trials.to_dict("records"),
        steps=f"{done['steps'].max():.0f}" if len(done) else results.settings["steps"],  # asked for, if none was done
        failed=trials[trials["status"] != "done"].to_dict("records"),
        minutes=trials["seconds"].sum() / 60,
        images=len(results.labels),
        patients=len(np.unique(results.patients)),
    )
    path = Path(path)
    path.write_text(page, encoding="utf-8")
    return path


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
    """Returns a picture a class: a row of images for every arm that has pictures of its own."""
    arms = [arm for arm in results.samples if arm != "oversample"]
    pictures = []
    for label, name in enumerate(results.settings["class_names"]):
        figure, axes = plt.subplots(len(arms), 1, figsize=(7, 1.02 * len(arms)), squeeze=False, layout="constrained")
        for arm, ax in zip(arms, axes[:, 0], strict=True):
            chosen = results.samples[arm]
            images = chosen.images[chosen.labels == label]
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
            curve(results.labels, results.scores["real"], positive, color=plots.BASELINE, ax=ax)
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
