"""A mean over seeds and what is known of its error: patients and seeds could both have come out otherwise.

A study's arms are scored on the same test images by networks trained with several seeds. Two things could have
come out otherwise: which patients are in the test part and which seeds were drawn. Both belong in the interval, and
images of one patient, or scores of one seed, are not independent. This is the design of a multi-reader multi-case
study with seeds for readers, and it is analysed as one, after Obuchowski and Rockette (Communications in Statistics
24, 1995) with the degrees of freedom of Hillis (Statistics in Medicine 26, 2007), made a little more careful:

    variance of a mean over S seeds = s² / S + c
    degrees of freedom = (u / S + c)² / ((u / S)² / (S - 1) + c² / (P - K))

where s² is the sample variance over seeds, u its upper 90 % confidence limit, and c >= 0 the mean covariance between
two seeds' values that comes from the P patients of K classes, estimated by a bootstrap over whole patients. Hillis has
s² itself for u, and c for certain. Where a few seeds agree by luck, that makes the error small and its degrees of
freedom many at the same time: with three seeds it cried wolf in up to 7.8 % of simulated studies without any effect,
with two in 13 %.

The plain alternative, percentiles of a bootstrap that resamples patients and seeds at once (`bootstrap`), counts the
noise of single images twice and the variance between a few seeds short.
"""

import dataclasses

import numpy as np
from scipy import stats

MARGIN = 0.05  # of AUC or share: what reader studies often take as the smallest difference that matters


def patient_weights(patients, draws, seed=0):
    """Draws bootstrap samples of whole patients: how often each image counts in each.

    Args:
        patients: `(n,)`.
        draws: int, how many samples.
        seed: int, or a numpy Generator.

    Returns:
        float64 `(draws, n)`.
    """
    names, patient = np.unique(patients, return_inverse=True)
    rng, count = np.random.default_rng(seed), len(names)
    counts = np.empty((draws, count))
    block = max(1, 2**20 // count)
    for start in range(0, draws, block):
        rows = counts[start : start + block]
        chosen = rng.integers(count, size=rows.shape) + count * np.arange(len(rows))[:, None]
        rows[:] = np.bincount(chosen.ravel(), minlength=rows.size).reshape(rows.shape)
    return counts if count == len(patient) and (patient == np.arange(count)).all() else counts[:, patient]


def bootstrap(measure, labels, arms, patients, draws=10_000, seed=0):
    """Draws a figure of several arms on samples of patients and of seeds at once, the same samples for every arm.

    For any figure and any difference; the verdict of `summarize` does not rest on it, see the module's docstring.

    Args:
        measure: a function of `statistics.scores`, or another with its first three arguments.
        labels: int `(n,)`.
        arms: list of float `(seeds, n, classes)`, the same seeds in the same order.
        patients: `(n,)`.
        draws: int, how many samples.
        seed: int.

    Returns:
        float64 `(draws, arms)`, means over the seeds drawn.
    """
    rng, seeds, found = np.random.default_rng(seed), len(arms[0]), []
    block = max(1, 2**23 // len(labels))
    for start in range(0, draws, block):
        weights = patient_weights(patients, min(block, draws - start), rng)
        drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(weights)) / seeds
        values = [np.stack([measure(labels, scores, weights) for scores in arm], axis=1) for arm in arms]
        found.append(np.stack([(value * drawn).sum(1) for value in values], axis=1))
    return np.concatenate(found)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds with what is known of its error.

    Attributes:
        value: the mean.
        error: its standard error.
        freedom: degrees of freedom of the error.
        seeds: how many.
        between: sample variance over the seeds.
        patients: degrees of freedom of what the patients contribute.
    """

    value: float
    error: float
    freedom: float
    seeds: int = 1
    between: float = 0.0
    patients: float = np.inf

    def interval(self, level=0.95):
        """Returns `(low, high)` of Student's t at this confidence level."""
        half = self.error * stats.t.ppf((1 + level) / 2, self.freedom)
        return self.value - half, self.value + half

    def p_value(self):
        """Returns the two-sided p-value against zero."""
        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.freedom))

    def equivalence_p_value(self, margin=MARGIN):
        """Returns the p-value of two one-sided tests against a difference of `margin` or more, either way.

        Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the
        equivalence of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
        """
        if self.error == 0:
            return float(abs(self.value) >= margin)
        return float(stats.t.sf((margin - abs(self.value)) / self.error, self.freedom))

    def detectable(self, level=0.05, power=0.8):
        """Returns the smallest true effect that a test at `level` would have found with probability `power`."""
        return self.error * (stats.t.ppf(1 - level / 2, self.freedom) + stats.t.ppf(power, self.freedom))

    def seeds_needed(self, effect=MARGIN, level=0.05, power=0.8, most=1000):
        """Returns how many seeds would bring `detectable` down to `effect`, the test images staying the same.

        Returns:
            int; inf where the patients alone leave too much error for any number up to `most`; NaN with one seed,
            which says nothing about the next.
        """
        if self.seeds == 1:
            return np.nan
        seeds = np.arange(2, most + 1)
        shared = self.error**2 - self.between / self.seeds
        error, freedom = _error(self.between, shared, seeds, self.patients)
        enough = Estimate(0, error, freedom).detectable(level, power) <= effect
        return int(seeds[enough.argmax()]) if enough.any() else np.inf


def _error(between, shared, seeds, patients):
    """Returns standard error and degrees of freedom by the formulas in the module's docstring."""
    own = np.asarray(between / seeds, float)
    upper = own * (seeds - 1) / stats.chi2.ppf(0.1, seeds - 1)
    spread = upper**2 / (seeds - 1) + shared**2 / patients
    freedom = np.divide((upper + shared) ** 2, spread, out=np.full(own.shape, np.inf), where=spread > 0)
    return np.sqrt(own + shared), freedom


def estimate(values, draws, patients=np.inf, classes=1):
    """Estimates a mean over seeds by the method in this module's docstring.

    Args:
        values: float `(seeds,)`, the figure or difference of each seed on the whole test part.
        draws: float `(draws, seeds)`, the same on bootstrap samples of the patients.
        patients: how many there are; many if not given.
        classes: how many.

    Returns:
        Estimate. With one seed its error is that of the patients alone.
    """
    values, draws = np.asarray(values, float), np.asarray(draws, float)
    draws = draws[np.isfinite(draws).all(1)]
    seeds = len(values)
    # As a variance that divides by n is short, so is a bootstrap's, of every class.
    covariance = np.atleast_2d(np.cov(draws, rowvar=False)) / (1 - classes / patients)
    patients = patients - classes
    if seeds == 1:
        return Estimate(values[0], float(np.sqrt(covariance[0, 0])), patients, 1, 0.0, patients)
    between = values.var(ddof=1)
    shared = max(0.0, (covariance.sum() - np.trace(covariance)) / (seeds * (seeds - 1)))
    error, freedom = _error(between, shared, seeds, patients)
    return Estimate(float(values.mean()), float(error), float(freedom), seeds, float(between), patients)
