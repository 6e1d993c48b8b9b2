"""Studies whose truth is known: how often the verdict is wrong, and how often it finds what is there.

A verdict is worth as much as its error rates. Here scores are drawn from a model in which everything that may
mislead it can be set: the test part's size, several images a patient, networks that make the same mistakes, seeds
that differ in skill. In it an arm's true effect is a number, so false alarms can be counted.
"""

import numpy as np
import pandas as pd
from scipy import stats

from synthkit.statistics.intervals import wilson
from synthkit.statistics.verdicts import summarize


def simulate_study(
    images=156,
    arms=1,
    seeds=5,
    *,
    auc=0.8,
    effects=0.0,
    seed_deviation=0.015,
    within=0.7,
    between=0.6,
    patient_share=0.5,
    images_per_patient=2,
    positive_share=0.5,
    seed=0,
):
    """Draws the test scores of a study.

    A network's score of an image is normal with variance 1 in either class. Of that variance, the share `between` is
    common to all networks of the study (the image is easy or hard), `within` less `between` to an arm's networks (the
    arm has something of its own to say about it), and the rest is each network's own. Of every one of the three the
    share `patient_share` is common to a patient's images. How far apart a network keeps the classes follows from its
    AUC: `auc`, plus its arm's effect, plus the luck of its seed.

    Args:
        images: int, size of the test part.
        arms: int, how many beside the baseline "real".
        seeds: int.
        auc: the baseline's AUC.
        effects: float or `(arms,)`, what every arm adds to it in truth.
        seed_deviation: standard deviation of a network's AUC over seeds.
        within, between: correlation between scores of two networks of one arm, of two arms; `within >= between`.
        patient_share: of the correlated part, what a patient's images have in common.
        images_per_patient: int.
        positive_share: of the patients.
        seed: int, or a numpy Generator.

    Returns:
        `(scores, labels, patients)`, the first three arguments of `summarize`; class 1 is positive.
    """
    rng = np.random.default_rng(seed)
    patients = np.arange(images) // images_per_patient
    count = patients[-1] + 1
    positives = rng.permutation(count) < round(positive_share * count)
    labels = positives[patients].astype(int)

    def noise(share, *shape):
        shared = rng.normal(size=(*shape, count))[..., patients]
        own = rng.normal(size=(*shape, images))
        return np.sqrt(share) * (np.sqrt(patient_share) * shared + np.sqrt(1 - patient_share) * own)

    skill = (
        auc
        + np.append(0, np.broadcast_to(effects, arms))[:, None]
        + seed_deviation * rng.normal(size=(arms + 1, seeds))
    )
    distance = np.sqrt(2) * stats.norm.ppf(np.clip(skill, 0.01, 0.99))
    drawn = noise(between, 1, 1) + noise(within - between, arms + 1, 1) + noise(1 - within, arms + 1, seeds)
    # The bend of the logistic curve puts the classes' border at a half, where accuracy looks.
    positive = stats.logistic.cdf(drawn + distance[..., None] * (labels - 0.5))
    names = ["real"] + [f"arm {i + 1}" for i in range(arms)]
    return dict(zip(names, np.stack([1 - positive, positive], axis=-1), strict=True)), labels, patients


def error_rates(studies, *, draws=500, margin=0.05, seed=0, metric="auc", progress=None, **design):
    """Simulates many studies of one design and counts what their verdicts say.

    Args:
        studies: int, how many.
        draws: bootstrap samples of the patients in each.
        margin: of the test for equivalence.
        seed: int.
        metric: name of a function of `statistics.scores`.
        progress: callable that wraps the range of studies, such as tqdm; None for none.
        design: arguments of `simulate_study`.

    Returns:
        pandas.DataFrame, a row a verdict ("helps", "hurts", "equivalent", and "any effect": helps or hurts), with the
        share of studies in which at least one arm got it after Holm's correction, and Wilson's 95 % interval of that
        share, `low` and `high`. With effects of zero "any effect" is the false-alarm rate.
    """
    rngs = np.random.default_rng(seed).spawn(studies)
    found = []
    for rng in (progress or iter)(rngs):
        table = summarize(*simulate_study(seed=rng, **design), draws=draws, seed=rng, metrics=(metric,), margin=margin)
        found.append(set(table["verdict"]))
    kinds = {"helps": {"helps"}, "hurts": {"hurts"}, "equivalent": {"equivalent"}, "any effect": {"helps", "hurts"}}
    rows = []
    for kind, words in kinds.items():
        count = sum(bool(words & verdicts) for verdicts in found)
        rows.append((kind, count / studies, *wilson(count, studies)))
    return pd.DataFrame(rows, columns=["verdict", "share", "low", "high"]).set_index("verdict")


def power_curve(effects, studies=200, **design):
    """Returns how often an arm with a true effect is found to help.

    Args:
        effects: list of float, true differences in AUC.
        studies: int, simulated for every effect.
        design: further arguments of `error_rates` and `simulate_study`.

    Returns:
        pandas.DataFrame: effect, share, low, high.
    """
    found = [error_rates(studies, effects=effect, **design).loc["helps"] for effect in effects]
    return pd.DataFrame({"effect": list(effects)}).join(pd.DataFrame(found).reset_index(drop=True))
