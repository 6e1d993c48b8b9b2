"""Arms × seeds → trials: the same budget for every arm, the test part scored once a trial, nothing lost to a kill."""

import json
import re
import sys
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook

from synthkit import results, workers
from synthkit.environment import versions
from synthkit.files import harmless, locked, make_folder, replacing, write
from synthkit.leaks import near_copies
from synthkit.trial import Arm, Trials, failure, oversample, pack, run_packed, shuffled

ARM_NAME = r'[^/\\:*?"<>|=+@\n-][^/\\:*?"<>|\n]*'
__all__ = ["Arm", "oversample", "run", "shuffled"]


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
    n_jobs=None,
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
        settings: dict, whatever else decides the numbers of every arm, kept and compared.
        n_jobs: trials at a time, each in a process of its own, as joblib counts: -1 for as many as there are cores,
            None for what `joblib.parallel_config` says, which may name a cluster (backend "dask" or "ray"), and for one
            in this process where it says nothing. A worker that dies costs its trial, which is run again.
        progress: whether to show bars, or a line a trial where there is no terminal and no notebook.
        recipe: of every training, arguments of `training.Trainer`; 300 steps if it says nothing.

    Returns:
        results.Results.

    So that the same seeds give the same scores, TensorFlow's deterministic operations are switched on for the rest of
    the process where there is a GPU (`tf.config.experimental.enable_op_determinism`). On a CPU they are deterministic
    anyway, and ResNet-18 takes twice the time with that switch.

    Raises:
        ValueError: for arguments that make no study, or if `out` holds trials of another study.
        OSError: if `out` cannot be written or another process is at work on it.
    """
    import tensorflow as tf

    _check(splits, arms, seeds, positive)
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    classes = splits.train.class_names
    recipe = {"steps": 300, "batch_size": 32, "learning_rate": 1e-3} | recipe
    identity = {
        "data": {part.name: part.fingerprint() for part in splits},
        "class_names": list(classes),
        "classifier": getattr(classifier, "__name__", re.sub(" at 0x[0-9a-f]+", "", str(classifier))),
        **recipe,
        "train_per_class": train_per_class,
        "positive": positive,
        **(settings or {}),
        "arms": {arm.name: _describe(arm) for arm in arms},
    }
    out = Path(out)
    make_folder(out / "trials", "the results")
    with locked(out, "a study"):
        order = _claim(out, identity, splits)
        grid = [(arm, seed) for seed in range(seeds) for arm in arms]
        rows = {key: contents["row"] for key, contents in results.read_trials(out).items()}
        todo = [(arm, seed) for arm, seed in grid if rows.get((arm.name, seed), {}).get("status") != "done"]
        options = {"classifier": classifier, "recipe": recipe, "train_per_class": train_per_class}
        options["positive"] = None if positive is None else classes.index(positive)
        with _Bars(len(grid), len(grid) - len(todo), progress) as bars:
            if workers.here(n_jobs):
                done = _one_by_one(splits, todo, out, bars, options)
            else:
                done = _spread(splits, arms, todo, out, n_jobs, options)
            for contents in done:
                row = json.loads(contents["row"])
                with replacing(results.trial_path(out, row["arm"], row["seed"])) as file:
                    np.savez_compressed(file, **contents)
                rows[row["arm"], row["seed"]] = row
                with replacing(out / "trials.csv") as file:
                    harmless(results.table(rows, order)).to_csv(file, index=False)
                bars.end(row)
        return results.load(out)


def _backup(out, arm, seed):
    return results.trial_path(out, arm.name, seed).with_suffix(".training")


def _one_by_one(splits, todo, out, bars, options):
    """Yields what the trials `todo` find, run in this process."""
    if not todo:
        return
    trials = Trials(splits, **options)
    for arm, seed in todo:
        bars.begin(arm.name, seed, trials.trainer.steps)
        yield trials.run(arm, seed, _backup(out, arm, seed), bars.say, bars.step)


def _spread(splits, arms, todo, out, n_jobs, options):
    """Yields what the trials `todo` find, in the order in which joblib's workers finish them."""
    packed = pack(splits, arms, **options)
    tasks = {(arm.name, seed): (*packed, arm.name, seed, _backup(out, arm, seed).absolute()) for arm, seed in todo}
    reason = "its process was killed twice, the second time alone; most often memory ran out"
    for key, contents in workers.run(run_packed, tasks, n_jobs):
        yield contents or failure(*key, reason)


