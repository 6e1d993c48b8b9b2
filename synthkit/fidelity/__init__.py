"""How real synthetic images look, and whether they are copies.

- `spaces`: what images are compared by: pixels after a PCA, a classifier's last features, InceptionV3's.
- `distances`: KID, and FID where there are enough images.
- `neighbourhoods`: precision, recall, density and coverage; how alike the images of a class are.
- `copies`: whether a generator returns its training images, and what that gives away.
- `transfer`: can a classifier tell them from real ones, can it learn from them.

Figures take feature vectors and visit pairs of them strip by strip, in memory that does not grow with the pairs.
"""

from synthkit.fidelity.copies import closest_pairs, copy_test, membership, nearest
from synthkit.fidelity.distances import fid, kid
from synthkit.fidelity.neighbourhoods import neighbourhoods, similarity
from synthkit.fidelity.spaces import FeatureSpace, inception, penultimate, pixels
from synthkit.fidelity.summary import measure
from synthkit.fidelity.transfer import cross_training, two_sample_test

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
