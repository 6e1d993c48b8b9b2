"""Figures of a classifier, their intervals, and the verdict on a difference between two arms.

- `scores`: AUC, accuracy and the like, on all images or on bootstrap samples of them.
- `areas`, `counts`: intervals and tests for a single fixed classifier or pair: DeLong, Wilson, McNemar.
- `estimates`: what a study's seeds and patients say, and how sure.
- `verdicts`: the word on every arm: `summarize`.
- `gaps`: which share of the gap to a ceiling an arm closes: `gap_closed`.
- `simulation`: studies whose truth is known, to see how often the verdict is wrong.
"""

from synthkit.statistics.areas import delong, delong_one_vs_rest, delong_test, hanley_mcneil
from synthkit.statistics.counts import mcnemar, mcnemar_range, newcombe, wilson
from synthkit.statistics.estimates import MARGIN, Estimate, bootstrap, estimate, patient_weights
from synthkit.statistics.gaps import gap_closed
from synthkit.statistics.scores import MEASURES, accuracy, auc, score
from synthkit.statistics.simulation import error_rates, power_curve, simulate_study
from synthkit.statistics.verdicts import holm, sentence, summarize, verdict

__all__ = [
    "MARGIN",
    "MEASURES",
    "Estimate",
    "accuracy",
    "auc",
    "bootstrap",
    "delong",
    "delong_one_vs_rest",
    "delong_test",
    "error_rates",
    "estimate",
    "gap_closed",
    "hanley_mcneil",
    "holm",
    "mcnemar",
    "mcnemar_range",
    "newcombe",
    "patient_weights",
    "power_curve",
    "score",
    "sentence",
    "simulate_study",
    "summarize",
    "verdict",
    "wilson",
]
