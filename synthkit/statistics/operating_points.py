"""The operating point: the score from which on an image is called positive, and how much it depends on its choice.

It is chosen on the validation set. Another validation set would have given another one, and with it other sensitivities
and specificities. How much they would differ is estimated by a bootstrap of the patients of the validation set (Efron,
"Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979), in which all networks of a study get
the same samples, because they shared the validation set.
"""

import dataclasses
import functools

import numpy as np

from synthkit.statistics.estimates import fewest_patients, strata
from synthkit.statistics.scores import at_thresholds, finite

DRAWS = 200  # samples of the validation patients


def operating_point(labels, scores, rule="youden"):
    """Chooses the threshold from which on an image is called positive, on images that the test set does not contain.

    Args:
        labels: bool or int `(n,)`, whether each image is positive.
        scores: float `(n,)`, higher for images that look positive.
        rule: "youden" takes the highest sensitivity + specificity (Youden, "Index for rating diagnostic tests", Cancer
            3, 1950); "sensitivity=0.9" the highest specificity at a sensitivity of at least 0.9; "specificity=0.9" the
            reverse. Of equally good thresholds it takes the middle one.

    Returns:
        float. Between two neighbouring scores it is half-way.

    Raises:
        ValueError: for another rule, scores that are NaN or infinite, or labels of one class.
    """
    return float(_thresholds(labels, scores, rule, np.ones((1, len(scores))))[0])


@dataclasses.dataclass(frozen=True)
class Validation:
    """A validation set on which the operating points of all networks of a study were chosen.

    Attributes:
        labels, patients: `(n,)`.
        scores: dict from arm to float32 `(seeds, n, 2)`.
        rule: as in `operating_point`.
        positive: label of the positive class.
    """

    labels: np.ndarray
    patients: np.ndarray
    scores: dict
    rule: str = "youden"
    positive: int = 1

    @property
    def freedom(self):
        """Degrees of freedom of a variance over samples of its patients."""
        return max(1, fewest_patients(self.labels, self.patients) - 1)

    @functools.cached_property
    def thresholds(self):
        """The operating points on samples of the patients: a dict from arm to float `(seeds, DRAWS)`."""
        cases = self.labels == self.positive
        return {
            arm: np.stack([_thresholds(cases, s[:, self.positive], self.rule, self._weights) for s in scores])
            for arm, scores in self.scores.items()
        }

    def choices(self, metric, labels, scores, arm):
        """Returns a metric of every network of an arm at the operating points in `thresholds`.

        Args:
            metric: one of `scores.OF_PREDICTIONS`.
            labels: int `(n,)`, of the test images.
            scores: float `(seeds, n, 2)`, of the test images.
            arm: its name.

        Returns:
            float `(seeds, DRAWS)`.
        """
        pairs = zip(scores, self.thresholds[arm], strict=True)
        return np.stack([at_thresholds(metric, labels, of_seed, self.positive, cuts) for of_seed, cuts in pairs])

    @functools.cached_property
    def _weights(self):
        """How often every image is in every sample, `(DRAWS, n)`; patients of every class are drawn apart."""
        names, index = np.unique(self.patients, return_inverse=True)
        classes, weights = strata(self.labels, self.patients), np.zeros((DRAWS, len(names)))
        rng = np.random.default_rng(0)
        for members in (np.flatnonzero(classes == label) for label in np.unique(classes)):
            weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), DRAWS)
        return weights[:, index]


def _thresholds(labels, scores, rule, weights):
    """Returns the operating points of images with these weights, float `(samples,)`; `weights` are `(samples, n)`."""
    positive, scores = np.asarray(labels, bool), finite(np.asarray(scores, float))
    name, level = _rule(rule)
    if positive.all() or not positive.any():
        raise ValueError("an operating point needs positive and negative images. Received: images of one class")
    order = np.argsort(scores)
    levels, first = np.unique(scores[order], return_index=True)
    thresholds = np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2, [np.nextafter(levels[-1], np.inf)]])
    below = []  # the fraction of each class below every threshold, `(samples, thresholds)`
    for of_class in (positive, ~positive):
        sums = np.cumsum(weights[:, order] * of_class[order], axis=1)
        sums = np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)
        below.append(sums[:, [*first, len(scores)]] / np.maximum(sums[:, -1:], 1))
    detected, rejected = 1 - below[0], below[1]
    value = {"youden": detected + rejected, "sensitivity": rejected, "specificity": detected}[name]
    if name != "youden":
        reached = (detected if name == "sensitivity" else rejected) >= level - 1e-12
        value = np.where(reached, value, -np.inf)
    best = value > value.max(1, keepdims=True) - 1e-12
    middle = best.sum(1, keepdims=True) // 2 + 1
    return thresholds[(best.cumsum(1) == middle).argmax(1)]


def _rule(rule):
    name, equals, level = str(rule).partition("=")
    try:
        level = float(level) if equals else np.nan
    except ValueError:
        level = -1.0
    known = name == "youden" and not equals
    if not known and not (name in ("sensitivity", "specificity") and 0 < level < 1):
        raise ValueError(
            f"an operating point is youden, sensitivity=0.9 or specificity=0.9 (or another level). Received: {rule!r}"
        )
    return name, level
