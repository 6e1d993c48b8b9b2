"""Published claims that synthetic images help, with intervals and tests computed from their own counts.

`reread` and `areas` are about the three studies that synthkit reproduces (`published`), `reread(read(path))` is about
claims in a table. The intervals and tests cover the sampling of test images only. They do not cover the variation
between seeds, nor the optimism of reporting the best of several results on the test set (`selection_gain`).
"""

import re
import textwrap

import numpy as np
import pandas as pd
from scipy import stats

from synthkit.datasets.labels import read_any_csv
from synthkit.published import LITERATURE, UNCOUNTED, AreaClaim, Claim, area_claims, claims
from synthkit.statistics import hanley_mcneil, holm, mcnemar, mcnemar_range, newcombe, wilson

CORRELATION = 0.9  # between two results of the same test images, where the best of several was published
CHOSEN = "best trial|best epoch|best of"  # in a claim: its result was chosen on the test set


def read(path):
    """Reads published claims from a table, to be given to `reread`.

    Args:
        path: CSV file with the columns total, before and after (counts of correctly classified test images, or
            proportions below 1), and optionally study, source, claim and figure (the metric); or, for AUCs, with the
            columns positives, negatives, before and after, and optionally study and claim.

    Returns:
        list of Claim, or of AreaClaim.

    Raises:
        FileNotFoundError, ValueError: if it cannot be read, a column is missing, or a number does not make sense; names
            the line.
    """
    table = read_any_csv(path)
    areas = {"positives", "negatives"} <= set(table.columns)
    counts = ("positives", "negatives") if areas else ("total",)
    if {*counts, "before", "after"} - set(table.columns):
        raise ValueError(
            f"{path} must have the columns total, before and after; for AUCs positives, negatives, before and after. "
            f"Received: {', '.join(table.columns)}"
        )
    result = []
    for line, row in table.iterrows():
        texts = {name: row.get(name, "") or "" for name in ("study", "claim", *(() if areas else ("source", "figure")))}
        if not areas:
            texts["figure"] = texts["figure"] or "accuracy"
        try:
            numbers = [float(row[name]) for name in (*counts, "before", "after")]
            result.append((area_claim if areas else claim)(*numbers, **texts))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
    return result


def claim(total, before, after, *, study="", source="", claim="", figure="accuracy"):
    """Makes a Claim of counts of correctly classified test images, or of proportions: beside one below 1, 1 is all.

    Raises:
        ValueError: if the numbers do not make sense.
    """
    proportions = any(0 < value < 1 for value in (before, after))
    counts = [round(value * total) if proportions and 0 <= value <= 1 else value for value in (before, after)]
    if total < 1 or any(value != int(value) or not 0 <= value <= total for value in (total, *counts)):
        raise ValueError(
            "expected a number of test images, and the number or the fraction of them that were classified correctly "
            f"before and after. Received: total {total:g}, before {before:g}, after {after:g}"
        )
    return Claim(study, source, claim, figure, int(total), *map(int, counts))


def area_claim(positives, negatives, before, after, *, study="", claim=""):
    """Makes an AreaClaim of the number of test images of each class, and two AUCs.

    Raises:
        ValueError: if the numbers do not make sense.
    """
    if any(count < 1 or count != int(count) for count in (positives, negatives)) or not all(
        0 < area < 1 for area in (before, after)
    ):
        raise ValueError(
            "expected the number of positive and of negative test images, and AUCs between 0 and 1 before and after. "
            f"Received: {positives:g} positive, {negatives:g} negative, before {before:g}, after {after:g}"
        )
    return AreaClaim(study, claim, int(positives), int(negatives), before, after)


def text(published, looks=1):
    """Returns what published claims show, as text for a terminal.

    Args:
        published: list of Claim and AreaClaim.
        looks: as in `sentence`.
    """
    counted = [claim for claim in published if isinstance(claim, Claim)]
    table = reread(counted) if counted else pd.DataFrame()
    rows = [sentence(row, looks) for row in table.to_dict("records")]
    rows += [area_sentence(claim, looks) for claim in published if isinstance(claim, AreaClaim)]
    if any(claim in LITERATURE for claim in published):
        rows += [f"{study} ({source}): {claim}. Missing: {missing}." for study, source, claim, missing in UNCOUNTED]
    return "\n".join(
        [
            *(textwrap.fill(row, 100, subsequent_indent="  ") for row in rows),
            *([f"\n{textwrap.fill(in_all(table), 100)}"] if len(table) > 1 else []),
            "\nIntervals (as if from different images) and probabilities cover the choice of test images only.",
            "Networks that are trained again with other seeds or other training images differ as well.",
        ]
    )


