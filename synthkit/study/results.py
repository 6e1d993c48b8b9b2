"""The results of a study, and their comparison as the protocol says."""

import dataclasses

import numpy as np
import pandas as pd

from synthkit.statistics import MARGIN, MEASURES, Validation, describe, summarize


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
        validation: `statistics.Validation`, the scores of the set on which thresholds were chosen; None with more than
            two classes, in a cross-validation, and in studies that did not keep them.
        fold_thresholds: dict from arm to float `(seeds, n)`, the operating point of each image's fold, or None.
        copies: dict from arm to a dict from seed to what `study.copies.look_for_copies` found, for arms with synthetic
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
    validation: Validation | None = None

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
        # With a main comparison, what is compared with another baseline was not planned: the main one is its gate.
        baselines = (protocol["baseline"], "augmentation") if protocol["primary"] is None else (protocol["baseline"],)
        as_planned = margin == protocol["margin"] and baseline in baselines
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
        return self._of_seeds({arm: [seed for seed in seeds if seed < count] for arm, seeds in self.seeds.items()})

    def _of_seeds(self, seeds):
        """Returns the results of some of the seeds, a dict from arm to a list of int."""
        rows = {arm: [self.seeds[arm].index(seed) for seed in of_arm] for arm, of_arm in seeds.items()}

        def chosen(arrays):
            return arrays and {arm: arrays[arm][rows[arm]] for arm in arrays if arm in rows}

        changed = {name: chosen(getattr(self, name)) for name in ("scores", "folds", "fold_thresholds")}
        if self.validation:
            changed["validation"] = dataclasses.replace(self.validation, scores=chosen(self.validation.scores))
        return dataclasses.replace(self, seeds=seeds, **changed)

    def worst_case(self):
        """Returns the same results as if networks whose trials failed had learned nothing: an AUC of 0.5.

        Seeds with which the baseline failed are left out: a baseline that learned nothing would flatter the other arms.

        Returns:
            Results, or None if no trial of another arm has failed with a seed that counts.
        """
        seeds = self.seeds.get(self.protocol["baseline"], self.all_seeds)
        failed = {arm: [seed for seed in seeds if seed not in self.seeds[arm]] for arm in self.scores}
        if not any(failed.values()):
            return None
        kept = self._of_seeds({arm: [seed for seed in seeds if seed in self.seeds[arm]] for arm in self.seeds})
        changed = {"seeds": dict.fromkeys(self.scores, seeds), "trials": self.trials.copy()}
        for arm, missing in failed.items():
            rows = (self.trials["arm"] == arm) & self.trials["seed"].isin(missing)
            changed["trials"].loc[rows, ["auc", "train_auc", "threshold"]] = 0.5
        chance = 1 / len(self.settings["class_names"])
        for name, value in {"scores": chance, "folds": 0, "fold_thresholds": 0.5}.items():
            arrays = getattr(kept, name)
            changed[name] = arrays and {arm: kept._filled(arrays[arm], arm, seeds, value) for arm in arrays}
        if self.folds:
            of_seed = {seed: kept.folds[arm][i] for arm in kept.folds for i, seed in enumerate(kept.seeds[arm])}
            changed["folds"] = dict.fromkeys(self.folds, np.stack([of_seed[seed] for seed in seeds]))
        if self.validation:
            filled = {arm: kept._filled(of_arm, arm, seeds, chance) for arm, of_arm in kept.validation.scores.items()}
            changed["validation"] = dataclasses.replace(self.validation, scores=filled)
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
        options |= {"validation": self.validation, "rule": self.settings.get("operating_point", "youden")}
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
        options |= {"validation": results.validation, "overlap": self.overlap, "proportion": proportion}
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
