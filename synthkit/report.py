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
from synthkit.statistics import sentences
from synthkit.statistics.scores import predict

LATER = "Exploratory, with all {seeds} seeds; more of them were run after the verdicts above:"


def text(results, summary):
    """Returns the verdicts, and what the control arms and the study's power mean for them, as text for a terminal.

    Args:
        results: study.Results.
        summary: DataFrame of `results.summary()`.
    """
    margin = results.protocol["margin"]
    notes = _notes(results, summary, margin)
    rescored = results.without_near_duplicates()
    baseline = _baseline(summary)
    over = over_augmentation(results, baseline)
    answers = map(" ".join, _answers(summary, over, margin))
    blocks = [textwrap.fill(sentence, 100) for sentence in (*_first(summary, baseline), *answers)]
    blocks.append(_table(summary))
    if over is not None:
        blocks.append(f"On top of classical augmentation (baseline: augmentation):\n{_table(over)}")
    blocks.append(f"{_operating_point(results)}\n{_table(summary, 'sensitivity', 'specificity')}")
    blocks.append("\n".join(textwrap.fill(sentence, 100) for sentence in notes))
    blocks.append(textwrap.fill(_near_duplicates(results, rescored), 100))
    if rescored:
        blocks.append(_table(rescored.summary(baseline=baseline)))
    later = results.with_later_seeds()
    if later:
        blocks.append(f"{LATER.format(seeds=len(later.all_seeds))}\n{_table(later.summary(baseline=baseline))}")
    return "\n\n".join(block for block in blocks if block)


def over_augmentation(results, baseline="real"):
    """Compares the arms with augmentation instead of real images only: do synthetic images add anything to it?

    Args:
        results: study.Results.
        baseline: the arm that the others were compared with, which is left out here.

    Returns:
        pandas.DataFrame, as `study.Results.summary` returns it; None if there is no arm augmentation, if it is the
        baseline already, or if there is no other arm.
    """
    arms = [arm for arm in results.scores if arm != baseline]
    if baseline == "augmentation" or "augmentation" not in arms or len(arms) < 2:
        return None
    return results.summary(baseline="augmentation", arms=arms)


def _baseline(summary):
    arms = summary["arm"][summary["verdict"] == "baseline"]
    return arms.iloc[0] if len(arms) else None


def _operating_point(results):
    """Returns what sensitivity is of, and at which threshold."""
    positive = results.settings.get("positive")
    if results.thresholds is None:
        return f"Sensitivity ({positive or 'mean over the classes'}); the class with the highest score is predicted:"
    rule = {"youden": "by Youden's index"}.get(results.settings.get("operating_point"))
    rule = rule or f"for a {results.settings['operating_point'].replace('=', ' of at least ')}"
    return f"Sensitivity ({positive}) at a threshold chosen on the validation set {rule}:"


def _table(summary, metric="auc", beside=None):
    """Returns a metric and its verdicts as a table of text, with the mean of a second metric `beside` it or not."""
    rows = summary[summary["metric"] == metric].to_dict("records")
    others = dict(zip(summary["arm"][summary["metric"] == beside], summary["mean"][summary["metric"] == beside]))
    width = max(12, *(len(row["arm"]) for row in rows)) + 2
    title = {"auc": "AUC", "sensitivity": "sens."}[metric]
    lines = [f"{'arm':{width}}{title:>5}  {'95 %':14}  {'difference':>10}  {'95 %':16}  {'p (Holm)':>8}  verdict"]
    if beside:
        lines[0] = lines[0].replace("verdict", f"{'spec.':7}verdict")
    for row in rows:
        line = f"{row['arm']:{width}}{row['mean']:.3f}  {row['low']:.3f} to {row['high']:.3f}  "
        if isinstance(row["verdict"], str) and row["verdict"] != "baseline":
            interval = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
            line += f"{row['difference']:+10.3f}  {interval}  {row['p_holm']:8.2g}  "
        else:
            line += " " * 40
        line += f"{others[row['arm']]:<7.3f}" if beside else ""
        lines.append(line + sentences.label(row))
    return "\n".join(lines)


