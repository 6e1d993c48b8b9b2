"""Arms × seeds → trials: the same budget for every arm, each test set scored once, finished trials kept."""

import json
import re
import sys
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook

from synthkit import _workers
from synthkit._environment import versions
from synthkit._files import compare, harmless, locked, make_folder, read_json, replacing, write_json
from synthkit.splitting import near_duplicates
from synthkit.study import results
from synthkit.study.trial import Trials, failure, pack, run_packed

ARM_NAME = r'[^/\\:*?"<>|=+@\n-][^/\\:*?"<>|\n]*'


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
        splits: Splits. The validation set chooses each trial's weights; the test set is scored once a trial.
        arms: list of Arm.
        out: folder for `trials/`, `trials.csv` and `study.json`, made if missing.
        classifier: callable `(image_shape, num_classes) → keras.Model`.
        seeds: int, how many; each decides the subset of the training set, the generator, its samples and the
            classifier, in the same way for all arms.
        train_per_class: real training images of each class, drawn anew for every seed; None takes all.
        positive: name of the positive class of sensitivity, specificity and F1; None for the mean over classes.
        settings: dict, whatever else determines the results of every arm; stored and compared.
        n_jobs: trials at a time, each in a process of its own, as joblib counts: -1 for as many as there are cores,
            None for what `joblib.parallel_config` says, which may name a cluster (backend "dask" or "ray"), or for one
            in this process. A trial whose worker dies is run again.
        progress: whether to show bars, or one line per trial where there is no terminal and no notebook.
        recipe: arguments of `training.Trainer` for every trial; 300 steps by default.

    Returns:
        study.Results.

    So that the same seeds give the same scores, TensorFlow's deterministic operations are switched on for the rest of
    the process where there is a GPU (`tf.config.experimental.enable_op_determinism`). On a CPU they are deterministic
    anyway, and ResNet-18 takes twice as long with that switch.

    Raises:
        ValueError: for arguments that make no study, or if `out` holds trials of another study.
        OSError: if `out` cannot be written or another process is using it.
    """
    import tensorflow as tf

    _check(splits, arms, seeds, positive)
    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()
    classes = splits.train.class_names
    recipe = {"steps": 300, "batch_size": 32, "learning_rate": 1e-3} | recipe
    identity = {
        "data": {imageset.name: imageset.fingerprint() for imageset in splits},
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
            if _workers.here(n_jobs):
                finished = _one_by_one(splits, todo, bars, options)
            else:
                finished = _spread(splits, arms, todo, n_jobs, options)
            for contents in finished:
                row = json.loads(contents["row"])
                with replacing(results.trial_path(out, row["arm"], row["seed"])) as part:
                    np.savez_compressed(part, **contents)
                rows[row["arm"], row["seed"]] = row
                with replacing(out / "trials.csv") as part:
                    harmless(results.table(rows, order)).to_csv(part, index=False)
                bars.end(row)
        return results.load(out)


def _one_by_one(splits, todo, bars, options):
    """Yields the contents of the trials `todo`, run in this process."""
    if not todo:
        return
    trials = Trials(splits, **options)
    for arm, seed in todo:
        bars.begin(arm.name, seed, trials.trainer.steps)
        yield trials.run(arm, seed, bars.stage, bars.step)


def _spread(splits, arms, todo, n_jobs, options):
    """Yields the contents of the trials `todo`, in the order in which joblib's workers finish them."""
    packed = pack(splits, arms, **options)
    tasks = {(arm.name, seed): (*packed, arm.name, seed) for arm, seed in todo}
    reason = "its process was killed twice, the second time while it ran alone; most often memory ran out"
    for key, contents in _workers.run(run_packed, tasks, n_jobs):
        yield contents or failure(*key, reason)


