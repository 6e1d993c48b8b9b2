"""Results → text for the terminal."""

import textwrap

from synthkit.report import answers
from synthkit.statistics import sentences
from synthkit.statistics.verdicts import GAP, TESTED


def text(results, summary, margin=None):
    """Returns the verdicts, and what the control arms and the study's power mean for them, as text for a terminal.

    Args:
        results: study.Results.
        summary: DataFrame of `results.summary()`.
        margin: the margin of that summary; None for the protocol's.
    """
    margin = results.protocol["margin"] if margin is None else margin
    notes = answers.remarks(results, summary, margin)
    rescored = results.without_near_duplicates()
    baseline = answers.baseline_of(summary)
    over = answers.over_augmentation(results, baseline, margin)
    given = answers.assumption(results)
    found = [" ".join(answer) for answer in answers.answers(summary, over, margin, given)]
    found += [answers.scope(results, baseline), answers.unknown_patients(results)]
    blocks = [textwrap.fill(sentence, 100) for sentence in (*answers.first(summary, baseline), *found)]
    blocks.append(textwrap.fill(sentences.augmentation(summary), 100))
    blocks.append(table(summary))
    if over is not None:
        blocks.append(f"On top of classical augmentation (baseline: augmentation):\n{table(over)}")
    second = "auc" if sentences.main_metric(summary) == "sensitivity" else "sensitivity"
    blocks.append(
        f"{textwrap.fill(answers.operating_point(results, summary), 100)}:\n{table(summary, second, 'specificity')}"
    )
    if GAP in set(summary["metric"]):
        gap = f"Does it overfit? {sentences.metric_name(GAP)}, which is better if it is smaller."
        gap = f"{gap} {answers.training_aucs(results)}"
        blocks.append(f"{textwrap.fill(gap, 100)}\n{table(summary, GAP, GAP)}")
    words = " ".join(sentences.words(summary, margin))
    copies = answers.copies(results).values()
    blocks.append("\n".join(textwrap.fill(sentence, 100) for sentence in (words, *notes, *copies)))
    blocks.append(textwrap.fill(answers.near_duplicates(results, rescored), 100))
    if rescored:
        blocks.append(table(rescored.summary(margin, baseline)))
    later = results.with_later_seeds()
    if later:
        blocks.append(f"{answers.LATER.format(seeds=len(later.all_seeds))}\n{table(later.summary(margin, baseline))}")
    return "\n\n".join(block for block in blocks if block)


def table(summary, metric=None, beside="sensitivity"):
    """Returns a metric and its verdicts as a table of text, and the mean of a second metric beside it.

    Args:
        summary: DataFrame of `statistics.summarize`.
        metric: its name; None for the main one.
        beside: name of the second metric; it is left out where it is the first one, too.
    """
    metric = metric or sentences.main_metric(summary)
    rows = summary[summary["metric"] == metric].to_dict("records")
    others = dict(zip(summary["arm"][summary["metric"] == beside], summary["mean"][summary["metric"] == beside]))
    others = {} if metric == beside else others
    width = max(12, *(len(row["arm"]) for row in rows)) + 2
    lines = [f"{'arm':{width}}{_short(metric):>5}  {'95 %':14}  {'difference':>10}  {'95 %':16}  {'p (Holm)':>8}  "]
    lines[0] += f"{_short(beside):7}verdict" if others else "verdict"
    for row in rows:
        line = f"{row['arm']:{width}}{row['mean']:.3f}  {row['low']:.3f} to {row['high']:.3f}  "
        if isinstance(row["verdict"], str) and row["verdict"] != "baseline":
            interval = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
            p = f"{row['p_holm']:8.2g}" if row["verdict"] in TESTED else " " * 8
            line += f"{row['difference']:+10.3f}  {interval}  {p}  "
        else:
            line += " " * 40
        line += f"{others[row['arm']]:<7.3f}" if others else ""
        lines.append(line + sentences.label(row))
    return "\n".join(lines)


def _short(metric):
    """Returns a metric's name in at most five letters."""
    short = {"auc": "AUC", "accuracy": "acc.", "balanced_accuracy": "bacc."}
    return short.get(metric, metric if len(metric) < 5 else f"{metric[:4]}.")
