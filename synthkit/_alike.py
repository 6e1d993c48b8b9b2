"""How alike images are: the nearest image in other sets, and what counts as a near-duplicate in these sets."""

import typing

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from synthkit.imageset import resize

FLOOR = 0.97  # correlation below which no images are near-duplicates
FACTOR = 5  # near-duplicates are this many times closer than an image and its closest stranger usually are


class Nearest(typing.NamedTuple):
    """The most similar image in other sets, for every image of a set.

    Attributes:
        correlation: float `(n,)`.
        other, row: int `(n,)`, the number of that set and the image's row in it.
        limit: correlation above which two images are near-duplicates.
    """

    correlation: np.ndarray
    other: np.ndarray
    row: np.ndarray
    limit: float


def nearest(imageset, *others, limit=None):
    """Finds the most similar image in other sets for every image.

    Args:
        imageset: ImageSet.
        others: ImageSets of the same classes and image shape; of `imageset` itself, images of other patients.
        limit: correlation above which two images are near-duplicates; None for `limit_of`.

    Returns:
        Nearest.
    """
    best, stranger = np.full((2, len(imageset)), -1.0)
    place = np.zeros((2, len(imageset)), int)
    for rows, number, columns, correlation, strange in _blocks(imageset, others):
        if others[number] is imageset:
            correlation[imageset.patients[rows, None] == imageset.patients[columns]] = -1
        highest, index = correlation.max(1), correlation.argmax(1)
        better = np.flatnonzero(highest > best[rows])
        best[rows][better] = highest[better]
        place[0, rows][better], place[1, rows][better] = number, columns.start + index[better]
        stranger[rows] = np.maximum(stranger[rows], np.where(strange, correlation, -1).max(1))
    return Nearest(best, *place, limit_of(stranger) if limit is None else limit)


def limit_of(stranger):
    """Returns the correlation above which two images of a set are near-duplicates.

    Images of different patients must not count, however alike all images of a set are: aligned films that are mostly
    black correlate above 0.97, too. So near-duplicates are `FACTOR` times closer (in 1 - correlation) than an image and
    its closest stranger usually are, and correlate above `FLOOR`. The median keeps a few wrong labels, or patients with
    several identifiers, from raising the limit.

    Args:
        stranger: float `(n,)`, correlation of each image with the closest one that is certainly of another patient; -1
            where there is none.
    """
    known = stranger[stranger > -1]
    return max(FLOOR, float(1 - (1 - np.median(known)) / FACTOR)) if len(known) else FLOOR


def groups(imageset, limit=None):
    """Puts images into groups: those of one patient, and near-duplicates, directly or in a chain.

    Args:
        imageset: ImageSet.
        limit: as in `nearest`.

    Returns:
        `(group, near)`: int `(n,)`, the number of each image's group, and bool `(n,)`, whether the image is a
        near-duplicate of one of another patient.
    """
    count, pairs = len(imageset), []
    _, patient = np.unique(imageset.patients, return_inverse=True)
    stranger = np.full(count, -1.0)
    for rows, _, columns, correlation, strange in _blocks(imageset, [imageset]):
        stranger[rows] = np.maximum(stranger[rows], np.where(strange, correlation, -1).max(1))
        first, second = np.nonzero(correlation > (FLOOR if limit is None else limit))
        pairs.append([first + rows.start, second + columns.start, correlation[first, second]])
    first, second, correlation = map(np.concatenate, zip(*pairs, strict=True))
    near = (correlation > (limit_of(stranger) if limit is None else limit)) & (patient[first] != patient[second])
    first, second = first[near], second[near]
    # A graph of patients, in which near-duplicates connect two.
    graph = coo_array((np.ones(len(first)), (patient[first], patient[second])), shape=(patient.max() + 1,) * 2)
    return connected_components(graph, directed=False)[1][patient], np.isin(np.arange(count), first)


def _blocks(imageset, others):
    """Yields the correlations of images with those of other sets, a block at a time.

    Yields:
        `(rows, number, columns, correlation, strange)`: slice of images, number of the other set, slice of its images,
        float `(rows, columns)`, and bool of that shape, whether two images are certainly of different patients: by
        their patients where these are known, and else by their classes.
    """
    known = any(len(np.unique(images.patients)) < len(images) for images in (imageset, *others))
    owner = "patients" if known else "labels"
    for rows, vectors in _vectors(imageset, 4096):
        for number, other in enumerate(others):
            for columns, other_vectors in _vectors(other, 1024):
                strange = getattr(imageset, owner)[rows, None] != getattr(other, owner)[columns]
                yield rows, number, columns, vectors @ other_vectors.T, strange


def _vectors(imageset, size):
    """Yields `size` images at a time, as a slice of the set and vectors whose dot products are correlations."""
    for start in range(0, len(imageset), size):
        rows = slice(start, min(start + size, len(imageset)))
        yield rows, _standardized(imageset[rows])


def _standardized(imageset):
    """Returns images as float32 vectors `(n, values)` of mean 0 and length 1; uniform images as zeros."""
    small = resize(imageset, 32) if max(imageset.image_shape[:2]) > 32 else imageset
    vectors = small.images.reshape(len(small), -1, small.image_shape[-1]).astype("float32")
    vectors -= vectors.mean(1, keepdims=True)  # of each channel, so that a common skin colour does not count
    vectors = vectors.reshape(len(small), -1)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
