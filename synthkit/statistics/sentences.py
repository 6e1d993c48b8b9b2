"""What is said about a verdict, on the terminal, on the report page and in the notebooks.

"Inconclusive" does not mean that there is no effect, so every text of this module that says it also gives the interval,
which says what is not ruled out.
"""

import re

import numpy as np
import pandas as pd

from synthkit.statistics.estimates import MARGIN
from synthkit.statistics.verdicts import GAP, INCONCLUSIVE, LEVEL, NOT_TESTED, TOO_FEW, VERDICTS

NO_DIFFERENCE = "No difference that matters."
MORE_PATIENTS = ". Test on at least three patients of each class"


def _constant(row):
    """Returns whether scores do not vary, which is not known of a study that was stored without probabilities."""
    return bool(np.isnan(row.get("p_gain", 0.0)))


def label(row):
    """Returns the verdict of one row of `summarize` in a few words, for a cell of a table or a figure."""
    if not isinstance(row["verdict"], str):
        return "no baseline"
    text = row["verdict"]
    if text == INCONCLUSIVE and _constant(row):
        text = "inconclusive (scores do not vary)"
    return text + (", exploratory" if row.get("exploratory") and text != "baseline" else "")


def few_patients(row, margin=MARGIN):
    """Returns whether the interval of an inconclusive row is within the margin, with too few patients to trust it."""
    inside = max(-row["difference_low"], row["difference_high"]) < margin
    return row["verdict"] == INCONCLUSIVE and inside and np.isnan(row["p_equivalent"])


def sentence(row, margin=MARGIN):
    """Returns one row of `summarize` with this margin as a sentence, without a full stop."""
    metric = metric_name(row["metric"])
    arm, word = row["arm"], row["verdict"]
    if not isinstance(word, str) or word == "baseline":
        mean = f"{arm}: {metric} {row['mean']:.3f} (95 % interval {row['low']:.3f} to {row['high']:.3f})"
        return f"{mean}, the baseline" if word == "baseline" else f"{mean}; there is no baseline to compare it with"
    interval = f"95 % interval {row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
    difference = f"{metric} difference {row['difference']:+.3f} ({interval})"
    if word in ("helps", "hurts"):
        text = f"{arm} {word}: {difference}, p = {row['p_holm']:.2g} after Holm's correction"
    elif word == "equivalent":
        text = (
            f"{arm} is equivalent to the baseline: {difference}, smaller than the margin with "
            f"p = {row['p_equivalent']:.2g} after Holm's correction"
        )
    elif word == NOT_TESTED:
        text = f"{arm}: no verdict, since the main comparison comes first and has not shown a difference. {difference}"
    elif word == INCONCLUSIVE and _constant(row):
        text = (
            f"{arm}: the result is inconclusive. {difference}, without variation between seeds or test patients, so "
            f"its uncertainty cannot be estimated. Use more test images"
        )
    elif word == INCONCLUSIVE:
        text = (
            f"{arm}: the result is inconclusive. {difference}, p = {row['p_holm']:.2g} after Holm's correction; what "
            f"lies within the interval is not ruled out"
        )
        if few_patients(row, margin):
            text += "; there are too few test patients to call it equivalent"
    else:
        text = f"{arm}: no verdict from {word.split(':')[0]}. {difference}"
        if word.startswith("one"):
            text += "; this interval covers the choice of test patients, but not the variation between seeds"
        text += (
            ". Resume the study"
            if " of " in word
            else MORE_PATIENTS
            if word == TOO_FEW
            else ". Run at least three seeds"
        )
    text += ". Exploratory: not in the protocol" if row.get("exploratory") else ""
    return signs(text)


def main_metric(summary):
    """Returns the metric that the verdict is about: the first one of `summarize`."""
    return summary["metric"].iloc[0]


def main_rows(summary):
    """Returns the rows of the main metric."""
    return summary[summary["metric"] == main_metric(summary)]


def _of_arms(summary, arms):
    """Returns those of `arms` that are compared with a baseline: of the protocol, or, if it has none of them, all."""
    rows = main_rows(summary)
    rows = rows[rows["arm"].isin(list(arms)) & rows["difference"].notna()]
    return rows[~_exploratory(rows)] if not _exploratory(rows).all() else rows


def _exploratory(rows):
    """Returns for each row whether its arm, or this comparison of it, was not in the protocol."""
    return rows["exploratory"].astype(bool) if "exploratory" in rows else pd.Series(False, rows.index)


def _unlearned(summary, rows):
    """Returns the baseline and those arms among `rows` whose networks learned nothing."""
    arms = summary["arm"].isin(rows["arm"]) | (summary["verdict"] == "baseline")
    return list(dict.fromkeys(summary["arm"][arms & (summary.get("learned", True) == False)]))  # noqa: E712


