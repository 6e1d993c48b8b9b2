"""What is checked before the first trial of a study, so that nothing is trained in vain."""

import re

from synthkit import _workers
from synthkit.splitting import pool, refuse_near_duplicates
from synthkit.statistics import MEASURES
from synthkit.statistics.verdicts import LOWER_IS_BETTER
from synthkit.study import training_sets
from synthkit.study.arms import origin, requested

POSITIVE = "malignant malign cancer positive disease diseased abnormal pneumonia tumor tumour".split()
ARM_NAME = r'[^/\\:*?"<>|=+@\n-][^/\\:*?"<>|\n]*'


def gpu(n_jobs):
    """Raises ValueError for more processes than GPUs: each would take all of the GPU's memory."""
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus and _workers.local_jobs(n_jobs) > gpus:
        raise ValueError(
            f"{gpus} GPU{'s' if gpus > 1 else ''} cannot run {_workers.local_jobs(n_jobs)} trials at a time (--jobs, "
            f"n_jobs): use --jobs {gpus}, or hide the GPU with CUDA_VISIBLE_DEVICES=-1"
        )


def positive_class(class_names):
    """Returns the positive one of two classes: the one called malignant or the like, or else the second one.

    Args:
        class_names: the classes.

    Returns:
        str; None for more than two classes, unless exactly one of them is called malignant or the like.
    """
    names = [name for name in class_names if name.casefold() in POSITIVE]
    if len(names) == 1:
        return names[0]
    return class_names[1] if len(class_names) == 2 else None


def protocol(protocol):
    """Raises ValueError for a metric that verdicts cannot be about, and for arms to compare that are none."""
    names, baseline, primary = protocol["arms"], protocol["baseline"], protocol["primary"]
    metrics = [name for name in MEASURES if name not in LOWER_IS_BETTER]
    if protocol["metric"] not in metrics:
        raise ValueError(f"metric must be one of {', '.join(metrics)}. Received: {protocol['metric']!r}")
    if baseline not in names and baseline != "real":  # without which nothing is compared
        raise ValueError(f"baseline must be one of the arms {', '.join(names)}. Received: {baseline!r}")
    if primary is not None and (primary not in names or primary == baseline):
        raise ValueError(f"primary must be one of the arms besides the baseline. Received: {primary!r}")


def settings(splits, arms, seeds, positive, random_state=0):
    """Raises ValueError for arms, a number of seeds or a positive class that are invalid, and for too small sets."""
    names = [arm.name for arm in arms]
    if not names or len(set(names)) != len(names):
        raise ValueError(
            f"a study needs at least one arm, and all arms need different names. Received: {', '.join(names) or 'none'}"
        )
    invalid = [name for name in names if not re.fullmatch(ARM_NAME, name) or name != name.strip()]
    if invalid:
        raise ValueError(
            f"an arm's name becomes a file name and a cell of a table; it cannot contain / \\ : * ? \" < > |, begin "
            f"with = + - @, or begin or end with a space. Received: {invalid[0]!r}"
        )
    if not isinstance(random_state, int) or random_state < 0:
        raise ValueError(f"random_state must be an integer of at least 0. Received: random_state={random_state}")
    if not isinstance(seeds, int) or seeds < 1:
        raise ValueError(f"seeds must be an integer of at least 1. Received: seeds={seeds}")
    for arm in arms:
        if not (0 < arm.real_share <= 1 and 0 <= arm.pretrain < 1):
            raise ValueError(
                f"{arm.name}: real_share must be above 0 and at most 1; pretrain must be at least 0 and below 1. "
                f"Received: real_share={arm.real_share}, pretrain={arm.pretrain}"
            )
        unknown = set(arm.counts or ()) - set(splits.train.class_names)
        if unknown or (arm.counts and arm.balance):
            raise ValueError(
                f"{arm.name}: the keys of counts must be among {', '.join(splits.train.class_names)}, and counts "
                f"cannot be combined with balance. Received: counts={arm.counts}, balance={arm.balance}"
            )
    images(splits)
    if positive is not None and positive not in splits.train.class_names:
        raise ValueError(f"positive must be one of {', '.join(splits.train.class_names)}. Received: {positive!r}")


