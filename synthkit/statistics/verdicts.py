"""The verdict on every arm of a study: it helps, hurts, is equivalent to the baseline, or the study is inconclusive.

Each arm is compared with the baseline by the method of `statistics.estimates`, once with a test for a difference and
once with a test for equivalence. Both are corrected for the number of arms (Holm, "A simple sequentially rejective
multiple test procedure", Scandinavian Journal of Statistics 6, 1979).
"""

import dataclasses

import numpy as np
import pandas as pd
from scipy import stats

from synthkit.statistics.estimates import MARGIN, estimate, fewest_patients, strata
from synthkit.statistics.scores import MEASURES, predict
from synthkit.statistics.seeds import of_seeds

INCONCLUSIVE = "inconclusive"  # neither a difference nor equivalence is shown
NOT_TESTED = "not tested"  # a main comparison that is not significant comes first
TESTED = ("helps", "hurts", "equivalent", INCONCLUSIVE)
VERDICTS = (*TESTED, NOT_TESTED)  # others say why there is none
GAP = "gap"  # the metric of overfitting
LOWER_IS_BETTER = ("brier", GAP)
# Test patients of a class: with fewer, simulated arms were too often called equivalent, and so they were where the AUC
# was so high that fewer than 1.5 times 1 / (1 - AUC) patients showed how it varies, or the margin so small that a kind
# of patient on which the arm fails, and whose share is just about the margin, might not be in the test set.
FEW_PATIENTS, NEAR_ONE, RARE = 20, 1.5, 2.0
FEWEST = 3  # test patients of a class; with fewer there is no verdict, since they hardly show how much patients vary
TOO_FEW = "too few test patients: no verdict"
LEVEL = 0.05  # of significance: the probability that a study without any effect finds one
ONE_CLASS = 0.95  # fraction of the test images from which on a network is said to predict one class


def holm(p_values):
    """Returns Holm's adjusted p-values, in the order of `p_values`."""
    p_values = np.asarray(p_values, float)
    order = np.argsort(p_values)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1)))
    return adjusted


def verdict(difference, p_holm, seeds, p_equivalent=1.0, level=LEVEL):
    """Returns the verdict on an arm.

    Args:
        difference: float, positive where the arm is better than the baseline.
        p_holm: corrected p-value of the test for a difference.
        seeds: int, number of seeds.
        p_equivalent: corrected p-value of the test for equivalence.
        level: significance level. Equivalence is tested at half of it, so that the 95 % interval is within the margin.

    Returns:
        "helps", "hurts", "equivalent", "inconclusive" or, with fewer than three seeds, "one seed: no verdict" or "two
        seeds: no verdict", because they hardly show how much seeds vary.
    """
    if seeds < 3:
        return f"{('one seed', 'two seeds')[seeds - 1]}: no verdict"
    if p_holm < level:
        return "helps" if difference > 0 else "hurts"
    return "equivalent" if p_equivalent < level / 2 else INCONCLUSIVE


