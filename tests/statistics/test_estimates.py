import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from synthkit import statistics


def test_influences_of_a_patients_images_are_added():
    assert statistics.over_patients([[1.0, 2.0, 4.0]], ["b", "a", "b"]).tolist() == [[2.0, 5.0]]
    assert statistics.strata(np.array([1, 0, 0, 1]), np.array(["b", "a", "a", "b"])).tolist() == [0, 1]
    assert statistics.strata(np.array([1, 0, 0]), np.array(["a", "a", "a"])).tolist() == [0]


def test_the_patients_part_agrees_with_a_bootstrap_of_whole_patients():
    """Of two arms and their difference, as `summarize` uses them."""
    rng = np.random.default_rng(0)
    patients = np.arange(160) // 2
    labels = patients % 2
    arms = [labels + rng.normal(size=160), labels + 2 * rng.normal(size=160)]
    influences = [statistics.influence("auc", labels, np.stack([-s, s], axis=1))[1] for s in arms]
    theirs = []
    for _ in range(800):
        drawn = rng.integers(80, size=80)
        images = np.concatenate([2 * drawn, 2 * drawn + 1])
        theirs.append([metrics.roc_auc_score(labels[images], scores[images]) for scores in arms])
    theirs = np.array(theirs)
    classes = statistics.strata(labels, patients)
    for combine in (lambda d: d[0], lambda d: d[1], lambda d: d[1] - d[0]):
        ours = statistics.estimate([0.7], statistics.over_patients([combine(influences)], patients), classes)
        assert ours.error == pytest.approx(combine(theirs.T).std(), rel=0.12)
        assert 60 < ours.freedom <= 78


NONE = np.zeros((1, 50))  # influences of patients who do not matter


class TestEstimate:
    def test_without_patient_variance_it_is_the_t_test_over_seeds(self):
        values = np.array([0.02, 0.05, -0.01, 0.04])
        result = statistics.estimate(values, np.repeat(NONE, 4, 0))
        theirs = stats.ttest_1samp(values, 0)
        assert result.p_value() == pytest.approx(theirs.pvalue)
        assert result.interval() == pytest.approx(tuple(theirs.confidence_interval(0.95)))

    def test_without_seed_variance_it_is_the_t_test_over_patients(self):
        right = np.array([1.0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1])  # accuracy, one image for each patient
        result = statistics.estimate([right.mean()] * 3, np.tile((right - right.mean()) / 12, (3, 1)))
        theirs = stats.ttest_1samp(right, 0.5)
        assert result.interval() == pytest.approx(tuple(theirs.confidence_interval(0.95)))
        assert statistics.estimate([right.mean()], (right - right.mean())[None] / 12) == statistics.Estimate(
            result.value, pytest.approx(result.error), pytest.approx(11)
        )

    def test_classes_are_sampled_apart(self):
        """A difference of means of two groups: Welch's test."""
        rng = np.random.default_rng(0)
        first, second = rng.normal(size=7), 3 * rng.normal(size=20)
        influences = np.concatenate([(first - first.mean()) / 7, -(second - second.mean()) / 20])
        result = statistics.estimate([first.mean() - second.mean()], influences[None], np.repeat([0, 1], [7, 20]))
        theirs = stats.ttest_ind(first, second, equal_var=False)
        assert result.p_value() == pytest.approx(theirs.pvalue)
        assert result.freedom == pytest.approx(theirs.df)

    @pytest.mark.parametrize("seeds", [2, 3, 5])
    @pytest.mark.parametrize("deviation", [0.0, 1.0, 3.0, 10.0])
    def test_few_seeds_give_few_false_alarms(self, seeds, deviation):
        # Normal values; the patients contribute a variance of 1, which is known here, and all seeds share it.
        rng = np.random.default_rng(0)
        shared = np.tile(rng.normal(size=4000), (seeds, 1))
        shared = (shared - shared[0].mean()) / np.sqrt(np.sum((shared[0] - shared[0].mean()) ** 2))
        alarms = 0
        for _ in range(600):
            values = rng.normal() + deviation * rng.normal(size=seeds)
            alarms += statistics.estimate(values, shared).p_value() < 0.05
        assert alarms <= stats.binom.ppf(0.999, 600, 0.05)

    def test_equivalence_is_two_one_sided_t_tests(self):
        values = np.array([0.012, -0.004, 0.009, 0.003, -0.008])
        result = statistics.estimate(values, np.repeat(NONE, 5, 0))
        upper = stats.ttest_1samp(values, 0.02, alternative="less").pvalue
        lower = stats.ttest_1samp(values, -0.02, alternative="greater").pvalue
        assert result.equivalence_p_value(0.02) == pytest.approx(max(upper, lower))

    def test_a_difference_beyond_the_margin_is_never_equivalent(self):
        assert statistics.Estimate(0.06, 0.001, np.inf).equivalence_p_value(0.05) > 0.99
        assert statistics.Estimate(-0.06, 0, np.inf).equivalence_p_value(0.05) == 1


