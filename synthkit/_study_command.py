"""The command `study`: from its options to its results, on the terminal and as a page."""

import contextlib
import shlex
import sys
import warnings
from pathlib import Path

from synthkit import _arm_names, _environment, _meaning, _option_checks, catalogue
from synthkit._files import used_folder
from synthkit._options import PROFILES


def run(arguments, argv):
    """Runs `study`; returns the exit status."""
    names = _meaning.names(arguments)
    arguments.baseline = catalogue.current(arguments.baseline.strip())
    if arguments.baseline not in names:
        names.insert(0, arguments.baseline)
        catalogue.check(names)
        print(f"note: the arm {arguments.baseline} was added, as the baseline", file=sys.stderr)
    if arguments.primary is not None:
        arguments.primary = catalogue.current(arguments.primary.strip())
        if arguments.primary not in names or arguments.primary == arguments.baseline:
            others = ", ".join(name for name in names if name != arguments.baseline)
            raise ValueError(f"--primary must be one of the arms besides the baseline: {others}")
    if arguments.out is None:
        arguments.out = _meaning.default_folder(arguments)
        print(f"results: {arguments.out} (--out chooses another folder)", file=sys.stderr)
    _option_checks.outside(arguments)
    _environment.import_tensorflow()
    kept = used_folder(arguments.generators, "fitted generators") if arguments.generators else contextlib.nullcontext()
    with used_folder(Path(arguments.out) / "trials", "the results"), kept:
        return _run(arguments, names, argv)


def _run(arguments, names, argv):
    from synthkit import report, study
    from synthkit.datasets.phantom import BEST_AUC
    from synthkit.study import checks
    from synthkit.study.storage import save

    profile = {key: value[arguments.profile] for key, value in PROFILES.items()}
    out, phantoms = Path(arguments.out), arguments.data == "phantom"
    per_class = arguments.per_class or (profile["per_class"] if phantoms else None)
    if arguments.folds:
        _option_checks.folds(arguments, names)
    _option_checks.pretraining(arguments, names)
    rows = _meaning.classifiers(arguments)
    _option_checks.features(arguments, names, rows)
    _meaning.choose_size(arguments, rows)
    with _noted() as notes:
        splits = _splits(arguments, per_class, rows)
    draw = {"per_class": per_class, "fixed": _meaning.fixed(arguments, names, per_class)}
    seeds = arguments.seeds or profile["seeds"]
    planned = _planned(arguments, splits, seeds, 1 if arguments.primary else len(names) - 1, draw)
    augment = _meaning.augment(arguments, names, splits.train.class_names)
    generator_size = _meaning.generator_size(arguments, names, splits.train.image_shape[0])
    arms = catalogue.arms(
        names,
        augment=augment,
        epochs=arguments.epochs,
        ratio=profile["ratio"],
        keep=arguments.generators,
        progress=sys.stderr.isatty(),
        keep_aspect=arguments.keep_aspect,
        generator_size=generator_size,
        pretrained_on=_meaning.pretraining(arguments, splits),
        pretrain_steps=arguments.pretrain_steps or catalogue.PRETRAIN_STEPS,
        pretrain_seed=arguments.random_state,
    )
    # Also by `study.run`, but a choice of the classifier takes minutes.
    checks.settings(splits, arms, seeds, arguments.positive, arguments.random_state)
    name, recipe, chosen = _classifier(arguments, splits, rows, profile, draw, augment)
    results = study.run(
        splits,
        arms,
        out=out,
        classifier=catalogue.build(rows[name]),
        seeds=seeds,
        random_state=arguments.random_state,
        train_per_class=per_class,
        fixed_training_set=draw["fixed"],
        folds=arguments.folds,
        positive=arguments.positive,
        operating_point=arguments.operating_point,
        baseline=_arm_names.display_name(arguments.baseline),
        primary=arguments.primary and _arm_names.display_name(arguments.primary),
        margin=arguments.margin,
        metric=arguments.metric,
        n_jobs=arguments.jobs,
        deterministic=not arguments.nondeterministic,
        settings=({"best_auc": BEST_AUC} if phantoms else {}) | ({"chosen": chosen} if chosen else {}),
        about=_about(arguments, argv, notes, rows[name], generator_size) | ({"plan": planned} if planned else {}),
        **recipe,
    )
    summary = results.summary(arguments.margin, _arm_names.display_name(arguments.baseline))
    save(results, summary, out)
    print(report.text(results, summary, arguments.margin))
    print(f"\n{report.write(results, out / 'report.html', summary, arguments.margin)}")
    failed = (results.trials["status"] != "done").sum()
    if failed:
        raise ValueError(f"{failed} trials failed: see {out / 'trials.csv'}. Run the same command to try them again")
    return 0


