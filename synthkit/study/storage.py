"""The files in a study's folder: settings, trials, scores and summary, read and written."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from synthkit._files import harmless, read_json, read_member, replacing
from synthkit.imageset import ImageSet
from synthkit.statistics import Validation
from synthkit.study import about
from synthkit.study.results import Results

COLUMNS = (
    "arm seed n_real n_synthetic steps auc train_auc threshold accuracy balanced_accuracy sensitivity specificity ppv "
    "npv f1 brier seconds status"
).split()
KINDS = {"arm": str, "seed": int, "status": str}  # all other columns are numbers


def trial_path(out, arm, seed):
    return Path(out) / "trials" / f"{arm}-{seed}.npz"


def read_settings(out):
    """Reads `study.json` in the folder `out`.

    Returns:
        dict.

    Raises:
        ValueError: if there is none, or if it is damaged; names it.
    """
    path = Path(out) / "study.json"
    if not path.exists():
        raise ValueError(f"{out} holds no study: there is no study.json in it")
    settings = read_json(path)
    arms, class_names, near = settings.get("arms"), settings.get("class_names"), settings.get("near_duplicates", [])
    problem = None
    if not isinstance(arms, dict) or not all(isinstance(arm, dict) for arm in arms.values()):
        problem = "arms must be objects by name"
    elif not all(isinstance(arm.get("counts") or {}, dict) for arm in arms.values()):
        problem = "counts must be objects"
    elif not isinstance(class_names, list) or not all(isinstance(name, str) for name in class_names):
        problem = "class_names must be a list of strings"
    elif settings.get("positive") not in [None, *class_names]:
        problem = f"positive must be one of {class_names} or null"
    elif not isinstance(settings.get("overlap", 0), (int, float)) or not 0 <= settings.get("overlap", 0) <= 1:
        problem = "overlap must be a fraction"
    elif not isinstance(near, list) or not all(type(row) is int and row >= 0 for row in near):
        problem = "near_duplicates must be a list of row numbers"
    problem = problem or about.problem(settings.get("about", {}))
    if problem:
        raise ValueError(f"{path} is damaged ({problem}); delete it, or choose another folder")
    return settings


def _read(path):
    """Returns the contents of a trial's file; a finished trial has scores, labels, patients, samples and a history."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            contents = {name: read_member(file, name) for name in file.files}
        row, history = (json.loads(str(contents.get(name, "{}"))) for name in ("row", "history"))
        for name in COLUMNS:
            if not isinstance(row[name], KINDS.get(name, (int, float))):
                raise ValueError(f"its {name} is {row[name]!r}")
        if path != trial_path(path.parent.parent, row["arm"], row["seed"]):
            raise ValueError(f"it is the trial of {row['arm']}, seed {row['seed']}")
        if row["status"] == "done":
            scores, labels = contents["scores"], contents["labels"]
            if scores.dtype != np.float32 or scores.ndim != 2 or not np.isfinite(scores).all():
                raise ValueError("its scores are not a float32 matrix of finite numbers")
            class_names = [str(label) for label in range(scores.shape[1])]
            ImageSet(np.empty((len(scores), 1, 1, 1), "uint8"), labels, class_names, contents["patients"], "its scores")
            ImageSet(contents["samples"], contents["sample_labels"], class_names, name="its samples")
            if "copies" in contents:
                found, (_, two, *shape) = json.loads(str(contents["copies"])), contents["pairs"].shape
                if two != 2 or tuple(shape) != contents["samples"].shape[1:] or contents["pairs"].dtype != np.uint8:
                    raise ValueError("its pairs are not pairs of images")
                needed = {"copies", "held_out_copies", "p", "images"}
                if not needed <= set(found) or not all(isinstance(value, (int, float)) for value in found.values()):
                    raise ValueError("its copies are not numbers")
            if "validation_scores" in contents:
                scores, labels, patients = (contents[f"validation_{name}"] for name in ("scores", "labels", "patients"))
                if scores.dtype != np.float32 or scores.ndim != 2 or not np.isfinite(scores).all():
                    raise ValueError("its scores of the validation set are not a float32 matrix of finite numbers")
                ImageSet(np.empty((len(scores), 1, 1, 1), "uint8"), labels, class_names, patients, "its validation set")
            if "fold" in contents:
                ImageSet(np.empty((len(scores), 1, 1, 1), "uint8"), contents["fold"], range(100), name="its folds")
                if contents["thresholds"].shape != (len(scores),):
                    raise ValueError("it does not have a threshold for every image")
            if np.array([history[name] for name in ("step", "loss", "val_auc")]).dtype.kind not in "if":
                raise ValueError("its history is not made of numbers")
        return contents | {"row": row, "history": history}
    except Exception as error:  # damaged data raise many kinds of errors
        raise ValueError(f"{path} cannot be read as a trial ({error}); delete it to run that trial again") from error


