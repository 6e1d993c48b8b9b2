import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from synthkit import statistics
from synthkit.statistics.estimates import bootstrap


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


class TestBootstrap:
    def test_of_one_seed_agrees_with_a_loop_over_scikit_learn(self):
        rng = np.random.default_rng(0)
        patients = np.arange(80) // 2
        labels = patients % 2
        arms = [(labels + rng.normal(size=80))[None], (labels + 2 * rng.normal(size=80))[None]]
        arms = [np.stack([-scores, scores], axis=-1) for scores in arms]
        ours = bootstrap(statistics.auc, labels, arms, patients, draws=3000)
        theirs = []
        for _ in range(600):
            chosen = rng.integers(40, size=40)
            images = np.concatenate([2 * chosen, 2 * chosen + 1])
            theirs.append([metrics.roc_auc_score(labels[images], arm[0, images, 1]) for arm in arms])
        theirs = np.array(theirs)
        assert ours.mean(0) == pytest.approx(theirs.mean(0), abs=0.01)
        for combine in (lambda d: d[:, 0], lambda d: d[:, 1], lambda d: d[:, 1] - d[:, 0]):
            assert combine(ours).std() == pytest.approx(combine(theirs).std(), rel=0.12)

    def test_draws_seeds_too(self):
        labels = np.arange(40) % 2
        right, wrong = np.eye(2)[labels], np.eye(2)[1 - labels]
        draws = bootstrap(statistics.accuracy, labels, [np.stack([right, right, right, wrong])], labels, draws=4000)
        # A perfect and a useless network: only which seeds were drawn matters, binomial (4, 3 / 4) of them perfect.
        assert np.mean(draws == 0.75) == pytest.approx(stats.binom.pmf(3, 4, 0.75), abs=0.03)
        assert np.mean(draws == 1.0) == pytest.approx(0.75**4, abs=0.03)

    def test_arms_share_patients_and_seeds(self):
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 2, 60)
        arm = rng.dirichlet([1, 1], (3, 60))
        draws = bootstrap(statistics.auc, labels, [arm, arm], np.arange(60), draws=200)
        assert (draws[:, 0] == draws[:, 1]).all()


class TestEstimate:
    def test_without_patient_variance_it_is_the_t_test_over_seeds(self):
        values = np.array([0.02, 0.05, -0.01, 0.04])
        found = statistics.estimate(values, np.tile(values, (50, 1)))
        theirs = stats.ttest_1samp(values, 0)
        assert found.p_value() == pytest.approx(theirs.pvalue)
        assert found.interval() == pytest.approx(tuple(theirs.confidence_interval(0.95)))

    def test_without_seed_variance_it_is_the_patients_error(self):
        shared = np.random.default_rng(0).normal(0.1, 0.03, 4000)
        found = statistics.estimate([0.1, 0.1, 0.1], np.repeat(shared[:, None], 3, axis=1))
        assert found.error == pytest.approx(shared.std(ddof=1))
        assert found.p_value() == pytest.approx(2 * (1 - 0.99957), rel=0.3)  # z = 0.1 / 0.03

    def test_one_seed_has_the_patients_error_alone(self):
        draws = np.random.default_rng(0).normal(0.1, 0.03, (4000, 1))
        assert statistics.estimate([0.1], draws).error == pytest.approx(draws.std(ddof=1))

    def test_detectable_effect_is_found_four_times_in_five(self):
        rng = np.random.default_rng(0)
        one = statistics.Estimate(0, 0.02, np.inf)
        effect = one.detectable()
        found = [statistics.Estimate(effect + 0.02 * z, 0.02, np.inf).p_value() < 0.05 for z in rng.normal(size=4000)]
        assert np.mean(found) == pytest.approx(0.8, abs=0.02)

    def test_few_patients_are_a_t_test_over_them(self):
        # One image a patient, one seed, accuracy: the mean of 12 zeros and ones.
        right = np.array([1.0, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1])
        draws = statistics.patient_weights(np.arange(12), 20_000) @ right / 12
        found = statistics.estimate([right.mean()], draws[:, None], patients=12)
        theirs = stats.ttest_1samp(right, 0.5).confidence_interval(0.95)
        assert found.interval() == pytest.approx(tuple(theirs), abs=0.01)

    @pytest.mark.parametrize("seeds", [2, 3, 5])
    @pytest.mark.parametrize("deviation", [0.0, 1.0, 3.0, 10.0])
    def test_few_seeds_do_not_cry_wolf(self, seeds, deviation):
        # Normal values with an error from the patients of variance 1 that all seeds share, which is known here.
        rng = np.random.default_rng(0)
        shared = np.array([[1.0], [-1.0]]) / np.sqrt(2) * np.ones(seeds)
        alarms = []
        for _ in range(600):
            values = rng.normal() + deviation * rng.normal(size=seeds)
            alarms.append(statistics.estimate(values, shared).p_value() < 0.05)
        assert np.sum(alarms) <= stats.binom.ppf(0.999, 1500, 0.05)

    def test_equivalence_is_two_one_sided_t_tests(self):
        values = np.array([0.012, -0.004, 0.009, 0.003, -0.008])
        found = statistics.estimate(values, np.tile(values, (50, 1)))
        upper = stats.ttest_1samp(values, 0.02, alternative="less").pvalue
        lower = stats.ttest_1samp(values, -0.02, alternative="greater").pvalue
        assert found.equivalence_p_value(0.02) == pytest.approx(max(upper, lower))

    def test_a_difference_beyond_the_margin_is_never_equivalent(self):
        assert statistics.Estimate(0.06, 0.001, np.inf).equivalence_p_value(0.05) > 0.99
        assert statistics.Estimate(-0.06, 0, np.inf).equivalence_p_value(0.05) == 1

    def test_seeds_needed_are_the_fewest_that_detect_the_effect(self):
        # Hand computed: patients leave 0.01² for good, seeds 0.03² / S more.
        now = statistics.Estimate(0.0, np.sqrt(0.03**2 / 3 + 0.01**2), 2.5, seeds=3, between=0.03**2)

        def detectable(seeds):
            own = 0.03**2 / seeds
            upper = own * (seeds - 1) / stats.chi2.ppf(0.1, seeds - 1)
            freedom = (upper + 0.01**2) ** 2 / (upper**2 / (seeds - 1))
            return np.sqrt(own + 0.01**2) * (stats.t.ppf(0.975, freedom) + stats.t.ppf(0.8, freedom))

        needed = now.seeds_needed(0.04)
        assert detectable(needed) <= 0.04 < detectable(needed - 1)
        assert now.seeds_needed(0.02) == np.inf  # 2.8 × 0.01 stays above it
        assert np.isnan(statistics.Estimate(0, 0.02, np.inf).seeds_needed(0.04))
