"""One trial: an arm's training set, a network trained on it, and the test part scored once; here or elsewhere."""

import dataclasses
import json
import threading
import time

import cloudpickle
import numpy as np

from synthkit import environment
from synthkit.imageset import ImageSet, Splits, concatenate, image_digests, partition, subsample, to_dataset
from synthkit.results import COLUMNS
from synthkit.statistics import accuracy, score

SAMPLES = 8  # synthetic images of each class kept from every trial, to look at


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to make the training set.

    Args:
        name: what to call it.
        synthesizer: callable `(train: ImageSet, labels, seed) → ImageSet`; None for no synthetic images.
        ratio: synthetic images for every real one, in the classes' own proportions.
        augment: callable for `imageset.to_dataset`, applied to all training images; None for none.
        real_share: share of the real training images, by patient, that the arm may see; the synthesizer as well.
        balance: whether synthetic images fill every class up to the largest, instead of `ratio`.
        pretrain: share of the gradient steps that go to the synthetic images alone, before those on real images
            alone; 0 mixes them.
        counts: dict from a class's name to how many synthetic images of it, instead of `ratio`; None for none such.
        settings: dict, whatever else decides the arm's numbers (a generator's epochs, say), kept with the study and
            compared when it is gone on with; None for nothing.
    """

    name: str
    synthesizer: object = None
    ratio: float = 1.0
    augment: object = None
    real_share: float = 1.0
    balance: bool = False
    pretrain: float = 0.0
    counts: dict | None = None
    settings: dict | None = None


def oversample(train, labels, seed):
    """The synthesizer of the "oversample" control: real training images again, drawn with replacement."""
    rng = np.random.default_rng(seed)
    chosen = np.empty(len(labels), int)
    for label in np.unique(labels):
        chosen[labels == label] = rng.choice(np.flatnonzero(train.labels == label), np.sum(labels == label))
    return train[chosen]


def shuffled(synthesizer):
    """Makes the synthesizer of the "shuffled" control: the same synthetic images, their labels permuted."""

    def synthesize(train, labels, seed):
        made = synthesizer(train, labels, seed)
        return dataclasses.replace(made, labels=np.random.default_rng(seed).permutation(made.labels))

    return synthesize


class Trials:
    """Runs a study's trials, one after the other; the network is built and traced once.

    Args:
        splits: Splits.
        classifier: callable `(image_shape, num_classes) → keras.Model`.
        recipe: dict, arguments of `training.Trainer`.
        train_per_class: as in `study.run`.
        positive: label that sensitivity speaks of; None for the mean over classes.
    """

    def __init__(self, splits, classifier, recipe, train_per_class=None, positive=None):
        from synthkit.training import Trainer

        self.splits, self.train_per_class, self.positive = splits, train_per_class, positive
        self.trainer = Trainer(classifier, splits.train.image_shape, len(splits.train.class_names), **recipe)
        self.held_out = set(image_digests(splits.validation)) | set(image_digests(splits.test))

    def run(self, arm, seed, backup, say=None, on_step=None):
        """Runs one trial.

        Args:
            arm: Arm.
            seed: int.
            backup: path of the file that a killed training goes on from; None for none.
            say: callable `(what is being done)`, or None.
            on_step: callable `()`, called after every gradient step, or None.

        Returns:
            dict, what the trial's file holds: `row` and `history` as JSON, test scores, labels, patients, samples.
        """
        began = time.perf_counter()
        say = say or (lambda doing: None)
        splits, trainer = self.splits, self.trainer
        drawn, synthesis, network = np.random.SeedSequence(seed).generate_state(3).tolist()
        real = subsample(splits.train, self.train_per_class, seed=drawn) if self.train_per_class else splits.train
        if arm.real_share < 1:
            real = partition(real, [1 - arm.real_share], seed=drawn)[0]
        row = dict.fromkeys(COLUMNS, np.nan) | {"arm": arm.name, "seed": seed, "n_real": len(real), "n_synthetic": 0}
        row |= {"steps": trainer.steps, "status": "done"}
        contents = {"labels": splits.test.labels, "patients": splits.test.patients}
        try:
            train, made, pretraining = real, real, {}
            if arm.synthesizer is not None:
                say("synthesizing")
                made = synthesize(arm, real, synthesis, self.held_out)
                row["n_synthetic"] = len(made)
                if arm.pretrain:
                    pretraining = {"first": made, "share": arm.pretrain}
                else:
                    train = concatenate([real, made], arm.name)
            synthesized = time.perf_counter()
            say("training")
            options = {"augment": arm.augment, "on_step": on_step, "backup": backup, **pretraining}
            history = trainer.train(train, splits.validation, seed=network, **options)
            scoring = time.perf_counter()
            scores = trainer.predict(splits.test.images)
            history["train_accuracy"] = accuracy(train.labels, trainer.predict(train.images))
            history["synthesis_seconds"] = synthesized - began
            history["scoring_seconds"] += time.perf_counter() - scoring
            row |= score(splits.test.labels, scores, self.positive)
            shown = subsample(made, SAMPLES)
            if arm.augment is not None:
                given = to_dataset(shown, len(shown), shuffle_seed=network, augment=arm.augment, one_hot=True)
                images, labels = (tensor.numpy() for tensor in next(iter(given)))
                images = np.round(images * 255).astype("uint8")
                shown = dataclasses.replace(shown, images=images, labels=labels.argmax(1), patients=None)
            contents |= {"scores": scores, "samples": shown.images, "sample_labels": shown.labels}
            contents["history"] = json.dumps(history)
        except Exception as error:  # a synthesizer is anybody's code: its trial fails, the study goes on
            row["status"] = f"failed: {_reason(error)}"
        row["seconds"] = round(time.perf_counter() - began, 3)
        return contents | {"row": json.dumps(row)}


def failure(arm, seed, reason):
    """Returns what the file of a trial holds that ended before it could say why."""
    row = dict.fromkeys(COLUMNS, np.nan) | {"arm": arm, "seed": seed, "status": f"failed: {reason}"}
    return {"row": json.dumps(row)}


def _reason(error):
    """Returns what went wrong in a trial as a sentence of one line."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return f"out of memory; take smaller images or batches, or fewer trials at a time ({text[:200]})"
    return f"{type(error).__name__}: {text[:500]}"