def summarize(
    scores,
    labels,
    patients,
    baseline="real",
    *,
    metrics=tuple(MEASURES),
    margin=MARGIN,
    positive=None,
    thresholds=None,
    rule="youden",
    validation=None,
    train_aucs=None,
    seeds=None,
    folds=None,
    overlap=0.0,
    primary=None,
    planned=None,
):
    """Compares every arm with the baseline.

    A network whose AUC does not differ from 0.5, or that predicts (nearly) one class only although nobody asked it to
    (`rule`), has learned nothing. Two such arms are alike because both are empty, so no arm is called equivalent if it
    or the baseline learned nothing.

    Args:
        scores: dict from arm to float `(seeds, n, classes)`.
        labels: int `(n,)`, classes of the test images.
        patients: `(n,)`, patients of the test images.
        baseline: the arm that the others are compared with.
        metrics: names of functions of `statistics.scores`; the first is the main one, which verdicts are about.
        margin: a difference smaller than this is too small to matter; to be chosen before the study is run.
        positive: label of the positive class for sensitivity, specificity, predictive values and F1; None takes the
            mean over classes.
        thresholds: dict from arm to `(seeds,)`, from which on images are predicted positive (`operating_points`), or
            `(seeds, n)` if every fold has its own; None predicts the class with the highest score.
        rule: how the thresholds were chosen (`operating_point`). A specificity of 0.99 may make a good network predict
            nearly one class only.
        validation: `operating_points.Validation`, the set on which the thresholds were chosen; with it intervals cover
            its choice. None if it is not known, or there are no thresholds.
        train_aucs: dict from arm to `(seeds,)`, AUC on the real training images. With it there is one more metric,
            "gap": the AUC on the training images minus that on the test images, which shows how much a network
            overfits. Its interval covers seeds and test patients.
        seeds: dict from arm to its seeds; an arm is compared with the baseline on the seeds that both have. None if
            all arms have the same seeds in the same order.
        folds: int `(seeds, n)`, the fold of every image in a cross-validation, or a dict from arm to that; None if all
            scores are of one network. Networks of different folds may use the scale of scores differently, so AUC is
            the mean over folds.
        overlap: fraction of a seed's training images that are in another's as well (`estimates.estimate`).
        primary: the arm of the main comparison, which is tested first and alone. The others are only tested if it is
            significant (gatekeeping), or for equivalence if it is equivalent, and are corrected for their own number.
            None corrects for the number of all arms. If it is not among the arms, because all its trials failed, no
            arm is tested.
        planned: number of arms besides the baseline that were planned, for the correction; None for those there are.

    Returns:
        pandas.DataFrame with a row for every arm and metric, those of the main metric first:

        - arm, metric, mean over the seeds, and low and high, the ends of its 95 % interval.
        - difference to the baseline, and difference_low and difference_high, the ends of its interval. These intervals
          hold simultaneously: all of them contain the truth in 95 % of studies; with a primary arm, its own does so in
          95 %, and all others in 95 %. They agree with the verdicts: they do not contain the other side of 0 where an
          arm helps or hurts, and lie within the margin where it is equivalent. That of an arm that was not tested
          carries no verdict.
        - p, p_holm: of the test for a difference, without and with Holm's correction over the arms of this metric.
        - p_equivalent: of the test that the difference is smaller than the margin, with Holm's correction; NaN where a
          class has too few test patients for it.
        - verdict: as `verdict` returns it, `NOT_TESTED` behind a main comparison that is not significant, or `TOO_FEW`;
          "baseline" for the baseline, NaN if there is no baseline.
        - primary: whether it is the arm of the main comparison.
        - patient_share: the fraction of the variance of the difference that is due to the sampling of patients, of the
          test set or, with a threshold, of the validation set.
        - p_gain, p_within, p_loss: the probability that the arm gains more than the margin, lies within it, or loses
          more, from the same estimate, if nothing was known about it before (for one arm, without correction).
        - one_class: the fraction of test images that are predicted as the most frequent class, mean over the seeds.
        - learned: whether the arm has learned anything.
    """
    labels = np.asarray(labels)
    classes = strata(labels, patients)
    fewest = fewest_patients(labels, patients)
    alone = min(len(np.unique(np.asarray(patients)[labels == label])) for label in np.unique(labels))
    if len(np.unique(patients)) < 2:
        raise ValueError("all test images are of one patient, so how much patients vary cannot be estimated")
    cuts = {arm: [None] * len(arm_scores) for arm, arm_scores in scores.items()} | (thresholds or {})
    seeds = {arm: list(range(len(arm_scores))) for arm, arm_scores in scores.items()} | (seeds or {})
    folds = folds if isinstance(folds, dict) else dict.fromkeys(scores, folds)
    rows, learned, levels = [], {}, {}
    for metric in dict.fromkeys(("auc", *metrics, *([GAP] if train_aucs else []))):
        values = {}  # arrays over the seeds, as arguments of `estimate`
        for arm, arm_scores in scores.items():
            name = "auc" if metric == GAP else metric
            design = cuts[arm], folds[arm], validation, arm
            values[arm] = of_seeds(name, labels, patients, arm_scores, positive, *design)
            if metric == GAP:
                values[arm] = {name: -part for name, part in values[arm].items()}
                values[arm]["values"] += np.asarray(train_aucs[arm])
            if metric == "auc":
                areas = estimate(**values[arm], classes=classes, overlap=overlap, level=True)
                levels[arm] = areas.value
                learned[arm] = _learned(areas, arm_scores, labels, positive, cuts[arm], rule)
        if metric not in (*metrics, GAP):
            continue
        others = [arm for arm in scores if arm != baseline] if baseline in scores else []
        sampling = {"overlap": overlap, "freedom": validation.freedom if validation else np.inf}
        differences = [
            estimate(**_differences(values, seeds, arm, baseline), classes=classes, **sampling) for arm in others
        ]
        lost = max((planned or 0) - len(others), primary is not None and primary not in others)
        first = None if primary is None else others.index(primary) if primary in others else len(others)
        few = [fewest < patients_needed((levels[arm] + levels[baseline]) / 2, margin) for arm in others]
        empty = [not (learned[arm][1] and learned[baseline][1]) for arm in others]
        comparisons = dict(zip(others, _compare(differences, metric, margin, few, empty, first, lost), strict=True))
        for arm in scores:
            mean = estimate(**values[arm], classes=classes, level=True, **sampling)
            row = {"arm": arm, "metric": metric, "mean": mean.value, "primary": arm == primary}
            interval = np.clip(mean.interval(), -1, 1) if metric == GAP else mean.proportion_interval(fewest)
            row["low"], row["high"] = interval
            row |= {"verdict": "baseline"} if arm == baseline else comparisons.get(arm, {})
            row |= dict(zip(("one_class", "learned"), learned[arm], strict=True))
            if alone < FEWEST and row.get("verdict") in VERDICTS:
                row["verdict"] = TOO_FEW
            rows.append(row)
    columns = (
        "arm metric mean low high difference difference_low difference_high p p_holm p_equivalent verdict primary "
        "patient_share p_gain p_within p_loss one_class learned"
    )
    rows.sort(key=lambda row: row["metric"] != metrics[0])
    return pd.DataFrame(rows, columns=columns.split())


