import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from synthkit import statistics


def test_patient_weights_move_patients_as_one():
    patients = np.repeat(["a", "b", "c"], [1, 3, 2])
    weights = statistics.patient_weights(patients, 500, seed=0)
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 4] == weights[:, 5]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 4] == 3).all()
    assert weights[:, 1].mean() == pytest.approx(1, abs=0.15)


def test_patient_weights_are_a_bootstrap():
    weights = statistics.patient_weights(np.arange(40), 4000, seed=1)
    assert (weights.sum(1) == 40).all()
    # How often a patient is drawn is binomial (40, 1 / 40), and two patients take it from each other.
    shares = [np.mean(weights[:, 3] == k) for k in range(4)]
    assert shares == pytest.approx(stats.binom.pmf(range(4), 40, 1 / 40), abs=0.03)
    assert np.mean(np.corrcoef(weights[:, :10].T)[np.triu_indices(10, 1)]) == pytest.approx(-1 / 39, abs=0.01)


def test_weighted_metrics_agree_with_a_loop_over_scikit_learn():
    """Of two arms and their difference, over whole patients, as `summarize` uses them."""
    rng = np.random.default_rng(0)
    patients = np.arange(80) // 2
    labels = patients % 2
    arms = [labels + rng.normal(size=80), labels + 2 * rng.normal(size=80)]
    weights = statistics.patient_weights(patients, 3000)
    ours = np.stack([statistics.auc(labels, np.stack([-s, s], axis=1), weights) for s in arms], axis=1)
    theirs = []
    for _ in range(600):
        drawn = rng.integers(40, size=40)
        images = np.concatenate([2 * drawn, 2 * drawn + 1])
        theirs.append([metrics.roc_auc_score(labels[images], scores[images]) for scores in arms])
    theirs = np.array(theirs)
    assert ours.mean(0) == pytest.approx(theirs.mean(0), abs=0.01)
    for combine in (lambda d: d[:, 0], lambda d: d[:, 1], lambda d: d[:, 1] - d[:, 0]):
        assert combine(ours).std() == pytest.approx(combine(theirs).std(), rel=0.12)


class TestEstimate:
    def test_without_patient_variance_it_is_the_t_test_over_seeds(self):
        values = np.array([0.02, 0.05, -0.01, 0.04])
        result = statistics.estimate(values, np.tile(values, (50, 1)))
        theirs = stats.ttest_1samp(values, 0)
        assert result.p_value() == pytest.approx(theirs.pvalue)
        assert result.interval() == pytest.approx(tuple(theirs.confidence_interval(0.95)))

    def test_without_seed_variance_it_has_the_patients_standard_error(self):
        shared = np.random.default_rng(0).normal(0.1, 0.03, 4000)
        result = statistics.estimate([0.1, 0.1, 0.1], np.repeat(shared[:, None], 3, axis=1))
        assert result.error == pytest.approx(shared.std(ddof=1))
        assert result.p_value() == pytest.approx(2 * (1 - 0.99957), rel=0.3)  # z = 0.1 / 0.03

    def test_one_seed_has_the_patients_standard_error_alone(self):
        draws = np.random.default_rng(0).normal(0.1, 0.03, (4000, 1))
        assert statistics.estimate([0.1], draws).error == pytest.approx(draws.std(ddof=1))

    def test_a_detectable_effect_is_detected_four_times_in_five(self):
        rng = np.random.default_rng(0)
        one = statistics.Estimate(0, 0.02, np.inf)
        effect = one.detectable()
        p_values = [statistics.Estimate(effect + 0.02 * z, 0.02, np.inf).p_value() for z in rng.normal(size=4000)]
        assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.8, abs=0.02)

    def test_few_patients_are_a_t_test_over_them(self):
        # One image for each patient, one seed, accuracy: the mean of 12 zeros and ones.
        right = np.array([1.0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1])
        draws = statistics.patient_weights(np.arange(12), 20_000) @ right / 12
        result = statistics.estimate([right.mean()], draws[:, None], patients=12)
        theirs = stats.ttest_1samp(right, 0.5).confidence_interval(0.95)
        assert result.interval() == pytest.approx(tuple(theirs), abs=0.01)

    @pytest.mark.parametrize("seeds", [2, 3, 5])
    @pytest.mark.parametrize("deviation", [0.0, 1.0, 3.0, 10.0])
    def test_few_seeds_give_few_false_alarms(self, seeds, deviation):
        # Normal values; the patients contribute a variance of 1, which is known here, and all seeds share it.
        rng = np.random.default_rng(0)
        shared = np.array([[1.0], [-1.0]]) / np.sqrt(2) * np.ones(seeds)
        alarms = 0
        for _ in range(600):
            values = rng.normal() + deviation * rng.normal(size=seeds)
            alarms += statistics.estimate(values, shared).p_value() < 0.05
        assert alarms <= stats.binom.ppf(0.999, 600, 0.05)

    def test_equivalence_is_two_one_sided_t_tests(self):
        values = np.array([0.012, -0.004, 0.009, 0.003, -0.008])
        result = statistics.estimate(values, np.tile(values, (50, 1)))
        upper = stats.ttest_1samp(values, 0.02, alternative="less").pvalue
        lower = stats.ttest_1samp(values, -0.02, alternative="greater").pvalue
        assert result.equivalence_p_value(0.02) == pytest.approx(max(upper, lower))

    def test_a_difference_beyond_the_margin_is_never_equivalent(self):
        assert statistics.Estimate(0.06, 0.001, np.inf).equivalence_p_value(0.05) > 0.99
        assert statistics.Estimate(-0.06, 0, np.inf).equivalence_p_value(0.05) == 1

    def test_seeds_needed_are_the_fewest_that_detect_the_effect(self):
        # By hand: the patients contribute a variance of 0.01² for any number of seeds S, the seeds 0.03² / S.
        now = statistics.Estimate(0.0, np.sqrt(0.03**2 / 3 + 0.01**2), 2.5, seeds=3, between=0.03**2)

        def detectable(seeds):
            seed_part = 0.03**2 / seeds
            upper = seed_part * (seeds - 1) / stats.chi2.ppf(0.1, seeds - 1)
            freedom = (upper + 0.01**2) ** 2 / (upper**2 / (seeds - 1))
            return np.sqrt(seed_part + 0.01**2) * (stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom))

        needed = now.seeds_needed(0.04)
        assert detectable(needed) <= 0.04 < detectable(needed - 1)
        assert now.seeds_needed(0.02) == np.inf  # 2.8 × 0.01 is larger
        assert np.isnan(statistics.Estimate(0, 0.02, np.inf).seeds_needed(0.04))


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
        (row,) = statistics.gap_closed(*simulate(np.random.default_rng(seed), 0.5), draws=200).itertuples()
        covered += row.low <= truth <= row.high
        fractions.append(row.share)
        assert row.low < row.share < row.high
    assert np.mean(fractions) == pytest.approx(truth, abs=0.03)
    assert covered >= stats.binom.ppf(0.01, 200, 0.95)


