"""What a study has found: the trials in its folder, read and written so that a kill loses nothing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd

from synthkit.files import harmless, read_member, replacing
from synthkit.imageset import ImageSet
from synthkit.statistics import MARGIN, summarize

COLUMNS = (
    "arm seed n_real n_synthetic steps auc accuracy balanced_accuracy sensitivity specificity f1 brier seconds status"
).split()
KINDS = dict.fromkeys(COLUMNS, (int, float)) | {"arm": (str,), "status": (str,), "seed": (int,)}
MEMBERS = "row", "history", "scores", "labels", "patients", "samples", "sample_labels"  # of a trial's file


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
        settings: dict, what the study was run with; `near_copies` are the places in the test part of images that nearly
            stand in the training or validation part as well (`leaks.near_copies`).
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

    def without_near_copies(self):
        """Returns the same results scored without the test images that are near-copies of others.

        The networks stay the same, and so does the validation part that chose their weights.

        Returns:
            Results, or None where there are no near-copies or fewer than two other images of a class.
        """
        near = self.settings.get("near_copies", [])
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
            contents = {name: read_member(file, name) for name in MEMBERS if name in file.files}
        contents["row"] = json.loads(str(contents["row"]))
        contents["history"] = json.loads(str(contents.get("history", "{}")))
        row, labels = contents["row"], contents.get("labels")
        if set(row) != set(COLUMNS) or path.name != f"{row['arm']}-{row['seed']}.npz":
            raise ValueError(f"its row is of {row}")
        wrong = [name for name, value in row.items() if type(value) not in KINDS[name]]
        if wrong:
            raise ValueError(f"its {wrong[0]} is {row[wrong[0]]!r}")
        if row["status"] == "done":
            scores, images = contents["scores"], contents["samples"]
            if scores.dtype != np.float32 or scores.shape[:1] != labels.shape or scores.ndim != 2:
                raise ValueError(f"its scores are {scores.dtype} {scores.shape}, its labels {labels.shape}")
            if not np.isfinite(scores).all() or labels.dtype != np.int64 or contents["patients"].shape != labels.shape:
                raise ValueError("its scores are not all numbers, its labels not integers, or patients are missing")
            ImageSet(images, contents["sample_labels"], [str(i) for i in range(scores.shape[1])])
            curves = [contents["history"][name] for name in ("step", "loss", "val_auc")]
            numbers = [value for curve in curves for value in curve]
            if len({len(curve) for curve in curves}) > 1 or not all(type(value) in (int, float) for value in numbers):
                raise ValueError("its history is no curves of numbers")
        return contents
    except Exception as error:
        raise ValueError(
            f"{path} is not a trial that can be read ({error}); delete it to run that trial again"
        ) from error


def read_settings(path):
    """Returns what a study's `study.json` holds, a dict.

    Raises:
        ValueError: if it is not what a study writes; names it.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        names, positive = held["class_names"], held.get("positive")
        if not isinstance(held["arms"], dict) or not all(isinstance(how, dict) for how in held["arms"].values()):
            raise ValueError("arms are no arms")
        if not all(isinstance(how.get("counts") or {}, dict) for how in held["arms"].values()):
            raise ValueError("counts are no counts")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("class_names are no names")
        if positive is not None and positive not in names:
            raise ValueError(f"positive is {positive!r}")
        if not all(type(place) is int and place >= 0 for place in held.get("near_copies", [])):
            raise ValueError("near_copies are no places of images")
    except Exception as error:  # damaged bytes fail in many ways
        raise ValueError(f"{path} is not the JSON that a study writes ({error}); choose another folder") from error
    return held


def read_trials(out):
    """Returns what every trial's file in the folder `out` holds, as a dict from (arm, seed)."""
    found = [_read(path) for path in sorted((Path(out) / "trials").glob("*.npz"))]
    return {(contents["row"]["arm"], contents["row"]["seed"]): contents for contents in found}


def table(rows, arms):
    """Returns rows of trials, a dict from (arm, seed), as a DataFrame in the order of seeds and `arms`."""
    order = sorted(rows, key=lambda key: (key[1], arms.index(key[0])))
    return pd.DataFrame([rows[key] for key in order], columns=COLUMNS)


def load(out):
    """Reads what a study in the folder `out` has found so far, finished or not.

    Returns:
        Results.

    Raises:
        ValueError: if `out` holds no study or a trial that cannot be read.
    """
    out = Path(out)
    if not (out / "study.json").exists():
        raise ValueError(f"{out} holds no study: it has no study.json")
    settings = read_settings(out / "study.json")
    arms = list(settings["arms"])
    files = read_trials(out)
    others = sorted({arm for arm, _ in files} - set(arms))
    if others:
        raise ValueError(f"{out} holds trials of {', '.join(others)}, of which its study.json does not know")
    trials = table({key: contents["row"] for key, contents in files.items()}, arms)
    finished = trials[trials["status"] == "done"]
    done = {(arm, seed): files[arm, seed] for arm, seed in zip(finished["arm"], finished["seed"], strict=True)}
    arms = [arm for arm in arms if any(key[0] == arm for key in done)]
    seeds = sorted({seed for _, seed in done if all((arm, seed) in done for arm in arms)})
    first = next(iter(done), None)
    for key, contents in done.items():
        same = np.array_equal(contents["labels"], done[first]["labels"])
        if not same or contents["scores"].shape[1] != len(settings["class_names"]):
            raise ValueError(
                f"{trial_path(out, *key)} was scored on other images or classes than {trial_path(out, *first)} or "
                "study.json says; delete it to run that trial again"
            )
    any_trial = next(iter(done.values()), {"labels": np.empty(0, int), "patients": np.empty(0, str)})
    samples = {}
    for (arm, _), contents in done.items():
        if arm not in samples:
            samples[arm] = ImageSet(contents["samples"], contents["sample_labels"], settings["class_names"], name=arm)
    return Results(
        trials=trials,
        scores={arm: np.stack([done[arm, seed]["scores"] for seed in seeds]) for arm in arms} if seeds else {},
        seeds=seeds,
        labels=any_trial["labels"],
        patients=any_trial["patients"],
        histories={key: contents["history"] for key, contents in done.items()},
        samples=samples,
        settings=settings,
    )


def save(results, summary, out):
    """Writes `summary.csv` and `scores.npz` to a study's folder.

    Args:
        results: Results.
        summary: DataFrame of `results.summary()`.
        out: the folder.
    """
    out = Path(out)
    with replacing(out / "summary.csv") as file:
        harmless(summary).to_csv(file, index=False)
    with replacing(out / "scores.npz") as file:
        np.savez_compressed(
            file,
            seeds=results.seeds,
            labels=results.labels,
            patients=results.patients,
            **{f"scores/{arm}": scores for arm, scores in results.scores.items()},
        )
