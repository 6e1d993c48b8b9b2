import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from synthkit import plots, statistics


@pytest.fixture
def ax():
    return plt.figure().add_subplot()


@pytest.fixture
def summary():
    rows = []
    for metric in ("auc", "accuracy"):
        rows.append({"arm": "real", "metric": metric, "verdict": "baseline"})
        for i, arm in enumerate(("dense_cvae", "oracle")):
            low, high = -0.1 + i / 5, i / 5
            rows.append(
                {
                    "arm": arm,
                    "metric": metric,
                    "difference": (low + high) / 2,
                    "difference_low": low,
                    "difference_high": high,
                    "verdict": ["inconclusive", "helps"][i],
                    "p_gain": 0.1,
                }
            )
    return pd.DataFrame(rows)


def test_forest_draws_every_arm_with_its_interval_and_verdict(summary):
    ax = plots.forest(summary, "auc", plt.figure().add_subplot())
    x = [line.get_xdata() for line in ax.lines]
    assert list(x[0]) == pytest.approx([-0.1, 0.0])
    assert list(x[3]) == pytest.approx([0.15])
    assert [text.get_text() for text in ax.texts] == ["dense_cvae: inconclusive", "oracle: helps"]


def test_roc_is_the_curve_of_the_scores():
    labels = np.array([0, 0, 1, 1])
    perfect = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]])
    ax = plots.roc(labels, np.stack([perfect, perfect]), ax=plt.figure().add_subplot())
    x, y = ax.lines[0].get_data()
    assert metrics.auc(x, y) == pytest.approx(1, abs=0.01)
    worst = plots.roc(labels, perfect[None, ::-1], ax=plt.figure().add_subplot()).lines[0].get_data()
    assert metrics.auc(*worst) == pytest.approx(0, abs=0.01)


def test_roc_area_agrees_with_the_auc():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 400), rng.random(400)
    scores = np.stack([1 - scores, scores], 1)
    x, y = plots.roc(labels, scores[None], 0, ax=plt.figure().add_subplot()).lines[0].get_data()
    assert metrics.auc(x, y) == pytest.approx(metrics.roc_auc_score(labels == 0, scores[:, 0]), abs=0.01)


def test_confusion_counts_true_classes_in_rows():
    labels = np.array([0, 0, 0, 1])
    scores = np.eye(2)[[0, 0, 1, 1]]
    ax = plots.confusion(labels, scores[None], ("malignant", "benign"), plt.figure().add_subplot())
    assert [text.get_text() for text in ax.texts] == ["2\n67%", "1\n33%", "0\n0%", "1\n100%"]
    assert ax.get_ylabel() == "true"
    options = {"positive": 0, "thresholds": [1.5]}
    ax = plots.confusion(labels, scores[None], ("malignant", "benign"), plt.figure().add_subplot(), **options)
    assert [text.get_text() for text in ax.texts] == ["0\n0%", "3\n100%", "0\n0%", "1\n100%"]


def test_image_grid_keeps_every_image():
    images = np.arange(1, 6, dtype="uint8")[:, None, None, None] * np.ones((5, 8, 8, 1), "uint8")
    ax = plots.image_grid(images, columns=3, ax=plt.figure().add_subplot())
    canvas = ax.images[0].get_array()
    assert canvas.shape == (17, 26)
    assert [canvas[0, 0], canvas[0, 9], canvas[0, 18], canvas[9, 0], canvas[9, 9]] == [1, 2, 3, 4, 5]
    assert canvas[9, 18] == 255
    floats = plots.image_grid(np.ones((1, 4, 4, 3)) * 0.5, ax=plt.figure().add_subplot())
    assert floats.images[0].get_array()[0, 0].tolist() == [128, 128, 128]


def test_history_is_the_mean_over_seeds():
    histories = {("real", s): {"step": [1, 2], "val_auc": [0.5, 0.6 + s / 10]} for s in (0, 1)}
    ax = plots.history(histories, "val_auc", plt.figure().add_subplot())
    assert ax.lines[0].get_ydata() == pytest.approx([0.5, 0.65])
    assert ax.lines[0].get_label() == "real"


def test_losses_number_epochs_from_one():
    ax = plots.losses({"generator_loss": [3.0, 2.0], "critic_loss": [1.0, 1.5]}, plt.figure().add_subplot())
    assert [line.get_label() for line in ax.lines] == ["generator loss", "critic loss"]
    assert ax.lines[1].get_xydata().tolist() == [[1, 1.0], [2, 1.5]]


def test_an_arm_has_the_same_color_in_every_figure():
    assert plots.arm_colors(["real", "a", "b"])["b"] == plots.arm_colors(["a", "b"])["b"]
    few, many = (
        plots.arm_colors(["real", "dense_cvae", "mine"]),
        plots.arm_colors(["real", "oversample", "x", "dense_cvae"]),
    )
    assert few["dense_cvae"] == many["dense_cvae"]
    assert len(set(few.values())) == 3
    assert len(set(many.values())) == 4


def test_axes_default_to_the_current_ones(summary):
    ax = plt.figure().add_subplot()
    assert plots.forest(summary) is ax


def test_precision_recall_is_the_best_that_a_threshold_reaches():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 60)
    scores = (labels + rng.normal(size=60)).round(1)
    labels[np.argmax(scores)] = 0  # so that no threshold has a precision of 1
    ax = plots.precision_recall(labels, np.stack([-scores, scores], axis=1)[None], ax=plt.figure().add_subplot())
    thresholds = np.unique(scores)
    recall = np.array([np.mean(scores[labels == 1] >= threshold) for threshold in thresholds])
    precision = np.array([np.mean(labels[scores >= threshold]) for threshold in thresholds])
    curve = ax.lines[0].get_ydata()
    for x in (0.0, 0.3, 0.75, 1.0):
        assert curve[round(x * 200)] == pytest.approx(precision[recall >= x - 1e-9].max())


