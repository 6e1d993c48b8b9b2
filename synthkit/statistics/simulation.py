"""Simulated studies with known effects: how often the verdict is wrong, and how often it detects a true effect.

A verdict is worth as much as its error rates. Here scores are drawn from a model with a known effect of each arm, so
that false alarms can be counted. What may mislead a verdict can be set: the size of the test set, several images of
each patient, networks that make the same mistakes, and seeds that differ in skill.
"""

import numpy as np
import pandas as pd
from scipy import stats

from synthkit.statistics.intervals import wilson
from synthkit.statistics.verdicts import summarize

DIMENSIONS = 20  # of the points in `simulate_folds`


def simulate_study(
    images=156,
    arms=1,
    seeds=5,
    *,
    auc=0.8,
    effects=0.0,
    seed_deviation=0.015,
    training_deviation=0.0,
    overlap=0.0,
    within=0.7,
    between=0.6,
    patient_share=0.5,
    images_per_patient=2,
    positive_share=0.5,
    labels=None,
    patients=None,
    seed=0,
):
    """Draws the test scores of a study.

    Within each class, a network's scores are normal with variance 1. That variance has three components. The fraction
    `between` is common to all networks of the study (some images are easier than others), `within - between` is common
    to the networks of one arm, and the rest belongs to the single network. Of each component, the fraction
    `patient_share` is common to the images of one patient. The distance between the means of the two classes follows
    from the network's AUC: `auc`, plus the effect of its arm, plus a random deviation of its seed.

    Args:
        images: int, size of the test set; not used if `labels` are given.
        arms: int, number of arms besides the baseline "real".
        seeds: int.
        auc: the baseline's AUC.
        effects: float or `(arms,)`, the true difference in AUC between each arm and the baseline.
        seed_deviation: standard deviation of a network's AUC over seeds.
        training_deviation: standard deviation, over training sets, of the difference that an arm makes; it is on top of
            `effects`, and zero on average.
        overlap: correlation of that difference between the training sets of two seeds.
        within, between: correlation between the scores of two networks of the same arm, and of two different arms;
            `within >= between`.
        patient_share: fraction of every component's variance that a patient's images have in common.
        images_per_patient: int, or `(low, high)` to draw the number of each patient's images from.
        positive_share: fraction of the patients who are positive.
        labels, patients: `(n,)`, of a test set that there is, instead of the four arguments about its size; of more
            than two classes, the rarest is positive.
        seed: int, or a numpy Generator.

    Returns:
        `(scores, labels, patients)`, the first three arguments of `summarize`; class 1 is positive.
    """
    rng = np.random.default_rng(seed)
    if labels is not None:
        rarest = np.bincount(labels).argmin() if len(np.unique(labels)) > 2 else 1
        labels, patients = (np.asarray(labels) == rarest).astype(int), np.unique(patients, return_inverse=True)[1]
        images, number = len(labels), patients.max() + 1
    else:
        labels, patients, number = _test_set(rng, images, images_per_patient, positive_share)

    def component(variance, *shape):
        patient_noise = rng.normal(size=(*shape, number))[..., patients]
        image_noise = rng.normal(size=(*shape, images))
        noise = np.sqrt(patient_share) * patient_noise + np.sqrt(1 - patient_share) * image_noise
        return np.sqrt(variance) * noise

    areas = (
        auc
        + np.append(0, np.broadcast_to(effects, arms))[:, None]
        + seed_deviation * rng.normal(size=(arms + 1, seeds))
    )
    common, own = (training_deviation * rng.normal(size=(arms, columns)) for columns in (1, seeds))
    areas[1:] += np.sqrt(overlap) * common + np.sqrt(1 - overlap) * own
    distance = np.sqrt(2) * stats.norm.ppf(np.clip(areas, 0.01, 0.99))
    noise = component(between, 1, 1) + component(within - between, arms + 1, 1) + component(1 - within, arms + 1, seeds)
    # The logistic function puts the border between the classes at a probability of 0.5, as accuracy requires.
    positive = stats.logistic.cdf(noise + distance[..., None] * (labels - 0.5))
    names = ["real"] + [f"arm {i + 1}" for i in range(arms)]
    return dict(zip(names, np.stack([1 - positive, positive], axis=-1), strict=True)), labels, patients


def _test_set(rng, images, images_per_patient, positive_share):
    """Returns labels and patients of a simulated test set, and the number of patients."""
    low, high = np.broadcast_to(images_per_patient, 2)
    patients = np.repeat(np.arange(images), rng.integers(low, high + 1, images) if low < high else low)[:images]
    number = patients[-1] + 1
    positives = rng.permutation(number) < round(positive_share * number)
    return positives[patients].astype(int), patients, number


