"""Before a study: which differences it could find with the images that there are, and how long it would take."""

import dataclasses
import time

import numpy as np
import pandas as pd

from synthkit import splitting
from synthkit.imageset import SPLIT_NAMES, concatenate
from synthkit.statistics import MARGIN, simulate_study, summarize
from synthkit.statistics.verdicts import FEWEST
from synthkit.study import pairs, training_sets
from synthkit.study.trial import make_trainer

STUDIES, DIFFERENCES = 15, 60  # simulated at least: studies, and differences in all of them
POWER = 0.8
EXPECTED = 0.8  # AUC with real images only, if nobody says another
CORRELATION = 0.6  # between the scores of networks of two arms; of one arm it is higher by a tenth
TRAINING_DEVIATION = 0.02  # of the difference that an arm makes, over training sets; 0.03 was measured on 50 phantoms
FEW_SEEDS = 5  # the default; with fewer, intervals are very wide
HOPELESS = 0.3  # difference in AUC from which on a study would only find what makes a mediocre classifier perfect
STEPS = 5  # of a generator or classifier that are timed
LARGEST = 64  # times the test patients that there are


def sizes(splits):
    """Returns the number of images of every class, and of patients, in each split, as a DataFrame."""
    rows = {
        SPLIT_NAMES[role]: {**images.class_counts(), "patients": len(np.unique(images.patients))}
        for role, images in zip(SPLIT_NAMES, splits, strict=True)
    }
    return pd.DataFrame(rows).T