def answer(summary, arms, margin=MARGIN, assumption=""):
    """Answers whether synthetic images help, as two texts: a few words, and a sentence with the number.

    The answer is about the main comparison if it is one of `arms`, otherwise about those of them that are in the
    protocol. Arms that were added later do not change it; if they help, that is said after it. Without an arm of the
    protocol, the answer is called exploratory.

    Args:
        summary: DataFrame of `summarize`.
        arms: names of the arms with synthetic images, without controls.
        margin: the margin of that summary.
        assumption: what is assumed of the patients where they are not known, as a clause; "" where they are.

    Returns:
        `(words, sentence)`; two empty texts if there is no such arm.
    """
    rows = _of_arms(summary, arms)
    if rows.empty:
        return "", ""
    baseline = summary["arm"][summary["verdict"] == "baseline"].iloc[0]
    helping = rows[rows["verdict"] == "helps"]
    main, untested = rows[_primary(rows)], rows[rows["verdict"] == NOT_TESTED]
    rows = main if len(main) else rows[rows["verdict"] != NOT_TESTED] if len(untested) < len(rows) else rows
    best = (helping if len(helping) and not len(main) else rows).sort_values("difference").iloc[-1]
    name = metric_name(main_metric(summary))
    many = "The main comparison, " if len(main) else "The best of them, " if len(rows) > 1 else ""
    change = f"{many}{best['arm']}{',' if many else ''} changes the {name} by {_change(best)} compared with {baseline}"
    if best["verdict"] in ("helps", "hurts") and max(-best["difference_low"], best["difference_high"]) < margin:
        change += f", less than the margin of {margin:g}"
    if not rows["verdict"].isin(VERDICTS).all():
        return "No answer yet.", signs(f"{change}, and there is {rows['verdict'].iloc[0].split(': ')[-1]}.")
    later = main_rows(summary)
    later = later[later["arm"].isin(list(arms)) & _exploratory(later) & (later["verdict"] == "helps")]
    note = (
        f" Exploratory, not in the protocol: {', '.join(later['arm'])} seem{'s' * (len(later) == 1)} to help."
        if len(later)
        else ""
    )
    note = " Exploratory: this comparison is not in the protocol." if _exploratory(rows).all() else note
    if assumption and rows["verdict"].isin(("helps", "hurts")).any():
        note = f" This assumes that {assumption}.{note}"
    if (rows["verdict"] == NOT_TESTED).all():
        return "Not tested.", signs(f"The main comparison, of another arm, has not shown a difference. {change}.{note}")
    alike = untested[untested["arm"].str.endswith(" augmented") == best["arm"].endswith(" augmented")]
    if len(alike):
        highest = alike.sort_values("difference").iloc[-1]
        augmented = " with augmentation" if best["arm"].endswith(" augmented") else ""
        note = (
            f" Of the others{augmented}, which are not tested, {highest['arm']} is highest: {_change(highest)}.{note}"
        )
    if len(main) and len(helping):
        others = [arm for arm in helping["arm"] if arm != best["arm"]]
        note = f" Of the others, {', '.join(others)} help{'s' * (len(others) == 1)}.{note}" if others else note
        helping = helping[helping["arm"] == best["arm"]]
    if len(helping):
        others = f"{', '.join(helping['arm'])} help. " if len(helping) > 1 else ""
        return "Shown to help.", signs(f"{others}{change}.{note}")
    if (rows["verdict"] == "hurts").all():
        return "Shown to hurt.", signs(f"{change}.{note}")
    highest = rows["difference_high"].max() if rows["p_equivalent"].notna().all() else np.inf  # of few patients
    of_all = " for each of them" if len(rows) > 1 else ""
    of_all += f", if {assumption}" if assumption else ""
    equivalent = (rows["verdict"] == "equivalent").all()
    ruled_out = f"; a gain of {margin:g} or more is ruled out{of_all}" if highest <= margin else ""
    ruled_out = f"; a difference of {margin:g} or more is ruled out{of_all}" if equivalent else ruled_out
    if np.isinf(highest) and rows["difference_high"].max() <= margin:
        ruled_out = f"; with so few test patients a gain of {margin:g} is not ruled out"
    if not ruled_out and highest < 0.3:
        ruled_out = f"; a gain of more than {highest:.3f} is ruled out{of_all}"
    empty = _unlearned(summary, rows)
    if empty:
        verb = "is" if len(empty) == 1 else "are"
        ruled_out = f"; {' and '.join(empty)} {verb} not shown to have learned anything, so this rules nothing out"
    all_tested = len(main) or not len(untested)
    words = NO_DIFFERENCE if equivalent and all_tested and not empty else "Not shown to help."
    return words, signs(f"{change}{ruled_out}.{note}")


def _primary(rows):
    """Returns for each row whether its arm is that of the main comparison."""
    return rows["primary"].astype(bool) if "primary" in rows else pd.Series(False, rows.index)


def _change(row):
    return f"{row['difference']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"


