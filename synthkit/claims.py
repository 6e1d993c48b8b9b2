"""The three studies' claims, re-read: what their own counts say of each, with intervals and tests.

Every figure below stands in a report: the mammography study's slides ("Topic 3: Data Synthesis"), the MedMNIST
study's Tables 1 and 2, the skin-lesion study's Tables 1 to 6. Each comes from one training run. The intervals and tests
here know the chance in the test images only; what another seed would have given comes on top, and so does what is
gained by choosing the best of many looks at the test part (`selection_gain`).
"""

import typing

import numpy as np
import pandas as pd
from scipy import stats

from synthkit.statistics import hanley_mcneil, holm, mcnemar, mcnemar_range, newcombe, wilson


class Claim(typing.NamedTuple):
    """A published comparison of two classifiers on the same test images.

    Attributes:
        study: "mammography", "MedMNIST" or "skin lesions".
        source: where in its report.
        claim: what was compared, baseline first.
        figure: "accuracy", or "sensitivity" and "specificity" for malignant lesions.
        total: test images that the figure is a share of.
        before, after: how many of them were right without and with synthetic images.
    """

    study: str
    source: str
    claim: str
    figure: str
    total: int
    before: int
    after: int


# Mammography: test accuracies as the slides print them, on `X_test shape: (341, 224, 224, 3)`.
MAMMOGRAPHY_TEST = 341
MAMMOGRAPHY = {
    "simple CNN": 0.5102639198303223,
    "hyperparameter tuning": 0.5513196587562561,
    "VGG16": 0.5601173043251038,
    "InceptionResNetV2": 0.7067448496818542,
    "InceptionResNetV2 with cGAN": 0.7067448496818542,
    "cGAN, best trial": 0.86,  # two digits only, from the comparison table
}

# Two-class AUCs: images of the two classes in the test part, baseline, then the arms. The slides do not give their test
# part's classes; they are taken to be as in the whole set, 48.3 % malignant. MedMNIST's are those of its files.
AREAS = {
    ("mammography", "InceptionResNetV2"): ((165, 176), 0.75, {"cGAN, average": 0.76, "cGAN, best trial": 0.89}),
    ("MedMNIST", "PneumoniaMNIST"): ((234, 390), 0.942, {"AE": 0.949, "cVAE": 0.942, "cGAN": 0.948}),
    ("MedMNIST", "BreastMNIST"): ((42, 114), 0.872, {"AE": 0.885, "cVAE": 0.901, "cGAN": 0.850}),
}

# MedMNIST: test images (Table 1) and accuracies (Table 2) without augmentation, with AE, cVAE and cGAN.
MEDMNIST = {
    "PathMNIST": (7180, 0.740, 0.708, 0.614, None),
    "DermaMNIST": (2005, 0.698, 0.682, 0.686, None),
    "OCTMNIST": (1000, 0.501, 0.564, 0.543, 0.557),
    "PneumoniaMNIST": (624, 0.845, 0.842, 0.859, 0.856),
    "BreastMNIST": (156, 0.807, 0.833, 0.864, 0.796),
    "OrganMNIST axial": (8889, 0.781, 0.819, 0.810, 0.783),
    "OrganMNIST coronal": (8268, 0.824, 0.844, 0.842, 0.845),
    "OrganMNIST sagittal": (8829, 0.641, 0.659, 0.644, 0.652),
}

# Skin lesions: rows malignant and benign, columns predicted malignant and predicted benign (Tables 2, 4 and 6).
SKIN = {
    "real": ((288, 12), (122, 238)),
    "120 a class": ((283, 17), (98, 262)),
    "480 a class": ((258, 42), (66, 294)),
}


def claims():
    """Returns every claim of the three reports that comes with counts, as a list of Claim.

    Where a report gives a rounded accuracy, the count is the nearest whole one. Two of the MedMNIST study's accuracies
    are no share of their test images at all: BreastMNIST's 0.864 and 0.796 of 156. An average over batches of
    different sizes would give such figures.
    """
    found = []
    for arm in ("InceptionResNetV2 with cGAN", "cGAN, best trial"):
        before, after = (round(MAMMOGRAPHY[name] * MAMMOGRAPHY_TEST) for name in ("InceptionResNetV2", arm))
        claim = f"InceptionResNetV2, {arm.removeprefix('InceptionResNetV2 ')}"
        found.append(Claim("mammography", "slides", claim, "accuracy", MAMMOGRAPHY_TEST, before, after))
    for name, (total, before, *others) in MEDMNIST.items():
        for arm, after in zip(("AE", "cVAE", "cGAN"), others, strict=True):
            if after is not None:
                counts = round(before * total), round(after * total)
                found.append(Claim("MedMNIST", "Table 2", f"{name}, {arm}", "accuracy", total, *counts))
    (hit, missed), (alarm, rejected) = SKIN["real"]
    for arm, table in (("120 a class", "Table 4"), ("480 a class", "Table 6")):
        (new_hit, _), (_, new_rejected) = SKIN[arm]
        malignant, benign = hit + missed, alarm + rejected
        for figure, total, before, after in (
            ("accuracy", malignant + benign, hit + rejected, new_hit + new_rejected),
            ("sensitivity", malignant, hit, new_hit),
            ("specificity", benign, rejected, new_rejected),
        ):
            found.append(Claim("skin lesions", table, f"DCGAN, {arm}", figure, total, before, after))
    return found


