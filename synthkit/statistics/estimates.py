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
import pandas as pd
from scipy import optimize, stats

from synthkit.statistics.scores import auc

MARGIN = 0.05  # of AUC or share: what reader studies often take as the smallest difference that matters
FAR = 20.0  # shares of the gap; an end that lies further out is called infinite


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


def gap_closed(scores, labels, patients, baseline="real", ceiling="oracle", draws=2000, seed=0):
    """Measures which share of the gap in AUC between a baseline and a ceiling every other arm closes.

    With fresh images from the simulator for a ceiling, 1 is what no generator can pass but by luck, and 0 is no better
    than without synthetic images. The interval is Fieller's (Journal of the Royal Statistical Society B 16, 1954): all
    shares g for which (arm − baseline) − g (ceiling − baseline) may be zero by `estimates`.

    Args:
        scores, labels, patients: as in `summarize`.
        baseline, ceiling: the arms at 0 and at 1.
        draws: bootstrap samples of the patients.
        seed: int.

    Returns:
        pandas.DataFrame, a row for every other arm: arm, share, low, high; the interval is at 95 %. Where the ceiling
        cannot be told from the baseline, both ends are infinite.

    Raises:
        ValueError: if the baseline or the ceiling is none of the arms.
    """
    missing = {baseline, ceiling} - set(scores)
    if missing:
        raise ValueError(f"there is no arm {' and no '.join(sorted(missing))}; expected two of {', '.join(scores)}")
    weights = patient_weights(patients, draws, seed)
    design = len(np.unique(patients)), len(np.unique(labels))
    above = {}  # values `(seeds,)` and draws `(draws, seeds)`, less the baseline's
    for arm, of_seeds in scores.items():
        values = np.array([auc(labels, s) for s in of_seeds])
        above[arm] = values, np.stack([auc(labels, s, weights) for s in of_seeds], axis=1)
    ground = above.pop(baseline)
    above = {arm: (values - ground[0], drawn - ground[1]) for arm, (values, drawn) in above.items()}
    top = above.pop(ceiling)
    found = estimate(*top, *design)
    known = found.p_value() < 0.05
    rows = []
    for arm, (values, drawn) in above.items():

        def excess(share, values=values, drawn=drawn):
            """How far zero lies outside of the interval of what is left of the arm's gain."""
            left = estimate(values - share * top[0], drawn - share * top[1], *design)
            low, high = left.interval()
            return abs(left.value) - (high - low) / 2

        share = values.mean() / found.value
        ends = [_root(excess, share, share + side * FAR) if known else side * np.inf for side in (-1, 1)]
        rows.append({"arm": arm, "share": share, "low": ends[0], "high": ends[1]})
    return pd.DataFrame(rows, columns=["arm", "share", "low", "high"])


def _root(excess, inside, outside):
    """Returns where `excess` passes zero between two shares, or infinity if it does not."""
    return optimize.brentq(excess, inside, outside) if excess(outside) > 0 else np.sign(outside - inside) * np.inf
