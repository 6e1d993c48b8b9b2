"""Every figure of fidelity in one row."""

import numpy as np

from synthkit.fidelity.distances import fid, kid
from synthkit.fidelity.neighbourhoods import neighbourhoods, similarity


def measure(space, real, synthetic, k=5):
    """Measures synthetic images against real ones by every figure that takes two sets of images.

    Args:
        space: FeatureSpace.
        real, synthetic: ImageSets of the same classes.
        k: neighbours, as in `neighbourhoods`.

    Returns:
        dict: space (its name), real and synthetic (how many), kid, kid_error, fid (NaN where the count does not
        allow it, with the reason in fid_note), precision, recall, density, coverage, and similarity and
        real_similarity (mean over classes).
    """
    first, second = space(real.images), space(synthetic.images)
    distance = kid(first, second)
    row = {"space": space.name, "real": len(real), "synthetic": len(synthetic), "kid": distance.value}
    row |= {"kid_error": distance.error, "fid": np.nan, "fid_note": ""}
    try:
        row["fid"] = fid(first, second)
    except ValueError as reason:
        row["fid_note"] = str(reason)
    row |= neighbourhoods(first, second, k)._asdict()
    for name, part in (("similarity", synthetic), ("real_similarity", real)):
        row[name] = float(np.mean([similarity(part.images[part.labels == label]) for label in np.unique(part.labels)]))
    return row
