"""Arms × seeds → trials: the same budget for every arm, the test part scored once a trial, nothing lost to a kill."""

import dataclasses
import json
import sys
import time
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook

from synthkit import results
from synthkit.environment import versions
from synthkit.files import replacing, write
from synthkit.imageset import ImageSet, concatenate, image_digests, partition, subsample, to_dataset
from synthkit.statistics import accuracy, score
from synthkit.training import Trainer

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
    """

    name: str
    synthesizer: object = None
    ratio: float = 1.0
    augment: object = None
    real_share: float = 1.0
    balance: bool = False
    pretrain: float = 0.0
    counts: dict | None = None


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


def run(
    splits,
    arms,
    *,
    out,
    classifier,
    seeds=5,
    train_per_class=None,
    positive=None,
    settings=None,
    progress=True,
    **recipe,
):
    """Runs every trial of a study that `out` does not hold yet.

    Args:
        splits: Splits. The validation part chooses each trial's weights, the test part is scored once a trial.
        arms: list of Arm.
        out: folder for `trials/`, `trials.csv` and `study.json`, made if missing.
        classifier: callable `(image_shape, num_classes) → keras.Model`.
        seeds: int, how many; each decides the subset of the training part, the generator, what it samples and the
            classifier, alike for all arms.
        train_per_class: real training images of each class, drawn anew for every seed; None takes all.
        positive: name of the class that sensitivity, specificity and F1 speak of; None for the mean over classes.
        settings: dict, whatever else decides the numbers (a generator's epochs, say), kept and compared.
        progress: whether to show bars, or a line a trial where there is no terminal and no notebook.
        recipe: of every training, arguments of `training.Trainer`; 300 steps if it says nothing.

    Returns:
        results.Results.

    So that the same seeds give the same scores, TensorFlow's deterministic operations are switched on for the rest of
    the process where there is a GPU (`tf.config.experimental.enable_op_determinism`). On a CPU they are deterministic
    anyway, and ResNet-18 takes twice the time with that switch.

    Raises:
        ValueError: for arguments that make no study, or if `out` holds trials of another study.
        OSError: if `out` cannot be written.
    """
    import tensorflow as tf

    _check(splits, arms, seeds, positive)
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    image_shape, classes = splits.train.image_shape, splits.train.class_names
    recipe = {"steps": 300, "batch_size": 32, "learning_rate": 1e-3} | recipe
    trainer = Trainer(classifier, image_shape, len(classes), **recipe)
    identity = {
        "data": {part.name: part.fingerprint() for part in splits},
        "class_names": list(classes),
        "classifier": getattr(classifier, "__name__", str(classifier)),
        **recipe,
        "train_per_class": train_per_class,
        "positive": positive,
        **(settings or {}),
        "arms": {arm.name: _describe(arm) for arm in arms},
    }
    out = Path(out)
    order = _claim(out, identity)
    held_out = set(image_digests(splits.validation)) | set(image_digests(splits.test))
    grid = [(arm, seed) for seed in range(seeds) for arm in arms]
    rows = {key: contents["row"] for key, contents in results.read_trials(out).items()}
    todo = [(arm, seed) for arm, seed in grid if rows.get((arm.name, seed), {}).get("status") != "done"]
    label = None if positive is None else classes.index(positive)
    with _Bars(len(grid), len(grid) - len(todo), trainer.steps, progress) as bars:
        for arm, seed in todo:
            bars.begin(arm.name, seed)
            path = results.trial_path(out, arm.name, seed)
            backup = path.with_suffix(".training")
            contents = _trial(splits, arm, seed, trainer, train_per_class, label, held_out, bars, backup)
            with replacing(path) as file:
                np.savez_compressed(file, **contents)
            rows[arm.name, seed] = json.loads(contents["row"])
            with replacing(out / "trials.csv") as file:
                results.table(rows, order).to_csv(file, index=False)
            bars.end(rows[arm.name, seed])
    return results.load(out)


def _describe(arm):
    """Returns what two runs of an arm must have in common."""
    augment = {} if arm.augment is None else {"augment": getattr(arm.augment, "__name__", type(arm.augment).__name__)}
    usual = {"real_share": 1.0, "balance": False, "pretrain": 0.0, "counts": None}
    ratio = {"ratio": arm.ratio} if arm.counts is None else {}
    return {**ratio, **augment} | {k: getattr(arm, k) for k in usual if getattr(arm, k) != usual[k]}


def _check(splits, arms, seeds, positive):
    names = [arm.name for arm in arms]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"arms must have different names and be at least one. Received: {', '.join(names) or 'none'}")
    bad = [name for name in names if not name or set(name) & set('/\\:*?"<>|') or name != name.strip()]
    if bad:
        raise ValueError(
            f"an arm's name becomes a file's name and cannot hold / \\ : * ? \" < > |. Received: {bad[0]!r}"
        )
    if not isinstance(seeds, int) or seeds < 1:
        raise ValueError(f"seeds must be an integer of at least 1. Received: seeds={seeds}")
    for arm in arms:
        if not (0 < arm.real_share <= 1 and 0 <= arm.pretrain < 1):
            raise ValueError(
                f"{arm.name}: real_share must lie above 0 and up to 1, pretrain from 0 to below 1. "
                f"Received: real_share={arm.real_share}, pretrain={arm.pretrain}"
            )
        others = set(arm.counts or ()) - set(splits.train.class_names)
        if others or (arm.counts and arm.balance):
            raise ValueError(
                f"{arm.name}: counts must be of {', '.join(splits.train.class_names)}, and go without balance. "
                f"Received: counts={arm.counts}, balance={arm.balance}"
            )
    for part in splits:
        few = [f"{count} of {name}" for name, count in part.class_counts().items() if count < 2]
        if few:
            raise ValueError(
                f"{part.name} has too few images, {', '.join(few)}; a study needs at least 2 of every class"
            )
    if positive is not None and positive not in splits.train.class_names:
        raise ValueError(f"positive must be one of {', '.join(splits.train.class_names)}. Received: {positive!r}")


def make_folder(out):
    """Makes a study's folder if it is not there and tries whether it can be written.

    Raises:
        OSError: if not.
    """
    try:
        (Path(out) / "trials").mkdir(parents=True, exist_ok=True)
        write(Path(out) / "trials" / "try", b"")
        (Path(out) / "trials" / "try").unlink()
    except OSError as error:
        raise OSError(f"{out} cannot be written ({error.strerror}); choose another folder for the results") from error


def _claim(out, identity):
    """Writes `study.json`, or compares with that of the trials that are there. Returns the names of all arms."""
    make_folder(out)
    path = out / "study.json"
    if not any((out / "trials").iterdir()):
        write(path, json.dumps({**identity, "versions": versions()}, indent=1).encode())
        return list(identity["arms"])
    if not path.exists():
        raise ValueError(f"{out} holds trials without a study.json that says of what; choose another folder")
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not the JSON that a study writes ({error}); choose another folder") from error
    arms = {**held.get("arms", {}), **identity["arms"]}
    for key, value in json.loads(json.dumps(identity)).items():
        before, now = held.get(key), value
        if key == "arms":
            before, now = held.get("arms"), {arm: arms[arm] for arm in held.get("arms", {})}
        if before != now:
            what = "images are others" if key == "data" else f"{key} is {before}, here it is {now}"
            raise ValueError(
                f"{out} holds another study's trials: its {what}. Choose another folder, or delete this one"
            )
    if arms != held["arms"]:
        write(path, json.dumps({**held, "arms": arms}, indent=1).encode())
    return list(arms)


def _trial(splits, arm, seed, trainer, train_per_class, positive, held_out, bars, backup):
    """Runs one trial. Returns what its file holds: row and history as JSON, test scores, labels, patients, samples."""
    began = time.perf_counter()
    drawn, synthesis, network = np.random.SeedSequence(seed).generate_state(3).tolist()
    real = subsample(splits.train, train_per_class, seed=drawn) if train_per_class else splits.train
    if arm.real_share < 1:
        real = partition(real, [1 - arm.real_share], seed=drawn)[0]
    row = dict.fromkeys(results.COLUMNS, np.nan) | {
        "arm": arm.name,
        "seed": seed,
        "n_real": len(real),
        "n_synthetic": 0,
    }
    row |= {"steps": trainer.steps, "status": "done"}
    contents = {"labels": splits.test.labels, "patients": splits.test.patients}
    try:
        train, made, pretraining = real, real, {}
        if arm.synthesizer is not None:
            bars.say("synthesizing")
            made = synthesize(arm, real, synthesis, held_out)
            row["n_synthetic"] = len(made)
            if arm.pretrain:
                pretraining = {"first": made, "share": arm.pretrain}
            else:
                train = concatenate([real, made], arm.name)
        synthesized = time.perf_counter()
        bars.say("training")
        options = {"augment": arm.augment, "on_step": bars.step, "backup": backup, **pretraining}
        history = trainer.train(train, splits.validation, seed=network, **options)
        scoring = time.perf_counter()
        scores = trainer.predict(splits.test.images)
        history["train_accuracy"] = accuracy(train.labels, trainer.predict(train.images))
        history["synthesis_seconds"] = synthesized - began
        history["scoring_seconds"] += time.perf_counter() - scoring
        row |= score(splits.test.labels, scores, positive)
        shown = subsample(made, SAMPLES)
        if arm.augment is not None:
            given = to_dataset(shown, len(shown), shuffle_seed=network, augment=arm.augment, one_hot=True)
            images, labels = (tensor.numpy() for tensor in next(iter(given)))
            images = np.round(images * 255).astype("uint8")
            shown = dataclasses.replace(shown, images=images, labels=labels.argmax(1), patients=None)
        contents |= {"scores": scores, "samples": shown.images, "sample_labels": shown.labels}
        contents["history"] = json.dumps(history)
    except Exception as error:  # a synthesizer is anybody's code: its trial fails, the study goes on
        row["status"] = f"failed: {type(error).__name__}: {error}"
    row["seconds"] = round(time.perf_counter() - began, 3)
    return contents | {"row": json.dumps(row)}


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


class _Bars:
    """A bar for the study and one for the trial under way; a line a trial where there is nothing to draw bars on."""

    def __init__(self, trials, finished, steps, progress):
        drawable = issubclass(tqdm, tqdm_notebook) or sys.stderr.isatty()
        self.lines = progress and not drawable
        self.trials, self.done = trials, finished
        off = not (progress and drawable)
        self.study = tqdm(total=trials, initial=finished, desc="study", unit="trial", disable=off)
        self.trial = tqdm(total=steps, unit="step", leave=False, position=1, disable=off)
        if finished and self.lines:
            print(f"{finished} of {trials} trials were finished before", file=sys.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.trial.close()
        self.study.close()

    def begin(self, arm, seed):
        self.name = f"{arm}, seed {seed}"

    def say(self, doing):
        self.trial.reset()
        self.trial.set_description(f"{self.name}: {doing}")

    def step(self):
        self.trial.update()

    def end(self, row):
        self.done += 1
        self.study.update()
        if self.lines or row["status"] != "done":
            found = f"AUC {row['auc']:.3f}, {row['seconds']:.1f} s" if row["status"] == "done" else row["status"]
            tqdm.write(f"[{self.done}/{self.trials}] {self.name}: {found}", file=sys.stderr)
