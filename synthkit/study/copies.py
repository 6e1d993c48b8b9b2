"""Whether an arm's synthetic images are copies of training images, and whether they can be told from real ones."""

import json

import numpy as np

from synthkit.imageset import resize

PAIRS = 6  # synthetic images that every trial keeps with their nearest training images
COMPARED = 2000  # images of one kind that are searched for copies
SIDE = 48  # pixels to which larger images are reduced
TREES, PERMUTATIONS = 50, 2000  # of the test whether synthetic images can be told from real ones


def look_for_copies(train, held_out, synthetic):
    """Tests whether synthetic images are copies of training images, and whether they can be told from held-out ones.

    Images are compared in the PCA of their pixels (`fidelity.pixels`), fitted on training and held-out images, or for
    the second test on the held-out and the synthetic ones. Larger images are reduced to `SIDE` pixels a side for it; of
    more than `COMPARED` of one kind, a random subset is compared.

    Args:
        train, held_out, synthetic: ImageSets.

    Returns:
        dict: `copies`, JSON of `copies`, `held_out_copies`, `p` (as in `fidelity.CopyTest`), `images`, the number of
        synthetic images that were compared, and `accuracy` and `p_accuracy` of a random forest that tells synthetic
        from held-out images (`fidelity.two_sample_test`, of as many images of each class and one of each held-out
        patient; not of fewer than 4); `pairs`, uint8
        `(pairs, 2, height, width, channels)`, synthetic images and their nearest training images. Empty if there are
        too few patients.
    """
    from sklearn.ensemble import RandomForestClassifier

    from synthkit import fidelity

    held_out = held_out[np.flatnonzero(~np.isin(held_out.patients, train.patients))]
    rng = np.random.default_rng(0)
    train, held_out, synthetic = (
        images[np.sort(rng.permutation(len(images))[:COMPARED])] if len(images) > COMPARED else images
        for images in (train, held_out, synthetic)
    )
    patients = np.concatenate([train.patients, held_out.patients])
    if len(held_out) == 0 or len(np.unique(patients)) < 3:
        return {}
    reduced = [_reduced(images) for images in (train, held_out, synthetic)]
    space = fidelity.pixels(np.concatenate([images.images for images in reduced[:2]]))
    features = [space(images.images) for images in reduced]
    labels = np.concatenate([train.labels, held_out.labels])
    test = fidelity.copy_test(*features, patients=patients, labels=labels)
    near = fidelity.closest_pairs(features[0], None, features[2], count=PAIRS)
    pairs = np.stack([synthetic.images[near["synthetic"]], train.images[near["training"]]], axis=1)
    counts = {"copies": test.copies, "held_out_copies": test.held_out_copies, "p": test.p, "images": len(synthetic)}
    ours, theirs = _alike_in_classes(*reduced[1:], rng)
    if len(ours) >= 4:
        # A PCA fitted on the held-out images alone would tell them from any new images.
        space = fidelity.pixels(np.concatenate([ours, theirs]))
        forest = RandomForestClassifier(TREES, random_state=0)
        told = fidelity.two_sample_test(space(ours), space(theirs), forest, permutations=PERMUTATIONS)
        counts |= {"accuracy": told.accuracy, "p_accuracy": told.p}
    return {"copies": json.dumps(counts), "pairs": pairs}


def _reduced(images):
    """Returns images of at most `SIDE` pixels a side: a PCA of larger ones would take most of the time."""
    return resize(images, SIDE) if max(images.image_shape[:2]) > SIDE else images


def _alike_in_classes(held_out, synthetic, rng):
    """Returns as many held-out as synthetic images of each class, one of each held-out patient, as two arrays.

    Siblings of an image would tell the PCA what it is, and another mix of classes would tell the forest.
    """
    order = rng.permutation(len(held_out))
    order = order[np.unique(held_out.patients[order], return_index=True)[1]]
    rows = [], []
    for label in range(len(held_out.class_names)):
        both = order[held_out.labels[order] == label], rng.permutation(np.flatnonzero(synthetic.labels == label))
        fewest = min(map(len, both))
        for chosen, of_set in zip(rows, both, strict=True):
            chosen.extend(of_set[:fewest])
    return held_out.images[rows[0]], synthetic.images[rows[1]]