def simulate_folds(
    images=100, arms=1, seeds=5, *, folds=5, separation=1.6, training_effect=1.0, images_per_patient=1, seed=0
):
    """Draws the scores of a cross-validated study in which no arm has an effect, by training classifiers.

    Images are points in 20 dimensions. Each network is a linear discriminant, regularised, that is fitted to weighted
    images. The weights have two random factors: one for each arm and image, which makes arms differ on these images,
    although not on average over others; and one for each network.

    Args:
        images: int.
        arms: int, number of arms besides the baseline "real".
        seeds, folds: int.
        separation: distance between the means of the two classes, in standard deviations.
        training_effect: standard deviation of the logarithm of the weights of an arm's images.
        images_per_patient: int; half of an image's variance is its patient's, if there are several.
        seed: int, or a numpy Generator.

    Returns:
        `(scores, labels, patients, folds)`, arguments of `summarize`; class 1 is positive.
    """
    rng = np.random.default_rng(seed)
    patients = np.arange(images) // images_per_patient
    labels_of = rng.permutation(patients[-1] + 1) % 2  # of the patients
    labels = labels_of[patients]
    common = 0.5 if images_per_patient > 1 else 0.0
    points = np.sqrt(1 - common) * rng.normal(size=(images, DIMENSIONS))
    points += np.sqrt(common) * rng.normal(size=(patients[-1] + 1, DIMENSIONS))[patients]
    points[:, 0] += separation * (labels - 0.5)
    of_arm = np.exp(training_effect * rng.normal(size=(arms + 1, images)))
    scores = np.empty((arms + 1, seeds, images))
    fold_of = np.empty((seeds, images), int)
    for i in range(seeds):
        order = rng.permutation(len(labels_of))
        order = order[np.argsort(labels_of[order], kind="stable")]  # so that every fold gets its share of both classes
        fold_of[i] = (np.argsort(order) % folds)[patients]
        for test in (fold_of[i] == number for number in range(folds)):
            for arm in range(arms + 1):
                weights = of_arm[arm, ~test] * np.exp(0.5 * rng.normal(size=np.sum(~test)))
                scores[arm, i, test] = points[test] @ _discriminant(points[~test], labels[~test], weights)
    positive = stats.logistic.cdf(scores)
    names = ["real"] + [f"arm {i + 1}" for i in range(arms)]
    return dict(zip(names, np.stack([1 - positive, positive], axis=-1), strict=True)), labels, patients, fold_of


def _discriminant(points, labels, weights):
    """Returns the direction of a linear discriminant between two classes."""
    means = np.stack([np.average(points[labels == label], 0, weights[labels == label]) for label in (0, 1)])
    rest = points - means[labels]
    covariance = (weights[:, None] * rest).T @ rest / weights.sum() + 0.3 * np.eye(points.shape[1])
    return np.linalg.solve(covariance, means[1] - means[0])


def error_rates(studies, *, margin=0.05, seed=0, metric="auc", progress=None, folds=None, **design):
    """Simulates many studies of one design and counts their verdicts.

    Args:
        studies: int, number of studies.
        margin: margin of the test for equivalence.
        seed: int.
        metric: name of a function of `statistics.scores`.
        progress: callable that wraps the list of studies, such as tqdm; None for none.
        folds: int, for studies with a cross-validation (`simulate_folds`); None for studies with a test set.
        design: arguments of `simulate_study` or `simulate_folds`.

    Returns:
        pandas.DataFrame with a row for each verdict ("helps", "hurts", "equivalent", and "any effect": helps or
        hurts): `share`, the fraction of studies in which at least one arm received it after Holm's correction, and its
        Wilson 95 % interval, `low` and `high`. With effects of zero, "any effect" is the false-alarm rate.
    """
    tables = _tables(studies, seed, progress, folds, design, metrics=(metric,), margin=margin)
    verdicts = [set(table["verdict"]) for table in tables]
    kinds = {"helps": {"helps"}, "hurts": {"hurts"}, "equivalent": {"equivalent"}, "any effect": {"helps", "hurts"}}
    rows = []
    for kind, words in kinds.items():
        count = sum(bool(words & of_study) for of_study in verdicts)
        rows.append((kind, count / studies, *wilson(count, studies)))
    return pd.DataFrame(rows, columns=["verdict", "share", "low", "high"]).set_index("verdict")


def _tables(studies, seed, progress, folds, design, **options):
    """Yields the summary of every simulated study."""
    for rng in (progress or iter)(np.random.default_rng(seed).spawn(studies)):
        *study, fold_of = (
            simulate_folds(folds=folds, seed=rng, **design) if folds else (*simulate_study(seed=rng, **design), None)
        )
        yield summarize(*study, folds=fold_of, overlap=design.get("overlap", 0.0), **options)


def coverage(studies, *, seed=0, progress=None, **design):
    """Simulates many studies of one design and counts the 95 % intervals that contain the truth.

    Args:
        studies, seed, progress: as in `error_rates`.
        design: arguments of `simulate_study`; its `auc` and `effects` are the truth.

    Returns:
        pandas.DataFrame with a row for "level" (the baseline's AUC) and "difference" (of all arms): `share`, the
        fraction of intervals that contain the truth, and its Wilson 95 % interval, `low` and `high`.
    """
    truth, effects = design.get("auc", 0.8), design.get("effects", 0.0)
    levels, differences = [], []
    for table in _tables(studies, seed, progress, None, design, metrics=("auc",)):
        levels.append(table["low"][0] <= truth <= table["high"][0])
        arms = table.iloc[1:]
        differences += ((arms["difference_low"] <= effects) & (effects <= arms["difference_high"])).tolist()
    shares = {"level": np.mean(levels)} | ({"difference": np.mean(differences)} if differences else {})
    # The intervals of a study's arms are not independent, so the number of studies counts.
    rows = [(name, share, *wilson(round(share * studies), studies)) for name, share in shares.items()]
    return pd.DataFrame(rows, columns=["interval", "share", "low", "high"]).set_index("interval")


def power_curve(effects, studies=200, **design):
    """Returns how often an arm with a true effect receives the verdict "helps".

    Args:
        effects: list of float, true differences in AUC.
        studies: int, number of studies to simulate for every effect.
        design: further arguments of `error_rates` and `simulate_study`.

    Returns:
        pandas.DataFrame: effect; share (the fraction of studies), low and high (its 95 % interval).
    """
    rates = [error_rates(studies, effects=effect, **design).loc["helps"] for effect in effects]
    return pd.DataFrame({"effect": list(effects)}).join(pd.DataFrame(rates).reset_index(drop=True))
