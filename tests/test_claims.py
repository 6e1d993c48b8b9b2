import numpy as np
import pytest
from scipy import stats

from synthkit import claims, statistics


def test_counts_reproduce_the_published_accuracies():
    published = {
        ("InceptionResNetV2, with cGAN", "after"): 0.7067448496818542,
        ("InceptionResNetV2, cGAN, best trial", "before"): 0.7067448496818542,
    }
    table = claims.reread().set_index("claim")
    for (claim, side), accuracy in published.items():
        assert table.loc[claim, side] == pytest.approx(accuracy, abs=5e-8)  # float32 on the slides
    assert round(table.loc["InceptionResNetV2, cGAN, best trial", "after"], 2) == 0.86


def test_two_of_the_medmnist_accuracies_are_not_a_proportion_of_their_test_images():
    impossible = []
    for name, (total, *accuracies) in claims.MEDMNIST.items():
        proportions = np.arange(total + 1) / total
        for accuracy in accuracies:
            # Rounded to, or cut after, the third digit.
            possible = accuracy is None or np.any((proportions >= accuracy - 5e-4) & (proportions < accuracy + 1e-3))
            if not possible:
                impossible.append((name, accuracy))
    assert impossible == [("BreastMNIST", 0.864), ("BreastMNIST", 0.796)]


@pytest.mark.parametrize(
    ("arm", "precision", "recall", "f1", "accuracy"),
    [
        # The skin-lesion study's Tables 1, 3 and 5, malignant then benign.
        ("real", (0.70, 0.95), (0.96, 0.66), (0.81, 0.78), 0.80),
        ("120 a class", (0.74, 0.94), (0.94, 0.73), (0.83, 0.82), 0.83),
        ("480 a class", (0.80, 0.88), (0.86, 0.82), (0.83, 0.84), 0.84),
    ],
)
def test_skin_matrices_reproduce_the_classification_reports(arm, precision, recall, f1, accuracy):
    matrix = np.array(claims.SKIN[arm])
    assert matrix.sum(1).tolist() == [300, 360]
    right = np.diag(matrix)
    assert np.round(right / matrix.sum(0), 2) == pytest.approx(precision)
    assert np.round(right / matrix.sum(1), 2) == pytest.approx(recall)
    assert np.round(2 * right / (matrix.sum(0) + matrix.sum(1)), 2) == pytest.approx(f1, abs=0.0101)
    assert round(right.sum() / 660, 2) == accuracy


class TestReread:
    def test_every_comparison_of_the_reports_is_included(self):
        table = claims.reread()
        # 2 of the slides; 8 data sets with AE and cVAE, 6 with cGAN; 2 arms with three metrics.
        assert table["study"].value_counts().to_dict() == {"MedMNIST": 22, "skin lesions": 6, "mammography": 2}

    def test_the_same_accuracy_twice_is_no_difference(self):
        row = claims.reread().iloc[0]
        assert (row["difference"], row["p"], row["p_smallest"], row["may_disagree"]) == (0, 1, 1, 0)

    def test_breastmnist_by_hand(self):
        # 126 and 135 of 156 right. McNemar: 4 against 13 has p = 0.049, 5 against 14 p = 0.064.
        row = claims.reread().set_index("claim").loc["BreastMNIST, cVAE"]
        assert row["difference"] == pytest.approx(9 / 156)
        assert row["p_smallest"] == pytest.approx(2 * 0.5**9)
        assert row["may_disagree"] == pytest.approx(17 / 156)
        assert row["low"] < 0 < row["high"]
        assert row["p"] == pytest.approx(stats.fisher_exact([[135, 21], [126, 30]]).pvalue)

    def test_corrected_over_each_study(self):
        table = claims.reread()
        assert (table["p_holm"] >= table["p"]).all()
        skin = table[table["study"] == "skin lesions"]
        assert skin["p_holm"].min() == pytest.approx(6 * skin["p"].min())


def test_areas_report_the_correlation_at_which_they_are_significant():
    table = claims.areas().set_index("claim")
    assert len(table) == 8
    row = table.loc["BreastMNIST, cVAE"]
    errors = [statistics.hanley_mcneil(area, 42, 114) for area in (0.872, 0.901)]
    error = np.sqrt(errors[0] ** 2 + errors[1] ** 2 - 2 * row["needs_correlation"] * errors[0] * errors[1])
    assert (0.901 - 0.872) / error == pytest.approx(1.96, abs=1e-3)
    assert row["low"] < 0 < row["high"]
    assert table.loc["InceptionResNetV2, cGAN, best trial", "needs_correlation"] < 0


class TestSelectionGain:
    def test_one_result_gains_nothing(self):
        gains = claims.selection_gain(156, 0.8, looks=1)
        assert gains.mean() == pytest.approx(0, abs=0.004)
        assert gains.std() == pytest.approx(np.sqrt(0.8 * 0.2 / 156), rel=0.06)

    def test_independent_results_gain_the_maximum_of_binomials(self):
        gains = claims.selection_gain(100, 0.7, looks=20, correlation=0.0)
        right = np.arange(101)
        below = stats.binom.cdf(right, 100, 0.7) ** 20
        expected = np.sum(right * np.diff(below, prepend=0)) / 100 - 0.7
        assert gains.mean() == pytest.approx(expected, abs=0.003)

    def test_correlated_results_gain_less(self):
        gains = [claims.selection_gain(100, 0.7, 20, c, studies=300).mean() for c in (0.0, 0.9, 0.99)]
        assert gains[0] > gains[1] > gains[2] > 0

    def test_trials_that_differ_in_accuracy_gain_more(self):
        equal = claims.selection_gain(341, 0.7067, 10, 0.5, studies=300).mean()
        assert claims.selection_gain(341, 0.7067, 10, 0.5, seed_deviation=0.03, studies=300).mean() > equal + 0.01
