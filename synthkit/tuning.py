"""A search for the simple CNN's hyperparameters: Bayesian optimisation of the validation AUC with keras-tuner.

The mammography study tuned five hyperparameters of its basic network with Optuna ("Hyperparameters with Optuna": number
of convolutional layers, filters of each, dense units, dropout, learning rate). keras-tuner is the Keras project's own
counterpart, and its Gaussian process takes the place of Optuna's tree-structured Parzen estimator. The test part has
no part in it: `search` is not even given it.

keras-tuner is asked for one set of values at a time and told every result so far, so what it proposes depends on the
seed, the trial's number and these results alone. Every result is a file of its own: a search that is killed goes on as
if it had not been. `search_together` gives that up for keras-tuner's own distributed mode.
"""

import operator
import os
import warnings
from pathlib import Path

import keras_tuner
import numpy as np
import pandas as pd
from keras_tuner.engine.trial import Trial
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from synthkit._files import claim, locked, read_json, write_json
from synthkit.classifiers import simple_cnn
from synthkit.training import Trainer

# The smallest and the largest value; the slides give none. Filters and units are powers of two times the smallest.
SPACE = {
    "layers": (1, 4),
    "filters": (16, 128),
    "dense_units": (32, 256),
    "dropout": (0.0, 0.6),
    "learning_rate": (1e-4, 1e-2),
}
USUAL = {"steps": 300, "batch_size": 32}  # of every training, where a recipe says nothing else
OBJECTIVE = keras_tuner.Objective("val_auc", "max")
DISTRIBUTED = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


def search(train, validation, *, out, trials=30, random_trials=10, space=SPACE, seed=0, progress=True, **recipe):
    """Runs the trials of a search that `out` does not hold yet.

    Example:

        found = tuning.search(splits.train, splits.validation, out="search", steps=300)
        classifier, learning_rate = tuning.best(found)
        trainer = training.Trainer(classifier, splits.train.image_shape, 2, steps=300, learning_rate=learning_rate)

    Args:
        train: ImageSet that every trial learns from.
        validation: ImageSet whose AUC is to be as high as possible.
        out: folder, made if missing; a file for every finished trial. More trials may be asked for later.
        trials: int, how many in all.
        random_trials: int, how many are drawn at random before the Gaussian process is asked. Ten are Optuna's default.
        space: dict like `SPACE`, the smallest and the largest value of each hyperparameter.
        seed: int, of the search and of every training, so that trials differ by their hyperparameters alone.
        progress: whether to show a bar.
        recipe: of every training, arguments of `training.Trainer` but the learning rate; 300 steps if it says nothing.

    Returns:
        pandas.DataFrame, as `load` gives it.

    Raises:
        ValueError: if the space has other hyperparameters or more layers than the images have halvings, or if `out`
            holds another search.
        BlockingIOError: if another process is at work on the search in `out`.
    """
    _check(space, train.image_shape)
    recipe, out = USUAL | recipe, Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, "a search"):
        claim(out / "search.json", _identity(train, validation, space, seed, random_trials, recipe, together=False))
        found = _read(out)
        with tqdm(total=trials, initial=len(found), desc="tuning", unit="trial", disable=not progress) as bar:
            there = {row["trial"] for row in found}
            for number in (number for number in range(trials) if number not in there):
                before = [row for row in found if row["trial"] < number]
                values = propose(before, number, space, random_trials, seed)
                row = {"trial": number} | _run(train, validation, values, seed, recipe)
                write_json(out / f"trial_{number:04}.json", row)
                found = sorted([*found, row], key=operator.itemgetter("trial"))
                bar.set_postfix(best_val_auc=max(row["val_auc"] or 0 for row in found))
                bar.update()
    return load(out)