def _describe(arm):
    """Returns what two runs of an arm must have in common."""
    augment = {} if arm.augment is None else {"augment": getattr(arm.augment, "__name__", type(arm.augment).__name__)}
    usual = {"real_share": 1.0, "balance": False, "pretrain": 0.0, "counts": None}
    ratio = {"ratio": arm.ratio} if arm.counts is None else {}
    return {**ratio, **augment, **(arm.settings or {})} | {
        k: getattr(arm, k) for k in usual if getattr(arm, k) != usual[k]
    }


def _check(splits, arms, seeds, positive):
    names = [arm.name for arm in arms]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"arms must have different names and be at least one. Received: {', '.join(names) or 'none'}")
    bad = [name for name in names if not re.fullmatch(ARM_NAME, name) or name != name.strip()]
    if bad:
        raise ValueError(
            f"an arm's name becomes a file's name and a cell of a table; it cannot hold / \\ : * ? \" < > | or begin "
            f"with = + - @. Received: {bad[0]!r}"
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


def _claim(out, identity, splits):
    """Writes `study.json`, or compares with that of the trials that are there. Returns the names of all arms."""
    path = out / "study.json"
    if not any((out / "trials").iterdir()):
        held = {**identity, "near_copies": _near_copies(splits), "versions": versions()}
        write(path, json.dumps(held, indent=1).encode())
        return list(identity["arms"])
    if not path.exists():
        raise ValueError(f"{out} holds trials without a study.json that says of what; choose another folder")
    held = results.read_settings(path)
    arms = {**held["arms"], **identity["arms"]}
    told = json.loads(json.dumps({**identity, "arms": {arm: arms[arm] for arm in held["arms"]}}))
    for key in (key for key in told | held if key not in ("near_copies", "versions")):
        before, now = held.get(key), told.get(key)
        if before != now:
            what = "images are others" if key == "data" else f"{key} is {before}, here it is {now}"
            raise ValueError(
                f"{out} holds another study's trials: its {what}. Choose another folder, or delete this one"
            )
    if arms != held["arms"] or "near_copies" not in held:
        near = held["near_copies"] if "near_copies" in held else _near_copies(splits)
        write(path, json.dumps({**held, "near_copies": near, "arms": arms}, indent=1).encode())
    return list(arms)


def _near_copies(splits):
    """Returns the places in the test part of images that nearly stand in another part as well."""
    return np.flatnonzero(near_copies(splits.test, splits.train, splits.validation)).tolist()


class _Bars:
    """A bar for the study and one for the trial under way; a line a trial where there is nothing to draw bars on."""

    def __init__(self, trials, finished, progress):
        drawable = issubclass(tqdm, tqdm_notebook) or sys.stderr.isatty()
        self.lines = progress and not drawable
        self.trials, self.done = trials, finished
        off = not (progress and drawable)
        self.study = tqdm(total=trials, initial=finished, desc="study", unit="trial", disable=off)
        self.trial = tqdm(unit="step", leave=False, position=1, disable=off)
        if finished and self.lines:
            print(f"{finished} of {trials} trials were finished before", file=sys.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.trial.close()
        self.study.close()

    def begin(self, arm, seed, steps):
        self.name, self.steps = f"{arm}, seed {seed}", steps

    def say(self, doing):
        self.trial.reset(self.steps)
        self.trial.set_description(f"{self.name}: {doing}")

    def step(self):
        self.trial.update()

    def end(self, row):
        self.done += 1
        self.study.update()
        if self.lines or row["status"] != "done":
            found = f"AUC {row['auc']:.3f}, {row['seconds']:.1f} s" if row["status"] == "done" else row["status"]
            name = f"{row['arm']}, seed {row['seed']}"
            tqdm.write(f"[{self.done}/{self.trials}] {name}: {found}", file=sys.stderr)
