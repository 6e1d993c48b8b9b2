"""Time of a paired bootstrap of two arms' AUC, 10,000 draws of 1,000 patients: `python -m tests.benchmarks.statistics`.

`statistics.summarize` draws the patients with `patient_weights`, and computes the AUC of all draws at once with `auc`.
The alternative is the loop of most tutorials, which calls scikit-learn's `roc_auc_score` for every draw and arm.
"""

import time
from statistics import median

import numpy as np
from sklearn.metrics import roc_auc_score

from synthkit.statistics import auc, patient_weights

DRAWS, PATIENTS, LOOP_DRAWS, RUNS = 10_000, 1_000, 200, 5


def study(seed=0):
    """Returns labels `(patients,)` and the scores of two arms `(2, patients, classes)`."""
    rng = np.random.default_rng(seed)
    labels = np.arange(PATIENTS) % 2
    positive = 1 / (1 + np.exp(-rng.normal(size=(2, PATIENTS)) - labels))
    return labels, np.stack([1 - positive, positive], axis=-1)


def bootstrap(labels, arms, seed):
    """Returns the AUCs of both arms, `(draws, 2)`, as `summarize` computes them."""
    weights = patient_weights(np.arange(PATIENTS), DRAWS, seed)
    return np.stack([auc(labels, scores, weights) for scores in arms], axis=1)


def loop(labels, arms, seed):
    """Returns the AUCs of both arms, `(draws, 2)`, one draw after the other."""
    rng, areas = np.random.default_rng(seed), []
    for _ in range(LOOP_DRAWS):
        rows = rng.integers(PATIENTS, size=PATIENTS)
        areas.append([roc_auc_score(labels[rows], scores[rows, 1]) for scores in arms])
    return np.array(areas)


def timed(function, *arguments):
    began = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - began, result


def main():
    labels, arms = study()
    ours, theirs = [], []
    for run in range(RUNS):
        seconds, draws = timed(bootstrap, labels, arms, run)
        ours.append(seconds)
        seconds, loop_draws = timed(loop, labels, arms, run)
        theirs.append(seconds * DRAWS / LOOP_DRAWS)
    errors = [np.std(areas[:, 1] - areas[:, 0], ddof=1) for areas in (draws, loop_draws)]
    print(f"standard error of the difference: {errors[0]:.4f}, by the loop's {LOOP_DRAWS} draws {errors[1]:.4f}")
    print(f"loop_seconds = {median(theirs):.1f}")
    print(f"bootstrap_vs_scikit_learn = {median(t / o for t, o in zip(theirs, ours, strict=True)):.1f}")
    print(f"bootstrap_seconds = {median(ours):.3f}")


if __name__ == "__main__":
    main()
