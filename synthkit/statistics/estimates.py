"""A mean over seeds and its standard error, which includes the sampling of both patients and seeds.

A study's arms are scored on the same test images by networks trained with several seeds. Other test patients, or other
seeds, would have given other results. The interval must include both sources of variation, and neither the images of
one patient nor the scores of one seed are independent. This is the design of a multi-reader multi-case study in which
seeds take the place of readers. It is analysed as one, after Obuchowski and Rockette (Communications in Statistics 24,
1995) with the degrees of freedom of Hillis (Statistics in Medicine 26, 2007), made more conservative:

    variance of a mean over S seeds = s² / S + c
    degrees of freedom = (u / S + c)² / ((u / S)² / (S - 1) + c² / (P - K))

Here s² is the sample variance over seeds and u its upper 90 % confidence limit. c >= 0 is the mean covariance between
the values of two seeds that is due to the P patients of K classes, estimated by a bootstrap over whole patients.

Hillis uses s² in place of u, and treats c as known. Where a few seeds happen to agree, that gives a small standard
error and many degrees of freedom at the same time: of simulated studies without any effect, up to 7.8 % of those with
three seeds, and 13 % of those with two, came out significant at the 5 % level.

Where every seed draws its own training set from the same images, other images would have given other training sets,
too. Two training sets that have the fraction o of their images in common are more alike than two that are drawn from
the population, so the variance over seeds is too small, and more seeds do not make up for it. After Nadeau and Bengio
(Machine Learning 52, 2003), for an effect of the training set to which each image contributes its part,

    variance of a mean over S seeds = s² (1 / S + o / (1 - o)) + c

In a cross-validation every image is a test image of one of K folds and a training image of the others, so that other
patients would have changed the training sets as well. Networks of the same seed, and of other seeds, share most of
their training images, so the variance over seeds does not show by how much. For that reason Nadeau and Bengio multiply
the variance over folds by 1 / (K - 1), the ratio of test to training images. Here this factor applies to what is left
of it after the part that differs from seed to seed, which averages out:

    c = max(c, (variance over the folds of a seed - K s²) / (K - 1)), with S (K - 1) degrees of freedom

The simpler alternative, percentiles of a bootstrap that resamples patients and seeds together, counts the noise of
single images twice and underestimates the variance between a few seeds.
"""

import dataclasses

import numpy as np
import pandas as pd
from scipy import optimize, stats

from synthkit.statistics.scores import auc

MARGIN = 0.05  # of AUC or a proportion: what reader studies often take as the smallest difference that matters
NO_VARIATION = 1e-9  # a standard error below this is rounding
FAR = 20.0  # in gaps: an end of `gap_closed`'s interval that is further out is called infinite


