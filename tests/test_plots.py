import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from synthkit import plots


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
                }
            )
    return pd.DataFrame(rows)


def test_forest_puts_every_arm_where_its_numbers_are(summary):
    ax = plots.forest(summary, "auc", plt.figure().add_subplot())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["dense_cvae", "oracle"]
    drawn = [line.get_xdata() for line in ax.lines]
    assert list(drawn[0]) == pytest.approx([-0.1, 0.0])
    assert list(drawn[3]) == pytest.approx([0.15])
    assert [text.get_text() for text in ax.texts] == ["inconclusive", "helps"]


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
    said = np.eye(2)[[0, 0, 1, 1]]
    ax = plots.confusion(labels, said[None], ("malignant", "benign"), plt.figure().add_subplot())
    assert [text.get_text() for text in ax.texts] == ["2\n67%", "1\n33%", "0\n0%", "1\n100%"]
    assert ax.get_ylabel() == "true"


def test_image_grid_keeps_every_image():
    images = np.arange(1, 6, dtype="uint8")[:, None, None, None] * np.ones((5, 8, 8, 1), "uint8")
    ax = plots.image_grid(images, columns=3, ax=plt.figure().add_subplot())
    canvas = ax.images[0].get_array()
    assert canvas.shape == (17, 26)
    assert [canvas[0, 0], canvas[0, 9], canvas[0, 18], canvas[9, 0], canvas[9, 9]] == [1, 2, 3, 4, 5]
    assert canvas[9, 18] == 255
    floats = plots.image_grid(np.ones((1, 4, 4, 3)) * 0.5, ax=plt.figure().add_subplot())
    assert floats.images[0].get_array()[0, 0].tolist() == [128, 128, 128]


def test_history_means_over_seeds():
    histories = {("real", s): {"step": [1, 2], "val_auc": [0.5, 0.6 + s / 10]} for s in (0, 1)}
    ax = plots.history(histories, "val_auc", plt.figure().add_subplot())
    assert ax.lines[0].get_ydata() == pytest.approx([0.5, 0.65])
    assert ax.lines[0].get_label() == "real"


def test_losses_count_epochs_from_one():
    ax = plots.losses({"generator_loss": [3.0, 2.0], "critic_loss": [1.0, 1.5]}, plt.figure().add_subplot())
    assert [line.get_label() for line in ax.lines] == ["generator loss", "critic loss"]
    assert ax.lines[1].get_xydata().tolist() == [[1, 1.0], [2, 1.5]]


def test_colors_stay_with_their_arms():
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


def test_precision_recall_is_the_curve_of_the_scores():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 60)
    scores = (labels + rng.normal(size=60)).round(1)
    ax = plots.precision_recall(labels, np.stack([-scores, scores], axis=1)[None], ax=plt.figure().add_subplot())
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    drawn = ax.lines[0].get_ydata()
    for at in (0.0, 0.3, 0.75, 1.0):
        assert drawn[round(at * 200)] == pytest.approx(precision[recall >= at - 1e-9].max())


def test_forest_shades_the_margin(summary):
    ax = plots.forest(summary, "auc", plt.figure().add_subplot(), margin=0.05)
    assert ax.patches[0].get_extents().transformed(ax.transData.inverted()).intervalx == pytest.approx([-0.05, 0.05])
