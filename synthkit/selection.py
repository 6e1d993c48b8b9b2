"""Which synthetic images to keep: rules, and a wrapper that makes a synthesizer of a synthesizer and some rules.

A rule is a callable `(train: ImageSet, seed) → judge`, a judge a callable `(made: ImageSet) → bool (n,)`. A rule learns
what it needs from the real training images that the generator saw, and from nothing else, so that a filtered arm is as
honest as a plain one:

>>> from synthkit import fidelity, selection
>>> new = selection.novel(lambda train: fidelity.pixels(train.images))
>>> arm = selection.filtered(lambda train, labels, seed: ..., new)  # a synthesizer, for study.Arm("cvae filtered", arm)
"""

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min, pairwise_distances_chunked
from sklearn.neighbors import NearestNeighbors


def filtered(synthesizer, *rules, most=8):
    """Makes a synthesizer that returns only images which every rule keeps.

    The generator is asked for the labels wanted, then for twice as many, and so on until enough of each class are
    kept; always with the same seed, so that it is fitted once.

    Args:
        synthesizer: callable `(train: ImageSet, labels, seed) → ImageSet`.
        rules: see the module's docstring.
        most: times the number wanted that the generator is asked for at most.

    Returns:
        callable `(train: ImageSet, labels (n,), seed) → ImageSet` of n synthetic images. It raises ValueError, which
        says what each rule kept, if `most` times the images do not hold enough to keep.
    """

    def synthesize(train, labels, seed):
        labels = np.asarray(labels)
        judges = [rule(train, seed) for rule in rules]
        times = 1
        while True:
            made = synthesizer(train, np.tile(labels, times), seed)
            kept = [judge(made) for judge in judges]
            pool = np.flatnonzero(np.all(kept, axis=0))
            wanted = np.bincount(labels, minlength=len(train.class_names))
            there = np.bincount(made.labels[pool], minlength=len(train.class_names))
            if (there >= wanted).all():
                break
            if 2 * times > most:
                raise ValueError(_shortage(train.class_names, wanted, there, len(made), rules, kept))
            times *= 2
        chosen = np.empty(len(labels), int)
        for label in np.unique(labels):
            chosen[labels == label] = pool[made.labels[pool] == label][: wanted[label]]
        return made[chosen]

    return synthesize


def _shortage(class_names, wanted, there, made, rules, kept):
    short = ", ".join(
        f"{has} of {needs} {name}" for name, needs, has in zip(class_names, wanted, there, strict=True) if has < needs
    )
    shares = ", ".join(f"{rule.__name__} keeps {keep.mean():.0%}" for rule, keep in zip(rules, kept, strict=True))
    return (
        f"of {made} synthetic images too few are kept, {short}: {shares}; loosen a rule or train the generator longer"
    )


def confident(fit, share=0.5):
    """Makes the rule that keeps the images of each class of which a classifier is surest that they belong to it.

    A share and no probability is what to set: a network trained on few images ranks them well long before its
    probabilities mean anything, and may call every image by one class.

    Args:
        fit: callable `(train: ImageSet, seed) → callable (uint8 images) → float probabilities (n, classes)`, such as
            `scorers.scorer`; it sees the training part only.
        share: of each class's synthetic images to keep.
    """

    def confident(train, seed):
        predict = fit(train, seed)

        def judge(made):
            sure = predict(made.images)[np.arange(len(made)), made.labels]
            limits = {label: np.quantile(sure[made.labels == label], 1 - share) for label in np.unique(made.labels)}
            return sure >= [limits[label] for label in made.labels]

        return judge

    return confident


def central(features, share=0.95):
    """Makes the rule that keeps an image if it is no further from its class's centre than real images are.

    Args:
        features: callable `(train: ImageSet) → callable (uint8 images) → float (n, dimensions)`.
        share: of the class's real images that lie within the distance allowed.
    """

    def central(train, seed):
        space = features(train)
        real = space(train.images)
        centres = np.stack([real[train.labels == label].mean(0) for label in range(len(train.class_names))])
        distances = np.linalg.norm(real - centres[train.labels], axis=1)
        limits = np.array([np.quantile(distances[train.labels == label], share) for label in range(len(centres))])
        return lambda made: np.linalg.norm(space(made.images) - centres[made.labels], axis=1) <= limits[made.labels]

    return central


def dense(features, k=5, least=1):
    """Makes the rule that keeps an image if it lies within the reach of enough real images of its class.

    A real image reaches to its k-th nearest neighbour of the same class (Naeem et al. 2020, whose density is the mean
    number of such balls over k).

    Args:
        features: as in `central`.
        k: int, below the number of images of the smallest class.
        least: int, how many real images' reach it must be in.
    """

    def dense(train, seed):
        space = features(train)
        real = space(train.images)
        classes = []
        for label in np.unique(train.labels):
            own = real[train.labels == label]
            classes.append((label, own, NearestNeighbors(n_neighbors=k + 1).fit(own).kneighbors(own)[0][:, -1]))

        def judge(made):
            kept, asked = np.zeros(len(made), bool), space(made.images)
            for label, own, reach in classes:
                mine = np.flatnonzero(made.labels == label)
                if len(mine):
                    counts = pairwise_distances_chunked(
                        asked[mine], own, reduce_func=lambda part, start, reach=reach: (part < reach).sum(1)
                    )
                    kept[mine] = np.concatenate(list(counts)) >= least
            return kept

        return judge

    return dense


def novel(features, quantile=0.01):
    """Makes the rule that drops near-copies of training images.

    An image is a near-copy if it is nearer to a training image than this share of the training images are to one of
    another patient.

    Args:
        features: as in `central`.
        quantile: share, 0 to 1.
    """

    def novel(train, seed):
        space = features(train)
        real = space(train.images)
        limit = np.quantile(_apart(real, train.patients), quantile)
        return lambda made: pairwise_distances_argmin_min(space(made.images), real)[1] >= limit

    return novel


def _apart(features, patients):
    """Returns each image's distance to the nearest one of another patient."""
    _, patient = np.unique(patients, return_inverse=True)
    most = np.bincount(patient).max()
    # The nearest `most` others cannot all be the patient's own.
    distances, index = NearestNeighbors(n_neighbors=min(most + 1, len(features))).fit(features).kneighbors(features)
    foreign = patient[index] != patient[:, None]
    return distances[np.arange(len(features)), foreign.argmax(1)]
