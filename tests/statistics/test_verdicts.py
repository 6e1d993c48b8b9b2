import numpy as np
import pytest

from synthkit import statistics
from synthkit.statistics import notes, sentences, summarize, verdicts


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
    """Scores of arms without any difference (or one in the last arm), with noise of patients, seeds and images."""
    patient = np.repeat(np.arange(patients), 2)
    labels = patient % 2
    base = 1.2 * labels + 0.7 * rng.normal(size=patients)[patient]
    scores = {}
    for arm in range(arms):
        strength = 1 + 0.15 * rng.normal(size=(seeds, 1)) + (effect if arm == arms - 1 else 0)
        noise = rng.normal(size=(seeds, len(labels)))
        scores["real" if arm == 0 else f"arm {arm}"] = np.stack([two_columns(s) for s in strength * base + noise])
    return scores, labels, patient


class TestVerdict:
    def test_gives_a_false_alarm_at_most_one_time_in_twenty(self):
        rng = np.random.default_rng(0)
        alarms = 0
        for _ in range(300):
            table = statistics.summarize(*simulate(rng), metrics=("auc",))
            alarms += table["p_holm"].min() < 0.05
        assert alarms <= 24  # the 99 % quantile of a binomial distribution of 300 and 5 %

    def test_detects_a_large_effect(self):
        rng = np.random.default_rng(1)
        tables = [statistics.summarize(*simulate(rng, seeds=8, effect=2.0), metrics=("auc",)) for _ in range(30)]
        helped = [table.set_index("arm").loc["arm 2", "verdict"] == "helps" for table in tables]
        assert np.mean(helped) >= 0.9

    def test_words(self):
        assert statistics.verdict(0.1, 0.01, 5) == "helps"
        assert statistics.verdict(-0.1, 0.01, 5) == "hurts"
        assert statistics.verdict(0.1, 0.06, 5) == "inconclusive"
        assert statistics.verdict(0.01, 0.06, 5, p_equivalent=0.01) == "equivalent"
        assert statistics.verdict(0.01, 0.03, 5, p_equivalent=0.01) == "helps"
        assert statistics.verdict(0.1, 0.001, 1) == "one seed: no verdict"

    def test_table(self):
        table = statistics.summarize(*simulate(np.random.default_rng(2)))
        assert table["arm"].tolist() == ["real", "arm 1", "arm 2"] * len(statistics.MEASURES)
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
        table = statistics.summarize(scores, labels, np.arange(400)).set_index(["metric", "arm"])
        assert table.loc[("brier", "better"), "difference"] == pytest.approx((0.1**2 - 0.4**2), abs=0.01)
        assert table.loc[("brier", "better"), "verdict"] == "helps"

    def test_the_same_networks_twice_are_equivalent(self):
        scores, labels, patients = simulate(np.random.default_rng(5), seeds=6, patients=400)
        jittered = scores["real"] + np.random.default_rng(6).normal(0, 1e-3, scores["real"].shape)
        table = statistics.summarize({"real": scores["real"], "again": jittered}, labels, patients)
        again = table[(table["arm"] == "again") & (table["metric"] == "auc")].iloc[0]
        assert again["verdict"] == "equivalent"
        assert "smaller than the margin" in statistics.sentence(again.to_dict())

    def test_the_nearer_to_one_the_auc_the_more_patients_it_takes_to_be_equivalent(self):
        labels = np.arange(80) % 2  # 40 patients of each class: enough up to an AUC of 0.9625
        for strength, enough in ((1.1, True), (1.7, False)):
            logits = np.where(labels, strength, -strength) + np.random.default_rng(0).normal(size=80)
            jitter = 1e-3 * np.random.default_rng(1).normal(size=(2, 5, 80))
            positive = 1 / (1 + np.exp(-(logits + jitter)))
            real, same = np.stack([1 - positive, positive], axis=-1)
            row = summarize({"real": real, "same": same}, labels, np.arange(80), metrics=("auc",)).iloc[1]
            assert (row["mean"] < 0.9625) == enough
            assert (row["verdict"] == "equivalent") == enough
            assert np.isfinite(row["p_equivalent"]) == enough

    def test_without_a_baseline_there_is_no_comparison(self):
        scores, labels, patients = simulate(np.random.default_rng(3))
        table = statistics.summarize({"dense_cvae": scores["arm 1"]}, labels, patients)
        assert table["verdict"].isna().all()
        assert "no baseline" in statistics.sentence(table.iloc[0].to_dict())