def simulate(rng, fraction, *, seeds=5, patients=400, gap=1.0):
    """Scores of a baseline, a ceiling, and an arm whose distance between the classes is a fraction of the way."""
    labels = np.arange(patients) % 2
    base = rng.normal(size=patients)
    strengths = {"real": 0.8, "synthetic": 0.8 + fraction * gap, "oracle": 0.8 + gap}
    scores = {}
    for arm, strength in strengths.items():
        noise = 0.5 * rng.normal(size=(seeds, patients))
        latent = strength * (labels - 0.5) + base + noise + 0.1 * rng.normal(size=(seeds, 1)) * labels
        scores[arm] = np.stack([1 - 1 / (1 + np.exp(-latent)), 1 / (1 + np.exp(-latent))], axis=-1)
    return scores, labels, np.arange(patients)


def true_fraction(fraction):
    def area(strength):
        rng = np.random.default_rng(1)
        labels = np.arange(200_000) % 2
        latent = strength * (labels - 0.5) + np.sqrt(1.25 + 0.01 * labels) * rng.normal(size=len(labels))
        return statistics.auc(labels, np.stack([-latent, latent], axis=1))

    real, synthetic, oracle = (area(0.8 + part) for part in (0, fraction, 1))
    return (synthetic - real) / (oracle - real)


def test_interval_of_the_closed_gap_contains_the_truth_nineteen_times_in_twenty():
    truth, covered, fractions = true_fraction(0.5), 0, []
    for seed in range(200):
        (row,) = statistics.gap_closed(*simulate(np.random.default_rng(seed), 0.5)).itertuples()
        covered += row.low <= truth <= row.high
        fractions.append(row.share)
        assert row.low < row.share < row.high
    assert np.mean(fractions) == pytest.approx(truth, abs=0.03)
    assert covered >= stats.binom.ppf(0.01, 200, 0.95)


def test_at_the_ends_of_the_interval_the_rest_of_the_gap_is_just_significant():
    scores, labels, patients = simulate(np.random.default_rng(3), 0.3)
    (row,) = statistics.gap_closed(scores, labels, patients).itertuples()
    areas, influences = {}, {}
    for arm, seeds in scores.items():
        values, parts = zip(*(statistics.influence("auc", labels, seed) for seed in seeds), strict=True)
        areas[arm], influences[arm] = np.array(values), statistics.over_patients(parts, patients)
    for end in (row.low, row.high):
        rest = [(a["synthetic"] - a["real"]) - end * (a["oracle"] - a["real"]) for a in (areas, influences)]
        assert statistics.estimate(*rest, statistics.strata(labels, patients)).p_value() == pytest.approx(
            0.05, abs=1e-6
        )


def test_a_missing_ceiling_is_named():
    scores, labels, patients = simulate(np.random.default_rng(3), 0.3)
    with pytest.raises(ValueError, match="there is no arm best; expected two of real, synthetic, oracle"):
        statistics.gap_closed(scores, labels, patients, ceiling="best")


def test_a_ceiling_that_is_no_better_than_the_baseline_gives_an_infinite_interval():
    (row,) = statistics.gap_closed(*simulate(np.random.default_rng(0), 0.5, gap=0.0)).itertuples()
    assert (row.low, row.high) == (-np.inf, np.inf)


