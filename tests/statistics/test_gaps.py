import numpy as np
import pytest

from synthkit import statistics


def simulate(rng, share, *, seeds=5, patients=400, gap=1.0):
    """Scores of a baseline, a ceiling and an arm whose separation of the classes lies at a share of the way."""
    labels = np.arange(patients) % 2
    base = rng.normal(size=patients)
    strengths = {"real": 0.8, "made": 0.8 + share * gap, "oracle": 0.8 + gap}
    scores = {}
    for arm, strength in strengths.items():
        own = 0.5 * rng.normal(size=(seeds, patients))
        found = strength * (labels - 0.5) + base + own + 0.1 * rng.normal(size=(seeds, 1)) * labels
        scores[arm] = np.stack([1 - 1 / (1 + np.exp(-found)), 1 / (1 + np.exp(-found))], axis=-1)
    return scores, labels, np.arange(patients)


def true_share(share, gap=1.0):
    def area(strength):
        rng = np.random.default_rng(1)
        labels = np.arange(200_000) % 2
        spread = np.sqrt(1.25 + 0.01 * labels)
        found = strength * (labels - 0.5) + spread * rng.normal(size=len(labels))
        return statistics.auc(labels, np.stack([-found, found], axis=1))

    real, made, oracle = (area(0.8 + part * gap) for part in (0, share, 1))
    return (made - real) / (oracle - real)


def test_interval_holds_the_truth_nineteen_times_in_twenty():
    truth, inside, shares = true_share(0.5), 0, []
    for seed in range(200):
        (row,) = statistics.gap_closed(*simulate(np.random.default_rng(seed), 0.5), draws=200).itertuples()
        inside += row.low <= truth <= row.high
        shares.append(row.share)
        assert row.low < row.share < row.high
    assert np.mean(shares) == pytest.approx(truth, abs=0.03)
    assert inside >= 184  # 190 expected; fewer than 184 by chance in 2 of 100


def test_ends_agree_with_the_estimate_of_what_is_left():
    scores, labels, patients = simulate(np.random.default_rng(3), 0.3)
    (row,) = statistics.gap_closed(scores, labels, patients, draws=500).itertuples()
    weights = statistics.patient_weights(patients, 500, 0)
    areas = {arm: np.array([statistics.auc(labels, s) for s in of]) for arm, of in scores.items()}
    drawn = {arm: np.stack([statistics.auc(labels, s, weights) for s in of], axis=1) for arm, of in scores.items()}
    for end in (row.low, row.high):
        left, spread = ((of["made"] - of["real"]) - end * (of["oracle"] - of["real"]) for of in (areas, drawn))
        assert statistics.estimate(left, spread, 400, 2).p_value() == pytest.approx(0.05, abs=1e-6)


def test_arms_that_are_not_there():
    scores, labels, patients = simulate(np.random.default_rng(3), 0.3)
    with pytest.raises(ValueError, match="there is no arm best; expected two of real, made, oracle"):
        statistics.gap_closed(scores, labels, patients, ceiling="best")


def test_nothing_is_known_where_the_ceiling_is_the_baseline():
    (row,) = statistics.gap_closed(*simulate(np.random.default_rng(0), 0.5, gap=0.0), draws=200).itertuples()
    assert (row.low, row.high) == (-np.inf, np.inf)