def next_step(summary, arms, margin=MARGIN, features=()):
    """Returns what to do after `answer`, as a text; "" if there is no arm with synthetic images.

    Args:
        summary, arms, margin: as in `answer`.
        features: names of arms that make features of a network, which cannot be looked at, instead of images.
    """
    words, _ = answer(summary, arms, margin)
    rows = _of_arms(summary, arms)
    rows = rows[_primary(rows)] if _primary(rows).any() else rows
    if not words:
        return ""
    images = not set(rows["arm"]) <= set(features)
    if words == "No answer yet." and TOO_FEW in set(rows["verdict"]):
        return "Next: test on more patients (--test, --folds); every class needs at least three."
    if words == "No answer yet.":
        return "Next: run the same command again until all seeds are finished, at least three."
    if words == "Shown to help.":
        return (
            f"Next: look at {'the images and at ' * images}the sensitivity below, then confirm it on patients from "
            "elsewhere before anybody relies on it."
        )
    if words == "Not tested.":
        return "Next: a study whose main comparison (--primary) is one of these arms, on other test patients."
    if words == "Shown to hurt.":
        return f"Next: train without these {'images, and look at them below to see why' if images else 'features'}."
    empty = _unlearned(summary, rows)
    if set(empty) - set(rows["arm"]):
        return (
            "Next: a classifier that learns: with more real images or steps (--steps), or another one (--classifier)."
        )
    if empty:
        what = "look at the images of" if images else "do without"
        return f"Next: {what} {', '.join(empty)}{' below' * images}: with them the classifier is not shown to learn."
    open_rows = rows[~((rows["difference_high"] <= margin) & rows["p_equivalent"].notna())]
    if open_rows.empty:
        return f"Next: do without {'the images of ' * images}{', '.join(rows['arm'])}.{_real_images(summary)}"
    names = ", ".join(open_rows["arm"]) if len(open_rows) < 3 else f"{len(open_rows)} of these arms"
    few = "with so few test patients " if (open_rows["difference_high"] <= margin).all() else ""
    return (
        f"Next: {few}a gain of {margin:g} by {names} is not ruled out. python -m synthkit plan says what a larger "
        f"study could find. Run the study with other seeds (--random-state, another --out) and more test patients "
        f"(--test, --folds); patients from elsewhere are best.{_real_images(summary)}"
    )


def _real_images(summary):
    """Returns that more real images help, as a sentence after others; "" where that is not shown."""
    rows = main_rows(summary)
    shown = rows["verdict"].isin(VERDICTS) & (rows["difference_low"] > 0) & (rows.get("p", 1.0) < LEVEL)
    rows = rows[(rows["arm"] == "more_real") & shown]
    return signs(f" More real images help: more_real {_change(rows.iloc[0])}.") if len(rows) else ""


def augmentation(summary):
    """Returns what classical augmentation does without synthetic images, as a text; "" without a verdict on it."""
    rows = _of_arms(summary, ["augmentation"])
    rows = rows[rows["verdict"].isin(VERDICTS)]
    if rows.empty:
        return ""
    (row,) = rows.to_dict("records")
    word = {"helps": "Classical augmentation alone helps", "hurts": "Classical augmentation alone hurts"}
    word[NOT_TESTED] = (
        "Classical augmentation alone is not tested, since the main comparison has not shown a difference"
    )
    text = word.get(row["verdict"], "Classical augmentation alone is not shown to help")
    augmented = [arm for arm in summary["arm"].unique() if arm.endswith(" augmented")]
    note = " Arms that end in “augmented” contain it." if augmented else ""
    return signs(
        f"{text}: {metric_name(main_metric(summary))} difference {row['difference']:+.3f} "
        f"({row['difference_low']:+.3f} to {row['difference_high']:+.3f}).{note}"
    )


def signs(text):
    """Returns a text with minus signs before numbers of three digits, and no sign before those that round to zero."""
    return re.sub(r"-(?=\d+\.\d{3})", "−", re.sub(r"[+-]0\.000(?!\d)", "0.000", text))


def metric_name(metric):
    """Returns a metric's name as it is written in a text."""
    names = {"auc": "AUC", "f1": "F1", "brier": "Brier score", "ppv": "positive predictive value"}
    names |= {"npv": "negative predictive value", GAP: "AUC on training minus test images"}
    return names.get(metric, metric.replace("_", " "))


def words(summary, margin=MARGIN):
    """Returns what the words of the verdicts mean, as a list of sentences; of verdicts only those that occur.

    Args:
        summary: DataFrame of `summarize`.
        margin: the margin of that summary.
    """
    verdicts, name = set(summary["verdict"]), metric_name(main_metric(summary))
    explained = {
        "equivalent": f"Equivalent: shown to differ from the baseline by less than {margin:g}.",
        INCONCLUSIVE: "Inconclusive: neither a difference nor its absence is shown.",
        NOT_TESTED: "Not tested: the main comparison comes first, and has not shown a difference. Other arms then get "
        "no verdict but “equivalent”; their differences are for a closer look.",
    }
    return [
        "AUC: the probability that the classifier scores an image of a class higher than one of another class; 0.5 is "
        "guessing, 1 is perfect. With more than two classes, the mean over them, each against the rest.",
        f"Margin: the difference in {name}, {margin:g}, below which a change is considered too small to matter.",
        "Holm's correction: p-values and intervals allow for the number of arms, since among many one may look better "
        "by chance.",
        *(text for verdict, text in explained.items() if verdict in verdicts),
    ]