def reread():
    """Puts an interval and a test to every claim.

    The reports do not say which images each classifier had right, so the paired test has a range: McNemar's p-value is
    smallest if the better classifier was wrong wherever the other was, and largest if they disagreed wherever the
    counts allow. `may_disagree` is the largest share of the test images on which the two can have disagreed if the
    difference is to be significant.

    Returns:
        pandas.DataFrame, a row a claim: its fields; before and after as shares, each with `_low` and `_high` (Wilson);
        difference, low, high (Newcombe) and p (Fisher), as if from different images; p_holm, corrected over the
        study's claims; p_smallest, p_largest and may_disagree of the paired test.
    """
    rows = []
    for claim in claims():
        row = claim._asdict()
        for side in ("before", "after"):
            row[side] = getattr(claim, side) / claim.total
            row[f"{side}_low"], row[f"{side}_high"] = wilson(getattr(claim, side), claim.total)
        found = newcombe(claim.before, claim.total, claim.after, claim.total)
        row |= dict(zip(("difference", "low", "high", "p"), found, strict=True))
        row["p_smallest"], row["p_largest"] = mcnemar_range(claim.before, claim.after, claim.total)
        row["may_disagree"] = _may_disagree(claim.before, claim.after, claim.total)
        rows.append(row)
    table = pd.DataFrame(rows)
    table["p_holm"] = table.groupby("study")["p"].transform(holm)
    return table


def areas():
    """Puts an interval to every claim of a two-class AUC.

    Returns:
        pandas.DataFrame, a row a claim: study, claim, before, after, difference; low and high, its 95 % interval as if
        from different images (Hanley and McNeil); and `needs_correlation`, how strongly the two AUCs must vary
        together over test parts for the difference to be significant. Near 1 the two would have to be
        all but the same classifier; at 0 or below the difference is significant even between different images.
    """
    rows = []
    for (study, baseline), (counts, before, arms) in AREAS.items():
        for arm, after in arms.items():
            first, second = hanley_mcneil(before, *counts), hanley_mcneil(after, *counts)
            gap, half = after - before, stats.norm.ppf(0.975) * np.hypot(first, second)
            needed = (first**2 + second**2 - (gap / stats.norm.ppf(0.975)) ** 2) / (2 * first * second)
            row = {"study": study, "claim": f"{baseline}, {arm}", "before": before, "after": after, "difference": gap}
            rows.append(row | {"low": gap - half, "high": gap + half, "needs_correlation": needed})
    return pd.DataFrame(rows)


def _may_disagree(before, after, total, level=0.05):
    gap = abs(after - before)
    most = min(before, after, total - max(before, after))
    # A wider disagreement with the same gap is always weaker evidence.
    few = np.flatnonzero(mcnemar(np.arange(most + 1), np.arange(most + 1) + gap) < level)
    return (gap + 2 * int(few[-1])) / total if len(few) else 0.0


def selection_gain(images, accuracy, looks, correlation=0.9, *, seed_deviation=0.0, studies=2000, seed=0):
    """Simulates what is gained by reporting the best of several looks at one test part.

    All looks, epochs of a training or trials of a recipe, have the same accuracy in truth, but for the luck of their
    seed; only chance in the test images and that luck make one the best.

    Args:
        images: int, size of the test part.
        accuracy: float, the true one.
        looks: int, how many are looked at: 100 epochs, say.
        correlation: between two looks' (latent, normal) chances of getting an image right. 1 for looks that err on the
            same images; late epochs of one training are close to it, trials from different seeds are not.
        seed_deviation: standard deviation of the looks' true accuracies, of trials from different seeds.
        studies: int, how many are simulated.
        seed: int.

    Returns:
        float64 `(studies,)`: best accuracy found less the true one.
    """
    rng, gains = np.random.default_rng(seed), np.empty(studies)
    for i in range(studies):
        skill = np.clip(accuracy + seed_deviation * rng.normal(size=looks), 0.01, 0.99)
        image = np.sqrt(correlation) * rng.normal(size=images)
        right = image + np.sqrt(1 - correlation) * rng.normal(size=(looks, images)) < stats.norm.ppf(skill)[:, None]
        gains[i] = right.mean(1).max() - accuracy
    return gains
