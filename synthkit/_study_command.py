"""The command `study`: from its options to its results, on the terminal and as a page."""

import contextlib
import shlex
import sys
import warnings
from pathlib import Path

from synthkit import _arm_names, _environment, _meaning, catalogue
from synthkit._files import used_folder
from synthkit._options import PROFILES


def run(arguments, argv):
    """Runs `study`; returns the exit status."""
    names = _meaning.names(arguments)
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
    _environment.import_tensorflow()
    kept = used_folder(arguments.generators, "fitted generators") if arguments.generators else contextlib.nullcontext()
    with used_folder(Path(arguments.out) / "trials", "the results"), kept:
        return _run(arguments, names, argv)


def _run(arguments, names, argv):
    from synthkit import plan, report, splitting, study
    from synthkit.datasets.phantom import BEST_AUC
    from synthkit.study import training_sets
    from synthkit.study.storage import save

    profile = {key: value[arguments.profile] for key, value in PROFILES.items()}
    out, phantoms = Path(arguments.out), arguments.data == "phantom"
    if arguments.folds:
        _meaning.check_folds(arguments, names)
    per_class = arguments.per_class or (profile["per_class"] if phantoms else None)
    rows = _meaning.classifiers(arguments)
    _meaning.check_features(arguments, names, rows)
    _meaning.choose_size(arguments, rows)
    # Each seed draws a tenth of the phantoms, so two seeds share a tenth of theirs. More would make them too similar.
    with _noted() as notes:
        splits = _meaning.load(arguments, train=20 * (per_class or 0))
        if arguments.drop_near_duplicates:
            splits = splitting.without_near_duplicates(splits)
        if arguments.folds and arguments.group_near_duplicates:  # which may lie in several sets
            splits = splitting.split(splitting.group_near_duplicates(splitting.pool(splits)), 0.2, 0.2)
        if not arguments.folds:  # which test on the images of all sets
            splits = _meaning.smaller_validation(splits, per_class)
        _meaning.check_draws(splits, per_class)
        _meaning.check_seen(splits.train.image_shape[0], rows)
    fixed = _meaning.fixed(arguments, names, per_class)
    seeds, planned = arguments.seeds or profile["seeds"], ""
    comparisons = 1 if arguments.primary else len(names) - 1
    if seeds > 2 and comparisons:
        overlap = training_sets.overlap(splits.train, per_class=per_class, fixed=fixed)
        units = _meaning.units(arguments)
        if not (out / "study.json").exists():
            plan.refuse_hopeless(splits, seeds, arguments.folds, overlap, units)
        smallest = plan.smallest_difference(splits, comparisons, seeds, arguments.folds, overlap)
        if smallest < float("inf"):
            planned = plan.sentence(smallest, splits, comparisons, seeds, arguments.folds, arguments.margin, units)
            print(f"plan: {planned}", file=sys.stderr)
    images = len(training_sets.rows(splits.train, per_class=per_class, fixed=fixed or bool(arguments.folds)))
    candidates = {
        name: (catalogue.build(row), _meaning.recipe(arguments, row, profile, images)) for name, row in rows.items()
    }
    name, choice = next(iter(candidates)), {}
    augment = _meaning.augment(arguments, names)
    if len(candidates) > 1:
        augmenter = catalogue.build(catalogue.AUGMENTATIONS["augmentation"])(**augment)
        progress = sys.stderr.isatty()
        draw = {"train_per_class": per_class, "fixed_training_set": fixed, "random_state": arguments.random_state}
        choice = study.choose(splits, candidates, out=out, augment=augmenter, progress=progress, **draw)
        name = choice["chosen"]
        print(_choice(choice))
    classifier, recipe = candidates[name]
    settings = {"best_auc": BEST_AUC} if phantoms else {}
    if choice:
        settings["chosen"] = _choice(choice)
    generator_size = _meaning.generator_size(arguments, names, splits.train.image_shape[0])
    others = _meaning.pretraining(arguments, splits)
    if others is not None and not any(map(catalogue.is_pretrained, names)):
        raise ValueError(
            'no arm has the ending pretrained, as in "diffusion pretrained"; add one, or remove --pretrain-on'
        )
    arms = catalogue.arms(
        names,
        augment=augment,
        epochs=arguments.epochs,
        ratio=profile["ratio"],
        keep=arguments.generators,
        progress=sys.stderr.isatty(),
        keep_aspect=arguments.keep_aspect,
        generator_size=generator_size,
        pretrained_on=others,
        pretrain_steps=arguments.pretrain_steps or catalogue.PRETRAIN_STEPS,
        pretrain_seed=arguments.random_state,
    )
    results = study.run(
        splits,
        arms,
        out=out,
        classifier=classifier,
        seeds=seeds,
        random_state=arguments.random_state,
        train_per_class=per_class,
        fixed_training_set=fixed,
        folds=arguments.folds,
        positive=arguments.positive,
        operating_point=arguments.operating_point,
        baseline=arguments.baseline,
        primary=arguments.primary and _arm_names.display_name(arguments.primary),
        margin=arguments.margin,
        metric=arguments.metric,
        n_jobs=arguments.jobs,
        deterministic=not arguments.nondeterministic,
        settings=settings,
        about=_about(arguments, argv, notes, rows[name], generator_size) | ({"plan": planned} if planned else {}),
        **recipe,
    )
    summary = results.summary(arguments.margin, arguments.baseline)
    save(results, summary, out)
    print(report.text(results, summary))
    print(f"\n{report.write(results, out / 'report.html', summary)}")
    failed = (results.trials["status"] != "done").sum()
    if failed:
        raise ValueError(f"{failed} trials failed: see {out / 'trials.csv'}. Run the same command to try them again")
    return 0


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
