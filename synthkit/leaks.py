"""Images that stand nearly alike on both sides of a split, which patients' names and bytes do not show."""

import warnings

import numpy as np

from synthkit.imageset import Splits, resize

NEAR_COPY = 0.97  # correlation of two images above which one is nearly a copy of the other


def near_copies(imageset, *others, limit=NEAR_COPY):
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


def without_near_copies(splits, limit=NEAR_COPY):
    """Leaves images out of the validation and test part that are near-copies of images in an earlier part.

    The training part stays as it is, and so do generators that were fitted on it. Warns with the numbers left out.

    Args:
        splits: Splits.
        limit: as in `near_copies`.

    Returns:
        Splits.

    Raises:
        ValueError: if a class has no other image.
    """
    near = {
        "validation": near_copies(splits.validation, splits.train, limit=limit),
        "test": near_copies(splits.test, splits.train, splits.validation, limit=limit),
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
