"""What is said about a study besides its verdicts: its controls, power, variance, failures, copies, near-duplicates."""

import numpy as np
from scipy import stats

from synthkit.statistics.estimates import MARGIN
from synthkit.statistics.sentences import main_metric, main_rows, metric_name, signs
from synthkit.statistics.verdicts import FEW_PATIENTS, INCONCLUSIVE, LEVEL, NEAR_ONE, RARE, VERDICTS


def unlearned(summary, baseline="real"):
    """Returns which arms have learned nothing, as a list of sentences.

    Args:
        summary: DataFrame of `summarize`.
        baseline: the arm that the others are compared with.
    """
    sentences = []
    for row in summary[(summary["metric"] == "auc") & (summary["learned"] == False)].to_dict("records"):  # noqa: E712
        if row["arm"] == "shuffled":
            continue  # as it should
        reason = f"its AUC of {row['mean']:.3f} ({row['low']:.3f} to {row['high']:.3f}) could be 0.5"
        if row["low"] > 0.5:
            reason = f"it predicts the same class for {row['one_class']:.0%} of the test images"
        end = ", so this study does not show what other arms add" if row["arm"] == baseline else ""
        sentences.append(
            f"The classifier is not shown to have learned anything in the arm {row['arm']}: {reason}{end}. Use more "
            f"real images, larger ones (--image-size), more steps or another classifier (--classifier)."
        )
    return sentences


def controls(summary, margin=MARGIN):
    """Returns what the control arms say about the study itself, as a list of sentences; nothing without verdicts.

    A control is tested alone: it helps or hurts if its own p-value says so, whatever the main comparison says.

    Args:
        summary: DataFrame of `summarize`.
        margin: the margin of that summary.
    """
    rows = {row["arm"]: row for row in main_rows(summary).to_dict("records") if row["verdict"] in VERDICTS}
    words = {arm: _alone(row) for arm, row in rows.items()}
    sentences, name = [], metric_name(main_metric(summary))
    best = {"oracle": "fresh images from the simulator"}
    best["more_real"] = "the real images that a seed did not draw"
    for arm in filter(rows.__contains__, best):
        sentences.append(
            {
                "helps": f"The positive control works: tested for itself, {arm} helps ({best[arm]}), so this study can "
                f"detect an effect of that size.",
                "equivalent": f"The positive control leaves little to gain: even {best[arm]} change the {name} by "
                f"less than {margin:g}. A smaller gain is not ruled out. With fewer real images there may be more to "
                f"gain.",
            }.get(
                words[arm],
                f"The positive control fails: even {best[arm]} are not shown to help, so this study is too small or "
                f"too short to judge the other arms. Run more seeds or more steps, or use fewer real images "
                f"(--per-class).",
            )
        )
    if "shuffled" in rows:
        outcome = {
            "helps": "The negative control fails: synthetic images with permuted labels help, so an improvement in "
            "another arm need not come from what its images show.",
            "hurts": "The negative control works: synthetic images with permuted labels hurt.",
            "equivalent": f"The negative control works: synthetic images with permuted labels change the {name} by "
            f"less than {margin:g}.",
        }
        unclear = (
            "The negative control is inconclusive: synthetic images with permuted labels are not shown to hurt, nor to "
            "make no difference."
        )
        sentences.append(outcome.get(words["shuffled"], unclear))
    return sentences


def _alone(row):
    """Returns the verdict on a row of `summarize` without a correction for other arms and without a main comparison."""
    if row.get("p", 1) < LEVEL:
        return "helps" if row["difference"] > 0 else "hurts"
    return row["verdict"]


def too_small(summary):
    """Returns that the study could not have found any difference, as a list of one sentence or none.

    Args:
        summary: DataFrame of `summarize`.
    """
    rows, name = main_rows(summary).dropna(subset="p_gain"), metric_name(main_metric(summary))
    room = 1 - summary.loc[summary["verdict"] == "baseline", "mean"].head(1).sum()
    half = (rows["difference_high"] - rows["difference"]).min()
    if rows.empty or half < room:
        return []
    return [
        f"This study could not have found any improvement: its intervals reach {half:.3f} or more to either side of a "
        f"difference in {name}, and only {room:.3f} separates the baseline from perfect scores. Use more test images "
        f"(--test, --folds) or more seeds."
    ]


def power(summary, margin=MARGIN, plan=None):
    """Returns what the study could find, as a list of sentences; none without an uncertainty.

    Args:
        summary: DataFrame of `summarize`.
        margin: the margin of that summary.
        plan: what was planned before the study, as a sentence (`plan.sentence`), or None.
    """
    table = main_rows(summary).dropna(subset="p_gain")
    if table.empty or table["patient_share"].isna().all():
        return []
    family = len(table) - int(table["primary"].any())
    needed = stats.norm.ppf(1 - LEVEL / 2 / np.array([max(1, family), 1])) + stats.norm.ppf(0.8)
    expected = "Expected before the study, from simulations: {}. What it found is in the intervals above."
    sentences = [expected.format(plan.split(". To find")[0])] if plan else []
    if family > 1 and not table["primary"].any():
        sentences.append(
            f"For {family} arms instead of one, a difference must be at least {needed[0] / needed[1]:.1f} times as "
            f"large to be found as often."
        )
    if (table["verdict"] == INCONCLUSIVE).any():
        sentences.append("Inconclusive does not mean no effect: the intervals say what is not ruled out.")
    few = table[table["p_equivalent"].isna()]
    if len(few):
        subject = "No arm can" if len(few) == len(table) else f"{', '.join(few['arm'])} cannot"
        sentences.append(
            f"{subject} be called equivalent: the test set has too few patients of a class to know how much others "
            f"would vary. It takes {max(FEW_PATIENTS, RARE / margin):.0f} of each class ({RARE:g} / margin, at least "
            f"{FEW_PATIENTS}; patients with many images count less), and more where the AUC is high: {NEAR_ONE} / "
            f"(1 - AUC)."
        )
    return sentences