class TestLearned:
    """Arms that learned nothing are not equivalent, and are named."""

    LABELS = np.arange(400) % 2

    def summary(self, strength, thresholds=None, **options):
        rng = np.random.default_rng(0)
        signal = np.where(self.LABELS, strength, -strength)
        noise = rng.normal(size=400)
        positive = [1 / (1 + np.exp(-(signal + noise + 0.1 * rng.normal(size=(5, 400))))) for _ in ("real", "same")]
        scores = {arm: np.stack([1 - p, p], axis=-1) for arm, p in zip(("real", "same"), positive, strict=True)}
        options |= {"thresholds": thresholds, "positive": 1}
        return summarize(scores, self.LABELS, np.arange(400), **options)

    def verdicts_of(self, summary):
        return dict(zip(summary["arm"], summary["verdict"], strict=True))

    def test_networks_that_learned_are_equivalent(self):
        summary = self.summary(1.0, metrics=("auc",))
        assert self.verdicts_of(summary)["same"] == "equivalent"
        assert summary["learned"].all()
        assert notes.unlearned(summary) == []

    def test_chance_is_not_equivalent_to_chance(self):
        summary = self.summary(0.0, metrics=("auc",))
        assert self.verdicts_of(summary)["same"] == verdicts.INCONCLUSIVE
        texts = notes.unlearned(summary)
        assert len(texts) == 2
        assert "not shown to have learned anything in the arm real: its AUC of" in texts[0]
        assert "so this study does not show what other arms add" in texts[0]

    def test_one_class_for_all_is_not_equivalent(self):
        always = {"real": np.zeros(5), "same": np.zeros(5)}
        summary = self.summary(1.0, always, metrics=("auc", "sensitivity"))
        assert (summary.query("arm == 'same'")["verdict"] == verdicts.INCONCLUSIVE).all()
        assert "it predicts the same class for 100% of the test images" in notes.unlearned(summary)[0]

    def test_a_strict_operating_point_is_no_sign_of_a_network_that_learned_nothing(self):
        strict = {"real": np.full(5, 0.97), "same": np.full(5, 0.97)}
        asked = self.summary(1.0, strict, metrics=("auc",), rule="specificity=0.99")
        assert asked["one_class"].min() > 0.95
        assert asked["learned"].all()
        assert self.verdicts_of(asked)["same"] == "equivalent"
        assert not self.summary(1.0, strict, metrics=("auc",))["learned"].any()

    def test_gap_between_training_and_test_images(self):
        trained = {"real": np.full(5, 1.0), "same": np.full(5, 0.9)}
        summary = self.summary(1.0, metrics=("auc",), train_aucs=trained).set_index(["metric", "arm"])
        real, same = summary.loc[("gap", "real")], summary.loc[("gap", "same")]
        assert real["mean"] == pytest.approx(1 - summary.loc[("auc", "real"), "mean"])
        assert same["verdict"] == "helps"  # it overfits less
        assert same["difference"] == pytest.approx(-0.1, abs=0.03)


def test_an_undefined_metric_gets_no_verdict():
    scores = {arm: np.tile([0.9, 0.1], (3, 40, 1)) + 0.0 for arm in ("real", "other")}
    summary = summarize(scores, np.arange(40) % 2, np.arange(40), metrics=("ppv",), positive=1)
    assert summary["mean"].isna().all()
    assert summary["verdict"].tolist() == ["baseline", "inconclusive"]


@pytest.mark.parametrize("primary", [None, "arm 1", "arm 2"])
def test_intervals_agree_with_verdicts(primary):
    words = set()
    for seed in range(12):
        effects = [0.0, 0.06, -0.08, 0.12]
        study = statistics.simulate_study(
            600, 4, 6, effects=effects, seed_deviation=0.01, images_per_patient=1, seed=seed
        )
        table = statistics.summarize(*study, metrics=("auc", "brier"), primary=primary).dropna(subset="difference")
        for row in table.to_dict("records"):
            words.add(row["verdict"])
            low, high = row["difference_low"], row["difference_high"]
            assert low <= row["difference"] <= high
            outside = low >= 0 or high <= 0
            if primary is None or row["verdict"] not in ("not tested", "equivalent"):
                assert outside == (row["verdict"] in ("helps", "hurts"))
            if row["verdict"] == "equivalent":
                assert -0.05 <= low <= high <= 0.05
    assert {"helps", "hurts", "inconclusive"} <= words


