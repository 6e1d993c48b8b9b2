"""Selection of synthetic images: rules, `filtered`, which applies rules to a synthesizer, and `Selected`.

A rule is a callable `(train: ImageSet, seed) → judge`, and a judge is a callable `(synthetic: ImageSet) → bool (n,)`,
True for images to keep. A rule uses only the real training images that the generator was fitted on, so that a filtered
arm is compared as fairly as any other:

>>> from synthkit import fidelity, selection
>>> new = selection.novel(lambda train: fidelity.pixels(train.images))
>>> arm = selection.filtered(lambda train, labels, seed: ..., new)  # a synthesizer, for study.Arm("filtered", arm)
"""

import math

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min, pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors

from synthkit.imageset import concatenate
from synthkit.statistics import auc

EQUAL = 1e-4  # of the largest distance: images that are equal but for rounding


def filtered(synthesizer, *rules, most=8):
    """Makes a synthesizer that returns only images that every rule keeps.

    It draws as many images as requested, then twice as many, and so on until enough of each class are kept. The seed
    stays the same, so the generator is fitted once.

    Args:
        synthesizer: callable `(train: ImageSet, labels, seed) → ImageSet`.
        rules: see the module's docstring.
        most: largest ratio of images drawn to images requested.

    Returns:
        callable `(train: ImageSet, labels (n,), seed) → ImageSet` of n synthetic images. It raises ValueError, with the
        fraction that each rule kept, if too few of `most` times n images are kept.
    """

    def synthesize(train, labels, seed):
        labels = np.asarray(labels)
        judges = [rule(train, seed) for rule in rules]
        ratio = 1
        while True:
            synthetic = synthesizer(train, np.tile(labels, ratio), seed)
            masks = [judge(synthetic) for judge in judges]
            rows = np.flatnonzero(np.all(masks, axis=0))
            requested = np.bincount(labels, minlength=len(train.class_names))
            available = np.bincount(synthetic.labels[rows], minlength=len(train.class_names))
            if (available >= requested).all():
                break
            if 2 * ratio > most:
                counts = zip(train.class_names, requested, available, strict=True)
                raise ValueError(_shortage(len(synthetic), counts, rules, masks))
            ratio *= 2
        chosen = np.empty(len(labels), int)
        for label in np.unique(labels):
            chosen[labels == label] = rows[synthetic.labels[rows] == label][: requested[label]]
        return synthetic[chosen]

    def check(train, counts):
        for part in (synthesizer, *rules):
            if hasattr(part, "check"):
                part.check(train, counts)

    synthesize.check, synthesize.pretrained_on = check, getattr(synthesizer, "pretrained_on", None)
    synthesize.synthesizer = synthesizer
    return synthesize


def _shortage(drawn, counts, rules, masks):
    """Returns the message for too few images: `counts` has class name, number requested and number available."""
    short = ", ".join(
        f"{available} of {requested} {name}" for name, requested, available in counts if available < requested
    )
    kept = ", ".join(f"{rule.__name__} keeps {keep.mean():.0%}" for rule, keep in zip(rules, masks, strict=True))
    return (
        f"the rules keep too few of {drawn} synthetic images: {short} ({kept}); relax a rule or train the generator "
        "longer (--epochs)"
    )


class Selected:
    """A synthesizer that returns the images that a classifier is most confident of, as many as are worth it.

    Of each class it keeps a fraction of the images that another synthesizer draws: those to which a classifier that was
    fitted to the training set gives the highest probability of their class. The fraction is the one with which the same
    classifier, fitted to the training set and the images kept, has the best AUC on a validation set; of equals the
    largest. The number of images is the same with every fraction: half of twice as many, a quarter of four times.

    Args:
        synthesizer: callable `(train: ImageSet, labels, seed) → ImageSet`.
        rules: see the module's docstring; images that one of them does not keep are left out first.
        fit: callable `(train: ImageSet, seed) → callable (uint8 images) → float probabilities (n, classes)`, such as
            `pretrained.scorer` returns.
        shares: fractions to choose from, the largest first.
        validation: ImageSet; None keeps the last fraction. A study sets it for each of its trials.

    Attributes:
        share: the fraction that the last call chose.
    """

    def __init__(self, synthesizer, fit, *rules, shares=(1.0, 0.5, 0.25), validation=None):
        self.synthesizer, self.fit, self.rules = synthesizer, fit, rules
        self.shares, self.validation = tuple(shares), validation
        self.pretrained_on, self.share = getattr(synthesizer, "pretrained_on", None), None

    def identity(self):
        return ["selected", self.synthesizer, self.fit, self.rules, self.shares]

    def validated(self, validation):
        """Returns this synthesizer with a validation set."""
        return type(self)(self.synthesizer, self.fit, *self.rules, shares=self.shares, validation=validation)

    def check(self, train, counts):
        for part in (self.synthesizer, self.fit, *self.rules):
            if hasattr(part, "check"):
                part.check(train, counts)

    def __call__(self, train, labels, seed):
        """Draws images; arguments and result as those of `synthesizer`.

        Raises:
            ValueError: with the fraction that each rule kept, if the rules keep fewer images than requested.
        """
        labels, most = np.asarray(labels), math.ceil(1 / min(self.shares))
        drawn = self.synthesizer(train, np.tile(labels, most), seed)
        masks = [rule(train, seed)(drawn) for rule in self.rules]
        count, rows = len(drawn), np.flatnonzero(np.all([np.ones(len(drawn), bool), *masks], axis=0))
        drawn = drawn[rows]
        counts = [np.bincount(part, minlength=len(train.class_names)) for part in (labels, drawn.labels)]
        if (counts[1] < counts[0]).any():
            raise ValueError(_shortage(count, zip(train.class_names, *counts, strict=True), self.rules, masks))
        confidence = self.fit(train, seed)(drawn.images)[np.arange(len(drawn)), drawn.labels]
        kept = {share: drawn[_most_confident(confidence, drawn.labels, labels, share)] for share in self.shares}
        self.share = self.shares[-1]
        if self.validation is not None and len(kept) > 1:
            aucs = {}
            for share, images in kept.items():
                scores = self.fit(concatenate([train, images]), seed)(self.validation.images)
                aucs[share] = auc(self.validation.labels, scores)
            self.share = max(aucs, key=aucs.get)
        return kept[self.share]


