"""What a study has found: the trials in its folder, read and written so that a kill loses nothing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd

from synthkit._files import harmless, read_json, read_member, replacing
from synthkit.imageset import ImageSet
from synthkit.statistics import MARGIN, summarize

COLUMNS = (
    "arm seed n_real n_synthetic steps auc accuracy balanced_accuracy sensitivity specificity f1 brier seconds status"
).split()


@dataclasses.dataclass(frozen=True)
class Results:
    """What a study has found so far.

    Attributes:
        trials: DataFrame, a row a trial (the columns of `trials.csv`).
        scores: dict from arm to float32 `(seeds, n, classes)`, test scores; only seeds that every arm has finished.
        seeds: those seeds.
        labels, patients: `(n,)` of the test part.
        histories: dict from (arm, seed) to the trial's history (`training.Trainer.train`), with `train_accuracy`, the
            share of what it was trained on, as it is without augmentation, that the chosen weights call right.
        samples: dict from arm to an ImageSet of a few images of each class of the first finished seed's trial, as
            the classifier was given them; "real" holds real ones.
        settings: dict, what the study was run with; `near_duplicates` are the places in the test set of images that are
            near-duplicates of training or validation images (`splitting.near_duplicates`).
    """

    trials: pd.DataFrame
    scores: dict
    seeds: list
    labels: np.ndarray
    patients: np.ndarray
    histories: dict
    samples: dict
    settings: dict

    def summary(self, draws=2000, margin=MARGIN, baseline="real", arms=None):
        """Returns the verdicts: `statistics.summarize` of these scores against a baseline.

        Args:
            draws: bootstrap samples of the patients.
            margin: a smaller difference is no difference.
            baseline: the arm that the others are compared with.
            arms: the arms to compare, baseline included; all if None. Holm's correction runs over these.

        Raises:
            ValueError: if there is no seed that every arm has finished.
        """
        if not self.seeds:
            failed = self.trials["status"][self.trials["status"] != "done"]
            reason = f"; the first that failed: {failed.iloc[0]}" if len(failed) else ""
            raise ValueError(f"no seed has finished in every arm, so there is nothing to compare{reason}")
        named = self.settings.get("positive")
        positive = self.settings["class_names"].index(named) if named else None
        scores = {arm: self.scores[arm] for arm in arms or self.scores}
        options = {"draws": draws, "margin": margin, "positive": positive}
        return summarize(scores, self.labels, self.patients, baseline, **options)

    def without_near_duplicates(self):
        """Returns the same results scored without the test images that are near-copies of others.

        The networks stay the same, and so does the validation part that chose their weights.

        Returns:
            Results, or None where there are no near-copies or fewer than two other images of a class.
        """
        near = self.settings.get("near_duplicates", [])
        kept = np.setdiff1d(np.arange(len(self.labels)), near)
        counts = np.bincount(self.labels[kept], minlength=len(self.settings["class_names"]))
        if not near or counts.min() < 2:
            return None
        scores = {arm: scores[:, kept] for arm, scores in self.scores.items()}
        return dataclasses.replace(self, scores=scores, labels=self.labels[kept], patients=self.patients[kept])


def trial_path(out, arm, seed):
    return Path(out) / "trials" / f"{arm}-{seed}.npz"


def _read(path):
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            contents = {name: read_member(file, name) for name in file.files}
        contents |= {name: json.loads(str(contents.get(name, "{}"))) for name in ("row", "history")}
        row = {column: contents["row"][column] for column in COLUMNS}
        if row["status"] == "done" and len(contents["scores"]) != len(contents["labels"]):
            raise ValueError(f"{len(contents['scores'])} scores of {len(contents['labels'])} images")
        if path != trial_path(path.parent.parent, row["arm"], row["seed"]):
            raise ValueError(f"it is the trial of {row['arm']}, seed {row['seed']}")
        return contents
    except Exception as error:  # damaged data raise many kinds of errors
        raise ValueError(f"{path} cannot be read as a trial ({error}); delete it to run that trial again") from error


def read_trials(out):
    """Returns the contents of every trial's file in the folder `out`, as a dict from (arm, seed)."""
    trials = [_read(path) for path in sorted((Path(out) / "trials").glob("*.npz"))]
    return {(contents["row"]["arm"], contents["row"]["seed"]): contents for contents in trials}


def table(rows, arms):
    """Returns rows of trials, a dict from (arm, seed), as a DataFrame in the order of seeds and `arms`."""
    order = sorted(rows, key=lambda key: (key[1], arms.index(key[0])))
    return pd.DataFrame([rows[key] for key in order], columns=COLUMNS)


def load(out):
    """Reads what a study's folder holds so far, finished or not.

    Returns:
        Results.

    Raises:
        ValueError: if `out` holds no study, or a file that cannot be read.
    """
    out = Path(out)
    if not (out / "study.json").exists():
        raise ValueError(f"{out} holds no study: it has no study.json")
    settings = read_json(out / "study.json")
    try:
        arms, class_names = list(settings["arms"]), [str(name) for name in settings["class_names"]]
        files = read_trials(out)
        unknown = sorted({arm for arm, _ in files} - set(arms))
        if unknown:
            raise ValueError(f"{out} holds trials of {', '.join(unknown)}, which its study.json does not name")
        trials = table({key: contents["row"] for key, contents in files.items()}, arms)
        done = {key: contents for key, contents in files.items() if contents["row"]["status"] == "done"}
        done = {key: done[key] for key in zip(trials["arm"], trials["seed"], strict=True) if key in done}
        arms = [arm for arm in arms if any(key[0] == arm for key in done)]
        seeds = sorted({seed for _, seed in done if all((arm, seed) in done for arm in arms)})
        first = next(iter(done.values()), {"labels": np.empty(0, int), "patients": np.empty(0, str)})
        for key, contents in done.items():
            same = np.array_equal(contents["labels"], first["labels"])
            if not same or contents["scores"].shape[1] != len(class_names):
                raise ValueError(
                    f"{trial_path(out, *key)} has scores of other images or classes than the other trials; delete it "
                    "to run that trial again"
                )
        samples = {}
        for (arm, _), contents in done.items():
            if arm not in samples:
                samples[arm] = ImageSet(contents["samples"], contents["sample_labels"], class_names, name=arm)
        return Results(
            trials=trials,
            scores={arm: np.stack([done[arm, seed]["scores"] for seed in seeds]) for arm in arms} if seeds else {},
            seeds=seeds,
            labels=first["labels"],
            patients=first["patients"],
            histories={key: contents["history"] for key, contents in done.items()},
            samples=samples,
            settings=settings,
        )
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{out} is damaged: {type(error).__name__}: {error}; choose another folder") from error


def save(results, summary, out):
    """Writes `summary.csv` and `scores.npz` to a study's folder.

    Args:
        results: Results.
        summary: DataFrame of `results.summary()`.
        out: the folder.
    """
    out = Path(out)
    with replacing(out / "summary.csv") as part:
        harmless(summary).to_csv(part, index=False)
    with replacing(out / "scores.npz") as part:
        np.savez_compressed(
            part,
            seeds=results.seeds,
            labels=results.labels,
            patients=results.patients,
            **{f"scores/{arm}": scores for arm, scores in results.scores.items()},
        )
