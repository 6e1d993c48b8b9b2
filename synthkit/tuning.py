"""A search for the simple CNN's hyperparameters: Bayesian optimisation of the validation AUC with keras-tuner.

The mammography study tuned five hyperparameters of its basic network with Optuna ("Hyperparameters with Optuna": number
of convolutional layers, filters of each, dense units, dropout, learning rate). keras-tuner is the Keras project's own
counterpart; it uses a Gaussian process instead of Optuna's tree-structured Parzen estimator. The test set plays no
role: `search` is not even given it.

keras-tuner is asked for the values of one trial at a time and given all results so far, so its proposal depends only on
the seed, the trial's number and these results. Every result is written to a file: a search that was killed resumes, and
ends with the same results. `search_together` uses keras-tuner's distributed mode instead, which cannot promise that.
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

# Smallest and largest values; the slides give none. Filters and units are the smallest value times a power of two.
SPACE = {
    "layers": (1, 4),
    "filters": (16, 128),
    "dense_units": (32, 256),
    "dropout": (0.0, 0.6),
    "learning_rate": (1e-4, 1e-2),
}
DEFAULTS = {"steps": 300, "batch_size": 32}  # of every training, unless the recipe says otherwise
OBJECTIVE = keras_tuner.Objective("val_auc", "max")
DISTRIBUTED = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


def search(train, validation, *, out, trials=30, random_trials=10, space=SPACE, seed=0, progress=True, **recipe):
    """Runs a search, or the trials of it that are not in `out` yet.

    Example:

        trials = tuning.search(splits.train, splits.validation, out="search", steps=300)
        classifier, learning_rate = tuning.best(trials)
        trainer = training.Trainer(classifier, splits.train.image_shape, 2, steps=300, learning_rate=learning_rate)

    Args:
        train: ImageSet on which every trial is trained.
        validation: ImageSet whose AUC is maximised.
        out: folder for a file per finished trial, made if missing. A later call may ask for more trials.
        trials: int, number of all trials.
        random_trials: int, number of trials with random values before the Gaussian process is used. Optuna's default is
            10, too.
        space: dict like `SPACE`, with the smallest and the largest value of each hyperparameter.
        seed: int, of the search and of every training, so that trials differ by their hyperparameters only.
        progress: whether to show a progress bar.
        recipe: further arguments of `training.Trainer`, except the learning rate; the default is 300 steps.

    Returns:
        pandas.DataFrame, as `load` returns it.

    Raises:
        ValueError: if the space has other hyperparameters, or networks with too many layers for the images, or if `out`
            has another search.
        BlockingIOError: if another process is running the search in `out`.
    """
    _check(space, train.image_shape)
    recipe, out = DEFAULTS | recipe, Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with locked(out, "a search"):
        claim(out / "search.json", _identity(train, validation, space, seed, random_trials, recipe, together=False))
        results = _read(out)
        with tqdm(total=trials, initial=len(results), desc="tuning", unit="trial", disable=not progress) as bar:
            finished = {row["trial"] for row in results}
            for number in (number for number in range(trials) if number not in finished):
                earlier = [row for row in results if row["trial"] < number]
                values = propose(earlier, number, space, random_trials, seed)
                row = {"trial": number} | _run(train, validation, values, seed, recipe)
                write_json(out / f"trial_{number:04}.json", row)
                results = sorted([*results, row], key=operator.itemgetter("trial"))
                bar.set_postfix(best_val_auc=max(row["val_auc"] or 0 for row in results))
                bar.update()
    return load(out)


def search_together(
    train, validation, *, out, trials=30, random_trials=10, space=SPACE, seed=0, progress=True, **recipe
):
    """Runs a search in several processes or on several machines, with keras-tuner's distributed mode.

    Every process calls this function with the same arguments: a chief, which hands out trials, and workers, which run
    them. The environment variables KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT are the address of the chief, for
    all processes; KERASTUNER_TUNER_ID is different for each, and begins with "chief" for the chief. The proposals are
    keras-tuner's own and depend on the order in which workers finish, so unlike those of `search` they are not
    reproducible. If a worker dies, the chief waits for it; stop and restart all processes to resume.

    Args:
        out: folder that all processes share.
        train, validation, trials, random_trials, space, seed, progress, recipe: as in `search`.

    Returns:
        pandas.DataFrame, as `load` returns it; complete in the chief, which returns last.

    Raises:
        ValueError: if the environment variables are not set, or as in `search`.
    """
    missing = [name for name in DISTRIBUTED if name not in os.environ]
    if missing:
        raise ValueError(
            f"search_together needs the environment variables {', '.join(missing)} in every process; see "
            "help(tuning.search_together)"
        )
    _check(space, train.image_shape)
    recipe, out = DEFAULTS | recipe, Path(out)
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
            except Exception as error:  # keras-tuner silently repeats the trial after any error but a FatalError
                raise keras_tuner.errors.FatalError(f"trial {trial.trial_id}: {error}") from error
            if row["status"] == "FAILED":
                raise keras_tuner.errors.FailedTrialError("the loss became NaN or infinite")
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
        pandas.DataFrame with a row for every trial, in order: trial, status ("COMPLETED", or "FAILED" if the loss
        became NaN or infinite), val_auc (the best of its checks), best_step, seconds, layers, filters_1 and so on (NaN
        for layers that the network does not have), dense_units, dropout, learning_rate.

    Raises:
        FileNotFoundError: if there is no finished trial.
    """
    rows = [row | row.pop("values") for row in _read(Path(out))]
    if not rows:
        raise FileNotFoundError(f"{out} has no finished trial; run tuning.search with out={str(out)!r} first")
    table = pd.DataFrame(rows)
    filters = sorted(name for name in table if name.startswith("filters_"))
    names = ["trial", "status", "val_auc", "best_step", "seconds", "layers", *filters]
    return table[[*names, "dense_units", "dropout", "learning_rate"]]


