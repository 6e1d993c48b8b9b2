import numpy as np
import pytest

from synthkit import statistics


def two_columns(scores):
    scores = 1 / (1 + np.exp(-scores))
    return np.stack([1 - scores, scores], axis=1)


def test_holm_by_hand():
    # 4 × 0.01, then 3 × 0.02 = 0.06, then max(0.06, 2 × 0.03), then max(0.06, 0.05).
    assert statistics.holm([0.03, 0.01, 0.05, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert len(statistics.holm([])) == 0
    # statsmodels 0.15.0, multipletests(method="holm").
    theirs = [0.09, 0.05, 0.1, 0.08, 0.2, 0.0024]
    assert statistics.holm([0.03, 0.01, 0.05, 0.02, 0.2, 0.0004]) == pytest.approx(theirs, abs=1e-12)


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
            table = statistics.summarize(*simulate(rng), draws=200, metrics=("auc",))
            alarms += (table[table["metric"] == "auc"]["p_holm"].min()) < 0.05
        # Binomial: above 5 % by no more than chance allows (99 %).
        assert alarms <= 24

    def test_finds_a_large_effect(self):
        rng = np.random.default_rng(1)
        found = [
            statistics.summarize(*simulate(rng, seeds=8, effect=2.0), draws=200, metrics=("auc",)) for _ in range(30)
        ]
        helped = [table.query("metric == 'auc' and arm == 'arm 2'")["verdict"].item() == "helps" for table in found]
        assert np.mean(helped) >= 0.9

    def test_words(self):
        assert statistics.verdict(0.1, 0.01, 5) == "helps"
        assert statistics.verdict(-0.1, 0.01, 5) == "hurts"
        assert statistics.verdict(0.1, 0.06, 5) == "inconclusive"
        assert statistics.verdict(0.01, 0.06, 5, p_equivalent=0.01) == "equivalent"
        assert statistics.verdict(0.01, 0.03, 5, p_equivalent=0.01) == "helps"
        assert statistics.verdict(0.1, 0.001, 1) == "one seed: no verdict"

    def test_table(self):
        table = statistics.summarize(*simulate(np.random.default_rng(2)), draws=200)
        assert table["arm"].tolist() == ["real", "arm 1", "arm 2"] * 7
        assert table["metric"].unique().tolist() == list(statistics.MEASURES)
        real = table[table["arm"] == "real"]
        assert real["difference"].isna().all()
        assert (real["verdict"] == "baseline").all()
        others = table[table["arm"] != "real"]
        assert (others["difference_low"] < others["difference"]).all()
        assert (others["p_holm"] >= others["p"]).all()
        assert all(statistics.sentence(row) for row in table.to_dict("records"))

    def test_a_lower_brier_score_helps(self):
        rng = np.random.default_rng(4)
        labels = np.arange(400) % 2
        truth = np.eye(2)[labels]
        scores = {name: 0.5 + trust * (truth - 0.5) for name, trust in (("real", 0.2), ("better", 0.8))}
        scores = {name: np.stack([s + rng.normal(0, 0.02, s.shape) for _ in range(4)]) for name, s in scores.items()}
        table = statistics.summarize(scores, labels, np.arange(400), draws=100).set_index(["metric", "arm"])
        assert table.loc[("brier", "better"), "difference"] == pytest.approx((0.1**2 - 0.4**2), abs=0.01)
        assert table.loc[("brier", "better"), "verdict"] == "helps"

    def test_the_same_networks_twice_are_equivalent(self):
        scores, labels, owners = simulate(np.random.default_rng(5), seeds=6, patients=400)
        jittered = scores["real"] + np.random.default_rng(6).normal(0, 1e-3, scores["real"].shape)
        table = statistics.summarize({"real": scores["real"], "again": jittered}, labels, owners, draws=100)
        again = table[(table["arm"] == "again") & (table["metric"] == "auc")].iloc[0]
        assert again["verdict"] == "equivalent"
        assert "within the margin" in statistics.sentence(again.to_dict())

    def test_without_a_baseline_there_is_no_comparison(self):
        scores, labels, owners = simulate(np.random.default_rng(3))
        table = statistics.summarize({"dense_cvae": scores["arm 1"]}, labels, owners, draws=50)
        assert table["verdict"].isna().all()
        assert "no baseline" in statistics.sentence(table.iloc[0].to_dict())
