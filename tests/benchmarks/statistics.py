"""How long 10,000 paired bootstrap draws of two arms' AUC over 1,000 patients take, and what the usual loop takes."""

import time
from statistics import median

import numpy as np
from sklearn.metrics import roc_auc_score

from synthkit.statistics import auc, bootstrap

DRAWS, PATIENTS, LOOP, RUNS = 10_000, 1_000, 200, 5


def study(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(PATIENTS) % 2
    positive = 1 / (1 + np.exp(-rng.normal(size=(2, PATIENTS)) - labels))
    return labels, np.stack([1 - positive, positive], axis=-1)[:, None]


def loop(labels, arms, draws, rng):
    """The loop that tutorials show: one draw at a time, both arms scored by scikit-learn."""
    found = []
    for _ in range(draws):
        chosen = rng.integers(PATIENTS, size=PATIENTS)
        found.append([roc_auc_score(labels[chosen], arm[0, chosen, 1]) for arm in arms])
    return np.array(found)


def seconds(work):
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def main():
    labels, arms = study()
    ours, theirs = [], []
    for run in range(RUNS):
        taken, draws = seconds(lambda run=run: bootstrap(auc, labels, arms, np.arange(PATIENTS), DRAWS, seed=run))
        ours.append(taken)
        taken, looped = seconds(lambda run=run: loop(labels, arms, LOOP, np.random.default_rng(run)))
        theirs.append(taken * DRAWS / LOOP)
    errors = [np.std(found[:, 1] - found[:, 0], ddof=1) for found in (draws, looped)]
    print(f"standard error of the difference: {errors[0]:.4f}, by the loop of {LOOP} draws {errors[1]:.4f}")
    print(f"loop_seconds = {median(theirs):.1f}")
    print(f"bootstrap_vs_scikit_learn = {median(t / o for t, o in zip(theirs, ours, strict=True)):.1f}")
    print(f"bootstrap_seconds = {median(ours):.3f}")


if __name__ == "__main__":
    main()