def patient_weights(patients, draws, seed=0):
    """Draws bootstrap samples of whole patients: how often each image counts in each sample.

    Args:
        patients: `(n,)`, the patient of each image.
        draws: int, number of bootstrap samples.
        seed: int, or a numpy Generator.

    Returns:
        float64 `(draws, n)`.
    """
    names, index = np.unique(patients, return_inverse=True)
    rng, number = np.random.default_rng(seed), len(names)
    counts = np.empty((draws, number))
    block = max(1, 2**20 // number)
    for start in range(0, draws, block):
        rows = counts[start : start + block]
        drawn = rng.integers(number, size=rows.shape) + number * np.arange(len(rows))[:, None]
        rows[:] = np.bincount(drawn.ravel(), minlength=rows.size).reshape(rows.shape)
    one_image_each = number == len(index) and (index == np.arange(number)).all()
    return counts if one_image_each else counts[:, index]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds, its standard error and degrees of freedom.

    Attributes:
        value: the mean.
        error: its standard error.
        freedom: degrees of freedom of the standard error.
        seeds: number of seeds.
        between: sample variance over the seeds.
        patients: degrees of freedom of the variance that is due to the patients.
        overlap: fraction of a seed's training images that are in another's as well, if every seed draws its own.
    """

    value: float
    error: float
    freedom: float
    seeds: int = 1
    between: float = 0.0
    patients: float = np.inf
    overlap: float = 0.0

    def interval(self, level=0.95):
        """Returns `(low, high)` of Student's t at this confidence level."""
        half = self.error * stats.t.ppf((1 + level) / 2, self.freedom)
        return self.value - half, self.value + half

    def p_value(self):
        """Returns the two-sided p-value against zero."""
        if self.error == 0:
            return 1.0  # values that do not vary, such as those of two seeds on a few images, show nothing about others
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.freedom))

    def equivalence_p_value(self, margin=MARGIN):
        """Returns the p-value of two one-sided tests against a difference of `margin` or more in either direction.

        Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the
        equivalence of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
        """
        if self.error == 0:
            return 1.0  # scores that do not vary, such as perfect ones on a few images, show nothing about others
        return float(stats.t.sf((margin - abs(self.value)) / self.error, self.freedom))

    def detectable(self, level=0.05, power=0.8):
        """Returns the smallest true difference that a test at `level` would have detected with probability `power`.

        NaN where the standard error is 0, so that nothing is known about other patients and seeds.
        """
        if np.ndim(self.error) == 0 and self.error == 0:
            return np.nan
        return self.error * (stats.t.ppf(1 - level / 2, self.freedom) + stats.t.ppf(power, self.freedom))

    def seeds_needed(self, effect=MARGIN, level=0.05, power=0.8, most=1000):
        """Returns how many seeds would bring `detectable` down to `effect` on the same test images.

        Returns:
            int; infinity where up to `most` seeds are not enough, because of the variance that is due to the patients;
            NaN with one seed, from which the variance between seeds cannot be estimated.
        """
        if self.seeds == 1:
            return np.nan
        seeds = np.arange(2, most + 1)
        shared = self.error**2 - self.between * _factor(self.seeds, self.overlap)
        error, freedom = _error(self.between, shared, seeds, self.patients, self.overlap)
        enough = Estimate(0, error, freedom).detectable(level, power) <= effect
        return int(seeds[enough.argmax()]) if enough.any() else np.inf


def _factor(seeds, overlap):
    """Returns the ratio of the variance of a mean over seeds, without the patients' part, to that over seeds."""
    return 1 / seeds + overlap / (1 - overlap)


def _error(between, shared, seeds, patients, overlap):
    """Returns the standard error and its degrees of freedom by the formulas in this module's docstring."""
    seed_part = np.asarray(between * _factor(seeds, overlap), float)
    upper = seed_part * (seeds - 1) / stats.chi2.ppf(0.1, seeds - 1)
    divisor = upper**2 / (seeds - 1) + shared**2 / patients
    freedom = np.divide((upper + shared) ** 2, divisor, out=np.full(seed_part.shape, np.inf), where=divisor > 0)
    return np.sqrt(seed_part + shared), freedom


def estimate(values, draws, patients=np.inf, classes=1, folds=None, overlap=0.0):
    """Estimates a mean over seeds by the method in this module's docstring.

    Args:
        values: float `(seeds,)`, the metric or difference of each seed on the whole test set.
        draws: float `(draws, seeds)`, the same on bootstrap samples of the patients (`patient_weights`).
        patients: number of patients; infinity treats the covariance as known.
        classes: number of classes.
        folds: float `(seeds, folds)`, the same within each fold of a cross-validation, NaN where it is not defined;
            None if there is a test set.
        overlap: fraction of a seed's training images that are in another's as well, from 0 up to below 1, if every seed
            draws its own. 0 with a training set that is the same for all seeds; the mean is then over networks trained
            on this set, and says nothing about others.

    Returns:
        Estimate. With one seed its standard error is that of the patients alone.
    """
    values, draws = np.asarray(values, float), np.asarray(draws, float)
    draws = draws[np.isfinite(draws).all(1)]
    seeds = len(values)
    if not np.isfinite(values).all() or len(draws) < 2:  # the metric is not defined, as with no image called positive
        return Estimate(float(values.mean()), np.nan, np.nan, seeds)
    # A bootstrap's covariance is too small: it divides by the patients P, not by P - K for K classes.
    covariance = np.atleast_2d(np.cov(draws, rowvar=False)) / (1 - classes / patients)
    patients = patients - classes
    between = values.var(ddof=1) if seeds > 1 else 0.0
    shared = covariance[0, 0] if seeds == 1 else (covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1))
    shared = max(0.0, shared)
    if folds is not None:
        number = folds.shape[1]
        correlated = (np.mean(np.nanvar(folds, axis=1, ddof=1)) - number * between) / (number - 1)
        if correlated > shared:
            shared, patients = correlated, seeds * (number - 1)
    if seeds == 1:
        return Estimate(values[0], float(np.sqrt(shared)), patients, 1, 0.0, patients)
    error, freedom = _error(between, shared, seeds, patients, overlap)
    error = float(error) if error > NO_VARIATION else 0.0
    return Estimate(float(values.mean()), error, float(freedom), seeds, float(between), patients, overlap)