def test_decision_curve_with_treating_all_and_none():
    rng = np.random.default_rng(0)
    labels, raw = np.arange(60) % 2, rng.random((2, 60))
    scores = np.stack([1 - raw, raw], axis=2)
    ax = plots.decision_curve(labels, scores, prevalence=0.1, most=0.4, ax=plt.figure().add_subplot())
    curve, everybody, nobody = ax.lines
    at = curve.get_xdata()
    benefits = [statistics.net_benefit(at[50], 0.1)(labels, one)[0] for one in scores]
    assert curve.get_ydata()[50] == pytest.approx(np.mean(benefits))
    assert everybody.get_ydata()[50] == pytest.approx(0.1 - 0.9 * at[50] / (1 - at[50]))
    assert set(nobody.get_ydata()) == {0}
    assert ax.get_xlim() == (0, 0.4)


def test_forest_shades_the_margin(summary):
    ax = plots.forest(summary, "auc", plt.figure().add_subplot(), margin=0.05)
    assert ax.patches[0].get_extents().transformed(ax.transData.inverted()).intervalx == pytest.approx([-0.05, 0.05])


def test_panels_that_share_arms_share_colours(summary):
    assert plots.arm_colors(["a", "a", "b"]) == plots.arm_colors(["a", "b"])
    summary = summary.assign(arm=summary["arm"].replace("dense_cvae", "mine"))
    shared = plots.arm_colors(["real", "first", "mine", "oracle"])
    assert shared["mine"] != plots.arm_colors(summary["arm"].unique())["mine"]
    ax = plots.forest(summary, "auc", plt.figure().add_subplot(), colors=shared)
    assert [line.get_color() for line in ax.lines[:2]] == [shared["mine"]] * 2


def test_sweep_over_arms_has_their_colours(ax):
    rows = [{"arm": arm, "x": x, "mean": 0.6, "low": 0.5, "high": 0.9} for arm in ("oracle", "real") for x in (1, 2)]
    plots.sweep(pd.DataFrame(rows), "x", group="arm", ax=ax)
    expected = plots.arm_colors(["oracle", "real"])
    assert {line.get_label(): line.get_color() for line in ax.lines} == expected


def test_sweep_draws_a_line_for_each_group(ax):
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


def test_power_draws_the_fraction_of_studies(ax):
    curve = pd.DataFrame({"effect": [0, 0.05], "share": [0.04, 0.7], "low": [0.02, 0.6], "high": [0.06, 0.8]})
    plots.power(curve, ax=ax)
    assert ax.lines[0].get_ydata().tolist() == [0.04, 0.7]
    assert [line.get_ydata()[0] for line in ax.lines[1:]] == [0.05, 0.8]


def test_fidelity_against_utility_draws_every_arm_at_its_numbers(ax):
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


def test_nearest_pairs_are_above_each_other(ax):
    rng = np.random.default_rng(0)
    synthetic, training = rng.integers(0, 256, (2, 5, 32, 32, 1)).astype("uint8")
    pairs = pd.DataFrame({"synthetic": [4, 1], "training": [0, 3], "quantile": [0.0, 0.25]})
    plots.nearest_pairs(synthetic, training, pairs, ax)
    shown = ax.images[0].get_array()
    assert (shown[:32, :32] == synthetic[4, ..., 0]).all()
    assert (shown[33:, 33:] == training[3, ..., 0]).all()
    assert [text.get_text() for text in ax.texts] == ["0%", "25%", "synthetic", "training"]


def test_reliability_draws_every_bin_at_its_numbers(ax):
    table = pd.DataFrame({"predicted": [0.2, 0.9], "observed": [0.5, 0.75], "images": [30, 10]})
    ax = plots.reliability(table, ax=ax)
    assert ax.lines[1].get_xydata().tolist() == [[0.2, 0.5], [0.9, 0.75]]
    assert ax.collections[0].get_offsets().tolist() == [[0.2, 0.5], [0.9, 0.75]]
    large, small = ax.collections[0].get_sizes()
    assert large - 8 == pytest.approx(3 * (small - 8))


def test_heat_map_covers_its_image(ax):
    heat = np.linspace(0, 1, 64, dtype="float32").reshape(8, 8)
    ax = plots.heat_map(np.full((8, 8, 1), 128, "uint8"), heat, ax)
    below, above = ax.images
    assert (below.get_array() == 128).all()
    assert (above.get_array() == heat).all()
    assert above.get_alpha()[0, 0] == 0
    assert below.get_extent() == above.get_extent()


def test_parallel_coordinates_scale_every_axis_and_colour_the_best(ax):
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
    ax = plots.parallel_coordinates(trials, ax=ax)
    lines = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert [line.get_xdata().tolist() for line in lines] == [[0, 1, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert lines[0].get_ydata().tolist() == pytest.approx([0, 0, 0, 0])
    # On a logarithmic axis 1e-3 is half way from 1e-4 to 1e-2.
    assert lines[2].get_ydata().tolist() == pytest.approx([1, 0, 1, 0.5, 1])
    assert [line.get_color() == plots.COLORS[1] for line in lines] == [False, False, True]
    assert ax.get_title() == "1 of 4 trials failed"


def test_signed_tick_labels_are_not_rounded_to_other_numbers():
    labels = [plots._style.signed(value) for value in (-0.025, 0.05, 0.075, 0.0, -1e-12)]
    assert labels == ["−0.025", "+0.05", "+0.075", "0.00", "0.00"]
