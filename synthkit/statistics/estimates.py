"""A mean over seeds and its standard error, which includes the sampling of both patients and seeds.

A study's arms are scored on the same test images by networks trained with several seeds. Other test patients, or other
seeds, would have given other results. The interval must include both sources of variation, and neither the images of
one patient nor the scores of one seed are independent. This is the design of a multi-reader multi-case study in which
seeds take the place of readers. It is analysed as one, after Obuchowski and Rockette (Communications in Statistics 24,
1995) with the degrees of freedom of Hillis (Statistics in Medicine 26, 2007), made more conservative:

    variance of a mean over S seeds = s² / S + c
    degrees of freedom = (u / S + c)² / ((u / S)² / (S - 1) + c² / d)

Here s² is the sample variance over seeds and u its upper 90 % confidence limit. c >= 0 is the mean covariance between
the values of two seeds that is due to the patients, from each patient's influence on them (`scores.influence`), and d
its degrees of freedom.

Hillis uses s² in place of u, and treats c as known. Where a few seeds happen to agree, that gives a small standard
error and many degrees of freedom at the same time: of simulated studies without any effect, up to 7.8 % of those with
three seeds, and 13 % of those with two, came out significant at the 5 % level. On the reader studies of Van Dyke and of
Franken, the standard errors are those of MRMCaov, 0.0207 and 0.0050; the degrees of freedom are 6.2 and 3.0, where
Hillis has 15.3 and 3.0.

Where every seed draws its own training set from the same images, other images would have given other training sets,
too. Two training sets that have the fraction o of their images in common are more alike than two that are drawn from
the population, so the variance over seeds is too small, and more seeds do not make up for it. After Nadeau and Bengio
(Machine Learning 52, 2003), for an effect of the training set to which each image contributes its part,

    variance of a mean over S seeds = s² / S + e o / (1 - o) + c

where e is the part of s² that the sampling of the test patients does not explain, but at least s² √(2 / (S - 1)), which
is the standard error of s²: a smaller e is not told from none. In the degrees of freedom u / S + e o / (1 - o) takes
the place of u / S, since both terms come from s² and err together; where nothing but the training sets counts, these
are S - 1, Nadeau and Bengio's. Of simulated studies whose training sets share half of their images, and whose arm does
nothing on average, at most 8 % found something, with 3 to 50 seeds and whatever of the variance is due to the
training sets; without the least value of e it was up to 16 %.

In a cross-validation every image is a test image of one of K folds and a training image of the others, so that other
patients would have changed the training sets as well. Networks of the same seed, and of other seeds, share most of
their training images, so the variance over seeds does not show by how much. For that reason Nadeau and Bengio multiply
the variance over folds by 1 / (K - 1), the ratio of test to training images. Here this factor applies to what is left
of it after the part that differs from seed to seed, which averages out:

    c = max(c, (variance over the folds of a seed - K s²) / (K - 1)), with S (K - 1) degrees of freedom

That is for differences. The level of an arm depends on the training sets whatever other arms do, so there both parts
are added, as Nadeau and Bengio do: with max, intervals of simulated AUCs in 5 folds contained the truth in 88 to 90 %.

A metric at an operating point also depends on the validation set on which the point was chosen. The variance of its
mean over seeds, over samples of the validation patients (`operating_points`), is added to the variance above, and its
degrees of freedom to Satterthwaite's formula.

A bootstrap of the patients gives nearly the same covariance, hundreds of times more slowly. Percentiles of a bootstrap
that resamples patients and seeds together count the noise of single images twice and underestimate the variance between
a few seeds.
"""

import dataclasses

import numpy as np
from scipy import special, stats

MARGIN = 0.05  # of AUC or a proportion: what reader studies often take as the smallest difference that matters
NO_VARIATION = 1e-9  # a standard error below this is rounding


