"""The verdict on every arm of a study: does it help, hurt, make no difference, or can this study not tell?

Each arm is compared with the baseline by the method of `statistics.estimates`, once for a difference and once for
equivalence, and both tests are corrected over the arms (Holm, "A simple sequentially rejective multiple test
procedure", Scandinavian Journal of Statistics 6, 1979).
"""

import re

import numpy as np
import pandas as pd

from synthkit.statistics.estimates import MARGIN, estimate, patient_weights
from synthkit.statistics.scores import MEASURES

INCONCLUSIVE = "inconclusive"  # neither a difference nor equivalence is shown


def holm(p_values):
    """Returns Holm's adjusted p-values, in the order given."""
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    adjusted = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    result = np.empty_like(adjusted)
    result[order] = np.minimum(1, adjusted)
    return result


def verdict(difference, p_holm, seeds, p_equivalent=1.0, level=0.05):
    """Puts two tests into a word.

    Args:
        difference: float, positive where the arm is better than the baseline.
        p_holm: of the test for a difference, corrected.
        seeds: int.
        p_equivalent: of the test for equivalence, corrected.
        level: below which a p-value counts.

    Returns:
        "helps", "hurts", "equivalent", "inconclusive" or, for a single seed, "one seed: no verdict".
    """
    if seeds == 1:
        return "one seed: no verdict"
    if p_holm < level:
        return "helps" if difference > 0 else "hurts"
    return "equivalent" if p_equivalent < level else INCONCLUSIVE


def summarize(
    scores,
    labels,
    patients,
    baseline="real",
    draws=2000,
    seed=0,
    *,
    metrics=tuple(MEASURES),
    margin=MARGIN,
    positive=None,
):
    """Compares every arm with the baseline.

    Args:
        scores: dict from arm to float `(seeds, n, classes)`; the same seeds, in the same order, for every arm.
        labels: int `(n,)`.
        patients: `(n,)`.
        baseline: the arm that the others are compared with.
        draws: bootstrap samples of the patients.
        seed: int.
        metrics: names of functions of `statistics.scores`. The first is what the study is about.
        margin: a smaller difference is no difference; to be chosen before the study is run.
        positive: label of the class that sensitivity, specificity and F1 speak of; None takes the mean over classes.

    Returns:
        pandas.DataFrame, a row for every arm and metric: arm, metric, mean, low, high, difference, difference_low,
        difference_high, p, p_holm, p_equivalent, verdict, detectable, seeds_needed. Intervals are at 95 %. Holm's
        correction runs over the arms, for each metric on its own, and separately over the tests for equivalence;
        `detectable` is the smallest difference that this study, after the correction, had an 80 % chance to find, and
        `seeds_needed` how many seeds would make that the margin (`Estimate.seeds_needed`).
    """
    weights = patient_weights(patients, draws, seed)
    design = len(np.unique(patients)), len(np.unique(labels))
    rows = []
    for metric in metrics:
        values, drawn = {}, {}
        for arm, arm_scores in scores.items():
            values[arm] = np.array([MEASURES[metric](labels, s, positive=positive) for s in arm_scores])
            drawn[arm] = np.stack([MEASURES[metric](labels, s, weights, positive) for s in arm_scores], axis=1)
        others = [arm for arm in scores if arm != baseline] if baseline in scores else []
        differences = [
            estimate(values[arm] - values[baseline], drawn[arm] - drawn[baseline], *design) for arm in others
        ]
        compared = dict(zip(others, _compare(differences, metric, margin), strict=True))
        for arm in scores:
            level = estimate(values[arm], drawn[arm], *design)
            row = {"arm": arm, "metric": metric, "mean": level.value}
            row["low"], row["high"] = np.clip(level.interval(), 0, 1)
            rows.append(row | ({"verdict": "baseline"} if arm == baseline else compared.get(arm, {})))
    columns = (
        "arm metric mean low high difference difference_low difference_high p p_holm p_equivalent verdict detectable "
        "seeds_needed"
    )
    return pd.DataFrame(rows, columns=columns.split())


def _compare(differences, metric, margin):
    """Returns what `summarize` says of several arms' differences in one metric."""
    different = holm([found.p_value() for found in differences])
    equivalent = holm([found.equivalence_p_value(margin) for found in differences])
    rows = []
    for found, p_holm, p_equivalent in zip(differences, different, equivalent, strict=True):
        low, high = found.interval()
        better = -found.value if metric == "brier" else found.value
        rows.append(
            {
                "difference": found.value,
                "difference_low": low,
                "difference_high": high,
                "p": found.p_value(),
                "p_holm": p_holm,
                "p_equivalent": p_equivalent,
                "verdict": verdict(better, p_holm, found.seeds, p_equivalent),
                "detectable": found.detectable(0.05 / len(differences)),
                "seeds_needed": found.seeds_needed(margin, 0.05 / len(differences)),
            }
        )
    return rows


