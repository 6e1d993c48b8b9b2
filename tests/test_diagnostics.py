import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from synthkit import plots


def test_reliability_puts_every_bin_where_its_numbers_are():
    table = pd.DataFrame({"predicted": [0.2, 0.9], "observed": [0.5, 0.75], "images": [30, 10]})
    ax = plots.reliability(table, ax=plt.figure().add_subplot())
    assert ax.lines[1].get_xydata().tolist() == [[0.2, 0.5], [0.9, 0.75]]
    assert ax.collections[0].get_offsets().tolist() == [[0.2, 0.5], [0.9, 0.75]]
    large, small = ax.collections[0].get_sizes()
    assert large - 8 == pytest.approx(3 * (small - 8))


def test_heat_map_lies_over_its_image():
    heat = np.linspace(0, 1, 64, dtype="float32").reshape(8, 8)
    ax = plots.heat_map(np.full((8, 8, 1), 128, "uint8"), heat, plt.figure().add_subplot())
    below, above = ax.images
    assert (below.get_array() == 128).all()
    assert (above.get_array() == heat).all()
    assert above.get_alpha()[0, 0] == 0
    assert below.get_extent() == above.get_extent()


def test_parallel_coordinates_scale_every_axis_and_colour_the_best():
    trials = pd.DataFrame(
        {
            "trial": [0, 1, 2, 3],
            "val_auc": [0.6, 0.9, 0.7, np.nan],
            "layers": [1, 2, 2, 1],
            "filters_1": [8, 8, 16, 8],
            "filters_2": [np.nan, 16, 8, np.nan],
            "learning_rate": [1e-4, 1e-3, 1e-2, 1.0],
        }
    )
    ax = plots.parallel_coordinates(trials, ax=plt.figure().add_subplot())
    lines = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert [line.get_xdata().tolist() for line in lines] == [[0, 1, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert lines[0].get_ydata().tolist() == pytest.approx([0, 0, 0, 0])
    # Learning rates are drawn in powers: 1e-3 lies half way from 1e-4 to 1e-2.
    assert lines[2].get_ydata().tolist() == pytest.approx([1, 0, 1, 0.5, 1])
    assert [line.get_color() == plots.COLORS[1] for line in lines] == [False, False, True]
    assert ax.get_title() == "1 of 4 trials failed"