def test_a_main_comparison_is_tested_alone_and_opens_the_gate():
    study = statistics.simulate_study(600, 3, 6, effects=[0.1, 0.08, 0.0], images_per_patient=1, seed=3)
    plain = statistics.summarize(*study, metrics=("auc",)).set_index("arm")
    first = statistics.summarize(*study, metrics=("auc",), primary="arm 1").set_index("arm")
    assert first.loc["arm 1", "p_holm"] == first.loc["arm 1", "p"] < plain.loc["arm 1", "p_holm"]
    assert first.loc["arm 1", "difference_low"] > plain.loc["arm 1", "difference_low"]
    assert first["primary"].tolist() == [False, True, False, False]
    assert first.loc["arm 3", "p_equivalent"] < 0.05  # tested among two, whatever the main comparison's own is
    closed = statistics.summarize(*study, metrics=("auc",), primary="arm 3").set_index("arm")
    assert (closed["p_holm"].dropna() >= closed.loc["arm 3", "p"]).all()
    assert closed.loc[["arm 1", "arm 2"], "verdict"].tolist() == ["not tested"] * 2
    assert closed.loc["arm 1", "difference_low"] > 0  # the interval is not changed to hide it


def test_a_main_comparison_that_is_not_defined_opens_no_gate():
    scores, labels, patients = statistics.simulate_study(600, 3, 6, images_per_patient=1, seed=3)
    scores["arm 1"][0] = (1.0, 0.0)  # of one network no image is called positive
    table = statistics.summarize(scores, labels, patients, metrics=("ppv",), primary="arm 1", positive=1, margin=0.2)
    table = table.set_index("arm")
    assert np.isnan(table.loc["arm 1", ["difference", "p", "p_equivalent"]].astype(float)).all()
    assert table.loc[["arm 2", "arm 3"], "verdict"].tolist() == ["not tested"] * 2
    plain = statistics.summarize(scores, labels, patients, metrics=("ppv",), positive=1, margin=0.2).set_index("arm")
    assert "equivalent" in plain.loc[["arm 2", "arm 3"], "verdict"].tolist()


def test_probabilities_of_a_gain_add_up():
    study = statistics.simulate_study(300, 2, 5, effects=[0.1, 0.0], images_per_patient=1, seed=3)
    table = statistics.summarize(*study, metrics=("auc", "brier")).dropna(subset="difference")
    assert table[["p_gain", "p_within", "p_loss"]].sum(axis=1).to_numpy() == pytest.approx(1)
    rows = table.set_index(["metric", "arm"])
    assert rows.loc[("auc", "arm 1"), "p_gain"] > 0.8
    assert rows.loc[("brier", "arm 1"), "p_loss"] < 0.1  # a smaller Brier score is a gain


def test_a_class_of_two_test_patients_gives_no_verdict():
    rng = np.random.default_rng(0)
    labels, patients = np.repeat([1, 0], [20, 100]), np.r_[np.repeat([0, 1], 10), np.arange(2, 102)]
    scores = {arm: rng.random((5, 120, 2)) for arm in ("real", "gan")}
    summary = statistics.summarize(scores, labels, patients, metrics=("auc",))
    assert summary["verdict"].tolist() == ["baseline", "too few test patients: no verdict"]
    assert sentences.answer(summary, ["gan"])[0] == "No answer yet."
    assert "at least three" in sentences.next_step(summary, ["gan"])
    assert sentences.sentence(summary.iloc[1].to_dict()).endswith("Test on at least three patients of each class")


@pytest.mark.parametrize(("margin", "word"), [(0.05, "equivalent"), (0.02, "inconclusive")])
def test_a_small_margin_takes_more_patients(margin, word):
    study = statistics.simulate_study(
        160, 1, 10, auc=0.7, images_per_patient=1, seed_deviation=0, within=0.999, between=0.999, seed=1
    )
    summary = statistics.summarize(*study, metrics=("auc",), margin=margin)
    assert summary["verdict"][1] == word
    assert np.isnan(summary["p_equivalent"][1]) == (word == "inconclusive")
