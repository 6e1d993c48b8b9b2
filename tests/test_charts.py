import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from synthkit import plots


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


def test_sweep_draws_a_line_a_group(ax):
    table = pd.DataFrame(
        [
            {"ratio": ratio, "share": share, "mean": 0.6 + ratio / 50 + i / 10, "low": 0.5, "high": 0.9}
            for i, share in enumerate(("25 %", "100 %"))
            for ratio in (2.0, 0.5, 10.0)
        ]
    )
    plots.sweep(table, "ratio", group="share", baseline=(0.6, 0.55, 0.65), ax=ax)
    level, *lines = ax.lines
    assert list(level.get_ydata()) == [0.6, 0.6]
    assert [line.get_label() for line in lines] == ["100 %", "25 %"]
    assert lines[1].get_xdata().tolist() == [0.5, 2, 10]
    assert lines[1].get_ydata() == pytest.approx([0.61, 0.64, 0.8])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.5", "2", "10"]
    assert ax.get_xscale() == "log"


def test_sweep_from_zero_is_linear(ax):
    plots.sweep(pd.DataFrame({"ratio": [0, 1], "mean": [1, 2], "low": [0, 1], "high": [2, 3]}), "ratio", ax=ax)
    assert ax.get_xscale() == "linear"


def test_power_draws_the_shares_found(ax):
    curve = pd.DataFrame({"effect": [0, 0.05], "share": [0.04, 0.7], "low": [0.02, 0.6], "high": [0.06, 0.8]})
    plots.power(curve, ax=ax)
    assert ax.lines[0].get_ydata().tolist() == [0.04, 0.7]
    assert [line.get_ydata()[0] for line in ax.lines[1:]] == [0.05, 0.8]


def test_fidelity_against_utility_puts_arms_where_their_figures_are(ax):
    table = pd.DataFrame(
        {
            "arm": ["dense_cvae", "oracle"],
            "kid": [0.4, 0.01],
            "kid_error": [0.05, 0.01],
            "difference": [-0.02, 0.1],
            "difference_low": [-0.06, 0.05],
            "difference_high": [0.02, 0.15],
        }
    )
    plots.fidelity_against_utility(table, ax=ax)
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [(p.get_xdata()[0], p.get_ydata()[0]) for p in points] == [(0.4, -0.02), (0.01, 0.1)]
    assert [text.get_text() for text in ax.texts] == ["dense_cvae", "oracle"]


def test_nearest_pairs_stand_above_each_other(ax):
    rng = np.random.default_rng(0)
    synthetic, training = rng.integers(0, 256, (2, 5, 32, 32, 1)).astype("uint8")
    pairs = pd.DataFrame({"synthetic": [4, 1], "training": [0, 3], "quantile": [0.0, 0.25]})
    plots.nearest_pairs(synthetic, training, pairs, ax)
    shown = ax.images[0].get_array()
    assert (shown[:32, :32] == synthetic[4, ..., 0]).all()
    assert (shown[33:, 33:] == training[3, ..., 0]).all()
    assert [text.get_text() for text in ax.texts] == ["0%", "25%", "synthetic", "training"]
