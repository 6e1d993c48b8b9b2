"""How often a verdict or an interval is wrong, in simulated studies: `python -m tests.benchmarks.verdicts`.

Prints a line for each design and, with `--write`, stores them as `data/results/error_rates.csv`. The designs are those
in which an earlier version of the verdict was wrong too often: training sets that vary, few positive patients, and
patients with many images. Takes about half an hour with 1,000 studies of each.
"""

import argparse
import itertools

import numpy as np
import pandas as pd
from tqdm import tqdm

from synthkit.statistics import (
    MARGIN,
    Validation,
    auc,
    coverage,
    error_rates,
    estimate,
    operating_point,
    simulate_folds,
    simulate_study,
    summarize,
    wilson,
)
from synthkit.study.results import Results
from synthkit.study.storage import COLUMNS
from tests.conftest import ROOT

FIVE = {"arms": 5, "seeds": 5}
ONE_EACH = {"images_per_patient": 1}
FEW = {
    "10 positive, 300 negative patients": {"images": 310, "positive_share": 10 / 310, **ONE_EACH},
    "5 positive, 151 negative patients": {"images": 156, "positive_share": 5 / 156, **ONE_EACH},
    "5 positive, 151 negative patients, AUC 0.93": {"images": 156, "positive_share": 5 / 156, "auc": 0.93, **ONE_EACH},
    "40 positive, 260 negative patients, AUC 0.93": {"images": 300, "positive_share": 2 / 15, "auc": 0.93, **ONE_EACH},
    "42 positive, 114 negative patients with 1 to 25 images": {
        "images": 2028,
        "positive_share": 42 / 156,
        "images_per_patient": (1, 25),
    },
}
VARYING = {
    f"{images} test images, 10 training sets{shared}": {
        "images": images,
        "arms": 5,
        "seeds": 10,
        "training_deviation": 0.02,
        "overlap": overlap,
    }
    for images in (156, 660)
    for overlap, shared in ((0.0, ""), (0.5, " that share half of their images"))
}
VARYING["156 test images, 5 training sets that share half of their images"] = {
    "images": 156,
    "training_deviation": 0.02,
    "overlap": 0.5,
    **FIVE,
}
FOLDS = {
    f"{images} images in 5 folds": {"images": images, "folds": 5, "training_effect": 1.0, **FIVE}
    for images in (100, 200, 500)
}


def study_of(scores, labels, patients, arms, seeds):
    """Returns the Results of a simulated study whose protocol names `arms` and so many `seeds`."""
    trials = [{"arm": arm, "seed": seed, "train_auc": 0.9} for arm in scores for seed in range(len(scores[arm]))]
    trials = pd.DataFrame(trials).reindex(columns=COLUMNS)
    protocol = {
        "arms": arms,
        "seeds": seeds,
        "baseline": "real",
        "primary": None,
        "margin": MARGIN,
        "written": "before",
    }
    settings = {"arms": dict.fromkeys(scores), "class_names": ["0", "1"], "protocol": protocol}
    seeds = {arm: list(range(len(of_arm))) for arm, of_arm in scores.items()}
    return Results(trials, scores, seeds, labels, patients, {}, {}, settings)


def effects(results):
    """Returns how many arms a study calls helpful or harmful, not counting those that it calls exploratory."""
    table = results.summary().query("metric == 'auc'")
    return int((table["verdict"].isin(["helps", "hurts"]) & ~table["exploratory"]).sum())


def looked(rng):
    """Whether a study without effects that is looked at after 3, 5, 8 and 10 of its 10 seeds has a false alarm."""
    scores, labels, patients = simulate_study(156, 5, 10, seed=rng)
    parts = ({arm: of_arm[:seeds] for arm, of_arm in scores.items()} for seeds in (3, 5, 8, 10))
    return any(effects(study_of(part, labels, patients, list(scores), 10)) for part in parts)


def winner(rng):
    """Whether the best of ten arms without effects, after 5 seeds, helps when it alone gets 8 in the same study."""
    scores, labels, patients = simulate_study(156, 10, 8, seed=rng)
    first = {arm: of_arm[:5] for arm, of_arm in scores.items()}
    table = study_of(first, labels, patients, list(scores), 5).summary().query("metric == 'auc'")
    best = table.loc[table["difference"].idxmax(), "arm"]
    results = study_of({arm: scores[arm] for arm in ("real", best)}, labels, patients, list(scores), 5)
    return effects(results.with_later_seeds())


def winner_again(rng):
    """Whether the best of ten arms without effects, after 5 seeds, helps in a study of its own with 8 other seeds.

    The test images are the same, and so is their favour.
    """
    scores, labels, patients = simulate_study(156, 10, 13, seed=rng)
    means = {arm: np.mean([auc(labels, s) for s in of_arm[:5]]) for arm, of_arm in scores.items() if arm != "real"}
    best = max(means, key=means.get)
    table = summarize({arm: scores[arm][5:] for arm in ("real", best)}, labels, patients, metrics=("auc",))
    return table["verdict"].iloc[1] == "helps"


def of_a_threshold(rng, rule, held_out=40):
    """Returns (mean, low, high) of an arm's sensitivity at a threshold chosen on so many validation images."""
    scores, labels, patients = simulate_study(156 + held_out, 1, 5, seed=rng)
    validation = Validation(
        labels[:held_out],
        patients[:held_out],
        {arm: of_arm[:, :held_out].astype("float32") for arm, of_arm in scores.items()},
        rule,
    )
    cuts = {
        arm: np.array([operating_point(validation.labels, s[:, 1], rule) for s in of_arm])
        for arm, of_arm in validation.scores.items()
    }
    test = {arm: of_arm[:, held_out:] for arm, of_arm in scores.items()}
    options = {"metrics": ("sensitivity",), "thresholds": cuts, "validation": validation, "positive": 1}
    row = summarize(test, labels[held_out:], patients[held_out:], **options).iloc[0]
    return row["mean"], row["low"], row["high"]