def variance(summary):
    """Returns how much of the uncertainty more seeds could remove, as a list of one sentence or none.

    Args:
        summary: DataFrame of `summarize`.
    """
    rows, name = main_rows(summary).dropna(subset="p_gain"), metric_name(main_metric(summary))
    shares = rows["patient_share"]
    if shares.isna().all():
        return []
    low, high = f"{100 * shares.min():.0f}", f"{100 * shares.max():.0f}"
    part = f"{low} %" if low == high else f"{low} to {high} %"
    chosen = "" if main_metric(summary) in ("auc", "brier") else " and to choose thresholds on"
    return [
        f"Of the variance of the differences in {name}, {part} is due to the sampling of patients to test on{chosen}, "
        "which only more patients reduce; the rest is due to training sets and seeds, which cannot be told apart where "
        "every seed has its own training set."
    ]


def rare_failures(seeds):
    """Returns what so few seeds may have missed, as a list of one sentence or none."""
    if seeds < 3:
        return []
    share = 100 * (1 - 0.05 ** (1 / seeds))
    return [
        f"A training that fails only now and then, in less than {share:.0f} % of runs, may not have occurred in "
        f"{seeds} seeds, and no interval covers it."
    ]


def failure(arm, count, row):
    """Returns that trials of an arm failed, and its worst case, as a sentence.

    Args:
        arm: str.
        count: int, number of failed trials.
        row: of `summarize`, with an AUC of 0.5 in place of each of them; None if there is none to compare with.
    """
    text = f"{count} trial{'s' if count > 1 else ''} of {arm} failed, and its results are of the other seeds."
    if row is None or not np.isfinite(row["difference"]):
        return text
    return signs(
        f"{text} If the lost networks had learned nothing (an AUC of 0.5), its difference would be "
        f"{row['difference']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})."
    )


def copies(arm, found):
    """Returns what the search for copies of training images found in an arm, as a sentence.

    Args:
        arm: str.
        found: dict from seed to a dict of copies, p, images and perhaps accuracy and p_accuracy
            (`study.copies.look_for_copies`).
    """
    number = sum(of_seed["copies"] for of_seed in found.values())
    images = sum(of_seed["images"] for of_seed in found.values())
    p = min(1.0, len(found) * min(of_seed["p"] for of_seed in found.values()))  # Bonferroni's correction over the seeds
    text = f"{arm}: {number} of {images} synthetic images are near copies of training images"
    text += (
        f", more than of held-out images (p = {p:.2g}). Look at them before you share these images."
        if p < 0.05
        else f"; that they are copied more often than held-out images is not shown (p = {p:.2g})."
        if number
        else "."
    )
    told = [of_seed for of_seed in found.values() if "accuracy" in of_seed]
    if not told:
        return text
    p = min(1.0, len(told) * min(of_seed["p_accuracy"] for of_seed in told))
    accuracy = np.mean([of_seed["accuracy"] for of_seed in told])
    word = "tells" if p < 0.05 else "is not shown to tell"
    return (
        f"{text} A random forest {word} them from held-out real images (accuracy {accuracy:.2f}, where 0.5 is "
        f"guessing; p = {p:.2g})."
    )


def population(overlap, folds=None):
    """Returns which training sets the intervals of a study are about, as a sentence.

    Args:
        overlap: of the training sets (`training_sets.overlap`); 1 if all seeds have the same.
        folds: number of folds of a cross-validation, or None.
    """
    if overlap < 1:
        return (
            f"Every seed drew its own training set, and two of these sets share up to {100 * overlap:.0f} % of the "
            f"images of a class, which the intervals allow for: they are about training sets of this size, and this "
            f"validation set."
        )
    if folds:
        return (
            f"Every image was scored once for each seed, by a network trained on {folds - 1} of {folds} folds; the "
            f"intervals are about training sets of that size."
        )
    return (
        "All seeds were trained on the same real images: the intervals cover seeds and test patients, and say nothing "
        "about other training and validation sets."
    )


def near_duplicates(number, images, correlation, rescored):
    """Returns what near-duplicates in the test set may do to the results, as a text; "" if there are none.

    Args:
        number: test images that look like training or validation images.
        images: test images.
        correlation: the correlation above which two images look alike.
        rescored: whether results without them follow.
    """
    if not number:
        return ""
    return (
        f"{number} of {images} test images look like training or validation images (correlation above "
        f"{correlation:.3g}), and are called near-duplicates: see near_duplicates.png. If they show the same patients, "
        f"a network that memorises its training images scores well on them, and whatever keeps it from memorising, "
        f"such as augmentation or synthetic images, seems to hurt. "
        f"{'Results without these test images:' if rescored else 'Too few other test images are left to score.'}"
    )
