"""Time of a study's statistics: `python -m tests.benchmarks.statistics`.

- The standard error of a difference between two AUCs on 1,000 patients, by the patients' influences, as
  `statistics.summarize` computes it, and by the bootstrap of most tutorials, which calls scikit-learn's `roc_auc_score`
  for each of 10,000 samples and both arms.
- The whole summary of 20 arms with 10 seeds on 10,000 test images of nine classes.
"""

import time
from statistics import median

import numpy as np
from sklearn.metrics import roc_auc_score

from synthkit import statistics

DRAWS, PATIENTS, LOOP_DRAWS, RUNS = 10_000, 1_000, 200, 5


def study(seed=0):
    """Returns labels `(patients,)` and the scores of two arms `(2, patients, classes)`."""
    rng = np.random.default_rng(seed)
    labels = np.arange(PATIENTS) % 2
    positive = 1 / (1 + np.exp(-rng.normal(size=(2, PATIENTS)) - labels))
    return labels, np.stack([1 - positive, positive], axis=-1)


def by_influences(labels, arms, seed):
    """Returns the standard error of the difference."""
    (first, of_first), (second, of_second) = (statistics.influence("auc", labels, scores) for scores in arms)
    return statistics.estimate([second - first], (of_second - of_first)[None], labels).error


def by_bootstrap(labels, arms, seed):
    """Returns the standard error of the difference, by a loop."""
    rng, areas = np.random.default_rng(seed), []
    for _ in range(LOOP_DRAWS):
        rows = rng.integers(PATIENTS, size=PATIENTS)
        areas.append([roc_auc_score(labels[rows], scores[rows, 1]) for scores in arms])
    return np.std(np.diff(areas, axis=1), ddof=1)


def timed(function, *arguments):
    began = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - began, result


def main():
    labels, arms = study()
    ours, theirs = [], []
    for run in range(RUNS):
        seconds, error = timed(by_influences, labels, arms, run)
        ours.append(seconds)
        seconds, loop_error = timed(by_bootstrap, labels, arms, run)
        theirs.append(seconds * DRAWS / LOOP_DRAWS)
    print(f"standard error of the difference: {error:.4f}, by {LOOP_DRAWS} bootstrap samples {loop_error:.4f}")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, 10_000)
    scores = {f"arm {i}": rng.dirichlet(np.ones(9), (10, 10_000)).astype("float32") for i in range(19)}
    scores = {"real": rng.dirichlet(np.ones(9), (10, 10_000)).astype("float32"), **scores}
    seconds, _ = timed(statistics.summarize, scores, labels, np.arange(10_000))
    print(f"loop_seconds = {median(theirs):.1f}")
    print(f"influences_vs_bootstrap = {median(t / o for t, o in zip(theirs, ours, strict=True)):.0f}")
    print(f"summary_seconds = {seconds:.1f}")


if __name__ == "__main__":
    main()
