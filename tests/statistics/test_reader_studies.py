"""Two published reader studies, on which the standard errors are those of the programs for such studies.

Ratings of each reader for the normal and then for the abnormal cases; the two digits are the ratings of a case with the
first and the second modality. Van Dyke et al. 1993 (spin-echo and cine MRI, thoracic aortic dissection, 5 readers, 69 +
45 cases) and Franken et al., Investigative Radiology 27, 1992 (film and a workstation, chest films of newborns, 4
readers, 33 + 67 cases) are the examples of MRMCaov (Smith and Hillis 2020), iMRMC and RJafroc.
"""

import numpy as np
import pytest

from synthkit import statistics
from synthkit.statistics.scores import influence

VAN_DYKE = """
13 23 23 12 52 12 12 12 13 12 11 13 41 12 12 12 12 12 12 11 11 11 31 11 34 12 11 23 11 42 12 11 14 13 12 33 11
22 13 21 12 12 22 33 33 11 31 11 13 33 33 11 11 13 14 11 12 24 22 11 12 14 11 34 34 22 11 11 11

55 53 55 55 45 55 55 55 44 55 55 55 45 34 44 23 43 55 55 55 55 55 55 55 13 55 45 43 55 45 55 55 34 54 55 55 15
13 55 55 55 45 45 55 11

23 32 22 22 22 22 22 22 23 32 22 22 52 22 22 21 32 22 22 22 21 22 22 22 43 22 22 22 22 32 22 21 22 22 21 22 22
22 22 22 23 21 22 22 23 22 22 22 22 22 22 22 22 22 23 22 22 43 32 22 22 32 22 22 22 22 21 22 22

55 33 55 55 55 55 55 45 22 55 55 55 43 44 24 22 24 55 54 55 55 55 54 55 22 45 32 33 55 45 55 53 22 44 22 55 25
22 55 55 55 55 35 55 22

22 24 22 22 32 52 13 12 22 22 41 21 41 23 22 22 32 22 21 22 11 21 32 21 44 11 11 35 21 22 11 11 22 21 22 42 12
21 12 42 12 21 11 13 22 21 21 21 22 23 33 21 11 13 22 12 11 22 23 12 13 54 11 42 24 12 21 12 21

55 42 55 55 55 55 55 55 55 55 55 55 53 45 24 31 54 55 55 55 55 55 55 55 22 55 23 23 55 55 55 54 23 55 55 55 25
23 54 55 55 55 55 55 21

12 12 11 11 11 11 33 11 12 11 11 11 11 12 12 11 11 11 12 11 21 11 11 11 23 12 11 12 11 22 11 11 11 11 12 12 11
11 12 11 11 11 11 11 12 11 12 11 32 31 12 12 11 11 11 11 11 12 11 12 11 11 11 33 12 13 12 11 11

55 54 55 55 55 55 55 55 54 55 55 55 54 55 55 15 55 55 55 55 55 55 55 55 54 55 45 54 44 45 55 55 35 55 55 55 15
23 55 55 55 55 55 55 55

32 52 13 21 12 12 12 12 21 22 22 12 21 11 11 12 22 22 11 12 32 22 21 12 13 12 12 23 12 11 22 11 12 22 32 12 21
21 12 11 12 31 31 33 22 11 12 12 23 13 12 11 12 12 12 12 11 32 42 12 22 33 11 22 13 23 11 11 31

55 22 55 24 55 55 55 55 15 54 45 55 43 54 23 23 33 55 55 55 55 55 55 45 12 45 41 33 23 22 15 53 12 55 14 55 15
13 53 55 55 35 55 55 23
"""

FRANKEN = """
33 13 24 23 21 21 25 44 11 12 43 21 11 22 42 22 11 23 11 22 42 23 32 22 21 22 42 32 22 22 22 54 33

55 22 55 55 44 55 14 51 55 55 11 55 42 54 21 44 14 53 55 35 53 55 55 55 45 55 53 42 32 55 23 55 45 54 33 55 43
55 55 44 45 55 54 55 55 45 55 45 32 24 54 44 55 45 55 55 43 22 55 34 54 52 55 55 13 43 54

43 21 31 21 21 11 33 44 22 11 11 21 21 21 21 31 21 23 43 11 33 23 24 33 31 11 33 11 13 11 11 23 22

44 42 44 44 44 44 43 34 34 44 31 44 42 44 11 34 31 44 43 44 44 44 44 44 44 34 44 23 32 44 21 44 44 41 43 43 44
44 43 43 43 44 44 44 44 43 43 34 44 13 14 43 43 44 43 44 34 34 44 21 44 43 44 44 22 43 34

33 11 22 22 22 12 54 44 22 13 32 22 11 33 32 24 22 43 12 22 12 22 22 24 22 22 21 12 22 32 22 24 22

54 54 55 54 54 55 53 23 15 55 22 54 33 54 23 44 33 55 54 52 55 55 55 55 55 45 44 32 34 55 33 55 22 21 22 55 35
55 55 21 23 55 55 55 55 45 55 54 23 22 44 42 55 55 45 55 44 44 45 21 55 32 55 55 23 34 54

41 23 14 11 13 11 53 21 11 11 41 13 11 11 11 11 55 22 11 11 22 31 11 34 11 12 44 11 11 11 44 11 11

45 34 55 55 55 55 55 15 44 35 11 55 44 55 11 25 41 55 55 12 54 55 55 55 55 55 55 13 22 55 11 55 44 44 41 55 21
55 55 11 44 55 55 55 55 41 54 45 11 24 22 11 55 55 55 55 52 23 54 11 45 51 55 55 11 43 43
"""


def difference(ratings):
    """Returns the Estimate of the difference in AUC between the modalities, and the AUCs `(modality, reader)`."""
    lines = [text.split() for text in ratings.strip().split("\n\n")]
    cases = [normal + abnormal for normal, abnormal in zip(lines[::2], lines[1::2], strict=True)]
    scores = np.array([[[int(case[modality]) for case in reader] for reader in cases] for modality in (0, 1)]) / 6
    labels = (np.arange(scores.shape[2]) >= len(lines[0])).astype(int)
    areas, influences = np.empty(scores.shape[:2]), np.empty(scores.shape)
    for index in np.ndindex(areas.shape):
        positive = scores[index]
        areas[index], influences[index] = influence("auc", labels, np.stack([1 - positive, positive], axis=1))
    return statistics.estimate(areas[1] - areas[0], influences[1] - influences[0], labels), areas


@pytest.mark.parametrize(
    ("ratings", "areas", "gain", "error", "hillis"),
    [(VAN_DYKE, (0.897, 0.941), 0.0438, 0.02075, 15.3), (FRANKEN, (0.848, 0.837), -0.0109, 0.00501, 3.0)],
)
def test_standard_errors_are_those_of_other_programs(ratings, areas, gain, error, hillis):
    found, of_readers = difference(ratings)
    assert of_readers.mean(1) == pytest.approx(areas, abs=6e-4)
    assert found.value == pytest.approx(gain, abs=6e-5)
    assert found.error == pytest.approx(error, rel=5e-3)
    readers = found.between / found.seeds
    assert (found.seeds - 1) * (found.error**2 / readers) ** 2 == pytest.approx(hillis, rel=0.02)
    assert found.freedom <= hillis  # fewer, on purpose


def test_degrees_of_freedom_are_fewer_than_those_of_hillis():
    assert difference(VAN_DYKE)[0].freedom == pytest.approx(6.2, abs=0.05)
