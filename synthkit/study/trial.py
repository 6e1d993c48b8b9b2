"""One trial: an arm's training set, a network trained on it, and the test set scored once; in any process."""

import dataclasses
import functools
import json
import threading
import time

import cloudpickle
import numpy as np

from synthkit import _environment
from synthkit.imageset import ImageSet, Splits, concatenate, image_digests
from synthkit.pipeline import to_dataset
from synthkit.splitting import cross_validation, partition, pool, subsample
from synthkit.statistics import accuracy, auc, operating_point, score
from synthkit.study import training_sets
from synthkit.study.arms import oversample, requested, synthesize
from synthkit.study.copies import look_for_copies
from synthkit.study.storage import COLUMNS

SAMPLES = 8  # images of each class that every trial keeps, to look at


class Trials:
    """Runs the trials of a study one after the other; the network is built and traced once.

    Args:
        splits: Splits.
        classifier: callable `(image_shape, num_classes) → keras.Model`.
        recipe: dict, arguments of `training.Trainer`.
        draw: dict, arguments of `training_sets.rows`, for the real training images of every seed.
        positive: label of the positive class; None for the mean over classes.
        operating_point: as in `study.run`.
        features: folder for the features of the images, if the classifier computes some; None keeps them in memory.
        folds, random_state, deterministic: as in `study.run`.
    """

    def __init__(
        self,
        splits,
        classifier,
        recipe,
        draw,
        positive=None,
        operating_point="youden",
        features=None,
        folds=None,
        random_state=0,
        deterministic=True,
    ):
        _environment.make_deterministic(deterministic)  # in a worker's process, too
        self.splits, self.draw, self.positive = splits, draw, positive
        self.rule, self.folds, self.random_state = operating_point, folds, random_state
        self.scored = pool(splits) if folds else splits.test
        self.trainer, self._found = make_trainer(classifier, splits.train, recipe), {}
        if features and hasattr(self.trainer, "keep"):
            self.trainer.keep(splits, features)

    def run(self, arm, seed, on_stage=None, on_step=None):
        """Runs one trial.

        Args:
            arm: Arm.
            seed: int.
            on_stage: callable `(name of the stage)`, called when a stage begins, or None.
            on_step: callable `()`, called after every gradient step, or None.

        Returns:
            dict, the contents of the trial's file: `row` and `history` as JSON; scores, labels and patients of the test
            set and, except in a cross-validation, of the validation set; sample images and their labels; of an arm with
            synthetic images, other than repeated real ones, also what `look_for_copies` returns, in a cross-validation
            of the first fold; in a cross-validation the fold and the threshold of every image. Means over the folds
            stand in `row` and `history`. A trial that fails has no history, scores or samples, and the reason in `row`.
        """
        began = time.perf_counter()
        on_stage = on_stage or (lambda stage: None)
        row = dict.fromkeys(COLUMNS, np.nan) | {"arm": arm.name, "seed": seed}
        row |= {"steps": self.trainer.steps, "status": "done"}
        contents = {"labels": self.scored.labels, "patients": self.scored.patients}
        try:
            tests = self._tests(seed)
            outcomes = []
            for number, (splits, _) in enumerate(tests):
                fold = f", fold {number + 1} of {len(tests)}" if self.folds else ""

                def staged(stage, fold=fold):
                    on_stage(stage + fold)

                outcomes.append(self._train(splits, arm, seed, staged, on_step, search=not number))
            row |= _mean([outcome["row"] for outcome in outcomes])
            scores = np.empty((len(self.scored), len(self.scored.class_names)), "float32")
            thresholds, fold = np.empty(len(scores)), np.empty(len(scores), int)
            for number, ((_, rows), outcome) in enumerate(zip(tests, outcomes, strict=True)):
                scores[rows], thresholds[rows], fold[rows] = outcome["scores"], outcome["row"]["threshold"], number
            if self.folds:
                contents |= {"fold": fold, "thresholds": thresholds}
            else:
                for name in ("labels", "patients"):
                    contents[f"validation_{name}"] = getattr(self.splits.validation, name)
                contents["validation_scores"] = outcomes[0]["validation_scores"]
            contents |= {"scores": scores, **outcomes[0]["samples"], **outcomes[0]["copies"]}
            contents["history"] = json.dumps(_mean([outcome["history"] for outcome in outcomes]))
        except Exception as error:  # a synthesizer may be a user's own code: its trial fails, the study continues
            row["status"] = f"failed: {_reason(error)}"
        row["seconds"] = round(time.perf_counter() - began, 3)
        return contents | {"row": json.dumps(row)}

    def _tests(self, seed):
        """Returns the splits whose test sets make up all scored images: `(Splits, rows of its test set)` for each."""
        if not self.folds:
            return [(self.splits, np.arange(len(self.scored)))]
        return cross_validation(self.scored, self.folds, seed=seeds_of(seed, self.random_state)[0])

    def _train(self, splits, arm, seed, on_stage, on_step, search):
        """Trains and scores one network, and searches for copies if `search` says so; see `run`.

        Returns:
            dict of `row`, `history`, `scores`, `samples` and `copies`.
        """
        began, trainer = time.perf_counter(), self.trainer
        subset_seed, synthesis_seed, network_seed = seeds_of(seed, self.random_state)
        real = training_sets.draw(splits.train, **self.draw, seed=subset_seed)
        if arm.more_real:
            real = splits.train
        if arm.real_share < 1:
            real = partition(real, [1 - arm.real_share], seed=subset_seed)[0]
        train, synthetic, pretraining, copies = real, real, {}, {}
        if arm.synthesizer is not None:
            on_stage("synthesizing")
            held_out = set(image_digests(splits.validation)) | set(image_digests(splits.test))
            if hasattr(arm.synthesizer, "validated"):  # it chooses something on the validation set
                arm = dataclasses.replace(arm, synthesizer=arm.synthesizer.validated(splits.validation))
            synthetic = synthesize(arm, real, synthesis_seed, held_out)
            if search and arm.synthesizer is not oversample:
                copies = self._search(seed, real, concatenate([splits.validation, splits.test]), synthetic)
            if arm.pretrain:
                pretraining = {"first": synthetic, "share": arm.pretrain}
            else:
                train = concatenate([real, synthetic], arm.name)
        row = {"n_real": len(real), "n_synthetic": len(synthetic) if arm.synthesizer else 0}
        synthesized = time.perf_counter()
        on_stage("training")
        options = {"augment": arm.augment, "on_step": on_step, **pretraining}
        if arm.features is not None:
            wanted = np.repeat(np.arange(len(real.class_names)), list(requested(arm, real.class_counts()).values()))
            options["more"] = functools.partial(arm.features, requested=wanted, seed=synthesis_seed)
            row["n_synthetic"] = len(wanted)
        history = trainer.train(train, splits.validation, seed=network_seed, **options)
        scoring = time.perf_counter()
        scores = trainer.predict(splits.test.images)
        history["train_accuracy"] = accuracy(train.labels, trainer.predict(train.images))
        row["train_auc"] = auc(real.labels, trainer.predict(real.images))
        validation_scores = trainer.predict(splits.validation.images)
        threshold = self._threshold(splits.validation.labels, validation_scores)
        history["synthesis_seconds"] = synthesized - began
        if getattr(arm.synthesizer, "share", None) is not None:
            history["kept_share"] = arm.synthesizer.share
        history["scoring_seconds"] += time.perf_counter() - scoring
        row["threshold"] = np.nan if threshold is None else threshold
        row |= score(splits.test.labels, scores, self.positive, threshold)
        samples = subsample(synthetic, SAMPLES)
        if arm.augment is not None:
            samples = _augmented(samples, arm.augment, network_seed)
        samples = {"samples": samples.images, "sample_labels": samples.labels}
        return {
            "row": row,
            "history": history,
            "scores": scores,
            "validation_scores": validation_scores,
            "samples": samples,
            "copies": copies,
        }

    def _search(self, seed, real, held_out, synthetic):
        """Returns what `look_for_copies` finds; arms with the same synthetic images are searched once a seed."""
        key = seed, real.fingerprint(), synthetic.fingerprint()
        if key not in self._found:
            self._found = {known: found for known, found in self._found.items() if known[0] == key[0]}
            self._found[key] = look_for_copies(real, held_out, synthetic)
        return self._found[key]

    def _threshold(self, labels, scores):
        """Returns the operating point of the labels and scores of a validation set; None with more than two classes."""
        if scores.shape[1] > 2:
            return None
        positive = 1 if self.positive is None else self.positive
        return operating_point(labels == positive, scores[:, positive], self.rule)


