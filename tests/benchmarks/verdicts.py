"""How often a verdict or an interval is wrong, in simulated studies: `python -m tests.benchmarks.verdicts`.

Prints a line for each design and, with `--write`, stores them as `data/results/error_rates.csv`. The designs are those
in which an earlier version of the verdict was wrong too often: training sets that vary, few positive patients, and
patients with many images. Takes about half an hour with 1,000 studies of each.
"""

import argparse

import pandas as pd
from tqdm import tqdm

from synthkit.statistics import coverage, error_rates
from tests.conftest import ROOT

FIVE = {"arms": 5, "seeds": 5}
ONE_EACH = {"images_per_patient": 1}
FEW = {
    "10 positive, 300 negative patients": {"images": 310, "positive_share": 10 / 310, **ONE_EACH},
    "5 positive, 151 negative patients": {"images": 156, "positive_share": 5 / 156, **ONE_EACH},
    "5 positive, 151 negative patients, AUC 0.93": {"images": 156, "positive_share": 5 / 156, "auc": 0.93, **ONE_EACH},
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
FOLDS = {
    f"{images} images in 5 folds": {"images": images, "folds": 5, "training_effect": 1.0, **FIVE}
    for images in (100, 200, 500)
}


def rows(studies, progress):
    """Yields (design, what is counted, wanted, share, low, high)."""
    for name, design in FEW.items():
        level = coverage(studies, seeds=5, arms=1, progress=progress, **design).loc["level"]
        yield (name, "coverage of the interval of an AUC", "at least 0.93", *level)
        rates = error_rates(studies, effects=0.05, progress=progress, **FIVE, **design)
        yield (name, "any arm equivalent at a true difference of 0.05", "at most 0.05", *rates.loc["equivalent"])
    for name, design in VARYING.items():
        rates = error_rates(studies, progress=progress, **design)
        yield (name, "any false alarm", "at most 0.05", *rates.loc["any effect"])
        inside = coverage(studies // 2, progress=progress, **design).loc["difference"]
        yield (name, "coverage of the intervals of differences", "at least 0.94", *inside)
    for name, design in FOLDS.items():
        rates = error_rates(studies, progress=progress, **design)
        yield (name, "any false alarm", "at most 0.05", *rates.loc["any effect"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies of each design (default: 1000)")
    parser.add_argument("--write", action="store_true", help="store the rates in data/results")
    arguments = parser.parse_args()
    table = []
    for row in rows(arguments.studies, lambda studies: tqdm(studies, leave=False)):
        print(f"{row[0]}: {row[1]} {row[3]:.3f} ({row[4]:.3f} to {row[5]:.3f}), wanted {row[2]}", flush=True)
        table.append(row)
    if arguments.write:
        columns = ["design", "counted", "wanted", "share", "low", "high"]
        table = pd.DataFrame(table, columns=columns).assign(studies=arguments.studies)
        table.to_csv(ROOT / "data" / "results" / "error_rates.csv", index=False)


if __name__ == "__main__":
    main()
