"""The results in a study's folder: settings, trials and scores, read and written."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd

from synthkit._files import harmless, read_json, read_member, replacing
from synthkit.imageset import ImageSet
from synthkit.statistics import MARGIN, MEASURES, describe, summarize
from synthkit.study import about

COLUMNS = (
    "arm seed n_real n_synthetic steps auc train_auc threshold accuracy balanced_accuracy sensitivity specificity ppv "
    "npv f1 brier seconds status"
).split()
KINDS = {"arm": str, "seed": int, "status": str}  # all other columns are numbers


@dataclasses.dataclass(frozen=True)
class Results:
    """The results of a study, finished or not.

    Attributes:
        trials: pandas.DataFrame, one row for every trial, with the columns of `trials.csv`.
        scores: dict from arm to float32 `(seeds, n, classes)`, test scores of the arm's seeds.
        seeds: dict from arm to a list of int, its finished seeds. A seed counts once all arms of the protocol have a
            trial with it that is finished or has failed, so that arms have different seeds only where a trial failed.
        labels, patients: `(n,)`, of the test set.
        histories: dict from (arm, seed) to the history of the trial's training (`training.Trainer.train`), with
            `train_accuracy`, the accuracy of the chosen weights on the trial's training images without augmentation.
        samples: dict from arm to an ImageSet of a few images of each class, as the classifier got them in the first
            finished seed; of an arm without synthetic images they are real images.
        folds: dict from arm to int `(seeds, n)`, the fold of every image in a cross-validation; None if there is a test
            set.
        fold_thresholds: dict from arm to float `(seeds, n)`, the operating point of each image's fold, or None.
        copies: dict from arm to a dict from seed to what `study.trial.look_for_copies` found, for arms with synthetic
            images.
        pairs: dict from arm to uint8 `(pairs, 2, height, width, channels)`, the synthetic images of its first finished
            seed that are nearest to a training image, each with that image.
        settings: dict, the settings of the study; `near_duplicates` are the row numbers of test images that are
            near-duplicates of training or validation images (`splitting.near_duplicates`), and `about` is what the
            study knows about its data and itself (`about.describe`).
    """

    trials: pd.DataFrame
    scores: dict
    seeds: dict
    labels: np.ndarray
    patients: np.ndarray
    histories: dict
    samples: dict
    settings: dict
    copies: dict = dataclasses.field(default_factory=dict)
    pairs: dict = dataclasses.field(default_factory=dict)
    folds: dict | None = None
    fold_thresholds: dict | None = None

    def summary(self, margin=None, baseline=None, arms=None):
        """Compares every arm with a baseline, by `statistics.summarize`.

        The arms and seeds of the protocol are compared as it says. Before all its seeds are finished in all its arms,
        there is no verdict, so that a study cannot be stopped when one suits. Arms and seeds that were added later are
        exploratory: later arms are compared in a family of all arms, and later seeds are left out
        (`with_later_seeds` includes them).

        Args:
            margin: a difference smaller than this is too small to matter; None for the protocol's.
            baseline: the arm that the others are compared with; None for the protocol's.
            arms: the arms to compare, including the baseline; None compares all. Holm's correction is over these.

        Returns:
            pandas.DataFrame, as `statistics.summarize` returns it, with one more column, `exploratory`.

        Raises:
            ValueError: if an arm has no finished seed.
        """
        protocol = self.protocol
        margin = protocol["margin"] if margin is None else margin
        baseline = protocol["baseline"] if baseline is None else baseline
        names = [arm for arm in self.scores if arms is None or arm in arms]
        planned = [arm for arm in names if arm in protocol["arms"]]
        family = [arm for arm in protocol["arms"] if arm in self.scores]  # on top of augmentation, without the baseline
        family = family if baseline == protocol["baseline"] else [arm for arm in family if arm != protocol["baseline"]]
        as_planned = margin == protocol["margin"] and baseline in (protocol["baseline"], "augmentation")
        as_planned &= set(planned) == set(family)
        lost = len(set(protocol["arms"]) - set(self.scores))
        primary = protocol["primary"] if baseline == protocol["baseline"] else None
        results = self._first_seeds(protocol["seeds"])
        table = results._summarize(margin, baseline, names, primary, lost).assign(exploratory=True)
        if baseline in planned:
            first = table if planned == names else results._summarize(margin, baseline, planned, primary, lost)
            both = pd.concat([first.assign(exploratory=not as_planned), table])
            keys = ["arm", "metric"]
            table = both.drop_duplicates(keys).set_index(keys).loc[table.set_index(keys).index].reset_index()
        finished = len(results.all_seeds)
        if (finished < protocol["seeds"] or set(protocol["arms"]) - set(self.trials["arm"])) and finished > 2:
            decided = table["difference"].notna()
            table.loc[decided, "verdict"] = f"{finished} of {protocol['seeds']} seeds: no verdict yet"
        return table

    @property
    def all_seeds(self):
        """The seeds of any arm, a list of int."""
        return sorted(set().union(*self.seeds.values()))

    @property
    def protocol(self):
        """What was decided before the first trial: a dict of arms, seeds, baseline, primary, margin and written.

        Of a study without one, everything that is there, and `written` None.
        """
        everything = {"arms": list(self.settings["arms"]), "seeds": len(self.all_seeds), "written": None}
        everything |= {"baseline": "real", "primary": None, "margin": MARGIN, "metric": "auc"}
        return everything | self.settings.get("protocol", {})

    def with_later_seeds(self):
        """Returns the same results as if all seeds that are finished had been planned; their summary is exploratory.

        Returns:
            Results, or None if there are no later seeds.
        """
        seeds = self.all_seeds
        if len(seeds) <= self.protocol["seeds"]:
            return None
        protocol = self.protocol | {"seeds": 1 + max(seeds), "arms": []}
        return dataclasses.replace(self, settings=self.settings | {"protocol": protocol})

    def _first_seeds(self, count):
        """Returns the results of the seeds below `count`."""
        rows = {arm: [i for i, seed in enumerate(seeds) if seed < count] for arm, seeds in self.seeds.items()}
        changed = {"seeds": {arm: [self.seeds[arm][i] for i in rows[arm]] for arm in rows}}
        for name in ("scores", "folds", "fold_thresholds"):
            values = getattr(self, name)
            changed[name] = values and {arm: values[arm][rows[arm]] for arm in values}
        return dataclasses.replace(self, **changed)

    def worst_case(self):
        """Returns the same results as if networks whose trials failed had learned nothing: an AUC of 0.5.

        Returns:
            Results, or None if no trial of the seeds that count has failed.
        """
        seeds = self.all_seeds
        failed = {arm: [seed for seed in seeds if seed not in self.seeds[arm]] for arm in self.scores}
        if not any(failed.values()):
            return None
        changed = {"seeds": dict.fromkeys(self.scores, seeds), "trials": self.trials.copy()}
        for arm, missing in failed.items():
            rows = (self.trials["arm"] == arm) & self.trials["seed"].isin(missing)
            changed["trials"].loc[rows, ["auc", "train_auc", "threshold"]] = 0.5
        nothing = {"scores": 1 / len(self.settings["class_names"]), "folds": 0, "fold_thresholds": 0.5}
        for name, value in nothing.items():
            arrays = getattr(self, name)
            changed[name] = arrays and {arm: self._filled(arrays[arm], arm, seeds, value) for arm in arrays}
        if self.folds:
            of_seed = {seed: self.folds[arm][i] for arm in self.folds for i, seed in enumerate(self.seeds[arm])}
            changed["folds"] = dict.fromkeys(self.folds, np.stack([of_seed[seed] for seed in seeds]))
        return dataclasses.replace(self, **changed)

    def _filled(self, values, arm, seeds, value):
        filled = np.full((len(seeds), *values.shape[1:]), value, values.dtype)
        filled[[seeds.index(seed) for seed in self.seeds[arm]]] = values
        return filled

    def _summarize(self, margin, baseline, arms, primary, lost):
        if not all(self.seeds.values()) or not self.seeds:
            failed = self.trials["status"][self.trials["status"] != "done"]
            reason = f"; the first failed trial: {failed.iloc[0]}" if len(failed) else ""
            raise ValueError(f"an arm has no finished seed, so there is nothing to compare{reason}")
        scores = {arm: self.scores[arm] for arm in arms}
        options = {"margin": margin, "positive": self.positive, "primary": primary}
        options["planned"] = len(arms) - 1 + lost
        options["metrics"] = tuple(dict.fromkeys((self.protocol["metric"], *MEASURES)))
        options["train_aucs"] = {arm: self.column(arm, "train_auc") for arm in scores}
        options |= {"seeds": self.seeds, "thresholds": self.thresholds, "folds": self.folds, "overlap": self.overlap}
        return summarize(scores, self.labels, self.patients, baseline, **options)

    def describe(self, metrics, rows=None, *, proportion=True):
        """Returns metrics of every arm with their intervals and no comparisons, over the seeds of the protocol.

        Args:
            metrics, proportion: as in `statistics.describe`.
            rows: int, those of the test images to score; None for all.

        Returns:
            pandas.DataFrame, as `statistics.describe` returns it.
        """
        results = self._first_seeds(self.protocol["seeds"])
        results = results if rows is None else results._of_images(rows)
        options = {"positive": self.positive, "thresholds": results.thresholds, "folds": results.folds}
        options |= {"overlap": self.overlap, "proportion": proportion}
        return describe(results.scores, results.labels, results.patients, metrics, **options)

    @property
    def positive(self):
        """The label of the positive class; None with more than two classes of which none is named."""
        name = self.settings.get("positive")
        return self.settings["class_names"].index(name) if name else None

    @property
    def groups(self):
        """The subgroups of the test images, `(n,)`, or None."""
        groups = self.settings.get("about", {}).get("groups")
        return None if groups is None else np.array(groups)

    def column(self, arm, name):
        """Returns a column of `trials` for one arm, float `(seeds,)`, in the order of its `seeds`."""
        rows = self.trials[self.trials["arm"] == arm].set_index("seed")
        return rows.loc[self.seeds[arm], name].to_numpy(float)

    @property
    def thresholds(self):
        """The operating points: a dict from arm to float `(seeds,)`, or `(seeds, n)` in a cross-validation.

        None with more than two classes.
        """
        thresholds = {arm: self.column(arm, "threshold") for arm in self.scores}
        if any(np.isnan(values).any() for values in thresholds.values()):
            return None
        return thresholds if self.folds is None else self.fold_thresholds

    @property
    def overlap(self):
        """The fraction of a seed's training images that are in another's as well; 0 if all seeds have the same set."""
        overlap = self.settings.get("overlap", 0.0)
        return overlap if overlap < 1 else 0.0

    def without_near_duplicates(self):
        """Returns the same results without the test images that are near-duplicates of training or validation images.

        The networks are the same, and so is the validation set on which their weights were chosen.

        Returns:
            Results, or None if there are no near-duplicates, or fewer than two other test images of a class.
        """
        near = self.settings.get("near_duplicates", [])
        rows = np.setdiff1d(np.arange(len(self.labels)), near)
        counts = np.bincount(self.labels[rows], minlength=len(self.settings["class_names"]))
        return self._of_images(rows) if near and counts.min() >= 2 else None

    def _of_images(self, rows):
        """Returns the results on these test images only."""
        changed = {}
        for name in ("scores", "folds", "fold_thresholds"):
            values = getattr(self, name)
            changed[name] = values and {arm: values[arm][:, rows] for arm in values}
        return dataclasses.replace(self, labels=self.labels[rows], patients=self.patients[rows], **changed)


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
                if not all(
                    isinstance(found[key], (int, float)) for key in ("copies", "held_out_copies", "p", "images")
                ):
                    raise ValueError("its copies are not numbers")
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
        same = all(np.array_equal(trial[name], first[name]) for name in ("labels", "patients"))
        if not same or trial["scores"].shape[1] != len(class_names):
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