def sentence(row):
    """Puts one row of `summarize` into words."""
    metric = {"auc": "AUC", "f1": "F1", "brier": "Brier score"}.get(row["metric"], row["metric"].replace("_", " "))
    level = f"{row['mean']:.3f} (95 % {row['low']:.3f} to {row['high']:.3f})"
    found = row["verdict"]
    if found == "baseline":
        return f"{row['arm']}: {metric} {level}, the baseline"
    if not isinstance(found, str):
        return f"{row['arm']}: {metric} {level}; there is no baseline to compare it with"
    difference = f"{row['difference']:+.3f} (95 % {row['difference_low']:+.3f} to {row['difference_high']:+.3f})"
    if found.startswith("one seed"):
        text = (
            f"{row['arm']}: {metric} {difference} against the baseline, no verdict: the interval holds patients only, "
            f"and one seed cannot say what the next would do. Run at least three"
        )
    elif found == "equivalent":
        text = (
            f"{row['arm']} is equivalent to the baseline: {metric} {difference}, within the margin with "
            f"p = {row['p_equivalent']:.2g} after Holm's correction"
        )
    else:
        verb = f"{row['arm']} {found}" if found in ("helps", "hurts") else f"{row['arm']}: {found}"
        text = f"{verb}: {metric} {difference}, p = {row['p_holm']:.2g} after Holm's correction"
        if found == INCONCLUSIVE:
            text += f"; a true difference of {row['detectable']:.3f} would have been found four times in five"
    return re.sub(r"-(?=\d+\.\d{3})", "−", text)


def controls(summary, margin=MARGIN):
    """Returns what the control arms say about the study itself: a list of sentences.

    Args:
        summary: DataFrame of `summarize`.
        margin: the one that it was made with.
    """
    verdicts = summary[summary["metric"] == "auc"].set_index("arm")["verdict"].to_dict()
    sentences = []
    if "oracle" in verdicts:
        sentences.append(
            {
                "helps": "The positive control works: fresh images from the simulator help, so this study can detect "
                "help.",
                "equivalent": f"The positive control shows that there is nothing to gain: even perfect synthetic "
                f"images change the AUC by less than {margin:g}. The study is precise enough to show that; with fewer "
                f"real images there may be more to gain.",
            }.get(
                verdicts["oracle"],
                "The positive control fails: even perfect synthetic images show no help here, so this study is too "
                "small or too short to judge any others. Run more seeds or steps.",
            )
        )
    if "shuffled" in verdicts:
        sentences.append(
            "The negative control fails: synthetic images with wrong labels seem to help, so the help does not come "
            "from what the images show."
            if verdicts["shuffled"] == "helps"
            else "The negative control works: synthetic images with permuted labels do not help."
        )
    return sentences


def power(summary, margin=MARGIN):
    """Returns which differences the study could have detected: a list of sentences.

    Args:
        summary: DataFrame of `summarize`.
        margin: the one that it was made with.
    """
    table = summary[(summary["metric"] == "auc") & summary["detectable"].notna()]
    if table.empty or table["seeds_needed"].isna().all():
        return []
    smallest, largest = table["detectable"].min(), table["detectable"].max()
    reach = f"{smallest:.3f}" if f"{smallest:.3f}" == f"{largest:.3f}" else f"{smallest:.3f} to {largest:.3f}"
    sentences = [
        f"Power: after correction, this study had an 80 % chance to detect a true difference in AUC of {reach}, "
        f"depending on the arm. It would have missed most smaller ones."
    ]
    undecided = table[(table["detectable"] > margin) & (table["verdict"] == INCONCLUSIVE)]
    needed = [f"{row.arm} {row.seeds_needed:.0f}" for row in undecided.itertuples() if np.isfinite(row.seeds_needed)]
    if needed:
        sentences.append(f"Seeds needed to detect a difference of {margin:g} with that chance: {', '.join(needed)}.")
    limited = [row.arm for row in undecided.itertuples() if np.isinf(row.seeds_needed)]
    if limited:
        sentences.append(
            f"No number of seeds is enough for {', '.join(limited)}: there are too few patients in the test set."
        )
    return sentences


def near_duplicates(count, images, correlation, scored_apart):
    """Returns what near-duplicates in the test set may do to the results: a text, or "" if there are none.

    Args:
        count: test images that look like training or validation images.
        images: test images.
        correlation: above which two images are called near-duplicates.
        scored_apart: whether results without them follow.
    """
    if not count:
        return ""
    return (
        f"{count} of {images} test images look like copies of training or validation images (a correlation above "
        f"{correlation:g}). If they are, a network that memorises does well on them, and whatever keeps it from "
        f"memorising, augmentation or synthetic images, seems to hurt. "
        f"{'Without them:' if scored_apart else 'Too few others are left to score.'}"
    )
