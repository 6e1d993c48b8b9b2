"""Figures: arrays and tables → Matplotlib Axes. Every function takes an optional `ax` and returns the one it drew on.

- `studies`: the differences between a study's arms, their training, and what they depend on.
- `networks`: one classifier or generator: ROC curves, confusion matrix, calibration, net benefit, losses, searches.
- `images`: images side by side, nearest neighbours, heat maps.
"""

from synthkit.plots._style import BASELINE_COLOR, COLORS
from synthkit.plots.images import heat_map, image_grid, nearest_pairs
from synthkit.plots.networks import (
    confusion,
    decision_curve,
    losses,
    parallel_coordinates,
    precision_recall,
    reliability,
    roc,
)
from synthkit.plots.studies import arm_colors, fidelity_against_utility, forest, history, power, sweep

__all__ = [
    "BASELINE_COLOR",
    "COLORS",
    "arm_colors",
    "confusion",
    "decision_curve",
    "fidelity_against_utility",
    "forest",
    "heat_map",
    "history",
    "image_grid",
    "losses",
    "nearest_pairs",
    "parallel_coordinates",
    "power",
    "precision_recall",
    "reliability",
    "roc",
    "sweep",
]