def detectable(labels, patients, comparisons=1, seeds=5, *, folds=None, copies=1, **design):
    """Simulates studies of these test images, and returns the difference in AUC that they find with an 80 % chance.

    A simulated difference is found if it and the true one together are outside the interval of the difference.

    Args:
        labels, patients: of the test images.
        comparisons: int, number of arms besides the baseline.
        seeds: int, or several; then smaller numbers of seeds are the first of the same simulated studies.
        folds: int `(n,)`, the fold of every image in a cross-validation, or None.
        copies: int, as if there were this many times as many patients.
        design: arguments of `statistics.simulate_study`, such as auc, within, between, seed_deviation,
            training_deviation (if it is not given, `TRAINING_DEVIATION`, but 0 with folds, whose training sets are
            nearly the same for all seeds) and overlap (of training sets, `training_sets.overlap`).

    Returns:
        float; a list of them for several numbers of seeds.
    """
    labels = np.tile(labels, copies)
    patients = np.concatenate([np.char.add(np.asarray(patients, str), f"-{i}") for i in range(copies)])
    design = {"training_deviation": TRAINING_DEVIATION if folds is None else 0.0} | design
    options = {"metrics": ("auc",), "overlap": design.get("overlap", 0.0)}
    counts, found = np.atleast_1d(seeds), []
    studies = max(STUDIES, -(-DIFFERENCES // comparisons))
    for seed in range(studies):
        scores, *test = simulate_study(
            None, comparisons, counts.max(), labels=labels, patients=patients, seed=seed, **design
        )
        for count in counts:
            first = {arm: of_arm[:count] for arm, of_arm in scores.items()}
            fold_of = None if folds is None else np.tile(folds, (count, copies))
            rows = summarize(first, *test, folds=fold_of, **options).dropna(subset="difference")
            half = rows["difference_high"] - rows["difference"]
            found.append(np.concatenate([half - rows["difference"], half + rows["difference"]]))
    needed = np.quantile(np.reshape(found, (studies, len(counts), -1)), POWER, axis=(0, 2))
    if np.ndim(seeds):  # more seeds find no larger differences, except by the chance of the simulation
        return np.minimum.accumulate(needed).tolist()
    return float(needed[0])


def table(splits, comparisons=1, seeds=(3, 5, 10, 20), folds=5, **design):
    """Returns what studies with several numbers of seeds could find, with the test set and with a cross-validation.

    Args:
        splits: Splits.
        comparisons: int, number of arms besides the baseline.
        seeds: ints.
        folds: int, number of folds.
        design: as in `detectable`.

    Returns:
        pandas.DataFrame: seeds; test set and cross-validation, the smallest differences in AUC that are found with an
        80 % chance. The column of the cross-validation is left out where a class has fewer patients than folds.
    """
    test, everything = splits.test, _without_pixels(splits)
    columns = {"seeds": list(seeds), "test set": _detectable(test, comparisons, seeds, design)}
    design = {name: value for name, value in design.items() if name != "overlap"}
    try:
        fold_of = splitting.fold(everything, folds)
    except ValueError:
        return pd.DataFrame(columns)
    return pd.DataFrame(columns | {f"--folds {folds}": _detectable(everything, comparisons, seeds, design, fold_of)})


def _without_pixels(splits):
    """Returns all images as one set, each of a single black pixel: only labels and patients count here."""
    sets = [dataclasses.replace(images, images=np.zeros((len(images), 1, 1, 1), "uint8")) for images in splits]
    return concatenate(sets)


def _detectable(images, comparisons, seeds, design, folds=None):
    return detectable(images.labels, images.patients, comparisons, seeds, folds=folds, **design)


def patients_needed(test, effect=MARGIN, comparisons=1, seeds=10, **design):
    """Returns how many test patients would make a difference detectable, about; infinity if very many are not enough.

    Args:
        test: ImageSet, the test set that there is; larger ones are as if there were several times as many patients.
        effect: difference in AUC.
        comparisons, seeds, design: as in `detectable`.
    """
    number, before = len(np.unique(test.patients)), None
    copies = 1
    while copies <= LARGEST:
        now = detectable(test.labels, test.patients, comparisons, seeds, copies=copies, **design)
        if now <= effect:
            if before is None:
                return number
            fraction = np.log(before / effect) / np.log(before / now)  # on the line between the two, in logarithms
            return int(np.ceil(number * copies / 2 ** (1 - fraction)))
        before, copies = now, 2 * copies
    return np.inf


def seconds_of_generator(builder, train, epochs, batch_size):
    """Estimates how long the fit of a generator takes on this machine, from a few gradient steps.

    Args:
        builder: `builder(image_shape, num_classes)`.
        train: ImageSet, the training set.
        epochs, batch_size: ints.

    Returns:
        float, seconds.
    """
    from synthkit.pipeline import to_dataset

    model = builder(train.image_shape, len(train.class_names))
    batch = min(batch_size, len(train))
    data = to_dataset(train[np.resize(np.arange(len(train)), STEPS * batch)], batch, shuffle_seed=0)
    model.fit(data, epochs=1, verbose=0)  # builds and traces it
    began = time.perf_counter()
    model.fit(data, epochs=1, verbose=0)
    return (time.perf_counter() - began) / STEPS * epochs * -(-len(train) // batch)


def seconds_of_training(classifier, splits, recipe):
    """Estimates how long the training of a classifier takes on this machine, from a few gradient steps.

    Args:
        classifier, recipe: as in `study.run`; without steps, one whole training is timed.
        splits: Splits.

    Returns:
        float, seconds.
    """
    steps = recipe.get("steps")
    trainer = make_trainer(classifier, splits.train, recipe | ({"steps": STEPS} if steps else {}))
    trainer.train(splits.train, splits.validation, seed=0)
    began = time.perf_counter()
    trainer.train(splits.train, splits.validation, seed=1)
    return (time.perf_counter() - began) * (steps / STEPS if steps else 1)


def smallest_difference(splits, comparisons, seeds, folds=None, overlap=0.0):
    """Returns the difference in AUC that a study finds with an 80 % chance (`detectable`).

    Args:
        splits: Splits.
        comparisons: int, number of arms besides the baseline.
        seeds: int.
        folds: int, number of folds of a cross-validation, or None.
        overlap: of the training sets of two seeds (`training_sets.overlap`).

    Returns:
        float; infinity where a class has too few test patients for a verdict.
    """
    images = _without_pixels(splits) if folds else splits.test
    if _patients_of_rarest(images) < FEWEST:
        return np.inf
    fold_of = splitting.fold(images, folds) if folds else None
    return _detectable(images, comparisons, seeds, {} if folds else {"overlap": overlap % 1}, fold_of)


def _patients_of_rarest(images):
    return min(len(np.unique(images.patients[images.labels == label])) for label in range(len(images.class_names)))


def refuse_hopeless(splits, seeds, folds=None, overlap=0.0, units="patients"):
    """Refuses a study that could hardly find anything even if it had one comparison only.

    Args:
        splits, seeds, folds, overlap: as in `smallest_difference`.
        units: what counts as a patient.

    Raises:
        ValueError: if differences of `HOPELESS` in AUC are too small to find; says what to do.
    """
    smallest = smallest_difference(splits, 1, seeds, folds, overlap)
    if smallest <= HOPELESS:
        return
    images = _without_pixels(splits) if folds else splits.test
    given = f"{len(images)} test images of {len(np.unique(images.patients))} {units} and {seeds} seeds"
    reason = f"even one arm would have to change the AUC by {smallest:.2f} to be found with an 80 % chance"
    if not np.isfinite(smallest):
        reason = f"a class has test images of {_patients_of_rarest(images)} {units}, and a verdict takes {FEWEST}"
    more = max(seeds, FEW_SEEDS)
    if more > seeds and smallest_difference(splits, 1, more, folds, overlap) <= HOPELESS:
        way = f"Use --seeds {more}"
    elif not folds and smallest_difference(splits, 1, more, 5) <= HOPELESS:
        way = f"Use --folds 5 --seeds {more}, which tests on all {len(_without_pixels(splits))} images"
    else:
        way = "Collect more images"
    raise ValueError(
        f"nothing is likely to be found with {given}: {reason}. {way}; with --seeds 2 the study runs, and gives no "
        f"verdict"
    )


def sentence(smallest, splits, comparisons, seeds, folds=None, margin=MARGIN, units="patients"):
    """Returns what a study could find, as a sentence.

    Args:
        smallest: of `smallest_difference`.
        splits, comparisons, seeds, folds: as there.
        margin: differences smaller than this are too small to matter.
        units: what counts as a patient.
    """
    images = _without_pixels(splits) if folds else splits.test
    varying = "the same for all training sets" if folds else f"varying by {TRAINING_DEVIATION:g} between training sets"
    patients = len(np.unique(images.patients))
    of_patients = f" of {patients} {units}" if patients < len(images) else ""
    text = (
        f"{len(images)} test images{of_patients}, {seeds} seeds and {comparisons} "
        f"comparison{'' if comparisons == 1 else 's'}: such a study finds a difference in AUC of about {smallest:.3f} "
        f"with an 80 % chance (simulated, AUC {EXPECTED:g}, differences {varying})"
    )
    if smallest <= 2 * margin:
        return text
    more = "more seeds or test images" if folds else "more seeds, or test on more images (--test, --folds)"
    return f"{text}. To find one of {margin:g} takes {more}: see python -m synthkit plan"


def _shown(differences, room):
    """Returns a table of `table` as text, with "loss only" for differences that are larger than the AUC can gain."""
    found = differences.set_index("seeds")
    shown = found.round(3).astype(object).where(found <= room, "loss only").reset_index().to_string(index=False)
    return (
        f"{shown}\nloss only: a gain would have to be larger than {room:.2g}"
        if (found > room).any(axis=None)
        else shown
    )


def text(splits, comparisons, folds=5, expected=EXPECTED, correlation=CORRELATION, draw=None):
    """Returns the sizes of the sets, and what studies of them could find, as text for a terminal.

    Args:
        splits: Splits.
        comparisons: int, number of arms besides the baseline.
        folds: int, number of folds.
        expected: AUC with real images only.
        correlation: between the scores that networks of two arms give to the images of a class.
        draw: dict, arguments of `study.training_sets.rows`, for the training sets of the seeds.
    """
    draw = draw or {}
    design = {"auc": expected, "between": correlation, "within": min(1.0, correlation + 0.1)}
    design["overlap"] = training_sets.overlap(splits.train, **draw) % 1
    lines = [f"images of {'×'.join(map(str, splits.train.image_shape))}", str(sizes(splits))]
    near = len(pairs.find(splits, 1, {"fixed": True})[0])
    if near:
        lines.append(f"{near} of {len(splits.test)} test images look like training or validation images")
    rarest = _patients_of_rarest(splits.test)
    few = rarest < FEWEST
    if few:
        lines.append(f"No verdict with this test set: a class has {rarest} patients in it, and it takes {FEWEST}.")
    lines += [
        f"\nDifferences in AUC that a study of {comparisons + 1} arms could find with an 80 % chance, after correction",
        f"(simulated studies of these test images, AUC {expected:g} with real images only, scores of two arms",
        f"correlated by {correlation:g}; differences deviate by {TRAINING_DEVIATION:g} from training set to training",
        "set, left out for --folds):",
        _shown(table(splits, comparisons, folds=folds, **design).drop(columns=["test set"] * few), 1 - expected),
    ]
    for effect in () if few else (0.02, 0.05, 0.1):
        needed = patients_needed(splits.test, effect, comparisons, **design)
        patients = f"about {needed:,} test patients" if np.isfinite(needed) else "more test patients than can be had"
        lines.append(f"To find a difference of {effect:g} with 10 seeds and a test set takes {patients}.")
    return "\n".join(lines)