def images(splits):
    """Raises ValueError if a set has fewer than 2 images of a class."""
    for imageset in splits:
        small = [f"{count} of {name}" for name, count in imageset.class_counts().items() if count < 2]
        if small:
            raise ValueError(
                f"{imageset.name} has too few images, {', '.join(small)}; a study needs at least 2 of every class. Use "
                "more images, or, without --folds, a larger --validation or --test"
            )


def suited(splits, arms, classifier, train, draw, folds):
    """Raises ValueError for arms that this classifier or these training sets cannot have.

    Args:
        splits, arms, classifier, folds: as in `run`.
        train: ImageSet from which the training sets of the seeds are drawn.
        draw: dict, arguments of `training_sets.rows`.
    """
    pretrained = [arm.name for arm in arms if arm.pretrain]
    if pretrained and not getattr(classifier, "has_steps", True):
        raise ValueError(
            f"the arm {pretrained[0]} trains on synthetic images first, and the classifier {classifier.__name__} is "
            "not trained in steps; leave out the arm, or choose another classifier (--classifier)"
        )
    features = [arm.name for arm in arms if arm.features is not None]
    if features and not getattr(classifier, "has_features", False):
        raise ValueError(
            f"the arm {features[0]} makes features of a frozen network, not images, and the classifier is "
            f"{getattr(classifier, '__name__', type(classifier).__name__)}; remove the arm, or use --classifier frozen"
        )
    learned = {id(others): others for others in (getattr(arm.synthesizer, "pretrained_on", None) for arm in arms)}
    for others in filter(None, learned.values()):
        refuse_near_duplicates(others, *([pool(splits)] if folds else [splits.validation, splits.test]))
    more = [arm.name for arm in arms if arm.more_real]
    if more and len(training_sets.draw(train, **draw)) == len(train):
        raise ValueError(
            f"the arm {more[0]} adds the real images that a seed does not draw, and every seed draws all of them; "
            "remove the arm, --fixed-training-set or --folds, or draw fewer (--per-class)"
        )


def networks(arms, classifier, train, counts):
    """Builds the classifier and calls the `check` of every synthesizer that has one, before the first trial.

    Args:
        arms, classifier: as in `run`.
        train: ImageSet.
        counts: dict from class to the number of its images in the training set of a seed.

    Returns:
        keras.Model of the classifier.

    Raises:
        ValueError: if images of this size, for example, do not suit them; names every arm with what it needs.
    """
    problems, model = {}, None
    for arm in arms:
        if hasattr(arm.synthesizer, "check"):
            wanted = requested(arm, counts)
            try:
                arm.synthesizer.check(train, wanted)
            except ValueError as error:
                problems.setdefault(str(error), []).append(arm.name)
    try:
        model = classifier(train.image_shape, len(train.class_names))
    except ValueError as error:
        problems.setdefault(str(error), []).append("classifier")
    if problems:
        raise ValueError("\n  ".join(f"{', '.join(names)}: {text}" for text, names in problems.items()))
    return model


def folders(arms, per_class, fixed, folds):
    """Raises ValueError if a seed draws half of the training images that made a folder's images may all have seen."""
    made = [(arm.name, getattr(origin(arm.synthesizer), "made_elsewhere", None)) for arm in arms]
    made = [(name, folder) for name, folder in made if folder]
    if made and not (per_class or fixed or folds):
        raise ValueError(
            f"the generator of the arm {made[0][0]} ({made[0][1]}) may have seen all training images, and without "
            "fixed_training_set=True every seed is trained on half of them, which would favour this arm"
        )


def enough(train, train_per_class):
    """Raises ValueError for a class with fewer training images than a trial draws of each."""
    counts = train.class_counts()
    small = [f"{count} of {name}" for name, count in counts.items() if count < (train_per_class or 0)]
    if small:
        raise ValueError(
            f"{train.name}: trials cannot draw {train_per_class} training images of each class, because the training "
            f"set has {', '.join(small)}. Draw {min(counts.values())} or fewer (--per-class, train_per_class=), or "
            "leave that out to train on all images, as many of each class as there are"
        )