def gap_closed(scores, labels, patients, baseline="real", ceiling="oracle", draws=2000, seed=0, overlap=0.0):
    """Estimates the fraction of the gap in AUC between a baseline and a ceiling that every other arm closes.

    Where the ceiling is the arm of fresh images from the simulator, no generator can exceed a fraction of 1 except by
    chance; a fraction of 0 is no better than the baseline. The interval is Fieller's (Journal of the Royal Statistical
    Society B 16, 1954): all fractions g for which (arm − baseline) − g (ceiling − baseline) does not differ
    significantly from zero.

    Args:
        scores, labels, patients, overlap: as in `summarize`.
        baseline, ceiling: the arms at 0 and at 1.
        draws: int, bootstrap samples of the patients.
        seed: int.

    Returns:
        pandas.DataFrame, one row for every other arm: arm, share (the fraction), low and high (its 95 % interval).
        Where the ceiling does not differ significantly from the baseline, both ends are infinite.

    Raises:
        ValueError: if the baseline or the ceiling is not among the arms.
    """
    missing = {baseline, ceiling} - set(scores)
    if missing:
        raise ValueError(f"there is no arm {' and no '.join(sorted(missing))}; expected two of {', '.join(scores)}")
    weights = patient_weights(patients, draws, seed)
    design = len(np.unique(patients)), len(np.unique(labels))
    areas = {}  # `(seeds,)` on the test set, and `(draws, seeds)` on bootstrap samples of it
    for arm, arm_scores in scores.items():
        values = np.array([auc(labels, s) for s in arm_scores])
        areas[arm] = values, np.stack([auc(labels, s, weights) for s in arm_scores], axis=1)
    base = areas.pop(baseline)
    gains = {arm: (values - base[0], draws - base[1]) for arm, (values, draws) in areas.items()}
    gap = gains.pop(ceiling)
    whole = estimate(*gap, *design, overlap=overlap)
    significant = whole.p_value() < 0.05
    rows = []
    for arm, gain in gains.items():

        def excess(fraction, gain=gain):
            """Returns how far zero is outside the interval of gain − fraction × gap; negative if it is inside."""
            rest = [part - fraction * part_of_gap for part, part_of_gap in zip(gain, gap, strict=True)]
            rest = estimate(*rest, *design, overlap=overlap)
            low, high = rest.interval()
            return abs(rest.value) - (high - low) / 2

        fraction = gain[0].mean() / whole.value
        ends = [_root(excess, fraction, fraction + side * FAR) if significant else side * np.inf for side in (-1, 1)]
        rows.append({"arm": arm, "share": fraction, "low": ends[0], "high": ends[1]})
    return pd.DataFrame(rows, columns=["arm", "share", "low", "high"])


def _root(excess, inside, outside):
    """Returns the fraction between two others at which `excess` is zero, or infinity if there is none."""
    return optimize.brentq(excess, inside, outside) if excess(outside) > 0 else np.sign(outside - inside) * np.inf