def rows(studies, progress):
    """Yields (design, what is counted, wanted, share, low, high, number of studies)."""
    for name, design in FEW.items():
        level = coverage(studies, seeds=5, arms=1, progress=progress, **design).loc["level"]
        yield (name, "coverage of the interval of an AUC", "at least 0.93", *level, studies)
        rates = error_rates(studies, effects=0.05, progress=progress, **FIVE, **design)
        yield (
            name,
            "any arm equivalent at a true difference of 0.05",
            "at most 0.05",
            *rates.loc["equivalent"],
            studies,
        )
        rates = error_rates(studies, progress=progress, **FIVE, **design)
        yield (name, "any false alarm", "at most 0.05", *rates.loc["any effect"], studies)
    for name, design in VARYING.items():
        rates = error_rates(studies, progress=progress, **design)
        yield (name, "any false alarm", "at most 0.05", *rates.loc["any effect"], studies)
        inside = coverage(studies // 2, progress=progress, **design).loc["difference"]
        yield (name, "coverage of the intervals of differences", "at least 0.94", *inside, studies // 2)
    for seeds, noise in itertools.product((3, 5, 10, 30), (0, 1, 4)):
        name = f"one arm whose effect depends on the training set, {seeds} seeds, noise {noise} times as large"
        draws = np.random.default_rng(0).spawn(5 * studies)
        count = sum(alone(rng, seeds, noise) for rng in progress(draws))
        rate = count / len(draws), *wilson(count, len(draws))
        yield (name, "any false alarm", "at most 0.05", *rate, len(draws))
    again = "the best of 10 arms after 5 seeds, then alone with 8 others on the same test images"
    for name, counted, wanted, study in (
        ("looking after 3, 5, 8 and 10 of 10 seeds", "any false alarm", "at most 0.05", looked),
        (
            "the best of 10 arms after 5 seeds, then 8 seeds",
            "a verdict that is not called exploratory",
            "at most 0.05",
            winner,
        ),
        (again, "helps (0.025 without the choice)", "no target: it is exploratory", winner_again),
    ):
        fewer = studies if study is winner_again else 2 * studies // 3  # the others are whole studies with all metrics
        count = sum(map(bool, map(study, progress(np.random.default_rng(0).spawn(fewer)))))
        yield (name, counted, wanted, count / fewer, *wilson(count, fewer), fewer)
    for rule in ("youden", "sensitivity=0.9"):
        draws = progress(np.random.default_rng(0).spawn(studies))
        inside = covered([of_a_threshold(rng, rule) for rng in draws])
        counted = "coverage of the interval of a sensitivity"
        yield (f"threshold from 40 validation images ({rule})", counted, "at least 0.93", *inside, studies)
    for name, design in FOLDS.items():
        rates = error_rates(studies, progress=progress, **design)
        yield (name, "any false alarm", "at most 0.05", *rates.loc["any effect"], studies)
        inside = covered([of_folds(rng, design) for rng in progress(np.random.default_rng(0).spawn(studies))])
        yield (name, "coverage of the interval of an AUC", "at least 0.93", *inside, studies)


def alone(rng, seeds, noise, patients=60):
    """Whether the only arm has a false alarm, if its effect depends on the training set and is 0 on average.

    Every training set holds half of 100 images, each of which contributes its part to the effect: between the seeds its
    variance is 1, and as much again is common to all of them. Test patients, whom each network judges in its own way,
    add `noise` to the variance between the seeds.
    """
    drawn = rng.permuted(np.tile(np.arange(100) < 50, (seeds, 1)), axis=1)
    judged = rng.normal(0, np.sqrt(noise / patients), (seeds, patients))
    effects = drawn @ rng.normal(0, 0.2, 100) + judged.sum(1)
    return estimate(effects, judged, overlap=0.5).p_value() < 0.05


def covered(intervals):
    """Returns the fraction of (mean, low, high) that contain the mean of all means, and the interval of it."""
    means, low, high = np.array(intervals).T
    inside = int(np.sum((low <= means.mean()) & (means.mean() <= high)))
    return inside / len(means), *wilson(inside, len(means))


def of_folds(rng, design):
    """Returns (mean, low, high) of an arm's AUC in a cross-validation."""
    *study, fold_of = simulate_folds(**design | {"arms": 0}, seed=rng)
    row = summarize(*study, metrics=("auc",), folds=fold_of).iloc[0]
    return row["mean"], row["low"], row["high"]


def parse(description):
    """Returns the options of a benchmark of error rates."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies of each design (default: 1000)")
    parser.add_argument("--write", action="store_true", help="store the rates in data/results")
    return parser.parse_args()


def main():
    arguments = parse(__doc__)
    table = []
    for row in rows(arguments.studies, lambda studies: tqdm(studies, leave=False)):
        print(f"{row[0]}: {row[1]} {row[3]:.3f} ({row[4]:.3f} to {row[5]:.3f}), wanted {row[2]}", flush=True)
        table.append(row)
    if arguments.write:
        columns = ["design", "counted", "wanted", "share", "low", "high", "studies"]
        path = ROOT / "data" / "results" / "error_rates.csv"
        pd.DataFrame(table, columns=columns).to_csv(path, index=False)


if __name__ == "__main__":
    main()