def in_all(table):
    """Returns how many of the claims in a table of `reread` show a gain, as a text."""
    chosen = table["claim"].str.contains(CHOSEN)
    gains = table[(table["difference"] > 0) & ~chosen]
    whatever = gains[(gains["low"] > 0) & (gains["p_largest_holm"] < 0.05)]
    possible = gains.drop(whatever.index).query("p_smallest < 0.05")
    rest = f", {int(chosen.sum())} of which were the best of several on the test set" if chosen.any() else ""
    text = (
        f"Of {len(table)} comparisons of counts{rest}, {len(gains)} others are gains. {len(whatever)} of these are "
        "significant whichever images were right, and after correction for the number of comparisons in the study"
    )
    names = "; ".join(f"{row.study}, {row.claim}: {row.figure}".lstrip(", ") for row in whatever.itertuples())
    return (
        f"{text}{f' ({names})' if names else ''}. {len(possible)} may be, without correction, depending on which "
        "images were right, which was not published."
    ).replace(" others are", " are" if not chosen.any() else " others are")


def sentence(row, looks=1):
    """Returns a row of `reread` as a sentence, with what the best of several results is worth.

    Args:
        row: dict.
        looks: int, number of results of which the published one is the best.
    """
    names = ", ".join(filter(None, (row["study"], row["claim"])))
    text = (
        f"{names + ': ' if names else ''}{row['figure']} {row['before']:.3f} → {row['after']:.3f} on {row['total']} "
        f"images, {row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}). "
        f"p between {row['p_smallest']:.2g} and {row['p_largest']:.2g}, depending on which images were right; the "
        f"probability that nothing is gained is {_between(row['no_gain_smallest'], row['no_gain_largest'])}."
    )
    if looks == 1 and re.search(CHOSEN, row["claim"]):
        text += (
            " It is the best of several trials, chosen on the test set, so that this probability says little; --looks "
            "shows what such a choice alone is worth."
        )
    if looks > 1:
        gains = selection_gain(row["total"], row["before"], looks)
        text += (
            f" The best of {looks} equal results is {gains.mean():.3f} too high on average, and in one study of twenty "
            f"{np.quantile(gains, 0.95):.3f} or more."
        )
    return re.sub(r"(?<!e)-(?=\d)", "−", text)


def area_sentence(claim, looks=1):
    """Returns an AreaClaim as a sentence, with what the best of several results is worth.

    Args:
        claim: AreaClaim.
        looks: as in `sentence`.
    """
    row = _area_row(claim)
    names = ", ".join(filter(None, (claim.study, claim.claim)))
    text = (
        f"{names + ': ' if names else ''}AUC {claim.before:.3f} → {claim.after:.3f} on {claim.positives} positive and "
        f"{claim.negatives} negative images, {row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f} as if "
        f"from different images). "
    )
    needed = row["needs_correlation"]
    if not row["difference"]:
        text += "No difference."
    elif needed <= 0:
        text += "Significant even if the two AUCs are not correlated."
    elif needed > 1:
        text += "Not significant, however the two AUCs are correlated."
    else:
        text += (
            f"Significant if the two AUCs have a correlation of {needed:.2f} or more over test sets; 1 is that of two "
            f"classifiers that score every image alike."
        )
    if re.search(CHOSEN, claim.claim) and looks == 1:
        text += " It is the best of several trials, chosen on the test set; --looks shows what such a choice is worth."
    if looks > 1:
        error = hanley_mcneil(claim.before, claim.positives, claim.negatives)
        rng = np.random.default_rng(0)
        own, common = rng.normal(size=(2000, looks)).max(axis=1), rng.normal(size=2000)
        best = error * (np.sqrt(1 - CORRELATION) * own + np.sqrt(CORRELATION) * common)
        text += (
            f" The best of {looks} equal results is {best.mean():.3f} too high on average, and in one study of twenty "
            f"{np.quantile(best, 0.95):.3f} or more, if each two of them have a correlation of {CORRELATION}."
        )
    return re.sub(r"(?<!e)-(?=\d)", "−", text)


def _between(smallest, largest):
    """Returns a range of probabilities in percent."""
    low, high = ("below 0.1" if value < 0.001 else f"{100 * value:.1f}" for value in (smallest, largest))
    if smallest > 0.999:
        return "above 99.9 %"
    if low == high:
        return f"{low} %"
    return f"{high} % or less" if low.startswith("below") else f"between {low} % and {high} %"


