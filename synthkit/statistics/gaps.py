"""How much of the way from a baseline to a ceiling an arm goes: the finding that simulated images alone can give."""

import numpy as np
import pandas as pd
from scipy import optimize

from synthkit.statistics.estimates import estimate, patient_weights
from synthkit.statistics.scores import auc

FAR = 20.0  # shares of the gap; an end that lies further out is called infinite


def gap_closed(scores, labels, patients, baseline="real", ceiling="oracle", draws=2000, seed=0):
    """Measures which share of the gap in AUC between a baseline and a ceiling every other arm closes.

    With fresh images from the simulator for a ceiling, 1 is what no generator can pass but by luck, and 0 is no better
    than without synthetic images. The interval is Fieller's (Journal of the Royal Statistical Society B 16, 1954): all
    shares g for which (arm − baseline) − g (ceiling − baseline) may be zero by `estimates`.

    Args:
        scores, labels, patients: as in `summarize`.
        baseline, ceiling: the arms at 0 and at 1.
        draws: bootstrap samples of the patients.
        seed: int.

    Returns:
        pandas.DataFrame, a row for every other arm: arm, share, low, high; the interval is at 95 %. Where the ceiling
        cannot be told from the baseline, both ends are infinite.

    Raises:
        ValueError: if the baseline or the ceiling is none of the arms.
    """
    missing = {baseline, ceiling} - set(scores)
    if missing:
        raise ValueError(f"there is no arm {' and no '.join(sorted(missing))}; expected two of {', '.join(scores)}")
    weights = patient_weights(patients, draws, seed)
    design = len(np.unique(patients)), len(np.unique(labels))
    above = {}  # values `(seeds,)` and draws `(draws, seeds)`, less the baseline's
    for arm, of_seeds in scores.items():
        values = np.array([auc(labels, s) for s in of_seeds])
        above[arm] = values, np.stack([auc(labels, s, weights) for s in of_seeds], axis=1)
    ground = above.pop(baseline)
    above = {arm: (values - ground[0], drawn - ground[1]) for arm, (values, drawn) in above.items()}
    top = above.pop(ceiling)
    found = estimate(*top, *design)
    known = found.p_value() < 0.05
    rows = []
    for arm, (values, drawn) in above.items():

        def excess(share, values=values, drawn=drawn):
            """How far zero lies outside of the interval of what is left of the arm's gain."""
            left = estimate(values - share * top[0], drawn - share * top[1], *design)
            low, high = left.interval()
            return abs(left.value) - (high - low) / 2

        share = values.mean() / found.value
        ends = [_root(excess, share, share + side * FAR) if known else side * np.inf for side in (-1, 1)]
        rows.append({"arm": arm, "share": share, "low": ends[0], "high": ends[1]})
    return pd.DataFrame(rows, columns=["arm", "share", "low", "high"])


def _root(excess, inside, outside):
    """Returns where `excess` passes zero between two shares, or infinity if it does not."""
    return optimize.brentq(excess, inside, outside) if excess(outside) > 0 else np.sign(outside - inside) * np.inf