def test_values_that_do_not_vary_are_no_certainty():
    """Two seeds with the same difference on images that all have the same influence."""
    result = statistics.estimate([-0.04, -0.04], np.zeros((2, 8)))
    assert (result.error, result.p_value(), result.equivalence_p_value(0.05)) == (0, 1, 1)
    assert result.interval() == (-1, 1)
    labels, patients = np.arange(80) % 2, np.arange(80)
    scores = {"real": np.tile(np.eye(2)[labels], (3, 1, 1)), "worse": np.tile(np.eye(2)[1 - labels], (3, 1, 1))}
    table = statistics.summarize(scores, labels, patients, metrics=("auc",)).set_index("arm")
    assert table.loc["worse", "difference"] == -1
    assert table.loc["worse", "verdict"] == "inconclusive"
    # Clopper and Pearson: 40 of 40.
    low = stats.binomtest(40, 40).proportion_ci().low
    assert table.loc["real", ["low", "high"]].tolist() == pytest.approx([low, 1])
    assert table.loc["worse", ["low", "high"]].tolist() == pytest.approx([0, 1 - low])


def test_intervals_of_proportions():
    wide = statistics.Estimate(0.93, 0.06, 5.0)
    low, high = wide.proportion_interval(5)
    assert 0.4 < low < 0.5 < 0.93 < high < 1  # three degrees of freedom
    assert np.log(0.93 / 0.07) - np.log(low / (1 - low)) == pytest.approx(
        np.log(high / (1 - high)) - np.log(0.93 / 0.07)
    )
    assert statistics.Estimate(0.93, 0.0, 5.0).proportion_interval(5) == (0, 1)
    assert np.isnan(statistics.Estimate(np.nan, np.nan, np.nan).proportion_interval(5)).all()


def test_training_sets_that_overlap():
    values, influences = np.array([0.02, 0.03, 0.01]), np.tile(np.linspace(-0.001, 0.001, 50), (3, 1))
    apart, alike = (statistics.estimate(values, influences, overlap=overlap) for overlap in (0.0, 0.5))
    assert alike.error**2 - apart.error**2 == pytest.approx(np.var(values, ddof=1))  # o / (1 - o) = 1
    assert alike.common == pytest.approx(np.var(values, ddof=1))
    # All of the variance over seeds comes from the patients, whom each seed's network judges on its own.
    own = np.tile(np.linspace(-0.01, 0.01, 50), (3, 1)) * np.repeat(np.eye(3), [17, 17, 16], axis=1)
    least = np.var(values, ddof=1) * np.sqrt(2 / 2)  # a standard error of the variance over three seeds
    assert statistics.estimate(values, own, overlap=0.5).common == pytest.approx(least)


@pytest.mark.parametrize(("own", "shared"), [(0.0, 0.0), (1.0, 0.0), (4.0, 0.0), (1.0, 0.3)])
def test_training_sets_that_overlap_are_no_false_alarm(own, shared):
    """Half of 100 images in every training set, each of which contributes its part to the effect, and 60 patients."""
    rng, count = np.random.default_rng(0), 1000
    effects = rng.standard_normal((count, 1, 100))
    drawn = rng.permuted(np.broadcast_to(np.arange(100) < 50, (count, 5, 100)), axis=2)
    patients = np.sqrt(own) * rng.standard_normal((count, 5, 60)) + np.sqrt(shared) * rng.standard_normal(
        (count, 1, 60)
    )
    patients /= np.sqrt(60)
    values = (effects * drawn).sum(2) / 50 * 10 + patients.sum(2)  # between training sets they have a variance of 1
    estimates = [statistics.estimate(*study, overlap=0.5) for study in zip(values, patients, strict=True)]
    alarms = np.mean([one.p_value() < 0.05 for one in estimates])
    assert alarms <= stats.binom.ppf(0.999, count, 0.05) / count
    if not own:
        assert {round(one.freedom, 6) for one in estimates} == {4}
        assert alarms > 0.03


def test_patients_with_most_of_the_images_count_less():
    labels, patients = np.repeat([0, 1], 20), np.r_[np.repeat(np.arange(10), 2), np.full(10, 10), np.arange(11, 21)]
    assert statistics.estimates.fewest_patients(labels[:20], patients[:20]) == 10
    assert statistics.estimates.fewest_patients(labels, patients) == pytest.approx(20**2 / (10**2 + 10))
