"""Splits by patient, folds and subsets; images that are nearly the same on both sides of a split."""

import dataclasses
import math
import warnings

import numpy as np

from synthkit.imageset import Splits, resize

NEAR_DUPLICATE = 0.97  # correlation of two images above which one is nearly a copy of the other


def deal(labels, patients, shares, *, seed=0):
    """Deals patients to parts, stratified by class.

    Each class's patients are dealt on their own and those with most images first, to the part that is furthest from
    its share of that class, so parts come as near to their shares as whole patients allow. A patient with images of
    several classes counts for the class of most of them.

    Args:
        labels: int `(n,)`.
        patients: `(n,)`, identifiers.
        shares: share of the images for each part; they add up to 1.
        seed: int.

    Returns:
        int `(n,)`, the part of every image.
    """
    names, patient = np.unique(patients, return_inverse=True)
    votes = np.zeros((len(names), 1 + max(labels, default=0)), int)
    np.add.at(votes, (patient, labels), 1)
    size, major = votes.sum(1), votes.argmax(1)
    part = np.zeros(len(names), int)
    rng = np.random.default_rng(seed)
    for label in range(votes.shape[1]):
        members = rng.permutation(np.flatnonzero(major == label))
        wanted = np.asarray(shares) * size[members].sum()
        for member in members[np.argsort(-size[members], kind="stable")]:
            chosen = int(np.argmax(wanted))
            part[member] = chosen
            wanted[chosen] -= size[member]
    return part[patient]


def partition(imageset, sizes, *, seed=0):
    """Divides a set by patient, stratified by class (see `deal`).

    Args:
        imageset: an ImageSet.
        sizes: share of the images (a float below 1) or their number (an int of 1 or more) for each part but the first,
            which gets the rest.
        seed: int.

    Returns:
        list of ImageSets, one more than `sizes`.

    Raises:
        ValueError: if a size is not positive, or nothing is left for the first part.
    """
    n = len(imageset)
    shares = [size / n if isinstance(size, (int, np.integer)) else size for size in sizes]
    if min(shares) <= 0 or sum(shares) >= 1:
        raise ValueError(
            f"{imageset.name}: sizes must be positive and leave some of the {n} images for the first part. "
            f"Received: {', '.join(map(str, sizes))}"
        )
    shares = np.array([1 - sum(shares), *shares])
    part = deal(imageset.labels, imageset.patients, shares, seed=seed)
    return [imageset[np.flatnonzero(part == p)] for p in range(len(shares))]


def split(imageset, validation=0.1, test=0.2, *, seed=0):
    """Splits into training, validation and test parts by patient, stratified by class (see `partition`).

    Args:
        imageset: an ImageSet.
        validation, test: share of the images (a float below 1) or their number (an int of 1 or more).
        seed: int.

    Returns:
        Splits.

    Raises:
        ValueError: if a part is left without an image of some class.
    """
    parts = partition(imageset, [validation, test], seed=seed)
    names = ("train", "validation", "test")
    for label, count in enumerate(imageset.class_counts().values()):
        short = [name for part, name in zip(parts, names, strict=True) if label not in part.labels]
        if short:
            patients = len(np.unique(imageset.patients[imageset.labels == label]))
            raise ValueError(
                f"{imageset.name}: class {imageset.class_names[label]} has {count} images of {patients} patients, too "
                f"few for the {' and the '.join(short)} part to get one; give more images or larger shares"
            )
    return Splits(
        *(dataclasses.replace(part, name=f"{imageset.name} {name}") for part, name in zip(parts, names, strict=True))
    )


