"""Splits by patient, folds, subsets; near-duplicates between the splits."""

import dataclasses
import math
import warnings

import numpy as np

from synthkit._alike import groups, nearest
from synthkit.imageset import SPLIT_NAMES, Splits, concatenate, resize
from synthkit.statistics.estimates import strata


def deal(labels, patients, fractions, *, seed=0):
    """Assigns patients to groups, stratified by class.

    In each class, patients are shuffled, sorted by their number of images, most first, and assigned one by one to the
    group that lacks most images of that class. So every group comes as close to its fraction as whole patients allow. A
    patient with images of several classes counts as one of the class of most of them.

    Args:
        labels: int `(n,)`.
        patients: `(n,)`, identifiers.
        fractions: fraction of the images for each group; they add up to 1.
        seed: int.

    Returns:
        int `(n,)`, the group of every image.
    """
    names, patient = np.unique(patients, return_inverse=True)
    size, majority = np.bincount(patient, minlength=len(names)), strata(labels, patients)
    group = np.zeros(len(names), int)
    rng = np.random.default_rng(seed)
    for label in range(1 + max(labels, default=0)):
        members = rng.permutation(np.flatnonzero(majority == label))
        lacking = np.asarray(fractions) * size[members].sum()
        for member in members[np.argsort(-size[members], kind="stable")]:
            group[member] = np.argmax(lacking)
            lacking[group[member]] -= size[member]
    return group[patient]


def partition(imageset, sizes, *, seed=0):
    """Divides a set into subsets by patient, stratified by class (see `deal`).

    Args:
        imageset: an ImageSet.
        sizes: fraction of the images (a float below 1) or their number (an int of 1 or more) for each subset but the
            first, which gets the rest.
        seed: int.

    Returns:
        list of ImageSets, one more than `sizes`.

    Raises:
        ValueError: if a size is not positive, or nothing is left for the first subset.
    """
    n = len(imageset)
    fractions = [size / n if isinstance(size, (int, np.integer)) else size for size in sizes]
    if min(fractions) <= 0 or sum(fractions) >= 1:
        raise ValueError(
            f"{imageset.name}: the sizes of the sets that are split off (--validation, --test) must be positive and "
            f"leave some of the {n} images to train on. Received: {', '.join(f'{size:g}' for size in sizes)}"
        )
    fractions = np.array([1 - sum(fractions), *fractions])
    group = deal(imageset.labels, imageset.patients, fractions, seed=seed)
    return [imageset[np.flatnonzero(group == i)] for i in range(len(fractions))]


def split(imageset, validation=0.1, test=0.2, *, seed=0):
    """Splits into a training, a validation and a test set by patient, stratified by class (see `deal`).

    Args:
        imageset: an ImageSet.
        validation, test: fraction of the images (a float below 1) or their number (an int of 1 or more).
        seed: int.

    Returns:
        Splits.

    Raises:
        ValueError: if a split would have no image of some class.
    """
    splits = dict(zip(SPLIT_NAMES, partition(imageset, [validation, test], seed=seed), strict=True))
    for label, count in enumerate(imageset.class_counts().values()):
        empty = [SPLIT_NAMES[role] for role, images in splits.items() if label not in images.labels]
        if empty:
            patients = len(np.unique(imageset.patients[imageset.labels == label]))
            raise ValueError(
                f"{imageset.name}: class {imageset.class_names[label]} has {count} images of {patients} patients, too "
                f"few for the {' and the '.join(empty)} to get one; provide more images, or, without --folds, larger "
                "fractions (--validation, --test)"
            )
    return Splits(*(dataclasses.replace(images, name=f"{imageset.name} {role}") for role, images in splits.items()))


def pool(splits):
    """Returns the images of all sets as one ImageSet, for a cross-validation; `splits` are Splits."""
    images = concatenate(list(splits), splits.train.name.removesuffix(" train"))
    return dataclasses.replace(images, held_out=False)


