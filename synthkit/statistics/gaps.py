"""The fraction of a gap between two arms, such as `real` and `oracle`, that another arm closes."""

import numpy as np
import pandas as pd
from scipy import optimize

from synthkit.statistics.estimates import estimate, over_patients, strata
from synthkit.statistics.scores import influence

FAR = 20.0  # in gaps: an end of `gap_closed`'s interval that is further out is called infinite


def gap_closed(scores, labels, patients, baseline="real", ceiling="oracle", overlap=0.0):
    """Estimates the fraction of the gap in AUC between a baseline and a ceiling that every other arm closes.

    Where the ceiling is the arm of fresh images from the simulator, no generator can exceed a fraction of 1 except by
    chance; a fraction of 0 is no better than the baseline. The interval is Fieller's (Journal of the Royal Statistical
    Society B 16, 1954): all fractions g for which (arm − baseline) − g (ceiling − baseline) does not differ
    significantly from zero.

    Args:
        scores, labels, patients, overlap: as in `summarize`.
        baseline, ceiling: the arms at 0 and at 1.

    Returns:
        pandas.DataFrame, one row for every other arm: arm, share (the fraction), low and high (its 95 % interval).
        Where the ceiling does not differ significantly from the baseline, both ends are infinite.

    Raises:
        ValueError: if the baseline or the ceiling is not among the arms.
    """
    missing = {baseline, ceiling} - set(scores)
    if missing:
        raise ValueError(f"there is no arm {' and no '.join(sorted(missing))}; expected two of {', '.join(scores)}")
    classes, areas = strata(labels, patients), {}  # AUCs `(seeds,)` and influences `(seeds, patients)` of every arm
    for arm, arm_scores in scores.items():
        values, influences = zip(*(influence("auc", labels, s) for s in arm_scores), strict=True)
        areas[arm] = np.array(values), over_patients(influences, patients)
    base = areas.pop(baseline)
    gains = {arm: (values - base[0], influences - base[1]) for arm, (values, influences) in areas.items()}
    gap = gains.pop(ceiling)
    whole = estimate(*gap, classes, overlap=overlap)
    significant = whole.p_value() < 0.05
    rows = []
    for arm, gain in gains.items():

        def excess(fraction, gain=gain):
            """Returns how far zero is outside the interval of gain − fraction × gap; negative if it is inside."""
            rest = [part - fraction * part_of_gap for part, part_of_gap in zip(gain, gap, strict=True)]
            rest = estimate(*rest, classes, overlap=overlap)
            low, high = rest.interval()
            return abs(rest.value) - (high - low) / 2

        fraction = gain[0].mean() / whole.value
        ends = [_root(excess, fraction, fraction + side * FAR) if significant else side * np.inf for side in (-1, 1)]
        rows.append({"arm": arm, "share": fraction, "low": ends[0], "high": ends[1]})
    return pd.DataFrame(rows, columns=["arm", "share", "low", "high"])


def _root(excess, inside, outside):
    """Returns the fraction between two others at which `excess` is zero, or infinity if there is none."""
    return optimize.brentq(excess, inside, outside) if excess(outside) > 0 else np.sign(outside - inside) * np.inf