def make_trainer(classifier, train, recipe):
    """Returns a `training.Trainer`, or the trainer that the classifiers of `pretrained` make themselves.

    Args:
        classifier: as in `study.run`.
        train: ImageSet, for the shape of the images and the classes.
        recipe: dict, arguments of `training.Trainer`.
    """
    from synthkit.training import Trainer

    make = getattr(classifier, "trainer", functools.partial(Trainer, classifier))
    return make(train.image_shape, len(train.class_names), **recipe)


def _mean(outcomes):
    """Returns the mean of every number, or of every list of numbers of one length, of dicts with the same keys."""
    if len(outcomes) == 1:
        return outcomes[0]
    values = {key: [outcome[key] for outcome in outcomes] for key in outcomes[0]}
    return {key: np.mean(value, axis=0).tolist() for key, value in values.items()}


def seeds_of(seed, random_state=0):
    """Returns a trial's seeds of the subset of the training set, the synthetic images, and the network's training."""
    return np.random.SeedSequence([seed, random_state]).generate_state(3).tolist()


def _augmented(samples, augment, seed):
    """Returns samples as the classifier gets them in an arm with augmentation."""
    batch = to_dataset(samples, len(samples), shuffle_seed=seed, augment=augment, one_hot=True)
    images, labels = (tensor.numpy() for tensor in next(iter(batch)))
    images = np.round(images * 255).astype("uint8")
    return dataclasses.replace(samples, images=images, labels=labels.argmax(1), patients=None)


