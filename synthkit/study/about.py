"""What a study knows about its data and about itself, for the report: stored in `study.json`, and never compared."""

import numpy as np

from synthkit._environment import commit

LISTS = ("commands", "commits", "notes")  # every run of a study adds to these
SETS = {"train": "training", "validation": "validation", "test": "test"}


def describe(splits, folds=None, others=None):
    """Describes the images of a study.

    Args:
        splits: Splits.
        folds: as in `study.run`.
        others: dict of what else the report shall say, as the command line gives it.

    Returns:
        dict that JSON can hold: `sets`, from the name of a set to a dict from a class to the numbers of its images and
        of its patients; `patients`, from the name of a set to the number of its patients; `image_shape`; `groups`, the
        subgroups of the images that are tested on, if they have any; `commits`, that of the code if it is a git
        checkout; and the others.
    """
    groups = [imageset.groups for imageset in (splits if folds else [splits.test])]  # as in `splitting.pool`
    about = {"sets": {name: _counts(getattr(splits, role)) for role, name in SETS.items()}}
    about["patients"] = {name: len(np.unique(getattr(splits, role).patients)) for role, name in SETS.items()}
    about["image_shape"] = list(splits.train.image_shape)
    if all(part is not None for part in groups):
        about["groups"] = np.concatenate(groups).tolist()
    code = commit()
    return about | {"commits": [code] if code else []} | (others or {})


def merged(before, now):
    """Returns what is known after one more run: what that run says, earlier commands and notes, and the first plan."""
    lists = {name: list(dict.fromkeys([*before.get(name, []), *now.get(name, [])])) for name in LISTS}
    merged = now | {name: entries for name, entries in lists.items() if entries}
    if before:  # a later plan was made with results in view
        merged = {name: value for name, value in merged.items() if name != "plan"}
        merged |= {name: before[name] for name in ("plan",) if name in before}
    return merged


def problem(about):
    """Returns what is wrong with such a dict, read from a file; None if nothing is."""
    if not isinstance(about, dict):
        return "about must be an object"
    for name in (*LISTS, "groups"):
        if not isinstance(about.get(name, []), list) or not all(isinstance(text, str) for text in about.get(name, [])):
            return f"{name} must be a list of strings"
    for name in ("source", "split", "classifier", "group_column", "pretrained_on", "plan"):
        if not isinstance(about.get(name, ""), str):
            return f"{name} must be a string"
    for name in ("prevalence", "threshold_probability"):
        if not isinstance(about.get(name, 0.5), float) or not 0 < about.get(name, 0.5) < 1:
            return f"{name} must be above 0 and below 1"
    if not isinstance(about.get("generator_size", 1), int):
        return "generator_size must be a number"
    shape, sets = about.get("image_shape", [1, 1, 1]), about.get("sets", {})
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int for side in shape):
        return "image_shape must be three numbers"
    patients = about.get("patients", {})
    if not isinstance(sets, dict) or not isinstance(patients, dict) or set(sets) != set(patients):
        return "sets and patients must be objects of the same names"
    if set(sets) not in (set(), set(SETS.values())) or not all(isinstance(counts, dict) for counts in sets.values()):
        return f"sets must be objects by the names {', '.join(SETS.values())}"
    pairs = [pair for counts in sets.values() for pair in counts.values()] + [[n, n] for n in patients.values()]
    if not all(isinstance(pair, list) and len(pair) == 2 and all(type(n) is int for n in pair) for pair in pairs):
        return "sets must hold pairs of numbers, and patients numbers"
    return None


def _counts(imageset):
    rows = {name: imageset.labels == label for label, name in enumerate(imageset.class_names)}
    return {name: [int(own.sum()), len(np.unique(imageset.patients[own]))] for name, own in rows.items()}
