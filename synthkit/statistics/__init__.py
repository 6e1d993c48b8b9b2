"""Metrics of a classifier, their intervals, and the verdict on the difference between two arms.

- `scores`: AUC, accuracy and other metrics, and the influence of every image on them.
- `intervals`: intervals and tests for fixed classifiers: DeLong, Wilson, McNemar and others.
- `operating_points`: thresholds chosen on a validation set, and how much they depend on it.
- `estimates`: the mean over seeds and its standard error; `seeds`: what it is made of.
- `gaps`: the fraction of a gap that an arm closes.
- `verdicts`: `summarize`, which compares the arms of a study.
- `clinical`: calibration and net benefit, for two classes.
- `descriptions`: tables of metrics without verdicts.
- `sentences`: what is said about a verdict; `notes`: what is said about the study besides.
- `simulation`: simulated studies with known effects, to measure how often the verdict is wrong.
"""

from synthkit.statistics import notes, sentences
from synthkit.statistics.clinical import (
    calibration_intercept,
    calibration_slope,
    decision_curve,
    net_benefit,
    treat_all,
)
from synthkit.statistics.descriptions import describe, recall
from synthkit.statistics.estimates import MARGIN, Estimate, estimate, over_patients, strata
from synthkit.statistics.gaps import gap_closed
from synthkit.statistics.intervals import delong, delong_test, hanley_mcneil, mcnemar, mcnemar_range, newcombe, wilson
from synthkit.statistics.operating_points import Validation, operating_point
from synthkit.statistics.scores import MEASURES, accuracy, auc, brier, influence, score
from synthkit.statistics.sentences import sentence
from synthkit.statistics.simulation import coverage, error_rates, power_curve, simulate_folds, simulate_study
from synthkit.statistics.verdicts import holm, summarize, verdict

__all__ = [
    "MARGIN",
    "MEASURES",
    "Estimate",
    "Validation",
    "accuracy",
    "auc",
    "brier",
    "calibration_intercept",
    "calibration_slope",
    "coverage",
    "decision_curve",
    "delong",
    "delong_test",
    "describe",
    "error_rates",
    "estimate",
    "gap_closed",
    "hanley_mcneil",
    "holm",
    "influence",
    "mcnemar",
    "mcnemar_range",
    "net_benefit",
    "newcombe",
    "notes",
    "operating_point",
    "over_patients",
    "power_curve",
    "recall",
    "score",
    "sentence",
    "sentences",
    "simulate_folds",
    "simulate_study",
    "strata",
    "summarize",
    "treat_all",
    "verdict",
    "wilson",
]