def failure(arm, seed, reason):
    """Returns the contents of the file of a trial whose process died."""
    row = dict.fromkeys(COLUMNS, np.nan) | {"arm": arm, "seed": seed, "status": f"failed: {reason}"}
    return {"row": json.dumps(row)}


def _reason(error):
    """Returns why a trial failed, on one line."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return f"out of memory; use smaller images or batches, or fewer trials at a time ({text[:200]})"
    return f"{type(error).__name__}: {text[:500]}"


def pack(splits, arms, **options):
    """Packs everything that `run_packed` needs to run any trial of a study.

    Args:
        splits: Splits.
        arms: list of Arm.
        options: further arguments of `Trials`.

    Returns:
        list: bytes, and the images of the training, validation and test set. The images are separate so that joblib
        sends them to each process only once, or not at all where the process can map the same file.
    """
    fields = [field.name for field in dataclasses.fields(ImageSet) if field.name != "images"]
    sets = [({name: getattr(imageset, name) for name in fields}, imageset.source) for imageset in splits]
    plan = cloudpickle.dumps({"sets": sets, "arms": {arm.name: arm for arm in arms}, **options})
    return [plan, *(imageset.images for imageset in splits)]


_one_at_a_time = threading.Lock()  # a worker may have several threads, but only one network and Keras random state
_unpacked = {}  # from the plan that this process used last to (Trials, arms by name)


def run_packed(plan, train, validation, test, arm, seed):
    """Runs one trial in a worker process.

    Args:
        plan, train, validation, test: as `pack` returns them.
        arm: str, name of the arm.
        seed: int.

    Returns:
        dict, as `Trials.run` returns it.
    """
    with _one_at_a_time:
        if plan not in _unpacked:
            _environment.import_tensorflow()
            options = cloudpickle.loads(plan)
            sets = zip((train, validation, test), options.pop("sets"), strict=True)
            splits = Splits(*(ImageSet(images, **fields).drawn_by(source) for images, (fields, source) in sets))
            arms = options.pop("arms")
            _unpacked.clear()
            _unpacked[plan] = Trials(splits, **options), arms
        trials, arms = _unpacked[plan]
        return trials.run(arms[arm], seed)