def read_trials(out):
    """Returns the contents of every trial's file in the folder `out`, as a dict from (arm, seed)."""
    trials = [_read(path) for path in sorted((Path(out) / "trials").glob("*.npz"))]
    return {(contents["row"]["arm"], contents["row"]["seed"]): contents for contents in trials}


def table(rows, arms):
    """Returns the rows of trials, a dict from (arm, seed), as a DataFrame in the order of seeds and `arms`."""
    order = sorted(rows, key=lambda key: (key[1], arms.index(key[0])))
    return pd.DataFrame([rows[key] for key in order], columns=COLUMNS)


def load(out):
    """Reads the results in a study's folder, whether the study is finished or not.

    Returns:
        Results.

    Raises:
        ValueError: if `out` holds no study, or a file that is damaged or of another study; names it.
    """
    settings, contents = read_settings(out), read_trials(out)
    arms, class_names = list(settings["arms"]), settings["class_names"]
    unknown = sorted({arm for arm, _ in contents} - set(arms))
    if unknown:
        raise ValueError(f"{out} holds trials of {', '.join(unknown)}, which are not among the arms in its study.json")
    trials = table({key: trial["row"] for key, trial in contents.items()}, arms)
    order = zip(trials["arm"], trials["seed"], strict=True)
    done = {key: contents[key] for key in order if contents[key]["row"]["status"] == "done"}
    groups = settings.get("about", {}).get("groups")
    arms = [arm for arm in arms if any(key[0] == arm for key in contents)]
    planned = [arm for arm in arms if arm in settings.get("protocol", {}).get("arms", arms)]
    ended = set(contents)  # finished or failed
    counting = sorted({seed for _, seed in ended if all((arm, seed) in ended for arm in planned or arms)})
    # An arm that was added later, and is not finished, takes no seeds from the others.
    arms = [arm for arm in arms if arm in planned or all((arm, seed) in ended for seed in counting)]
    seeds = {arm: [seed for seed in counting if (arm, seed) in done] for arm in arms}
    first = next(iter(done.values()), {"labels": np.empty(0, int), "patients": np.empty(0, str)})
    if done and groups is not None and len(groups) != len(first["labels"]):
        raise ValueError(f"{out} has {len(first['labels'])} test images and {len(groups)} groups of them in study.json")
    samples, copies, pairs = {}, {}, {}
    for (arm, seed), trial in done.items():
        names = [name for name in trial if name.endswith(("labels", "patients")) and name != "sample_labels"]
        same = all(name in first and np.array_equal(trial[name], first[name]) for name in names)
        columns = {trial[name].shape[1] for name in ("scores", "validation_scores") if name in trial}
        if not same or columns != {len(class_names)}:
            raise ValueError(
                f"{trial_path(out, arm, seed)} has scores of other images or classes than the other trials; delete it "
                "to run that trial again"
            )
        if arm not in samples:
            samples[arm] = ImageSet(trial["samples"], trial["sample_labels"], class_names, name=arm)
        if "copies" in trial:
            copies.setdefault(arm, {})[seed] = json.loads(str(trial["copies"]))
            pairs.setdefault(arm, trial["pairs"])
    seeds = {arm: of_arm for arm, of_arm in seeds.items() if of_arm}

    def stacked(name):
        return {arm: np.stack([done[arm, seed][name] for seed in of_arm]) for arm, of_arm in seeds.items()}

    folded = settings.get("folds") and seeds
    validation = None
    if len(class_names) == 2 and not folded and all("validation_scores" in trial for trial in done.values()) and seeds:
        validation = Validation(
            labels=first["validation_labels"],
            patients=first["validation_patients"],
            scores=stacked("validation_scores"),
            rule=settings.get("operating_point", "youden"),
            positive=class_names.index(settings["positive"]) if settings.get("positive") else 1,
        )
    return Results(
        trials=trials,
        scores=stacked("scores"),
        folds=stacked("fold") if folded else None,
        fold_thresholds=stacked("thresholds") if folded else None,
        seeds=seeds,
        labels=first["labels"],
        patients=first["patients"],
        histories={key: trial["history"] for key, trial in done.items()},
        samples=samples,
        copies=copies,
        pairs=pairs,
        settings=settings,
        validation=validation,
    )


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
            seeds=results.all_seeds,
            labels=results.labels,
            patients=results.patients,
            **{f"scores/{arm}": scores for arm, scores in results.scores.items()},
            **{f"seeds/{arm}": seeds for arm, seeds in results.seeds.items()},
        )
