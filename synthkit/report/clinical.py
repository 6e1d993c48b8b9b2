"""The page's tables for those who would use the classifier: calibration, net benefit, recall, subgroups."""

import numpy as np

from synthkit import plots, statistics
from synthkit.report import data, figures
from synthkit.statistics.clinical import calibration_intercept, calibration_slope, net_benefit, treat_all
from synthkit.statistics.verdicts import FEW_PATIENTS


def at_operating_point(results):
    """Returns calibration and net benefit of every arm, for two classes.

    Returns:
        dict of `rows` (`_rows`), `metrics` (the names of their columns), `prevalence`, `at` (the threshold
        probability), `given` (whether somebody chose the prevalence), and `treat_all` (its net benefit); None with more
        than two classes.
    """
    if len(results.settings["class_names"]) != 2 or not results.scores:
        return None
    about, positive = results.settings.get("about", {}), _positive(results)
    given = about.get("prevalence")
    prevalence = float(np.mean(results.labels == positive)) if given is None else given
    at = about.get("threshold_probability", prevalence)
    fractions = {"sensitivity": "sensitivity", "specificity": "specificity"}
    others = {"calibration slope": calibration_slope, "calibration intercept": calibration_intercept}
    others["net benefit"] = net_benefit(at, given)
    tables = [results.describe(fractions), results.describe(others, proportion=False)]
    names = [*fractions, *others]
    return {
        "rows": _rows(results, tables, names),
        "metrics": names,
        "prevalence": prevalence,
        "at": at,
        "given": given is not None,
        "treat_all": treat_all(prevalence, at),
    }


def reliability(results):
    """Returns a reliability diagram for every arm."""
    return figures.per_arm(results, figures.curves(figures.reliability, results, _positive(results)))


def decision_curves(results, prevalence, at):
    """Returns a decision curve for every arm, up to a threshold probability that shows the prevalence."""
    given = results.settings.get("about", {}).get("prevalence")
    most = min(1.0, 4 * max(prevalence, at))

    def curve(labels, scores, positive, **options):
        return plots.decision_curve(labels, scores, positive, prevalence=given, most=most, **options)

    return figures.per_arm(results, figures.curves(curve, results, _positive(results)))


def recalls(results):
    """Returns the recall of every class for every arm, as rows; none with two classes."""
    names = results.settings["class_names"]
    if len(names) < 3 or not results.scores:
        return []
    table = results.describe({name: statistics.recall(label) for label, name in enumerate(names)})
    return _rows(results, [table], names)


def subgroups(results):
    """Returns AUC, sensitivity and specificity of every arm within every subgroup of the test images.

    Returns:
        `(groups, small)`: list of dict with `name`, `images`, `patients` (of every class) and `rows`; and a list of
        texts about the subgroups with too few patients of a class.
    """
    groups, small, names = [], [], results.settings["class_names"]
    metrics = {"AUC": "auc", "sensitivity": "sensitivity", "specificity": "specificity"}
    for name, (rows, patients, few) in data.subgroups(results, FEW_PATIENTS).items():
        counts = ", ".join(f"{count} {label}" for label, count in zip(names, patients, strict=True))
        if few or not results.scores:
            small.append(f"{name} ({counts})")
            continue
        table = results.describe(metrics, rows)
        about = {"name": name, "images": len(rows), "patients": counts}
        groups.append(about | {"rows": _rows(results, [table], list(metrics))})
    return groups, small


def _positive(results):
    return 1 if results.positive is None else results.positive


def _rows(results, tables, metrics):
    """Returns a dict for every arm: `arm`, its name, and `cells`, mean and interval of each metric as texts."""
    cells = {}
    for row in (row for table in tables for row in table.to_dict("records")):
        cells[row["arm"], row["metric"]] = _cell(row)
    return [{"arm": arm, "cells": [cells[arm, metric] for metric in metrics]} for arm in results.scores]


def _cell(row):
    """Returns the mean and its interval as two texts."""
    digits = 2 if row["metric"].startswith("calibration") else 3
    rounded = [round(row[name], digits) + 0.0 for name in ("mean", "low", "high")]  # no negative zero
    mean, low, high = (f"{value:.{digits}f}".replace("-", "−") for value in rounded)
    if np.isnan(row["mean"]):
        return "–", ""
    return mean, "" if np.isnan(row["low"]) else f"({low} to\N{NO-BREAK SPACE}{high})"