def fewest_patients(labels, patients):
    """Returns the number of patients who have images of a class, of the class with fewest.

    It is the effective number, (Σn)² / Σn² of their numbers of images n, which is smaller where few patients have most
    of the images.
    """
    patients, numbers = np.asarray(patients), []
    for label in np.unique(labels):
        images = np.unique(patients[labels == label], return_counts=True)[1]
        numbers.append(images.sum() ** 2 / (images**2).sum())
    return min(numbers)


def strata(labels, patients):
    """Returns the class of every patient, that of most images: int `(patients,)`, in the order of `np.unique`."""
    names, index = np.unique(patients, return_inverse=True)
    votes = np.zeros((len(names), 1 + max(labels, default=0)), int)
    np.add.at(votes, (index, labels), 1)
    return votes.argmax(1)


def over_patients(influences, patients):
    """Returns the sum of the influences of each patient's images, float `(seeds, patients)`; `influences` `(seeds, n)`.

    Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53, 1997, has this sum for AUCs.
    """
    names, index = np.unique(patients, return_inverse=True)
    return np.stack([np.bincount(index, row, len(names)) for row in np.atleast_2d(influences)])


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds, its standard error and degrees of freedom.

    Attributes:
        value: the mean.
        error: its standard error.
        freedom: degrees of freedom of the standard error.
        seeds: number of seeds.
        between: sample variance over the seeds.
        common: variance that is due to training images which the seeds have in common, and which more seeds do not
            reduce.
    """

    value: float
    error: float
    freedom: float
    seeds: int = 1
    between: float = 0.0
    common: float = 0.0

    @property
    def patient_share(self):
        """The fraction of the variance that is due to the sampling of patients; NaN with one seed.

        These are test patients, those of the validation set where a threshold was chosen on it, and in a
        cross-validation also those of the training sets.
        """
        if self.seeds == 1 or not self.error > 0:
            return np.nan
        return max(0.0, float(1 - (self.between / self.seeds + self.common) / self.error**2))

    def interval(self, level=0.95):
        """Returns `(low, high)` of Student's t at this confidence level, for a difference of two proportions.

        Where nothing varies, nothing is known: -1 to 1.
        """
        if self.error == 0:
            return -1.0, 1.0
        half = self.error * stats.t.ppf((1 + level) / 2, self.freedom)
        return self.value - half, self.value + half

    def proportion_interval(self, fewest, level=0.95):
        """Returns the interval `(low, high)` of a metric that lies between 0 and 1.

        It is Student's interval of the logit, which stays between 0 and 1 and keeps its level where few patients of a
        class or a high AUC make the distribution skewed. The degrees of freedom are at most `fewest` - 2, with which
        intervals of simulated AUCs of 5 to 10 positive patients reach their level. A perfect value is not a certain
        one: its interval is that of Clopper and Pearson for `fewest` successes in as many trials. Where nothing varies,
        nothing is known: 0 to 1.

        Args:
            fewest: float, number of patients of the rarest class (`fewest_patients`).
            level: of confidence.
        """
        if np.isnan(self.error):
            return np.nan, np.nan
        end = ((1 - level) / 2) ** (1 / fewest)
        if self.value in (0, 1):
            return (0.0, 1 - end) if self.value == 0 else (end, 1.0)
        if self.error == 0:
            return 0.0, 1.0
        slope = self.value * (1 - self.value)
        freedom = min(self.freedom, max(1, fewest - 2))
        half = self.error / slope * stats.t.ppf((1 + level) / 2, freedom)
        return tuple(float(special.expit(special.logit(self.value) + side * half)) for side in (-1, 1))

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


def _error(between, shared, seeds, patients, common):
    """Returns the standard error and its degrees of freedom by the formulas in this module's docstring."""
    seed_part = np.asarray(between / seeds, float)
    upper = seed_part * (seeds - 1) / stats.chi2.ppf(0.1, seeds - 1) + common
    divisor = upper**2 / (seeds - 1) + shared**2 / patients
    freedom = np.divide((upper + shared) ** 2, divisor, out=np.full(seed_part.shape, np.inf), where=divisor > 0)
    return np.sqrt(seed_part + common + shared), freedom


