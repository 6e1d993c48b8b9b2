"""The command line: `synthkit study`, `plan`, `claims`, `generate` and `prepare`, or `python -m synthkit study` …"""

import contextlib
import dataclasses
import shlex
import sys
import warnings
from pathlib import Path

from synthkit import _arm_names, _environment, _meaning, catalogue
from synthkit._files import used_folder
from synthkit._options import PROFILES, parser, unknown


def main(argv=None):
    """Runs the command line.

    Returns:
        int, the exit status: 0, or 2 for an error that the user can correct, or 130 if interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console may lack characters of a file's name
    argv = sys.argv[1:] if argv is None else list(argv)
    top = parser()
    arguments, words = top.parse_known_args(argv)
    if words:
        top.error(unknown(words, argv))
    commands = {"study": _study, "plan": _plan, "claims": _claims, "generate": _generate, "prepare": _prepare}
    from synthkit import _workers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"synthkit|__main__")
        warnings.showwarning = _note
        try:
            with _workers.cluster(arguments.scheduler):
                return commands[arguments.command](arguments, argv)
        except (ValueError, OSError, FloatingPointError) as error:
            print(f"synthkit: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nsynthkit: stopped; run the same command again to resume", file=sys.stderr)
            return 130


def _note(message, category, filename, lineno, file=None, line=None):
    print(f"note: {message}", file=sys.stderr)


def _study(arguments, argv):
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
        return _run_study(arguments, names, argv)


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


def _run_study(arguments, names, argv):
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


def _plan(arguments, argv):
    names = _meaning.names(arguments)
    if arguments.classifier in (None, "auto"):
        arguments.classifier = "skin_cnn" if arguments.data == "phantom" else catalogue.AUTO[0]
    _environment.import_tensorflow()
    from synthkit import plan
    from synthkit.study import training_sets

    profile = {key: value[arguments.profile] for key, value in PROFILES.items()}
    phantoms = arguments.data == "phantom"
    per_class = arguments.per_class or (profile["per_class"] if phantoms else None)
    rows = _meaning.classifiers(arguments)
    _meaning.choose_size(arguments, rows)
    (row,) = rows.values()
    splits = _meaning.load(arguments, train=20 * (per_class or 0))
    draw = {"per_class": per_class, "fixed": _meaning.fixed(arguments, names, per_class)}
    expected = arguments.folds, arguments.auc, arguments.correlation
    print(f"{arguments.data}: {plan.text(splits, max(1, len(names) - 1), *expected, draw)}")
    splits = _meaning.smaller_validation(splits, per_class)
    splits = dataclasses.replace(splits, train=training_sets.draw(splits.train, **draw))
    _print_times(arguments, names, splits, row, profile)
    return 0


def _claims(arguments, argv):
    from synthkit import claims

    areas = arguments.positives or arguments.negatives
    counts = (arguments.positives, arguments.negatives) if areas else (arguments.total,)
    single = (*counts, arguments.before, arguments.after)
    given = [value is not None for value in single]
    if any(given) and (not all(given) or arguments.csv or (areas and arguments.total)):
        raise ValueError(
            "give --total, --before and --after together; for AUCs --positives, --negatives, --before and --after; or "
            "a table of claims with --csv"
        )
    if arguments.csv:
        published = claims.read(arguments.csv)
    elif any(given):
        published = [(claims.area_claim if areas else claims.claim)(*single)]
    else:
        published = [*claims.claims(), *claims.area_claims(), *claims.LITERATURE]
    print(claims.text(published, arguments.looks))
    return 0


def _print_times(arguments, names, splits, row, profile):
    """Prints how long the arms of a study would take."""
    from synthkit import plan
    from synthkit.imageset import resize

    recipe = _meaning.recipe(arguments, row, profile, len(splits.train))
    training = plan.seconds_of_training(catalogue.build(row), splits, recipe)
    size = _meaning.generator_size(arguments, names, splits.train.image_shape[0])
    train = splits.train if size is None else resize(splits.train, size)
    seconds, epochs = {}, {name: row.epochs for name, row in catalogue.GENERATORS.items()} | (arguments.epochs or {})
    print(f"\nMinutes of {arguments.seeds} seeds on this machine, from a few timed steps:")
    total, counted = 0.0, set()
    for name in names:
        source = name.split()[0].replace("shuffled", "dense_cvae")
        if source in catalogue.GENERATORS and source not in seconds:
            generator = catalogue.GENERATORS[source]
            builder = catalogue.build(generator)
            seconds[source] = plan.seconds_of_generator(builder, train, epochs[source], generator.batch_size)
        print(f"  {name:24} {arguments.seeds * (training + seconds.get(source, 0.0)) / 60:.1f}")
        total += training + (0.0 if source in counted else seconds.get(source, 0.0))
        counted.add(source)
    print(f"  {'all of them':24} {arguments.seeds * total / 60:.1f}")
    print("(a generator is fitted once for all arms that use it; --folds K takes K times as long)")


def _choice(choice):
    """Returns the choice of a classifier as a sentence."""
    areas = [f"{name} {max(scores.values()):.3f}" for name, scores in choice["auc"].items()]
    return (
        f"classifier: {choice['chosen']}, the best AUC with real images only, augmented or not, on "
        f"{choice['scored_on']} ({', '.join(areas)})"
    )


def _generate(arguments, argv):
    _environment.import_tensorflow()
    from synthkit.generate import generate
    from synthkit.imageset import concatenate
    from synthkit.splitting import refuse_near_duplicates

    with used_folder(arguments.out, "the images") as out:
        splits = _meaning.load(arguments)
        train, held_out = splits.train, splits.validation
        if arguments.all:
            train = dataclasses.replace(concatenate(list(splits), train.name), held_out=False)
            held_out = None
        others = _meaning.pretraining(arguments, splits)
        if others is not None and not arguments.all:
            refuse_near_duplicates(others, splits.test)  # and `generate` those of the validation set
        synthetic = generate(
            train,
            arguments.generator,
            out,
            per_class=arguments.per_class,
            counts=arguments.counts,
            held_out=held_out,
            seed=arguments.seed,
            epochs=arguments.epochs,
            load=arguments.load,
            pretrained_on=others,
            pretrain_steps=arguments.pretrain_steps or catalogue.PRETRAIN_STEPS,
            splits="all" if arguments.all else "train",
            source=arguments.data,
            commands=(shlex.join(["synthkit", *argv]), None if arguments.all else _meaning.study_command(arguments)),
            progress=sys.stderr.isatty(),
        )
    print(f"{out}: {synthetic!r}")
    print(f"look at {out / 'contact_sheet.png'} and {out / 'nearest_pairs.png'}, then read {out / 'README.md'}")
    return 0


def _prepare(arguments, argv):
    from synthkit.datasets import cbis_ddsm

    if arguments.breast_only and arguments.image != "full":
        raise ValueError("--breast-only is for full mammograms; add --image full")
    with used_folder(arguments.out, "the images"):
        index, skipped = cbis_ddsm.prepare(
            arguments.cbis_ddsm,
            arguments.out,
            image=arguments.image,
            image_size=arguments.size,
            jobs=arguments.jobs or (-1 if arguments.scheduler is None else None),
            progress=sys.stderr.isatty(),
            keep_aspect=arguments.keep_aspect,
            breast_only=arguments.breast_only,
            equalization=arguments.equalization,
        )
    out = Path(arguments.out)
    print(f"{out / 'images.npy'}: {len(index)} images of {index['patient_id'].nunique()} patients")
    print(f"{out / 'skipped.csv'}: {len(skipped)} rows without a file, and files without a row or that cannot be read")
    return 0


if __name__ == "__main__":
    sys.exit(main())