def _describe(arm):
    """Returns what two runs of an arm must have in common."""
    augment = {} if arm.augment is None else {"augment": getattr(arm.augment, "__name__", type(arm.augment).__name__)}
    defaults = {"real_share": 1.0, "balance": False, "pretrain": 0.0, "counts": None}
    ratio = {"ratio": arm.ratio} if arm.counts is None else {}
    changed = {name: getattr(arm, name) for name, default in defaults.items() if getattr(arm, name) != default}
    return {**ratio, **augment, **(arm.settings or {}), **changed}


def _check(splits, arms, seeds, positive):
    names = [arm.name for arm in arms]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"arms must have different names, and be at least one. Received: {', '.join(names) or 'none'}")
    bad = [name for name in names if not re.fullmatch(ARM_NAME, name) or name != name.strip()]
    if bad:
        raise ValueError(
            f"an arm's name becomes a file name and a cell of a table; it cannot contain / \\ : * ? \" < > | or begin "
            f"with = + - @. Received: {bad[0]!r}"
        )
    if not isinstance(seeds, int) or seeds < 1:
        raise ValueError(f"seeds must be an integer of at least 1. Received: seeds={seeds}")
    for arm in arms:
        if not (0 < arm.real_share <= 1 and 0 <= arm.pretrain < 1):
            raise ValueError(
                f"{arm.name}: real_share must be above 0 and at most 1, pretrain at least 0 and below 1. "
                f"Received: real_share={arm.real_share}, pretrain={arm.pretrain}"
            )
        unknown = set(arm.counts or ()) - set(splits.train.class_names)
        if unknown or (arm.counts and arm.balance):
            raise ValueError(
                f"{arm.name}: counts must be of {', '.join(splits.train.class_names)}, and cannot be combined with "
                f"balance. Received: counts={arm.counts}, balance={arm.balance}"
            )
    for imageset in splits:
        few = [f"{count} of {name}" for name, count in imageset.class_counts().items() if count < 2]
        if few:
            raise ValueError(
                f"{imageset.name} has too few images, {', '.join(few)}; a study needs at least 2 of every class"
            )
    if positive is not None and positive not in splits.train.class_names:
        raise ValueError(f"positive must be one of {', '.join(splits.train.class_names)}. Received: {positive!r}")


def _claim(out, identity, splits):
    """Writes `study.json`, or compares it with this study and adds its new arms. Returns the names of all arms."""
    path, identity = out / "study.json", json.loads(json.dumps(identity))
    if not any((out / "trials").iterdir()):
        near = np.flatnonzero(near_duplicates(splits.test, splits.train, splits.validation)).tolist()
        write_json(path, {**identity, "near_duplicates": near, "versions": versions()})
        return list(identity["arms"])
    if not path.exists():
        raise ValueError(f"{out} holds trials but no study.json that describes them; choose another folder")
    stored = read_json(path)
    known = {key: value for key, value in stored.items() if key not in ("near_duplicates", "versions")}
    arms = {**stored["arms"], **identity["arms"]}
    if stored["data"] != identity["data"]:
        raise ValueError(f"{out} holds trials on other images. Choose another folder, or delete this one")
    compare(path, known, {**identity, "arms": {arm: arms[arm] for arm in stored["arms"]}})
    if arms != stored["arms"]:
        write_json(path, {**stored, "arms": arms})
    return list(arms)


class _Bars:
    """A bar for the study and one for the current trial; one line per trial where no bars can be drawn."""

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

    def stage(self, name):
        self.trial.reset(self.steps)
        self.trial.set_description(f"{self.name}: {name}")

    def step(self):
        self.trial.update()

    def end(self, row):
        self.done += 1
        self.study.update()
        if self.lines or row["status"] != "done":
            outcome = f"AUC {row['auc']:.3f}, {row['seconds']:.1f} s" if row["status"] == "done" else row["status"]
            name = f"{row['arm']}, seed {row['seed']}"
            tqdm.write(f"[{self.done}/{self.trials}] {name}: {outcome}", file=sys.stderr)
