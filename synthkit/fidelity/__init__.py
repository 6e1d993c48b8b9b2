"""How real synthetic images look, and whether they are copies of training images.

- `spaces`: the features that images are compared by: pixels after a PCA, a classifier's last features, InceptionV3's.
- `distances`: KID, FID where there are enough images; precision, recall, density and coverage; similarity within a
  class.
- `learning`: whether a classifier can tell synthetic from real images, and whether it can learn from them.
- `copies`: whether a generator returns its training images, and what they reveal about who was trained on.

Every p-value and standard error goes by patient: give `patients`, without which each image is a patient of its own.

Metrics take feature vectors and compare pairs of them block by block, in memory that does not grow with the pairs.
"""

from synthkit.fidelity.copies import closest_pairs, copy_test, membership, nearest
from synthkit.fidelity.distances import fid, kid, measure, neighbourhoods, similarity
from synthkit.fidelity.learning import cross_training, two_sample_test
from synthkit.fidelity.spaces import FeatureSpace, inception, penultimate, pixels

__all__ = [
    "FeatureSpace",
    "closest_pairs",
    "copy_test",
    "cross_training",
    "fid",
    "inception",
    "kid",
    "measure",
    "membership",
    "nearest",
    "neighbourhoods",
    "penultimate",
    "pixels",
    "similarity",
    "two_sample_test",
]