def fold(imageset, folds, *, seed=0):
    """Assigns patients to folds for cross-validation, stratified by class (scikit-learn's StratifiedGroupKFold).

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
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold_of = np.empty(len(imageset), int)
    for i, (_, test) in enumerate(splitter.split(imageset.labels, imageset.labels, imageset.patients)):
        fold_of[test] = i
    return fold_of


def cross_validation(imageset, folds, validation=0.2, *, seed=0):
    """Makes every fold the test set once; the other folds are split into a training and a validation set.

    Args:
        imageset: an ImageSet.
        folds: int, at least 2.
        validation: fraction of the images outside the test set.
        seed: int.

    Returns:
        list of `(Splits, rows)`, one for each fold, with the rows of its test images.

    Raises:
        ValueError: as `fold`, or if a split would have no image of some class.
    """
    fold_of, tests = fold(imageset, folds, seed=seed), []
    for i in range(folds):
        rows = np.flatnonzero(fold_of == i)
        train, held_out = partition(imageset[np.flatnonzero(fold_of != i)], [validation], seed=seed)
        tests.append((Splits(train, held_out, imageset[rows]), rows))
    return tests


def subsample(imageset, per_class, *, seed=0, total=None):
    """Draws images without replacement: `per_class` of each class, or all of a class that has fewer.

    Args:
        imageset: an ImageSet.
        per_class: int, number of images of every class.
        seed: int.
        total: int; if small classes leave fewer images than this, more are drawn from the other classes, as evenly as
            possible. None draws no more.

    Returns:
        ImageSet, its images in their original order.
    """
    return imageset[subsample_rows(imageset, per_class, seed=seed, total=total)]


def subsample_rows(imageset, per_class, *, seed=0, total=None):
    """Returns the rows of the images that `subsample` draws, in order."""
    available = np.bincount(imageset.labels, minlength=len(imageset.class_names))
    counts = np.minimum(available, per_class)
    while total is not None and counts.sum() < min(total, len(imageset)):
        larger = np.flatnonzero(counts < available)
        more = math.ceil((total - counts.sum()) / len(larger))
        for label in larger:
            counts[label] += max(0, min(more, available[label] - counts[label], total - counts.sum()))
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(imageset.labels == label), count, replace=False) for label, count in enumerate(counts)
    ]
    chosen = np.sort(np.concatenate(chosen))
    if total is not None and len(chosen) > total:
        chosen = np.sort(rng.choice(chosen, total, replace=False))
    return chosen


def near_duplicates(imageset, *others, limit=None):
    """Finds images that look like copies of images in other sets: taken a moment later, or cropped or compressed.

    Two images look alike if the correlation of their values, after each channel's mean is subtracted, is above `limit`;
    larger images are reduced to 32×32. The limit is at least 0.97. It is higher where images of different patients (by
    their identifiers, or else by their classes) correlate strongly, as films of the same view do: near-duplicates are
    then five times closer to each other, by 1 - correlation, than the closest images of different patients usually are.
    Above the limit, BreastMNIST's official splits share ultrasound frames of the same lesion, while no two of 1,675
    mammogram masses or of 2,200 phantoms are as similar. Even so, look at some pairs: a study draws them in
    `near_duplicates.png`.

    Args:
        imageset: ImageSet.
        others: ImageSets of the same classes and image shape.
        limit: correlation, up to 1; None for the one above.

    Returns:
        bool `(n,)`.
    """
    found = nearest(imageset, *others, limit=limit)
    return found.correlation > found.limit


def refuse_near_duplicates(others, *held_out):
    """Refuses images to pretrain on that look like images that are tested on.

    Args:
        others: ImageSet, of any classes and size.
        held_out: validation and test sets, or whatever is tested on.

    Raises:
        ValueError: if any of `others` is a near-duplicate of an image of these sets (`near_duplicates`).
    """
    held_out = [part for part in held_out if part.image_shape[-1] == others.image_shape[-1]]
    if not held_out:
        return
    others = dataclasses.replace(resize(others, held_out[0].image_shape[0]))  # never one of these sets itself
    flags = near_duplicates(others, *held_out)
    if flags.any():
        raise ValueError(
            f"{flags.sum()} of {len(flags)} images of {others.name} look like validation or test images, for example "
            f"number {np.flatnonzero(flags)[0]}, and a generator that learned them could show what is tested on: "
            "pretrain on other images (--pretrain-on), or leave out the test images that look like training images "
            "(--drop-near-duplicates)"
        )


def without_near_duplicates(splits, limit=None):
    """Removes near-duplicates: from the validation set those of training images, from the test set those of either.

    The training set is not changed, so generators that were fitted on it can still be used. Warns with the numbers of
    images that are left out.

    Args:
        splits: Splits.
        limit: as in `near_duplicates`.

    Returns:
        Splits.

    Raises:
        ValueError: if a class has no images left in a split.
    """
    near = {
        "validation": near_duplicates(splits.validation, splits.train, limit=limit),
        "test": near_duplicates(splits.test, splits.train, splits.validation, limit=limit),
    }
    if any(flags.any() for flags in near.values()):
        counts = " and ".join(f"{flags.sum()} of {len(flags)} {role} images" for role, flags in near.items())
        warnings.warn(
            f"{counts} look like images in earlier splits (training, validation) and were left out", stacklevel=2
        )
    return Splits(splits.train, *(getattr(splits, role)[np.flatnonzero(~flags)] for role, flags in near.items()))


def group_near_duplicates(imageset, limit=None):
    """Makes one patient of images that look alike, so that a split keeps them together.

    For images without patient identifiers, such as frames of a video or slices of a scan. Patients with near-duplicates
    of each other become one, and so do chains of them. Warns with the numbers.

    Args:
        imageset: ImageSet, before it is split; for a cross-validation of a set that comes with its splits,
            `pool(splits)`.
        limit: as in `near_duplicates`.

    Returns:
        ImageSet with other patients, to be split (`split`).
    """
    group, near = groups(imageset, limit)
    if not near.any():
        warnings.warn(f"{imageset.name}: no two images look alike, so none were grouped", stacklevel=2)
        return imageset
    sizes, count = np.bincount(group), len(np.unique(group[near]))
    warnings.warn(
        f"{imageset.name}: {near.sum()} of {len(imageset)} images look like others and were put into {count} "
        f"group{'s' if count > 1 else ''}, the largest of {sizes[group[near]].max()} images; each group counts as one "
        "patient",
        stacklevel=2,
    )
    first = np.unique(group, return_index=True)[1]
    return dataclasses.replace(imageset, patients=imageset.patients[first][group])