def estimate(values, influences, classes=None, folds=None, chosen=None, *, overlap=0.0, level=False, freedom=np.inf):
    """Estimates a mean over seeds by the method in this module's docstring.

    Args:
        values: float `(seeds,)`, the metric or difference of each seed on the whole test set.
        influences: float `(seeds, patients)`, of every patient on each of them (`over_patients`).
        classes: int `(patients,)`, the class of each patient (`strata`); None for patients of one class.
        folds: float `(seeds, folds)`, the same within each fold of a cross-validation, NaN where it is not defined;
            None if there is a test set.
        chosen: float `(seeds, samples)`, the same at operating points that were chosen on samples of the validation
            patients; None if it does not depend on an operating point, or there is no such sample.
        overlap: fraction of a seed's training images that are in another's as well, from 0 up to below 1, if every seed
            draws its own. 0 with a training set that is the same for all seeds; the mean is then over networks trained
            on this set, and says nothing about others.
        level: whether `values` are the metric of one arm, and no difference between two; it matters with folds.
        freedom: degrees of freedom of the variance over the samples in `chosen`.

    Returns:
        Estimate. With one seed its standard error is that of the patients alone.
    """
    values, influences = np.asarray(values, float), np.asarray(influences, float)
    seeds, mean = len(values), float(np.mean(values))
    if not np.isfinite(values).all() or not np.isfinite(influences).all():  # not defined, as no image called positive
        return Estimate(mean, np.nan, np.nan, seeds)
    shared, own, patients = _shared(influences, np.zeros(influences.shape[1], int) if classes is None else classes)
    between = values.var(ddof=1) if seeds > 1 else 0.0
    least = between * np.sqrt(2 / max(1, seeds - 1))
    common = overlap / (1 - overlap) * max(least, between - (own - shared))
    if folds is not None:
        number = folds.shape[1]
        correlated = (np.mean(np.nanvar(folds, axis=1, ddof=1)) - number * between) / (number - 1)
        if level:
            shared += max(0.0, correlated)
        elif correlated > shared:
            shared, patients = correlated, seeds * (number - 1)
    if seeds == 1:
        error, of_error = np.sqrt(shared), patients
    else:
        error, of_error = _error(between, shared, seeds, patients, common)
    means = np.zeros(2) if chosen is None else np.mean(chosen, axis=0)
    means = means[np.isfinite(means)]  # it may not be defined, as where no image is called positive
    choice = means.var(ddof=1) if len(means) > 1 else 0.0
    if choice > 0:
        total = error**2 + choice
        of_error = total**2 / (error**4 / of_error + choice**2 / freedom)
        error = np.sqrt(total)
    error = float(error) if error > NO_VARIATION else 0.0
    return Estimate(mean, error, float(of_error), seeds, float(between), float(common))


def _shared(influences, classes):
    """Returns what is due to the patients: the mean covariance between two seeds, the variance of one, and degrees of
    freedom of the former.

    Patients are drawn from each class apart, so each class has its own sample variance of the influences, and the
    degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946). A class of one patient shows no variance; then
    all classes are treated as one.
    """
    seeds = len(influences)
    groups = [influences[:, classes == label] for label in np.unique(classes)]
    if min(group.shape[1] for group in groups) < 2:
        groups = [influences]
    sizes = np.array([group.shape[1] for group in groups])
    groups = [group - group.mean(1, keepdims=True) for group in groups]
    own = np.array([(group**2).sum() for group in groups])
    parts = own if seeds == 1 else np.array([(group.sum(0) ** 2).sum() for group in groups]) - own
    unbiased = sizes / np.maximum(1, sizes - 1)
    own, parts = (own / seeds * unbiased).sum(), parts / max(1, seeds * (seeds - 1)) * unbiased
    total, divisor = parts.sum(), (parts**2 / np.maximum(1, sizes - 1)).sum()
    if total <= 0 or divisor == 0:
        return 0.0, own, float(sizes.sum() - len(sizes))
    return total, own, total**2 / divisor