def _differences(values, seeds, arm, baseline):
    """Returns the differences between two arms on the seeds that both have, in the form of `of_seeds`."""
    common = [seed for seed in seeds[arm] if seed in seeds[baseline]]
    if not common:
        raise ValueError(f"the arms {arm} and {baseline} have no finished seed in common, so they cannot be compared")
    rows, others = ([seeds[name].index(seed) for seed in common] for name in (arm, baseline))
    return {name: part[rows] - values[baseline][name][others] for name, part in values[arm].items()}


def _learned(areas, scores, labels, positive, thresholds, rule):
    """Returns the fraction of images predicted as the most frequent class, and whether an arm has learned anything."""
    predicted = np.array([predict(s, positive, cut) for s, cut in zip(scores, thresholds, strict=True)])
    fractions = np.stack([(predicted == label).mean(1) for label in range(scores.shape[2])])
    mean, label = float(fractions.max(0).mean()), int(fractions.mean(1).argmax())
    prevalence = float(np.mean(np.asarray(labels) == label))
    one_class = rule == "youden" and mean >= max(ONE_CLASS, (1 + prevalence) / 2)
    # Student's t would call every arm of a study of two seeds unlearned.
    return mean, bool(areas.value - 1.96 * areas.error > 0.5 and not one_class)


def patients_needed(area, margin):
    """Returns how many test patients of each class it takes to call two arms with this mean AUC equivalent."""
    return max(FEW_PATIENTS, NEAR_ONE / max(1 - area, 1e-9), RARE / margin)


def _compare(differences, metric, margin, few, empty, first=None, lost=0):
    """Returns the columns of `summarize` that compare arms with the baseline, as a dict for each Estimate.

    Args:
        differences, metric, margin: as in `summarize`, of the arms that have results.
        few: bool for each arm, whether there are too few patients to call it equivalent.
        empty: bool for each arm, whether it or the baseline has learned nothing, so that it is not equivalent either.
        first: position of the main comparison, or None; those of arms without results follow the others.
        lost: number of arms without results, which count in the correction.
    """
    p_values = _corrected([*(difference.p_value() for difference in differences), *[1.0] * lost], first)
    closed = first is not None and not p_values[first] < LEVEL  # nor where it is not defined
    p_margins = np.array([difference.equivalence_p_value(margin) for difference in differences])
    undefined = np.logical_or(few, np.isnan(p_margins))
    p_margins[np.logical_or(undefined, empty)] = 1.0
    p_margins = _corrected([*p_margins, *[1.0] * lost], first, closed)
    p_margins[: len(few)][undefined] = np.nan
    rows = []
    for i, (difference, p_holm, p_margin) in enumerate(zip(differences, p_values, p_margins, strict=False)):
        family = 1 if i == first else max(1, len(p_values) - (first is not None))
        level = LEVEL / family
        improvement = -difference.value if metric in LOWER_IS_BETTER else difference.value
        word = verdict(improvement, p_holm, difference.seeds, p_margin)
        low, high = np.clip(difference.interval(1 - level), -1, 1)
        if word in ("helps", "hurts"):  # Holm's correction is sharper than the interval's
            low, high = (max(low, 0.0), high) if difference.value > 0 else (low, min(high, 0.0))
        elif word == INCONCLUSIVE and i != first and closed:
            word = NOT_TESTED
        if word == "equivalent":
            low, high = max(low, -margin), min(high, margin)
        rows.append(
            {
                "difference": difference.value,
                "difference_low": low,
                "difference_high": high,
                "p": difference.p_value(),
                "p_holm": p_holm,
                "p_equivalent": p_margin,
                "verdict": word,
                "patient_share": difference.patient_share,
                **_probabilities(dataclasses.replace(difference, value=improvement), margin),
            }
        )
    return rows


def _probabilities(improvement, margin):
    """Returns the probability of a gain above the margin, of a difference within it, and of a loss above it."""
    if not improvement.error > 0:
        return dict.fromkeys(("p_gain", "p_within", "p_loss"), np.nan)
    above, below = ((margin - side * improvement.value) / improvement.error for side in (1, -1))
    gain, loss = (float(stats.t.sf(end, improvement.freedom)) for end in (above, below))
    return {"p_gain": gain, "p_within": 1 - gain - loss, "p_loss": loss}


def _corrected(p_values, first=None, closed=True):
    """Returns p-values with Holm's correction; a `first` one as it is, and the others no smaller if it is closed."""
    if first is None:
        return holm(p_values)
    others = np.delete(np.arange(len(p_values)), first)
    corrected = np.array(p_values, float)
    corrected[others] = np.maximum(holm(corrected[others]), corrected[first] if closed else 0.0)
    return corrected