def test_at_the_ends_of_the_interval_the_rest_of_the_gap_is_just_significant():
    scores, labels, patients = simulate(np.random.default_rng(3), 0.3)
    (row,) = statistics.gap_closed(scores, labels, patients, draws=500).itertuples()
    weights = statistics.patient_weights(patients, 500, 0)
    areas = {arm: np.array([statistics.auc(labels, seed) for seed in seeds]) for arm, seeds in scores.items()}
    draws = {
        arm: np.stack([statistics.auc(labels, seed, weights) for seed in seeds], axis=1)
        for arm, seeds in scores.items()
    }
    for end in (row.low, row.high):
        rest = [(a["synthetic"] - a["real"]) - end * (a["oracle"] - a["real"]) for a in (areas, draws)]
        assert statistics.estimate(*rest, 400, 2).p_value() == pytest.approx(0.05, abs=1e-6)


def test_a_missing_ceiling_is_named():
    scores, labels, patients = simulate(np.random.default_rng(3), 0.3)
    with pytest.raises(ValueError, match="there is no arm best; expected two of real, synthetic, oracle"):
        statistics.gap_closed(scores, labels, patients, ceiling="best")


def test_a_ceiling_that_is_no_better_than_the_baseline_gives_an_infinite_interval():
    (row,) = statistics.gap_closed(*simulate(np.random.default_rng(0), 0.5, gap=0.0), draws=200).itertuples()
    assert (row.low, row.high) == (-np.inf, np.inf)


def test_values_that_do_not_vary_are_no_certainty():
    """Two seeds with the same difference on images whose scores do not vary with the sample of patients."""
    result = statistics.estimate([-0.04, -0.04], np.full((50, 2), -0.04), 8, 2)
    assert (result.error, result.p_value(), result.equivalence_p_value(0.05)) == (0, 1, 1)
    labels, patients = np.arange(8) % 2, np.arange(8)
    scores = {"real": np.tile(np.eye(2)[labels], (2, 1, 1)), "worse": np.tile(np.eye(2)[1 - labels], (2, 1, 1))}
    table = statistics.summarize(scores, labels, patients, draws=100, metrics=("auc",)).set_index("arm")
    assert table.loc["worse", "difference"] == -1
    assert table.loc["worse", "verdict"] == "inconclusive"


def test_training_sets_that_overlap():
    values, draws = np.array([0.02, 0.03, 0.01]), np.tile(np.linspace(-0.01, 0.01, 50), (3, 1)).T
    apart, alike = (statistics.estimate(values, draws, 80, 2, overlap=overlap) for overlap in (0.0, 0.5))
    assert alike.error**2 - apart.error**2 == pytest.approx(np.var(values, ddof=1))  # o / (1 - o) = 1
    assert apart.error**2 - alike.between * (1 / 3) == pytest.approx(alike.error**2 - alike.between * (4 / 3))
    needed = [estimate.seeds_needed(0.05) for estimate in (apart, alike)]
    assert needed[0] < needed[1]  # more seeds do not make up for the overlap
