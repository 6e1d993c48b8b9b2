import numpy as np
import pytest
from sklearn import metrics

from synthkit import statistics


def two_columns(scores):
    scores = 1 / (1 + np.exp(-scores))
    return np.stack([1 - scores, scores], axis=1)


class TestScores:
    def test_auc_agrees_with_scikit_learn_with_ties(self):
        rng = np.random.default_rng(0)
        labels, scores = rng.integers(0, 2, 200), rng.integers(0, 12, 200) / 12
        ours = statistics.auc(labels, np.stack([1 - scores, scores], 1))
        assert ours == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)

    def test_weighted_auc_agrees_with_scikit_learn(self):
        rng = np.random.default_rng(1)
        labels, scores = rng.integers(0, 2, 60), rng.normal(size=60).round(1)
        weights = rng.integers(0, 4, (5, 60))
        ours = statistics.auc(labels, two_columns(scores), weights)
        theirs = [metrics.roc_auc_score(labels, scores, sample_weight=w) for w in weights]
        assert ours == pytest.approx(theirs, abs=1e-12)

    def test_multiclass_auc_agrees_with_scikit_learn(self):
        rng = np.random.default_rng(2)
        labels, scores = rng.integers(0, 4, 300), rng.dirichlet(np.ones(4), 300)
        theirs = metrics.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
        assert statistics.auc(labels, scores) == pytest.approx(theirs, abs=1e-12)

    def test_auc_without_a_class_is_nan(self):
        assert np.isnan(statistics.auc([1, 1], np.array([[0.5, 0.5]] * 2)))

    def test_skin_study_table_2(self):
        # The skin-lesion study's confusion matrix (Table 2), whose text has sensitivity and specificity swapped:
        # 288 of 300 malignant and 238 of 360 benign images found.
        labels = np.repeat([0, 0, 1, 1], [288, 12, 122, 238])
        said = np.repeat([0, 1, 0, 1], [288, 12, 122, 238])
        found = statistics.score(labels, np.eye(2)[said], positive=0)
        assert found["accuracy"] == pytest.approx(526 / 660)
        assert found["sensitivity"] == pytest.approx(0.96)
        assert found["specificity"] == pytest.approx(238 / 360)
        assert round(found["f1"], 2) == 0.81

    def test_scores_over_all_classes_agree_with_scikit_learn(self):
        rng = np.random.default_rng(3)
        labels, scores = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), 90)
        found = statistics.score(labels, scores)
        assert found["f1"] == pytest.approx(metrics.f1_score(labels, scores.argmax(1), average="macro"))
        assert found["sensitivity"] == pytest.approx(metrics.recall_score(labels, scores.argmax(1), average="macro"))


def test_patient_weights_move_patients_as_one():
    patients = np.repeat(["a", "b", "c"], [1, 3, 2])
    weights = statistics.patient_weights(patients, 500, seed=0)
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 4] == weights[:, 5]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 4] == 3).all()
    assert weights[:, 1].mean() == pytest.approx(1, abs=0.15)


def test_holm_by_hand():
    # 4 × 0.01, then 3 × 0.02 = 0.06, then max(0.06, 2 × 0.03), then max(0.06, 0.05).
    assert statistics.holm([0.03, 0.01, 0.05, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert len(statistics.holm([])) == 0


class TestEstimate:
    def test_without_patient_variance_it_is_the_t_test_over_seeds(self):
        from scipy import stats

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


def simulate(rng, seeds=4, patients=75, arms=3, effect=0.0):
    """Scores of arms without any difference (or one in the last arm): common patients, noise of seeds and of images."""
    owners = np.repeat(np.arange(patients), 2)
    labels = owners % 2
    base = 1.2 * labels + 0.7 * rng.normal(size=patients)[owners]
    scores = {}
    for arm in range(arms):
        strength = 1 + 0.15 * rng.normal(size=(seeds, 1)) + (effect if arm == arms - 1 else 0)
        own = rng.normal(size=(seeds, len(labels)))
        scores["real" if arm == 0 else f"arm {arm}"] = np.stack([two_columns(s) for s in strength * base + own])
    return scores, labels, owners


class TestVerdict:
    def test_cries_wolf_at_most_one_time_in_twenty(self):
        rng = np.random.default_rng(0)
        alarms = 0
        for _ in range(300):
            table = statistics.summarize(*simulate(rng), draws=200)
            alarms += (table[table["metric"] == "auc"]["p_holm"].min()) < 0.05
        # Binomial: above 5 % by no more than chance allows (99 %).
        assert alarms <= 24

    def test_finds_a_large_effect(self):
        rng = np.random.default_rng(1)
        found = [statistics.summarize(*simulate(rng, seeds=8, effect=2.0), draws=200) for _ in range(30)]
        helped = [table.query("metric == 'auc' and arm == 'arm 2'")["verdict"].item() == "helps" for table in found]
        assert np.mean(helped) >= 0.9

    def test_words(self):
        assert statistics.verdict(0.1, 0.01, 5) == "helps"
        assert statistics.verdict(-0.1, 0.01, 5) == "hurts"
        assert statistics.verdict(0.1, 0.06, 5) == "no detectable effect"
        assert statistics.verdict(0.1, 0.001, 1) == "one seed: no verdict"

    def test_table(self):
        table = statistics.summarize(*simulate(np.random.default_rng(2)), draws=200)
        assert table["arm"].tolist() == ["real", "arm 1", "arm 2"] * 2
        real = table[table["arm"] == "real"]
        assert real["difference"].isna().all()
        assert (real["verdict"] == "baseline").all()
        others = table[table["arm"] != "real"]
        assert (others["difference_low"] < others["difference"]).all()
        assert (others["p_holm"] >= others["p"]).all()
        assert all(statistics.sentence(row) for row in table.to_dict("records"))

    def test_without_a_baseline_there_is_no_comparison(self):
        scores, labels, owners = simulate(np.random.default_rng(3))
        table = statistics.summarize({"cvae": scores["arm 1"]}, labels, owners, draws=50)
        assert table["verdict"].isna().all()
        assert "no baseline" in statistics.sentence(table.iloc[0].to_dict())