def _splits(arguments, per_class, rows):
    """Returns the splits of a study, checked."""
    from synthkit import splitting

    # Each seed draws a tenth of the phantoms, so two seeds share a tenth of theirs. More would make them too similar.
    splits = _meaning.load(arguments, train=20 * (per_class or 0))
    if arguments.drop_near_duplicates:
        splits = splitting.without_near_duplicates(splits)
    if arguments.folds and arguments.group_near_duplicates:  # which may lie in several sets
        splits = splitting.split(splitting.group_near_duplicates(splitting.pool(splits)), 0.2, 0.2)
    if not arguments.folds:  # which test on the images of all sets
        splits = _meaning.smaller_validation(splits, per_class)
    _option_checks.draws(splits, per_class)
    _option_checks.seen(splits.train.image_shape[0], rows)
    return splits


def _planned(arguments, splits, seeds, comparisons, draw):
    """Prints and returns what the study could find, as a sentence; "" where nothing is known.

    Raises:
        ValueError: if that is next to nothing.
    """
    from synthkit import plan
    from synthkit.study import training_sets

    if seeds <= 2 or not comparisons:
        return ""
    overlap, units = training_sets.overlap(splits.train, **draw), _meaning.units(arguments)
    if not (Path(arguments.out) / "study.json").exists():
        plan.refuse_hopeless(splits, seeds, arguments.folds, overlap, units)
    smallest = plan.smallest_difference(splits, comparisons, seeds, arguments.folds, overlap)
    if smallest == float("inf"):
        return ""
    planned = plan.sentence(
        smallest, splits, comparisons, seeds, arguments.folds, arguments.margin or plan.MARGIN, units
    )
    print(f"plan: {planned}", file=sys.stderr)
    return planned


def _classifier(arguments, splits, rows, profile, draw, augment):
    """Returns the name of the classifier, its recipe, and how it was chosen among several as a sentence, or None."""
    from synthkit import study
    from synthkit.study import training_sets

    images = len(training_sets.rows(splits.train, **draw | {"fixed": draw["fixed"] or bool(arguments.folds)}))
    recipes = {name: _meaning.recipe(arguments, row, profile, images) for name, row in rows.items()}
    if len(rows) == 1:
        (name,) = rows
        return name, recipes[name], None
    choice = study.choose(
        splits,
        {name: (catalogue.build(row), recipes[name]) for name, row in rows.items()},
        out=Path(arguments.out),
        augment=catalogue.build(catalogue.AUGMENTATIONS["augmentation"])(**augment),
        progress=sys.stderr.isatty(),
        train_per_class=draw["per_class"],
        fixed_training_set=draw["fixed"],
        random_state=arguments.random_state,
    )
    print(_choice(choice))
    return choice["chosen"], recipes[choice["chosen"]], _choice(choice)


def _about(arguments, argv, notes, classifier, generator_size):
    """Returns what the report shall say besides the results (`study.about`)."""
    from synthkit import datasets

    about = {"commands": [shlex.join(["python", "-m", "synthkit", *argv])], "notes": notes, "source": arguments.data}
    about["patients_given"] = _meaning.patients_known(arguments)
    about["grouped"] = _meaning.grouped(arguments)
    sizes = arguments.validation, arguments.test
    about["split"] = datasets.split_of(arguments.data, arguments.labels, *sizes, _meaning.units(arguments))
    if arguments.patients and not Path(arguments.patients).is_file():
        about["split"] += f" Patients are what the pattern {arguments.patients} takes from the names of the files."
    about |= {"classifier": classifier.text, "group_column": arguments.groups, "generator_size": generator_size}
    about |= {
        "pretrained_on": arguments.pretrain_on,
        "pretrain_steps": arguments.pretrain_on and (arguments.pretrain_steps or catalogue.PRETRAIN_STEPS),
        "prevalence": arguments.prevalence,
        "threshold_probability": arguments.threshold_probability,
    }
    return {name: value for name, value in about.items() if value is not None}


@contextlib.contextmanager
def _noted():
    """Yields a list that gets every note that is shown meanwhile."""
    notes, show = [], warnings.showwarning

    def keep(message, *others, **options):
        notes.append(str(message))
        show(message, *others, **options)

    warnings.showwarning = keep
    try:
        yield notes
    finally:
        warnings.showwarning = show


def _choice(choice):
    """Returns the choice of a classifier as a sentence."""
    areas = [f"{name} {max(scores.values()):.3f}" for name, scores in choice["auc"].items()]
    return (
        f"classifier: {choice['chosen']}, the best AUC with real images only, augmented or not, on "
        f"{choice['scored_on']} ({', '.join(areas)})"
    )
