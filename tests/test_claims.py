import re

import numpy as np
import pytest
from scipy import stats

from synthkit import __main__ as command
from synthkit import claims, published, statistics


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
    for name, (total, *accuracies) in published.MEDMNIST.items():
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
    matrix = np.array(published.SKIN[arm])
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


def test_all_images_right_and_areas_that_no_correlation_makes_significant():
    assert claims.claim(200, 0.95, 1.0) == claims.claim(200, 190, 200)
    assert claims.claim(200, 0, 1).after == 1  # counts
    printed = claims.area_sentence(claims.area_claim(10, 10, 0.95, 0.99))
    assert "Not significant, however the two AUCs are correlated." in printed
    assert "correlation of" not in printed


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


class TestAnyClaim:
    def test_counts_and_fractions_are_the_same_claim(self):
        assert claims.claim(156, 126, 135) == claims.claim(156, 0.807, 0.864)
        with pytest.raises(
            ValueError, match="expected a number of test images.* Received: total 10, before 11, after 3"
        ):
            claims.claim(10, 11, 3)
        with pytest.raises(ValueError, match="expected a number of test images"):
            claims.claim(10, 2.5, 3)

    def test_probability_that_nothing_is_gained(self):
        rows = claims.reread([claims.claim(200, 100, 100), claims.claim(200, 100, 130), claims.claim(200, 130, 100)])
        same, better, worse = rows.to_dict("records")
        assert (same["no_gain_smallest"], same["no_gain_largest"]) == (0.5, 0.5)
        assert 0 < better["no_gain_smallest"] < better["no_gain_largest"] < 0.05
        assert worse["no_gain_smallest"] == pytest.approx(1 - better["no_gain_largest"])
        # The fewest disagreements: 30 images, all for the second classifier.
        assert better["no_gain_smallest"] == pytest.approx(stats.norm.sf(np.sqrt(30)))

    def test_probabilities_agree_with_simulated_classifiers(self):
        """Of pairs of classifiers whose true difference is drawn at random, those that show this gap."""
        rng, no_gain = np.random.default_rng(0), []
        for _ in range(40_000):
            gain = rng.uniform(-0.3, 0.3)
            disagree = rng.random(120) < 0.5
            better = rng.random(120) < 0.5 + gain
            if (disagree & better).sum() - (disagree & ~better).sum() == 8:
                no_gain.append(gain <= 0)
        assert np.mean(no_gain) == pytest.approx(stats.norm.sf(8 / np.sqrt(60)), abs=0.04)  # 60 disagree, on average

    def test_table(self, tmp_path):
        path = tmp_path / "claims.csv"
        path.write_text("study;total;before;after;figure\nMine;156;126;135;\nYours;90;0.5;0.7;sensitivity\n")
        first, second = claims.read(path)
        assert (first.study, first.figure, first.after) == ("Mine", "accuracy", 135)
        assert (second.figure, second.before, second.after) == ("sensitivity", 45, 63)
        path.write_text("total,before,after\n156,126,135\n156,x,135\n")
        with pytest.raises(ValueError, match="claims.csv, line 3: could not convert"):
            claims.read(path)
        path.write_text("total,before\n156,126\n")
        with pytest.raises(
            ValueError, match="must have the columns total, before and after; .* Received: total, before"
        ):
            claims.read(path)

    def test_table_of_areas(self, tmp_path):
        path = tmp_path / "claims.csv"
        path.write_text("study,positives,negatives,before,after\nMine,42,114,0.872,0.901\n")
        (claim,) = claims.read(path)
        assert claim == published.AreaClaim("Mine", "", 42, 114, 0.872, 0.901)
        path.write_text("study,positives,negatives,before,after\nMine,42,114,0.872,90.1\n")
        with pytest.raises(ValueError, match="claims.csv, line 2: expected the number of positive"):
            claims.read(path)


class TestCommand:
    def test_one_area(self, capsys):
        options = ["--positives", "42", "--negatives", "114", "--before", "0.872", "--after", "0.901", "--looks", "10"]
        assert command.main(["claims", *options]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert "AUC 0.872 → 0.901 on 42 positive and 114 negative images, +0.029 (−0.0" in text
        row = claims.areas().set_index("claim").loc["BreastMNIST, cVAE"]
        assert f"a correlation of {row['needs_correlation']:.2f} or more" in text
        error, high = statistics.hanley_mcneil(0.872, 42, 114), float(re.search(r"twenty (0\.\d+) or more", text)[1])
        assert high == pytest.approx(error * (1.54 * 0.1**0.5 + 1.645 * (0.9 + 0.1 * 0.34) ** 0.5), abs=0.015)
        for wrong in (options[2:], [*options, "--total", "156"], options[:4], ["--total", "156", *options[2:8]]):
            assert command.main(["claims", *wrong]) == 2
            assert "for AUCs --positives, --negatives, --before and --after" in capsys.readouterr().err

    def test_one_claim(self, capsys):
        assert command.main(["claims", "--total", "156", "--before", "126", "--after", "135", "--looks", "10"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert "accuracy 0.808 → 0.865 on 156 images, +0.058 (−0.025 to +0.140)" in text
        assert "probability that nothing is gained is between 0.1 % and 10.4 %" in text
        assert "The best of 10 equal results is" in text

    def test_all_claims(self, capsys):
        assert command.main(["claims"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert text.count("the probability that nothing is gained") == len(claims.claims()) + 1
        assert "Frid-Adar et al. 2018" in text

    def test_half_a_claim(self, capsys):
        assert command.main(["claims", "--total", "156"]) == 2
        assert "give --total, --before and --after together" in capsys.readouterr().err


def test_all_claims_in_one_sentence():
    text = " ".join(claims.text(claims.claims()).split())
    assert "It is the best of several trials, chosen on the test set" in text
    assert text.count("It is the best of several trials") == 1
    assert (
        "Of 30 comparisons of counts, 1 of which were the best of several on the test set, 20 others are gains." in text
    )
    one = [claims.claim(100, 50, 90, claim="a"), claims.claim(100, 50, 56, claim="b"), claims.claim(100, 50, 40)]
    found = claims.in_all(claims.reread(one))
    assert found.startswith(
        "Of 3 comparisons of counts, 2 are gains. 1 of these are significant whichever images were right"
    )
    assert "(a: accuracy). 1 may be" in found