def fold(imageset, folds, *, seed=0):
    """Deals the patients into folds for cross-validation, classes spread evenly (scikit-learn's StratifiedGroupKFold).

    Args:
        imageset: an ImageSet.
        folds: int, at least 2.
        seed: int.

    Returns:
        int `(n,)`, the fold of every image.

    Raises:
        ValueError: if a class has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for label, name in enumerate(imageset.class_names):
        patients = len(np.unique(imageset.patients[imageset.labels == label]))
        if not 2 <= folds <= patients:
            raise ValueError(
                f"{imageset.name}: folds must be at least 2 and at most the {patients} patients of class {name}. "
                f"Received: folds={folds}"
            )
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    number = np.empty(len(imageset), int)
    for i, (_, held_out) in enumerate(split.split(imageset.labels, imageset.labels, imageset.patients)):
        number[held_out] = i
    return number


def subsample(imageset, per_class, *, seed=0, total=None):
    """Draws images without replacement: `per_class` of each class, or all of a class that has fewer.

    Args:
        imageset: an ImageSet.
        per_class: int, the number to draw of every class.
        seed: int.
        total: if given, what classes fall short of is drawn from the others, as evenly as they allow, until there
            are `total` images.

    Returns:
        ImageSet, its images in their original order.
    """
    available = np.bincount(imageset.labels, minlength=len(imageset.class_names))
    take = np.minimum(available, per_class)
    while total is not None and take.sum() < min(total, len(imageset)):
        room = np.flatnonzero(take < available)
        share = math.ceil((total - take.sum()) / len(room))
        for label in room:
            take[label] += max(0, min(share, available[label] - take[label], total - take.sum()))
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(imageset.labels == label), count, replace=False) for label, count in enumerate(take)
    ]
    chosen = np.sort(np.concatenate(chosen))
    if total is not None and len(chosen) > total:
        chosen = np.sort(rng.choice(chosen, total, replace=False))
    return imageset[chosen]


def near_duplicates(imageset, *others, limit=NEAR_DUPLICATE):
    """Finds images that stand in other sets too, taken a moment later, cropped or compressed a little differently.

    Two images are near-copies if the correlation of their values, less each channel's mean, is above `limit` (at 32×32
    if they are larger). The default was set by eye: above it BreastMNIST's official parts share ultrasound frames of
    the same lesion, while no two of 1,675 mammogram masses and of 2,200 phantoms come so near. Images that are aligned,
    such as chest films, may be more alike than that without being of one patient: look at some pairs.

    Args:
        imageset: ImageSet.
        others: ImageSets of the same image shape.
        limit: correlation, up to 1.

    Returns:
        bool `(n,)`.
    """
    near = np.zeros(len(imageset), bool)
    for start, own in _blocks(imageset, 4096):
        for other in others:
            for _, known in _blocks(other, 1024):
                near[start : start + len(own)] |= (own @ known.T).max(1) > limit
    return near


def without_near_duplicates(splits, limit=NEAR_DUPLICATE):
    """Leaves images out of the validation and test part that are near-copies of images in an earlier part.

    The training part stays as it is, and so do generators that were fitted on it. Warns with the numbers left out.

    Args:
        splits: Splits.
        limit: as in `near_duplicates`.

    Returns:
        Splits.

    Raises:
        ValueError: if a class has no other image.
    """
    near = {
        "validation": near_duplicates(splits.validation, splits.train, limit=limit),
        "test": near_duplicates(splits.test, splits.train, splits.validation, limit=limit),
    }
    if any(places.any() for places in near.values()):
        told = " and ".join(f"{places.sum()} of {len(places)} {part} images" for part, places in near.items())
        warnings.warn(f"{splits.train.name}: {told} are nearly copies of others, and were left out", stacklevel=2)
    return Splits(splits.train, *(getattr(splits, part)[np.flatnonzero(~places)] for part, places in near.items()))


def _blocks(imageset, size):
    """Yields places and images, so many at a time, as vectors whose products are correlations."""
    for start in range(0, len(imageset), size):
        yield start, _standardized(imageset[np.arange(start, min(start + size, len(imageset)))])


def _standardized(imageset):
    """Returns images as float32 vectors `(n, values)` of mean 0 and length 1; an even image as zeros."""
    small = resize(imageset, 32) if max(imageset.image_shape[:2]) > 32 else imageset
    vectors = small.images.reshape(len(small), -1, small.image_shape[-1]).astype("float32")
    vectors -= vectors.mean(1, keepdims=True)  # of each channel: skin is not alike for being brown
    vectors = vectors.reshape(len(small), -1)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
