"""Chooses the classifier of a study before its first trial, on real images only."""

import json

import numpy as np
from tqdm.auto import tqdm

from synthkit._environment import versions
from synthkit._files import read_json, write_json
from synthkit.splitting import fold
from synthkit.statistics import auc
from synthkit.study import checks, training_sets
from synthkit.study.trial import make_trainer, seeds_of

FEW = 50  # validation images of a class below which folds of the training set are scored instead
FOLDS = 3


def choose(
    splits,
    candidates,
    *,
    out,
    train_per_class=None,
    fixed_training_set=False,
    random_state=0,
    augment=None,
    progress=True,
):
    """Chooses the classifier with the highest AUC on real images that it was not trained on; the test set is not used.

    Each candidate is trained on the real training images of the first seed, without and with augmentation, and the
    better one counts. It is scored on the validation set; or, where that has fewer than 50 images of a class, on three
    folds of these training images, by patient.

    Args:
        splits: Splits.
        candidates: dict from a name to `(classifier, recipe)`, arguments of `study.run`.
        out: the study's folder. The choice is kept in `classifier.json`, and read from there the next time.
        train_per_class, fixed_training_set, random_state: as in `study.run`.
        augment: callable for `pipeline.to_dataset`, or None to train without augmentation only.
        progress: whether to show a progress bar.

    Returns:
        dict: "chosen", the name of the best candidate (of equals the first one); "auc", a dict from name to
        `{"real": …, "augmentation": …}`; "scored_on", a text.
    """
    checks.images(splits)
    path = out / "classifier.json"
    draw = {"per_class": train_per_class, "fixed": fixed_training_set}
    real = training_sets.draw(splits.train, **draw, seed=seeds_of(0, random_state)[0])
    small = min(splits.validation.class_counts().values()) < FEW
    settings = {
        "data": real.fingerprint() if small else [real.fingerprint(), splits.validation.fingerprint()],
        "candidates": {name: [str(value) for value in recipe.items()] for name, (_, recipe) in candidates.items()},
        "classifiers": {name: getattr(builder, "settings", {}) for name, (builder, _) in candidates.items()},
        "versions": versions(),
    }
    settings = json.loads(json.dumps(settings))
    if path.exists():
        stored = read_json(path)
        if stored.get("settings") == settings:
            return stored
    pairs = [(real, splits.validation)]
    if small:
        try:
            folds = fold(real, FOLDS, seed=0)
        except ValueError as error:
            raise ValueError(
                f"{error}. Folds of the training set choose the classifier, since the validation set is small; name "
                "one instead, as with --classifier frozen"
            ) from error
        pairs = [(real[np.flatnonzero(folds != i)], real[np.flatnonzero(folds == i)]) for i in range(FOLDS)]
    scores = {name: {} for name in candidates}
    augmentations = {"real": None} if augment is None else {"real": None, "augmentation": augment}
    total = len(candidates) * len(augmentations) * len(pairs)
    with tqdm(total=total, desc="choosing the classifier", unit="training", disable=not progress) as bar:
        for name, (classifier, recipe) in candidates.items():
            trainer = make_trainer(classifier, splits.train, recipe)
            for arm, augmentation in augmentations.items():
                areas = []
                for train, validation in pairs:
                    bar.set_postfix_str(f"{name}, {arm}")
                    trainer.train(train, validation, seed=0, augment=augmentation)
                    areas.append(auc(validation.labels, trainer.predict(validation.images)))
                    bar.update()
                scores[name][arm] = round(float(np.mean(areas)), 4)
    best = max(candidates, key=lambda name: max(scores[name].values()))
    scored_on = f"{FOLDS} folds of the training images" if small else f"{len(splits.validation)} validation images"
    choice = {"chosen": best, "auc": scores, "scored_on": scored_on, "settings": settings}
    write_json(path, choice)
    return choice