def pack(splits, arms, **options):
    """Packs what `run_packed` needs to run any of a study's trials.

    Args:
        splits: Splits.
        arms: list of Arm.
        options: further arguments of `Trials`.

    Returns:
        list: bytes, and the three parts' images. They are apart so that joblib's back ends send them once to each
        process, or not at all where it can map the same file.
    """
    fields = [field.name for field in dataclasses.fields(ImageSet) if field.name != "images"]
    parts = [{name: getattr(part, name) for name in fields} for part in splits]
    plan = cloudpickle.dumps({"parts": parts, "arms": {arm.name: arm for arm in arms}, **options})
    return [plan, *(part.images for part in splits)]


_alone = threading.Lock()  # a process may have several threads for work; Keras's random state and the network are one
_unpacked = {}  # the plan that this process last worked on: (Trials, arms by name)


def run_packed(plan, train, validation, test, arm, seed, backup):
    """Runs one trial of `pack`'s plan, in whatever process this is.

    Args:
        plan, train, validation, test: as `pack` returns them.
        arm: its name.
        seed: int.
        backup: path for the training's backup, left out where its folder is not.

    Returns:
        dict, as `Trials.run`.
    """
    with _alone:
        if plan not in _unpacked:
            environment.import_tensorflow()
            told = cloudpickle.loads(plan)
            parts = zip((train, validation, test), told.pop("parts"), strict=True)
            splits = Splits(*(ImageSet(images, **part) for images, part in parts))
            arms = told.pop("arms")
            _unpacked.clear()
            _unpacked[plan] = Trials(splits, **told), arms
        trials, arms = _unpacked[plan]
        return trials.run(arms[arm], seed, backup if backup.parent.is_dir() else None)


def synthesize(arm, real, seed, held_out=frozenset()):
    """Asks an arm's synthesizer for its images and checks what comes back.

    The labels asked for are in the real images' proportions, or fill them up to the largest class, or as many as the
    arm counts, in random order.

    Raises:
        ValueError: if the arm is to balance classes that are balanced already; if the synthesizer returns other labels,
            sizes or classes than asked, or an image that stands in `held_out` (digests of the validation and test
            images).
    """
    counts = np.bincount(real.labels, minlength=len(real.class_names))
    counts = counts.max() - counts if arm.balance else np.round(counts * arm.ratio).astype(int)
    if arm.counts is not None:
        counts = np.array([arm.counts.get(name, 0) for name in real.class_names])
    if not counts.any():
        raise ValueError(f"{arm.name} has no synthetic image to ask for: the classes have {counts.max()} more to get")
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    made = arm.synthesizer(real, labels, seed)
    if not isinstance(made, ImageSet):
        raise ValueError(f"the synthesizer of {arm.name} must return an ImageSet. Received: {type(made).__name__}")
    if (
        not np.array_equal(np.sort(made.labels), np.sort(labels))
        or made.image_shape != real.image_shape
        or made.class_names != real.class_names
    ):
        raise ValueError(
            f"the synthesizer of {arm.name} was asked for {len(labels)} images of shape {real.image_shape} and "
            f"classes {real.class_names}. Received: {made!r}"
        )
    leaked = sum(digest in held_out for digest in image_digests(made))
    if leaked:
        raise ValueError(f"{leaked} images of {arm.name} stand in the validation or test part, byte for byte")
    return made