def reread(published=None):
    """Computes intervals and tests for every claim.

    Args:
        published: list of Claim; None for those of the three reports.

    The reports do not say which images each classifier got right, so the paired test has a range of p-values. McNemar's
    p-value is smallest if the better classifier was right wherever the other was, and largest if the two disagreed on
    as many images as the counts allow. `may_disagree` is the largest fraction of the test images on which they can have
    disagreed if the difference is significant.

    Returns:
        pandas.DataFrame with a row for every claim: its fields; before and after as proportions, each with `_low` and
        `_high` (Wilson); difference, low, high (Newcombe) and p (Fisher), as if from different images; p_holm,
        corrected for the number of claims of the study; p_smallest, p_largest (and p_largest_holm, corrected) and
        may_disagree of the paired test;
        no_gain_smallest and no_gain_largest, the probability that the second classifier is no better in truth, if
        nothing was known before, for the fewest and the most images on which the two can have disagreed.
    """
    rows = []
    for claim in claims() if published is None else published:
        row = claim._asdict()
        for side in ("before", "after"):
            row[side] = getattr(claim, side) / claim.total
            row[f"{side}_low"], row[f"{side}_high"] = wilson(getattr(claim, side), claim.total)
        difference = newcombe(claim.before, claim.total, claim.after, claim.total)
        row |= dict(zip(("difference", "low", "high", "p"), difference, strict=True))
        row["p_smallest"], row["p_largest"] = mcnemar_range(claim.before, claim.after, claim.total)
        row["no_gain_smallest"], row["no_gain_largest"] = _no_gain(claim.before, claim.after, claim.total)
        row["may_disagree"] = _may_disagree(claim.before, claim.after, claim.total)
        rows.append(row)
    table = pd.DataFrame(rows)
    for name in ("p", "p_largest"):
        table[f"{name}_holm"] = table.groupby("study")[name].transform(holm)
    return table


def areas():
    """Computes intervals for every claim about a two-class AUC.

    Returns:
        pandas.DataFrame with a row for every claim: study, claim, before, after, difference; low and high, its 95 %
        interval as if from different images (Hanley and McNeil); and `needs_correlation`, the correlation between the
        two AUCs over test sets above which the difference is significant. A value near 1 requires two classifiers that
        are almost the same; above 1 the difference is not significant, and at 0 or below it is even between different
        images.
    """
    return pd.DataFrame([_area_row(claim) for claim in area_claims()])


def _area_row(claim):
    errors = [hanley_mcneil(area, claim.positives, claim.negatives) for area in (claim.before, claim.after)]
    gap, z = claim.after - claim.before, stats.norm.ppf(0.975)
    half = z * np.hypot(*errors)
    correlation = (errors[0] ** 2 + errors[1] ** 2 - (gap / z) ** 2) / (2 * errors[0] * errors[1])
    row = {"study": claim.study, "claim": claim.claim, "before": claim.before, "after": claim.after, "difference": gap}
    return row | {"low": gap - half, "high": gap + half, "needs_correlation": correlation}


def _no_gain(before, after, total):
    """Returns the smallest and the largest probability that the true difference is 0 or less."""
    gap, most = after - before, min(before, after, total - max(before, after))
    # Of the images on which two classifiers disagree, each speaks for one of them; the variance of the gap is about
    # their number.
    disagreements = np.array([max(1, abs(gap)), max(1, abs(gap) + 2 * most)])
    return tuple(sorted(stats.norm.sf(gap / np.sqrt(disagreements)).tolist()))


def _may_disagree(before, after, total, level=0.05):
    gap = abs(after - before)
    most = min(before, after, total - max(before, after))
    # With the same gap, the p-value grows with the number of images on which the two disagree.
    significant = np.flatnonzero(mcnemar(np.arange(most + 1), np.arange(most + 1) + gap) < level)
    return (gap + 2 * int(significant[-1])) / total if len(significant) else 0.0


def selection_gain(images, accuracy, looks, correlation=CORRELATION, *, seed_deviation=0.0, studies=2000, seed=0):
    """Simulates the optimism of reporting the best of several results on the same test set.

    The results, after the epochs of one training or from several trials, have the same true accuracy apart from random
    deviations between seeds. The best of them differs from it only by those deviations and the sampling of test images.

    Args:
        images: int, size of the test set.
        accuracy: float, the true accuracy.
        looks: int, number of results, such as 100 epochs.
        correlation: between two results' latent normal scores of an image. At 1 all results make the same errors; late
            epochs of one training come close to it, trials with different seeds do not.
        seed_deviation: standard deviation of the true accuracies of trials with different seeds.
        studies: int, number of simulated studies.
        seed: int.

    Returns:
        float64 `(studies,)`, the best accuracy minus the true one.
    """
    rng, gains = np.random.default_rng(seed), np.empty(studies)
    for i in range(studies):
        accuracies = np.clip(accuracy + seed_deviation * rng.normal(size=looks), 0.01, 0.99)
        shared = np.sqrt(correlation) * rng.normal(size=images)
        latent = shared + np.sqrt(1 - correlation) * rng.normal(size=(looks, images))
        right = latent < stats.norm.ppf(accuracies)[:, None]
        gains[i] = right.mean(1).max() - accuracy
    return gains