def _first(summary, baseline):
    """Returns the sentences that must be read before the verdicts."""
    return [*sentences.too_small(summary), *sentences.unlearned(summary, baseline)]


def _protocol(results):
    """Returns what was decided before the first trial, as a sentence; "" if nothing was written down."""
    plan = results.protocol
    if not plan["written"]:
        return ""
    main = f", the main comparison is {plan['primary']} with {plan['baseline']}" if plan["primary"] else ""
    return (
        f"Protocol, written at {plan['written']} before the first trial: the arms {', '.join(plan['arms'])}, "
        f"{plan['seeds']} seeds, the baseline {plan['baseline']}{main}, a margin of {plan['margin']:g}. "
        "Whatever else is shown is exploratory."
    )


def _answers(summary, over, margin):
    """Returns the answers to the study's question, with the baseline and on top of augmentation, as pairs of texts."""
    no_question = {*catalogue.CONTROLS, *catalogue.AUGMENTATIONS}
    arms = [arm for arm in summary["arm"].unique() if arm.split(" ")[0] not in no_question]
    augmented = [arm for arm in arms if arm.endswith(" augmented")]
    answers = [sentences.answer(summary, [arm for arm in arms if over is None or arm not in augmented], margin)]
    if over is not None and augmented:
        answers.append(sentences.answer(over, augmented, margin))
    return [answer for answer in answers if answer[0]]


def _notes(results, summary, margin):
    """Returns what the verdicts mean, as a list of sentences."""
    settings = results.settings
    return [
        *sentences.controls(summary, margin),
        *sentences.power(summary, margin),
        *undertrained(results),
        *failures(results, margin),
        *sentences.variance(summary),
        sentences.population(settings.get("overlap", 1), settings.get("folds")),
    ]


def undertrained(results):
    """Returns which arms may not be trained to the end, as a list of one sentence or none.

    An arm is named if the last check of most of its trials had the highest validation AUC of all.
    """
    arms = []
    for arm in results.scores:
        runs = [history for (name, _), history in results.histories.items() if name == arm]
        if not results.trials.loc[results.trials["arm"] == arm, "steps"].gt(0).all():
            return []  # a regression to convergence, whose checks are of penalties
        last = sum(int(np.argmax(run["val_auc"])) == len(run["val_auc"]) - 1 for run in runs)
        if last > len(runs) / 2:
            arms.append(f"{last} of {len(runs)} trials of {arm}")
    if not arms:
        return []
    return [
        f"In {', '.join(arms)} the last check had the best validation AUC: with more steps (--steps) they may become "
        f"better, and the order of the arms may change."
    ]


def failures(results, margin):
    """Returns which arms lack seeds because trials failed, and what the worst case would be, as a list of sentences."""
    worst = results.worst_case()
    if worst is None:
        return []
    table = worst.summary(margin=margin).query("metric == 'auc'").set_index("arm")
    lost = {arm: len(results.all_seeds) - len(seeds) for arm, seeds in results.seeds.items()}
    return [sentences.failure(arm, count, table.loc[arm]) for arm, count in lost.items() if count]


def _near_duplicates(results, rescored):
    number, limit = (results.settings.get(key) for key in ("near_duplicates", "near_duplicates_above"))
    return sentences.near_duplicates(len(number or ()), len(results.labels), limit or 0.97, rescored is not None)


