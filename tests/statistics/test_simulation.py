import numpy as np
import pytest
from scipy import stats

from synthkit import statistics
from synthkit.statistics.simulation import error_rates, power_curve, simulate_folds, simulate_study


def logits(scores):
    return np.log(scores[..., 1] / scores[..., 0])


class TestSimulateStudy:
    def test_arms_have_the_auc_they_are_given(self):
        scores, labels, _ = simulate_study(6000, arms=2, seeds=2, auc=0.8, effects=[0.0, 0.1], seed_deviation=0, seed=0)
        for arm, truth in {"real": 0.8, "arm 1": 0.8, "arm 2": 0.9}.items():
            assert statistics.auc(labels, scores[arm][0]) == pytest.approx(truth, abs=0.02)

    def test_networks_correlate_as_requested(self):
        scores, labels, patients = simulate_study(
            8000, seeds=2, within=0.8, between=0.5, patient_share=0.25, seed_deviation=0, seed=1
        )
        noise = {arm: logits(s)[:, labels == 0] for arm, s in scores.items()}
        assert np.corrcoef(noise["real"])[0, 1] == pytest.approx(0.8, abs=0.03)
        assert np.corrcoef(noise["real"][0], noise["arm 1"][1])[0, 1] == pytest.approx(0.5, abs=0.03)
        # Two images of a patient share a quarter of every component's variance.
        pairs = noise["real"][0].reshape(-1, 2)
        assert (patients[labels == 0].reshape(-1, 2)[:, 0] == patients[labels == 0].reshape(-1, 2)[:, 1]).all()
        assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.25, abs=0.05)

    def test_seeds_differ_in_skill(self):
        scores, labels, _ = simulate_study(4000, seeds=40, auc=0.75, seed_deviation=0.05, within=1, between=1, seed=2)
        areas = [statistics.auc(labels, s) for s in scores["real"]]
        assert np.std(areas) == pytest.approx(0.05, rel=0.25)


def test_error_rates_count_verdicts():
    rates = error_rates(40, images=400, arms=1, seeds=6, effects=0.15, seed_deviation=0.005)
    assert rates.loc["helps", "share"] > 0.9
    assert rates.loc["any effect", "share"] == rates.loc["helps", "share"]
    assert rates.loc["hurts", "share"] == 0
    low, high = stats.binomtest(round(40 * rates.loc["helps", "share"]), 40).proportion_ci(method="wilson")
    assert rates.loc["helps", ["low", "high"]].tolist() == pytest.approx([low, high])


def test_a_design_has_the_same_rates_every_time():
    design = {"images": 60, "seeds": 3}
    assert error_rates(5, **design).equals(error_rates(5, **design))


def test_a_difference_at_the_margin_is_rarely_called_equivalent():
    rates = error_rates(100, images=300, seeds=5, effects=0.05, margin=0.05, seed_deviation=0.005)
    assert rates.loc["equivalent", "share"] <= stats.binom.ppf(0.999, 100, 0.05) / 100


def test_power_grows_with_the_effect():
    curve = power_curve([0.0, 0.05, 0.12], studies=60, images=400, seeds=5, seed_deviation=0.005)
    assert curve["effect"].tolist() == [0.0, 0.05, 0.12]
    assert curve["share"].is_monotonic_increasing
    assert curve["share"].iloc[-1] > 0.9


class TestSimulateFolds:
    def test_every_image_is_scored_by_a_network_of_another_fold(self):
        scores, labels, patients, folds = simulate_folds(60, arms=2, seeds=3, folds=4, images_per_patient=3)
        assert scores["arm 2"].shape == (3, 60, 2)
        assert np.isfinite(scores["real"]).all()
        assert {len(np.unique(folds[0][patients == patient])) for patient in patients} == {1}
        assert (np.bincount(folds[0], minlength=4) >= 12).all()
        assert statistics.auc(labels, scores["real"][0]) > 0.6
        assert (folds[0] != folds[1]).any()

    def test_arms_differ_more_with_an_effect_of_the_training_set(self):
        def spread(effect):
            gains = []
            for seed in range(15):
                scores, labels, *_ = simulate_folds(60, seeds=2, training_effect=effect, seed=seed)
                real, other = ([statistics.auc(labels, s) for s in scores[arm]] for arm in ("real", "arm 1"))
                gains.append(np.mean(other) - np.mean(real))
            return np.std(gains)

        assert spread(2.0) > 2 * spread(0.0)

    def test_false_alarms_are_rare(self):
        rates = error_rates(60, images=100, arms=5, folds=5, seeds=5)
        assert rates.loc["any effect", "share"] <= stats.binom.ppf(0.999, 60, 0.05) / 60


def test_an_effect_of_the_training_set_is_no_false_alarm():
    design = {"images": 300, "arms": 3, "seeds": 6, "training_deviation": 0.05}
    overlapping = error_rates(60, **design, overlap=0.5).loc["any effect", "share"]
    assert overlapping <= stats.binom.ppf(0.999, 60, 0.05) / 60
    fixed = error_rates(60, **design | {"training_deviation": 0.0}).loc["any effect", "share"]
    assert fixed <= stats.binom.ppf(0.999, 60, 0.05) / 60