def search_together(
    train, validation, *, out, trials=30, random_trials=10, space=SPACE, seed=0, progress=True, **recipe
):
    """Runs a search in several processes or on several machines, by keras-tuner's distributed mode.

    Every process calls this with the same arguments: a chief that hands out the trials, and workers that run them. Each
    has the environment variables KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT, the chief's, and KERASTUNER_TUNER_ID,
    which begins with "chief" for the chief and is another one for every worker. The proposals are keras-tuner's own and
    depend on which worker is quick, so unlike those of `search` they cannot be had again. The chief waits for a worker
    that dies; stopped and started again, all go on with the trials that are left.

    Args:
        out: folder that all processes share.
        train, validation, trials, random_trials, space, seed, progress, recipe: as in `search`.

    Returns:
        pandas.DataFrame, as `load` gives it; whole in the chief, which comes back last.

    Raises:
        ValueError: if the environment variables are not set, else as `search`.
    """
    missing = [name for name in DISTRIBUTED if name not in os.environ]
    if missing:
        raise ValueError(f"search_together is one of several processes: set {', '.join(missing)} in each; see its help")
    _check(space, train.image_shape)
    recipe, out = USUAL | recipe, Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if os.environ["KERASTUNER_TUNER_ID"].startswith("chief"):
        claim(out / "search.json", _identity(train, validation, space, seed, random_trials, recipe, together=True))

    class Tuner(keras_tuner.BayesianOptimization):
        def run_trial(self, trial, **_):
            path = out / f"trial_{int(trial.trial_id):04}.json"
            try:
                values = trial.hyperparameters.values
                row = _run(train, validation, values, seed, recipe)
                write_json(path, {"trial": int(trial.trial_id)} | row)
            except Exception as error:  # of any other kind keras-tuner would try the trial again, and say nothing
                raise keras_tuner.errors.FatalError(f"trial {trial.trial_id}: {error}") from error
            if row["status"] == "FAILED":
                raise keras_tuner.errors.FailedTrialError("the loss stopped being a number")
            return {"val_auc": row["val_auc"]}

    tuner = Tuner(
        objective=OBJECTIVE,
        max_trials=trials,
        num_initial_points=random_trials,
        hyperparameters=_declared(space),
        tune_new_entries=False,
        allow_new_entries=False,
        seed=seed,
        directory=out,
        project_name="keras_tuner",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        tuner.search(verbose=int(progress))
    return load(out)


def load(out):
    """Reads the finished trials of a search.

    Args:
        out: folder of `search`.

    Returns:
        pandas.DataFrame, a row for every trial in their order: trial, status ("COMPLETED", or "FAILED" where the loss
        stopped being a number), val_auc (the best of its checks), best_step, seconds, layers, filters_1 and so on (NaN
        for layers that the trial has not), dense_units, dropout, learning_rate.

    Raises:
        FileNotFoundError: if there is no finished trial.
    """
    rows = [row | row.pop("values") for row in _read(Path(out))]
    if not rows:
        raise FileNotFoundError(f"{out} holds no finished trial of a search")
    table = pd.DataFrame(rows)
    filters = sorted(name for name in table if name.startswith("filters_"))
    names = ["trial", "status", "val_auc", "best_step", "seconds", "layers", *filters]
    return table[[*names, "dense_units", "dropout", "learning_rate"]]


def best(trials):
    """Returns what the best trial of a search was made of; the earliest of equals.

    Args:
        trials: DataFrame of `search` or `load`.

    Returns:
        `(classifier, learning_rate)`: a callable `(image_shape, num_classes) → keras.Model` and a float, for
        `training.Trainer` or `study.run`.

    Raises:
        ValueError: if no trial was completed.
    """
    if trials["val_auc"].notna().sum() == 0:
        raise ValueError(f"none of the {len(trials)} trials was completed; look at lower learning rates")
    values = trials.loc[trials["val_auc"].idxmax()].to_dict()
    return tuned_cnn(values), float(values["learning_rate"])


def tuned_cnn(values):
    """Makes a classifier of a trial's hyperparameters.

    Args:
        values: dict with layers, filters_1 and so on, dense_units, dropout.

    Returns:
        callable `(image_shape, num_classes) → keras.Model`: `classifiers.simple_cnn` with these arguments. They are its
        `__name__` too, so that two of them are not taken for one another.
    """
    filters = tuple(int(values[f"filters_{i + 1}"]) for i in range(int(values["layers"])))
    arguments = {"filters": filters, "dense_units": int(values["dense_units"]), "dropout": float(values["dropout"])}

    def classifier(image_shape, num_classes):
        return simple_cnn(image_shape, num_classes, **arguments)

    classifier.__name__ = f"simple_cnn({', '.join(f'{key}={value}' for key, value in arguments.items())})"
    return classifier


def propose(found, number, space=SPACE, random_trials=10, seed=0):
    """Asks keras-tuner which hyperparameters to try next.

    Args:
        found: list of dicts, the results so far: trial, status, val_auc, values.
        number: int, of the trial to propose.
        space, random_trials, seed: as in `search`.

    Returns:
        dict of values by name.
    """
    own = np.random.SeedSequence([seed, number]).generate_state(1).item()
    options = {"num_initial_points": random_trials, "hyperparameters": _declared(space), "seed": own}
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(OBJECTIVE, **options)
    for row in found:
        hyperparameters = oracle.get_space()
        hyperparameters.values = row["values"]
        trial = Trial(hyperparameters, str(row["trial"]), row["status"])
        trial.score = row["val_auc"]
        oracle.trials[trial.trial_id] = trial
    with warnings.catch_warnings():
        # A few trials do not settle the Gaussian process's length scale, and scikit-learn says so each time.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return oracle.populate_space(str(number))["values"]


def _check(space, image_shape):
    """Raises ValueError if `space` is not one of networks for such images."""
    if set(space) != set(SPACE):
        raise ValueError(f"space must say {', '.join(SPACE)}. Received: {', '.join(space)}")
    if 2 ** space["layers"][1] > min(image_shape[:2]):
        raise ValueError(
            f"{space['layers'][1]} layers halve an image of {min(image_shape[:2])} pixels more often than it allows. "
            f"Give a space with fewer, or larger images"
        )


def _declared(space):
    """Declares the space to keras-tuner. A layer's filters exist only in networks that have this layer."""
    declared = keras_tuner.HyperParameters()
    fewest, most = space["layers"]
    declared.Int("layers", fewest, most)
    for i in range(1, most + 1):
        with declared.conditional_scope("layers", list(range(max(i, fewest), most + 1))):
            declared.Int(f"filters_{i}", *space["filters"], step=2, sampling="log")
    declared.Int("dense_units", *space["dense_units"], step=2, sampling="log")
    declared.Float("dropout", *space["dropout"])
    declared.Float("learning_rate", *space["learning_rate"], sampling="log")
    return declared


def _run(train, validation, values, seed, recipe):
    """Trains one trial's network. Returns its results; a loss that is no number is one, too."""
    recipe = recipe | {"learning_rate": values["learning_rate"]}
    trainer = Trainer(tuned_cnn(values), train.image_shape, len(train.class_names), **recipe)
    try:
        history = trainer.train(train, validation, seed=seed)
    except FloatingPointError:
        return {"status": "FAILED", "val_auc": None, "best_step": None, "seconds": None, "values": values}
    seconds = round(history["step_seconds"] + history["scoring_seconds"], 3)
    found = {"val_auc": max(history["val_auc"]), "best_step": history["best_step"], "seconds": seconds}
    return {"status": "COMPLETED"} | found | {"values": values}


def _identity(train, validation, space, seed, random_trials, recipe, together):
    """Returns what two calls must have in common to go on with one search."""
    settings = {"space": space, "seed": seed, "random_trials": random_trials, "recipe": recipe, "together": together}
    return {"data": [train.fingerprint(), validation.fingerprint()]} | settings


def _read(out):
    return [read_json(path) for path in sorted(out.glob("trial_*.json"))]