def _most_confident(confidence, drawn, requested, share):
    """Returns, for each label requested, the row of an image of that label among the `share` most confident ones."""
    rows = np.empty(len(requested), int)
    for label in np.unique(requested):
        places = np.flatnonzero(requested == label)
        candidates = np.flatnonzero(drawn == label)[: math.ceil(len(places) / share)]
        best = np.argsort(-confidence[candidates], kind="stable")[: len(places)]
        rows[places] = candidates[np.sort(best)]
    return rows


def central(features, share=0.95):
    """Makes the rule that keeps an image if it is no further from the mean of its class than real images are.

    Args:
        features: callable `(train: ImageSet) → callable (uint8 images) → float (n, dimensions)`.
        share: fraction of the class's real images within the largest distance allowed.
    """

    def central(train, seed):
        space = features(train)
        real = space(train.images)
        means = np.stack([real[train.labels == label].mean(0) for label in range(len(train.class_names))])
        distances = np.linalg.norm(real - means[train.labels], axis=1)
        largest = np.array([np.quantile(distances[train.labels == label], share) for label in range(len(means))])

        def judge(synthetic):
            labels = synthetic.labels
            return np.linalg.norm(space(synthetic.images) - means[labels], axis=1) <= largest[labels]

        return judge

    return central


def dense(features, k=5, least=1):
    """Makes the rule that keeps an image if it is close to enough real images of its class.

    It is close to a real image if it is nearer than that image's k-th nearest neighbour of the same class, which is the
    ball that Naeem et al. 2020 count for their density.

    Args:
        features: as in `central`.
        k: int, less than the number of images of the smallest class.
        least: int, the number of real images that it must be close to.
    """

    def dense(train, seed):
        space = features(train)
        real = space(train.images)
        classes = []
        for label in np.unique(train.labels):
            same = real[train.labels == label]
            distances, _ = NearestNeighbors(n_neighbors=k + 1).fit(same).kneighbors(same)
            classes.append((label, same, distances[:, -1]))

        def judge(synthetic):
            keep, points = np.zeros(len(synthetic), bool), space(synthetic.images)
            for label, same, radii in classes:
                rows = np.flatnonzero(synthetic.labels == label)
                if len(rows):
                    counts = pairwise_distances_chunked(
                        points[rows], same, reduce_func=lambda chunk, start, radii=radii: (chunk < radii).sum(1)
                    )
                    keep[rows] = np.concatenate(list(counts)) >= least
            return keep

        return judge

    return dense


def novel(features, quantile=0.01):
    """Makes the rule that drops near-duplicates of training images.

    An image is a near-duplicate if it is closer to a training image than a small fraction of the training images are to
    any image of another patient. (Training images that equal one of another patient do not count.)

    Args:
        features: as in `central`.
        quantile: that fraction, 0 to 1.
    """

    def novel(train, seed):
        space = features(train)
        real = space(train.images)
        distances = _distance_to_other_patients(real, train.patients)
        least = np.quantile(distances[distances > EQUAL * distances.max()], quantile)
        return lambda synthetic: pairwise_distances_argmin_min(space(synthetic.images), real)[1] >= least

    return novel


def _distance_to_other_patients(features, patients):
    """Returns the distance of each image to the closest image of another patient."""
    _, patient = np.unique(patients, return_inverse=True)
    most = np.bincount(patient).max()
    # Of the `most` nearest neighbours, at least one is of another patient.
    distances, index = NearestNeighbors(n_neighbors=min(most + 1, len(features))).fit(features).kneighbors(features)
    other = patient[index] != patient[:, None]
    return distances[np.arange(len(features)), other.argmax(1)]