def write(results, path, summary=None, margin=None):
    """Writes the report page.

    Args:
        results: study.Results.
        path: of the HTML file.
        summary: DataFrame of `results.summary()`; None computes it.
        margin: the margin of that summary: a difference smaller than this is too small to matter; None for the
            protocol's.

    Returns:
        pathlib.Path, the path.
    """
    margin = results.protocol["margin"] if margin is None else margin
    summary = results.summary(margin=margin) if summary is None else summary
    rescored = results.without_near_duplicates()
    baseline = _baseline(summary)
    others = rescored.summary(margin=margin, baseline=baseline) if rescored else summary.head(0)
    over = over_augmentation(results, baseline)
    second = "sensitivity" if results.thresholds else "balanced_accuracy"
    class_names = results.settings["class_names"]
    name = results.settings.get("positive")
    positive = class_names.index(name) if name else len(class_names) - 1
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    with plt.rc_context({"text.parse_math": False, "font.size": 11, "svg.fonttype": "path", "figure.dpi": 100}):
        figures = {
            "forest": _forest(summary, margin, second),
            "over": None if over is None else _forest(over, margin),
            "samples": _samples(results),
            "roc": _per_arm(results, _draw_curve(plots.roc, results, positive)),
            "precision_recall": _per_arm(results, _draw_curve(plots.precision_recall, results, positive)),
            "confusion": _per_arm(results, _draw_confusion(results, class_names)),
            "history": _histories(results),
        }
    trials, aucs = results.trials, summary[summary["metric"] == "auc"]
    done = trials[trials["status"] == "done"]
    hidden = ("versions", "arms", "near_duplicates", "near_duplicates_above", "protocol")
    later = results.with_later_seeds()
    later_seeds = later.summary(baseline=baseline) if later else summary.head(0)
    page = environment.get_template("report.html.jinja").render(
        rows=summary.to_dict("records"),
        baseline=baseline,
        answers=_answers(summary, over, margin),
        first=[_unbroken(sentence) for sentence in _first(summary, baseline)],
        over=[] if over is None else over[over["metric"] == "auc"].to_dict("records"),
        second=second,
        operating_point=_operating_point(results).rstrip(":"),
        metric_name=sentences.metric_name,
        sentences=[_unbroken(sentences.sentence(row)) for row in aucs.to_dict("records")],
        notes=map(_unbroken, _notes(results, summary, margin)),
        near_duplicates=_near_duplicates(results, rescored),
        others=others[others["metric"] == "auc"].to_dict("records"),
        later=later_seeds[later_seeds["metric"] == "auc"].to_dict("records"),
        later_title=LATER.format(seeds=len(later.all_seeds) if later else 0),
        protocol=_protocol(results),
        label=sentences.label,
        margin=margin,
        further=[metric for metric in summary["metric"].unique() if metric not in ("auc", second)],
        figures=figures,
        positive=class_names[positive],
        settings={key: value for key, value in results.settings.items() if key not in hidden},
        arms=[_arm(arm, settings, done) for arm, settings in results.settings["arms"].items()],
        finished=len(results.scores),
        versions=results.settings.get("versions", {}),
        seeds=results.all_seeds,
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
        texts = ["images made elsewhere"] if first == "folder" else []  # else an arm of the user's own
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


def _forest(summary, margin, second=None):
    """Draws the differences in AUC, and below them those in a second metric or not."""
    arms = (summary["difference"].notna() & (summary["metric"] == "auc")).sum()
    if not arms:
        return None
    metrics = ["auc", second] if second else ["auc"]
    size = 6.5, len(metrics) * (0.8 + 0.375 * arms)
    figure, axes = plt.subplots(len(metrics), 1, figsize=size, squeeze=False, layout="constrained")
    for metric, ax in zip(metrics, axes[:, 0], strict=True):
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
    name, thresholds = results.settings.get("positive"), results.thresholds
    positive = class_names.index(name) if name else None

    def draw(arm, ax):
        cuts = thresholds[arm] if thresholds else [None] * len(results.scores[arm])
        predicted = [predict(s, positive, cut) for s, cut in zip(results.scores[arm], cuts, strict=True)]
        plots.confusion(results.labels, np.eye(len(class_names))[np.array(predicted)], class_names, ax)

    return draw


def _histories(results):
    if not results.histories:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for key, ax in zip(("loss", "val_auc"), axes, strict=True):
        plots.history(results.histories, key, ax)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return _embed(figure)