def best(trials):
    """Returns the classifier and the learning rate of the best trial of a search, the earliest of equals.

    Args:
        trials: DataFrame of `search` or `load`.

    Returns:
        `(classifier, learning_rate)`: a callable `(image_shape, num_classes) → keras.Model` and a float, for
        `training.Trainer` or `study.run`.

    Raises:
        ValueError: if no trial was completed.
    """
    if trials["val_auc"].notna().sum() == 0:
        raise ValueError(
            f"none of the {len(trials)} trials was completed; give a space with lower learning rates and another folder"
        )
    values = trials.loc[trials["val_auc"].idxmax()].to_dict()
    return tuned_cnn(values), float(values["learning_rate"])


def tuned_cnn(values):
    """Makes a classifier from a trial's hyperparameters.

    Args:
        values: dict with layers, filters_1 and so on, dense_units, dropout.

    Returns:
        callable `(image_shape, num_classes) → keras.Model`: `classifiers.simple_cnn` with these arguments. Its
        `__name__` contains them, so that a study can tell two of them apart.
    """
    filters = tuple(int(values[f"filters_{i + 1}"]) for i in range(int(values["layers"])))
    arguments = {"filters": filters, "dense_units": int(values["dense_units"]), "dropout": float(values["dropout"])}

    def classifier(image_shape, num_classes):
        return simple_cnn(image_shape, num_classes, **arguments)

    classifier.__name__ = f"simple_cnn({', '.join(f'{key}={value}' for key, value in arguments.items())})"
    return classifier


def propose(results, number, space=SPACE, random_trials=10, seed=0):
    """Asks keras-tuner for the hyperparameters of the next trial.

    Args:
        results: list of dicts, the results so far: trial, status, val_auc, values.
        number: int, of the next trial.
        space, random_trials, seed: as in `search`.

    Returns:
        dict from the name of a hyperparameter to its value.
    """
    trial_seed = np.random.SeedSequence([seed, number]).generate_state(1).item()
    options = {"num_initial_points": random_trials, "hyperparameters": _declared(space), "seed": trial_seed}
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(OBJECTIVE, **options)
    for row in results:
        hyperparameters = oracle.get_space()
        hyperparameters.values = row["values"]
        trial = Trial(hyperparameters, str(row["trial"]), row["status"])
        trial.score = row["val_auc"]
        oracle.trials[trial.trial_id] = trial
    with warnings.catch_warnings():
        # scikit-learn warns each time that a few trials do not determine the length scale of the Gaussian process.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return oracle.populate_space(str(number))["values"]


def _check(space, image_shape):
    """Raises ValueError if the space has other hyperparameters, or networks that do not fit the images."""
    if set(space) != set(SPACE):
        raise ValueError(f"space must have the keys {', '.join(SPACE)}. Received: {', '.join(space)}")
    most = min(image_shape[:2]).bit_length() - 1
    if space["layers"][1] > most:
        raise ValueError(
            f"each layer halves the image, and one of {min(image_shape[:2])} pixels a side can be halved {most} times. "
            f"Received: up to {space['layers'][1]} layers; give a space with fewer layers, or larger images"
        )


def _declared(space):
    """Returns the space as keras-tuner declares one; a layer's filters exist only if the network has this layer."""
    hyperparameters = keras_tuner.HyperParameters()
    fewest, most = space["layers"]
    hyperparameters.Int("layers", fewest, most)
    for i in range(1, most + 1):
        with hyperparameters.conditional_scope("layers", list(range(max(i, fewest), most + 1))):
            hyperparameters.Int(f"filters_{i}", *space["filters"], step=2, sampling="log")
    hyperparameters.Int("dense_units", *space["dense_units"], step=2, sampling="log")
    hyperparameters.Float("dropout", *space["dropout"])
    hyperparameters.Float("learning_rate", *space["learning_rate"], sampling="log")
    return hyperparameters


def _run(train, validation, values, seed, recipe):
    """Trains one trial's network. Returns its results; a diverged training is a result, too."""
    recipe = {"selection": "best"} | recipe | {"learning_rate": values["learning_rate"]}
    trainer = Trainer(tuned_cnn(values), train.image_shape, len(train.class_names), **recipe)
    try:
        history = trainer.train(train, validation, seed=seed)
    except FloatingPointError:
        return {"status": "FAILED", "val_auc": None, "best_step": None, "seconds": None, "values": values}
    seconds = round(history["step_seconds"] + history["scoring_seconds"], 3)
    scores = {"val_auc": max(history["val_auc"]), "best_step": history["best_step"], "seconds": seconds}
    return {"status": "COMPLETED"} | scores | {"values": values}


def _identity(train, validation, space, seed, random_trials, recipe, together):
    """Returns the settings that a call must share with earlier ones to resume their search."""
    settings = {"space": space, "seed": seed, "random_trials": random_trials, "recipe": recipe, "together": together}
    return {"data": [train.fingerprint(), validation.fingerprint()]} | settings


def _read(out):
    """Returns the results of the finished trials, in order."""
    return [read_json(path) for path in sorted(out.glob("trial_*.json"))]
