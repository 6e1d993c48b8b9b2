"""Two markers of 113 patients, as ranks: what DeLong's method sees of pROC's example data aSAH.

Robin et al., "pROC: an open-source package for R and S+ to analyze and compare ROC curves", BMC Bioinformatics 12,
2011. The ranks follow from the placement values in the package's own tests (helper-deLongPlacementsCpp-expected.R);
how two patients of one outcome compare is lost there and does not matter to an ROC curve.
"""

import numpy as np

POOR = np.arange(113) < 41
WFNS = np.array([int(rank) for rank in (
    "21344441410143314441414134330331144114444"
    "000040110110001010023030440013001101011000010100213103004311000201133000"
)])  # fmt: skip
S100B = np.array([
    8, 5, 11, 7, 25, 30, 28, 2, 19, 4, 2, 23, 21, 27, 30, 15, 30, 30, 30, 2, 30, 17, 0, 4, 13, 30, 15, 30, 3, 15, 8, 5,
    6, 13, 30, 9, 30, 18, 30, 30, 25,
    8, 9, 5, 1, 26, 12, 5, 5, 1, 3, 1, 4, 6, 2, 12, 2, 6, 8, 12, 1, 11, 9, 20, 4, 29, 26, 11, 2, 24, 26, 6, 3, 4, 3, 1,
    8, 5, 9, 10, 1, 1, 4, 1, 4, 3, 11, 4, 3, 19, 6, 16, 2, 5, 18, 2, 1, 14, 22, 5, 10, 3, 9, 5, 2, 1, 12, 10, 26, 12,
    10, 29, 27,
])  # fmt: skip
