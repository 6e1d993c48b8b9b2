"""Runs the grid of arms and seeds: the same budget for every arm, one score on the test set, finished trials kept."""

import json
import time
import warnings
from pathlib import Path

import numpy as np

from synthkit import _workers, statistics
from synthkit._environment import versions
from synthkit._files import compare, harmless, locked, make_folder, replacing, write_json
from synthkit._identity import digest, network
from synthkit.splitting import cross_validation, pool
from synthkit.study import checks, pairs, storage, training_sets
from synthkit.study.about import describe, merged
from synthkit.study.arms import origin
from synthkit.study.progress import Bars
from synthkit.study.trial import Trials, failure, pack, run_packed, seeds_of

RECIPE = {"steps": 300, "batch_size": 32, "learning_rate": 1e-3}  # of classifiers that are trained in steps


def run(
    splits,
    arms,
    *,
    out,
    classifier,
    seeds=5,
    random_state=0,
    train_per_class=None,
    fixed_training_set=False,
    folds=None,
    positive=None,
    operating_point="youden",
    baseline=None,
    primary=None,
    margin=None,
    metric=None,
    settings=None,
    about=None,
    n_jobs=None,
    progress=True,
    deterministic=True,
    **recipe,
):
    """Runs a study, or resumes one that was stopped: every trial that is not finished in the folder `out`.

    Args:
        splits: Splits. The weights of each trial are chosen on the validation set; the test set is scored once per
            trial.
        arms: list of Arm.
        out: folder for `trials/`, `trials.csv` and `study.json`; made if it is missing.
        classifier: callable `(image_shape, num_classes) → keras.Model`, or one of `pretrained`.
        seeds: int, number of seeds. Each determines the subset of the training set, the generator, its samples and the
            classifier's training, and is the same for all arms.
        random_state: int of at least 0; another one makes all seeds others. A study whose arms were chosen by what an
            earlier one showed needs another one, since chance that favoured an arm would do so again. The test images
            stay the same, and their chance with them.
        train_per_class: int, real training images of each class, newly drawn for every seed; None draws half of
            the training patients (`training_sets`). The intervals are then about training sets of this size and kind.
        fixed_training_set: whether every seed is trained on all images of the training set instead. The intervals are
            then about this training set, and say nothing about others.
        folds: int, for sets with few images: a trial trains this many networks and scores every image of all three sets
            once, by a network that was trained on other patients' images (`splitting.cross_validation`). Each seed
            draws other folds, and a network is trained on all images outside its fold, unless `train_per_class` says
            otherwise. None keeps the splits.
        positive: name of the positive class for sensitivity, specificity, predictive values and F1. None takes, of two
            classes, the one called malignant, positive, disease or the like (`positive_class`), or else the second
            one; of more classes the mean over all.
        operating_point: rule that chooses the threshold of each trial on the validation set, with two classes:
            "youden", "sensitivity=0.9" or "specificity=0.9" (`statistics.operating_point`).
        baseline: name of the arm that the others are compared with; None for "real", if there is such an arm.
        primary: name of the arm of the main comparison, tested first and alone (`statistics.summarize`); None for none.
        margin: differences smaller than this are too small to matter; None for 0.05.
        metric: the metric that verdicts are about, one of `statistics.MEASURES`; None for "auc". Weights and
            classifiers are chosen by the AUC on the validation set all the same.
        settings: dict of whatever else determines the results of every arm; stored, and compared when resuming.
        about: dict of what else the report shall say (`about.describe`); stored, and never compared.
        n_jobs: number of trials at a time, each in a process of its own, as in joblib: -1 for one per core; None for
            the value of `joblib.parallel_config`, which may name a cluster (backend "dask" or "ray"), or else for one
            trial at a time in this process. A trial whose worker dies is run again.
        progress: whether to show progress bars, or one line per trial where there is no terminal or notebook; or a
            callable that gets a text whenever a trial or a stage of one begins (`notebook.clock`).
        deterministic: whether to use TensorFlow's deterministic operations on a GPU, where training then may take
            several times as long. A study keeps the choice. On a CPU they are deterministic anyway.
        recipe: arguments of `training.Trainer` for every trial; by default 300 steps.

    Returns:
        study.Results.

    Raises:
        ValueError: for invalid arguments, or if `out` holds trials of another study.
        OSError: if `out` cannot be written, or another process is using it.

    Before the first trial, `study.json` gets the protocol: time, arms, seeds, baseline, main comparison and margin.
    What is added later is exploratory, and does not change the verdicts of the protocol (`Results.summary`).

    The same seeds give the same scores, on a GPU only if `deterministic`. The switch for that stays on for the rest of
    the process (`tf.config.experimental.enable_op_determinism`). On a CPU operations are deterministic without it;
    with it ResNet-18 would take twice as long.
    """
    checks.gpu(n_jobs)
    classes = splits.train.class_names
    positive = positive or checks.positive_class(classes)
    checks.settings(splits, arms, seeds, positive, random_state)
    # Folds of one seed, and of two seeds, have as good as equally many images of each class.
    first = cross_validation(pool(splits), folds, seed=seeds_of(0, random_state)[0])[0][0] if folds else splits
    checks.enough(first.train, train_per_class)
    draw = {"per_class": train_per_class, "fixed": fixed_training_set or bool(folds)}
    checks.suited(splits, arms, classifier, first.train, draw, folds)
    checks.folders(arms, train_per_class, fixed_training_set, folds)
    statistics.operating_point([0, 1], [0, 1], operating_point)  # refuses an unknown rule
    model = checks.networks(arms, classifier, first.train, training_sets.draw(first.train, **draw).class_counts())
    recipe = RECIPE | recipe if getattr(classifier, "has_steps", True) else {}
    if not hasattr(classifier, "trainer"):  # those of `pretrained` choose their own
        recipe = {"selection": "one_standard_error"} | recipe
    identity = {
        "data": dict(zip(("train", "validation", "test"), (part.fingerprint() for part in splits), strict=True)),
        "class_names": list(classes),
        "classifier": getattr(classifier, "__name__", type(classifier).__name__),
        "network": digest(network(model)),
        **recipe,
        **getattr(classifier, "settings", {}),
        "train_per_class": train_per_class,
        "positive": positive,
        "operating_point": operating_point,
        **({"folds": folds} if folds else {}),
        **({"random_state": random_state} if random_state else {}),
        **({} if deterministic else {"deterministic": False}),
        "overlap": training_sets.overlap(first.train, **draw),
        **(settings or {}),
        "arms": {arm.name: _describe(arm) for arm in arms},
    }
    asked = {"baseline": baseline, "primary": primary, "margin": margin, "metric": metric}
    asked = {name: value for name, value in asked.items() if value is not None}
    protocol = {"written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    protocol |= {"arms": list(identity["arms"]), "seeds": seeds, "baseline": "real", "primary": None}
    protocol |= {"margin": statistics.MARGIN, "metric": "auc"} | asked
    checks.protocol(protocol)
    out = Path(out)
    make_folder(out / "trials", "the results")
    with locked(out, "a study"):
        about = describe(splits, folds, about)
        used = {"fixed": True} if any(arm.more_real for arm in arms) else draw  # images that any trial may train on
        arm_names = _claim(out, identity, splits, protocol, asked, used, about)
        grid = [(arm, seed) for seed in range(seeds) for arm in arms]
        rows = {key: contents["row"] for key, contents in storage.read_trials(out).items()}
        todo = [(arm, seed) for arm, seed in grid if rows.get((arm.name, seed), {}).get("status") != "done"]
        options = {"classifier": classifier, "recipe": recipe, "draw": draw, "folds": folds}
        options["random_state"] = random_state
        options["positive"] = None if positive is None else classes.index(positive)
        options |= {
            "deterministic": deterministic,
            "operating_point": operating_point,
            "features": str((out / "features").resolve()),
        }
        with Bars(len(grid), len(grid) - len(todo), progress) as bars:
            if _workers.here(n_jobs):
                finished = _one_by_one(splits, todo, bars, options)
            else:
                finished = _spread(splits, arms, todo, n_jobs, options)
            for contents in finished:
                row = json.loads(contents["row"])
                with replacing(storage.trial_path(out, row["arm"], row["seed"])) as part:
                    np.savez_compressed(part, **contents)
                rows[row["arm"], row["seed"]] = row
                with replacing(out / "trials.csv") as part:
                    harmless(storage.table(rows, arm_names)).to_csv(part, index=False)
                bars.end(row)
        return storage.load(out)


def _one_by_one(splits, todo, bars, options):
    """Runs the trials `todo` in this process. Yields the contents of their files."""
    if not todo:
        return
    trials = Trials(splits, **options)
    for arm, seed in todo:
        bars.begin(arm.name, seed, trials.trainer.steps)
        yield trials.run(arm, seed, bars.stage, bars.step)


def _spread(splits, arms, todo, n_jobs, options):
    """Runs the trials `todo` in joblib's workers. Yields the contents of their files as they finish."""
    packed = pack(splits, arms, **options)
    tasks = {(arm.name, seed): (*packed, arm.name, seed) for arm, seed in apart(todo)}
    reason = "its process was killed twice, the second time while it ran alone; the usual cause is a lack of memory"
    for key, contents in _workers.run(run_packed, tasks, n_jobs):
        yield contents or failure(*key, reason)


def apart(todo):
    """Returns trials in an order in which those that share a generator's fit seldom run at the same time.

    They would fit it twice. The second and later arms of a generator wait until other arms of the next seed have begun.

    Args:
        todo: list of `(Arm, seed)`.
    """
    fitted, order = set(), []
    for arm, seed in todo:
        source = origin(arm.synthesizer)
        fit = None if source is None else (id(source), seed)
        order.append(seed + 1.5 * (fit in fitted))
        fitted |= {fit} - {None}
    return [todo[i] for i in np.argsort(order, kind="stable")]


def _describe(arm):
    """Returns the settings that two runs of an arm must have in common."""
    augment = {} if arm.augment is None else {"augment": getattr(arm.augment, "__name__", type(arm.augment).__name__)}
    defaults = {"real_share": 1.0, "balance": False, "pretrain": 0.0, "counts": None, "more_real": False}
    ratio = {"ratio": arm.ratio} if arm.counts is None else {}
    changed = {name: getattr(arm, name) for name, default in defaults.items() if getattr(arm, name) != default}
    maker = arm.synthesizer if arm.features is None else arm.features
    code = {} if maker is None else {"code": digest(maker)}
    return {**ratio, **code, **augment, **(arm.settings or {}), **changed}


def _claim(out, identity, splits, protocol, asked, draw, about):
    """Writes `study.json`, or compares this study with the one there and adds its new arms.

    Returns:
        list, the names of all arms.
    """
    path, identity, seeds = out / "study.json", json.loads(json.dumps(identity)), protocol["seeds"]
    if not any((out / "trials").glob("*.npz")):
        looked = _look_alikes(out, splits, seeds, draw, identity)
        write_json(path, {**identity, "protocol": protocol, **looked, "about": about, "versions": versions()})
        return list(identity["arms"])
    stored = storage.read_settings(out)
    done = [key for key, trial in storage.read_trials(out).items() if trial["row"]["status"] == "done"]
    finished = {arm for arm, _ in done}
    before = {arm: settings for arm, settings in stored["arms"].items() if arm in finished}
    arms = {**stored["arms"], **identity["arms"]}
    if stored.get("data") != identity["data"]:
        raise ValueError(f"{out} holds trials on other images. Choose another folder, or delete this one")
    hidden = ("near_duplicates", "near_duplicates_above", "versions", "arms", "protocol", "about")
    known, now = ({key: value for key, value in part.items() if key not in hidden} for part in (stored, identity))
    compare(path, known | _flat(before), now | _flat({arm: arms[arm] for arm in before}))
    changed = [arm for arm in before if before[arm].get("code") != arms[arm].get("code")]
    if changed:
        raise ValueError(
            f"the code of the arm {changed[0]} has changed since its trials were run in {out}, or an option of its "
            "generator, or an image of its folder; give the arm another name, or choose another folder"
        )
    _compare_protocols(path, stored.get("protocol", {}), asked)
    seeds = max(seeds, *(seed + 1 for _, seed in done), 1)
    now = {**stored, "arms": arms, **_look_alikes(out, splits, seeds, draw, identity)}
    now["about"] = merged(stored.get("about", {}), about)
    if now != stored:
        write_json(path, now)
    return list(arms)


def _compare_protocols(path, stored, asked):
    """Warns if a study is resumed with other questions than those that were written before its first trial."""
    changed = [name for name, value in asked.items() if value != stored.get(name, value)]
    if changed:
        said = ", ".join(f"{name} {stored[name]}, not {asked[name]}" for name in changed)
        warnings.warn(
            f"the protocol in {path} was written before the first trial and stays: {said}. What is shown for others is "
            "exploratory; for a study of its own choose another folder, or --random-state, too, if this one suggested "
            "it",
            stacklevel=4,
        )


def _look_alikes(out, splits, seeds, draw, identity):
    """Returns what `study.json` says about near-duplicates; writes their picture and table if there are any."""
    folds = identity.get("folds")
    table, limit = pairs.find(splits, seeds, draw, folds, identity.get("random_state", 0))
    if len(table):
        pairs.write(out, table, splits, folds)
    return {"near_duplicates": sorted(table["test"].tolist()), "near_duplicates_above": limit}


def _flat(arms):
    """Returns the settings of all arms but their code in one dict, for messages that name the arm and the setting."""
    every = ((f"{key} of {arm}", key, value) for arm, settings in arms.items() for key, value in settings.items())
    return {name: value for name, key, value in every if key != "code"}
