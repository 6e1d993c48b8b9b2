"""The command line: `synthkit study`, `plan`, `claims`, `generate` and `prepare`, or `python -m synthkit study` …"""

import contextlib
import dataclasses
import re
import shlex
import sys
import warnings
from pathlib import Path

from synthkit import _arm_names, _environment, catalogue
from synthkit._files import used_folder
from synthkit._identity import digest
from synthkit._options import PROFILES, parser, unknown

# Options that change no trial, so that a study is found again whatever they are.
NOT_IN_THE_NAME = (
    *("out", "jobs", "scheduler", "generators"),
    *("groups", "prevalence", "threshold_probability"),
)
PRETRAINING_PHANTOMS = 4000
GENERATOR_SIZE = 64  # pixels a side; in larger images a generator takes a GPU


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


def _load(arguments, **options):
    """Loads the images that `--data` and its options name."""
    from synthkit import datasets

    for name in ("patients", "labels", "keep_aspect", "validation", "test", "group_near_duplicates", "groups"):
        options[name] = getattr(arguments, name, None)
    return datasets.load(arguments.data, arguments.image_size, progress=sys.stderr.isatty(), **options)


def _study(arguments, argv):
    names = _names(arguments)
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
        arguments.out = _default_folder(arguments)
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


def _pretraining(arguments, splits):
    """Returns the images of `--pretrain-on`; None without it."""
    from synthkit import datasets

    source = arguments.pretrain_on
    if source is None:
        return None
    if Path(source).resolve() == Path(arguments.data).resolve():
        return splits.train
    size = splits.train.image_shape[0] if source == "phantom" or Path(source).is_dir() else None
    loaded = datasets.load(source, size, train=PRETRAINING_PHANTOMS, progress=sys.stderr.isatty())
    return dataclasses.replace(loaded.train, name=source)


def _about(arguments, argv, notes, classifier, generator_size):
    """Returns what the report shall say besides the results (`study.about`)."""
    from synthkit import datasets

    about = {"commands": [shlex.join(["python", "-m", "synthkit", *argv])], "notes": notes, "source": arguments.data}
    about["split"] = datasets.split_of(arguments.data, arguments.labels, arguments.validation, arguments.test)
    about |= {"classifier": classifier.text, "group_column": arguments.groups, "generator_size": generator_size}
    about |= {
        "pretrained_on": arguments.pretrain_on,
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
        _check_folds(arguments, names)
    per_class = arguments.per_class or (profile["per_class"] if phantoms else None)
    rows = _classifiers(arguments)
    _check_features(arguments, names, rows)
    if Path(arguments.data).is_dir() and not (Path(arguments.data) / "prepare.json").exists():
        arguments.image_size = arguments.image_size or max(row.image_size for row in rows.values())
    # Each seed draws a tenth of the phantoms, so two seeds share a tenth of theirs. More would make them too similar.
    with _noted() as notes:
        splits = _load(arguments, train=20 * (per_class or 0))
        if arguments.drop_near_duplicates:
            splits = splitting.without_near_duplicates(splits)
    _check_validation(splits, per_class, phantoms)
    fixed = _fixed(arguments, names, per_class)
    planned = plan.sentence(
        splits,
        max(1, len(names) - 1),
        arguments.seeds or profile["seeds"],
        arguments.folds,
        arguments.margin,
        training_sets.overlap(splits.train, per_class=per_class, fixed=fixed),
    )
    if planned:
        print(f"plan: {planned}", file=sys.stderr)
    images = len(training_sets.rows(splits.train, per_class=per_class, fixed=fixed or bool(arguments.folds)))
    candidates = {name: (catalogue.build(row), _recipe(arguments, row, profile, images)) for name, row in rows.items()}
    name, choice = next(iter(candidates)), {}
    augment = _augment(arguments, names)
    if len(candidates) > 1:
        augmenter = catalogue.build(catalogue.AUGMENTATIONS["augmentation"])(**augment)
        progress = sys.stderr.isatty()
        draw = {"train_per_class": per_class, "fixed_training_set": fixed}
        choice = study.choose(splits, candidates, out=out, augment=augmenter, progress=progress, **draw)
        name = choice["chosen"]
        print(_choice(choice))
    classifier, recipe = candidates[name]
    settings = {"best_auc": BEST_AUC} if phantoms else {}
    if choice:
        settings["chosen"] = _choice(choice)
    generator_size = _generator_size(arguments, names, splits.train.image_shape[0])
    others = _pretraining(arguments, splits)
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
    )
    results = study.run(
        splits,
        arms,
        out=out,
        classifier=classifier,
        seeds=arguments.seeds or profile["seeds"],
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
        about=_about(arguments, argv, notes, rows[name], generator_size),
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
    names = _names(arguments)
    if arguments.classifier in (None, "auto"):
        arguments.classifier = "skin_cnn" if arguments.data == "phantom" else catalogue.AUTO[0]
    _environment.import_tensorflow()
    from synthkit import plan
    from synthkit.study import training_sets

    profile = {key: value[arguments.profile] for key, value in PROFILES.items()}
    phantoms = arguments.data == "phantom"
    per_class = arguments.per_class or (profile["per_class"] if phantoms else None)
    ((_, row),) = _classifiers(arguments).items()
    if Path(arguments.data).is_dir() and not (Path(arguments.data) / "prepare.json").exists():
        arguments.image_size = arguments.image_size or row.image_size
    splits = _load(arguments, train=20 * (per_class or 0))
    draw = {"per_class": per_class, "fixed": _fixed(arguments, names, per_class)}
    print(f"{arguments.data}: {plan.text(splits, max(1, len(names) - 1), arguments.folds, arguments.auc, draw)}")
    splits = dataclasses.replace(splits, train=training_sets.draw(splits.train, **draw))
    _print_times(arguments, names, splits, row, profile)
    return 0


def _claims(arguments, argv):
    from synthkit import claims

    single = (arguments.total, arguments.before, arguments.after)
    given = [value is not None for value in single]
    if any(given) and (not all(given) or arguments.csv):
        raise ValueError("give --total, --before and --after together, or a table of claims with --csv")
    if arguments.csv:
        published = claims.read(arguments.csv)
    else:
        published = [claims.claim(*single)] if all(given) else [*claims.claims(), *claims.LITERATURE]
    print(claims.text(published, arguments.looks))
    return 0


def _print_times(arguments, names, splits, row, profile):
    """Prints how long the arms of a study would take."""
    from synthkit import plan
    from synthkit.imageset import resize

    recipe = _recipe(arguments, row, profile, len(splits.train))
    training = plan.seconds_of_training(catalogue.build(row), splits, recipe)
    size = _generator_size(arguments, names, splits.train.image_shape[0])
    train = splits.train if size is None else resize(splits.train, size)
    seconds, epochs = {}, {name: row.epochs for name, row in catalogue.GENERATORS.items()} | (arguments.epochs or {})
    print(f"\nMinutes of {arguments.seeds} seeds on this machine, from a few timed steps:")
    for name in names:
        source = name.split()[0].replace("shuffled", "dense_cvae")
        if source in catalogue.GENERATORS and source not in seconds:
            generator = catalogue.GENERATORS[source]
            builder = catalogue.build(generator)
            seconds[source] = plan.seconds_of_generator(builder, train, epochs[source], generator.batch_size)
        print(f"  {name:24} {arguments.seeds * (training + seconds.get(source, 0.0)) / 60:.1f}")
    print("(generators are fitted once for all arms that use them; --folds multiplies both)")


def _generator_size(arguments, names, image_size):
    """Returns the pixels a side at which generators work; None is the size of the images."""
    size = arguments.generator_size or min(image_size, GENERATOR_SIZE)
    if size == image_size:
        return None
    if any(name.split()[0] in catalogue.GENERATORS for name in names):
        print(
            f"note: generators work at {size}×{size} pixels, and their images are resized to {image_size}×{image_size} "
            f"(--generator-size)",
            file=sys.stderr,
        )
    return size


def _classifiers(arguments):
    """Returns the classifiers to choose from, as a dict from name to `catalogue.Classifier`."""
    name = arguments.classifier or ("skin_cnn" if arguments.data == "phantom" else "auto")
    if name == "auto" and arguments.folds:
        name = catalogue.AUTO[0]
        print(
            f"note: with --folds every image is tested on, so none can choose a classifier; it is {name}",
            file=sys.stderr,
        )
    if name == "auto":
        return {name: catalogue.CLASSIFIERS[name] for name in catalogue.AUTO}
    weights = {None: "imagenet", "none": None}.get(arguments.weights, arguments.weights)
    row = catalogue.classifier(name, weights)
    if row.steps is None and (arguments.recipe or arguments.steps):
        raise ValueError(f"{name} is not trained in steps; remove --steps and --recipe")
    return {name: row}


def _check_features(arguments, names, rows):
    """Refuses arms that make features where the classifier may be another one than frozen features."""
    arms = [name for name in names if catalogue.makes_features(name)]
    if arms and not all(getattr(catalogue.build(row), "has_features", False) for row in rows.values()):
        raise ValueError(
            f"the arm {arms[0]} makes features of a frozen network, not images: add --classifier frozen, or remove the "
            f"arm. Received: --classifier {arguments.classifier or 'auto'}"
        )


def _check_folds(arguments, names):
    """Refuses options and arms that make no sense in a cross-validation."""
    from synthkit.study import folders

    others = {"--validation": arguments.validation, "--test": arguments.test}
    others["--drop-near-duplicates"] = arguments.drop_near_duplicates
    given = [name for name, value in others.items() if value]
    if given:
        hint = "; --group-near-duplicates keeps near-duplicates in one fold" if given[-1].startswith("--drop") else ""
        raise ValueError(f"with --folds there is no fixed test set; remove {' and '.join(given)}{hint}")
    for path in filter(None, map(_arm_names.folder, names)):
        source = folders.source(path)
        if source is not None and Path(source).expanduser().resolve() == Path(arguments.data).expanduser().resolve():
            raise ValueError(
                f"the generator of {path} was fitted on images of {source}, and with --folds every one of them is "
                "tested on; name the generator itself as an arm, which is fitted anew for every fold"
            )


def _fixed(arguments, names, per_class):
    """Returns whether all seeds are trained on the same real images.

    So they are where an arm is a folder of images: whoever made these may have used all training images, and the other
    arms must have the same ones.
    """
    paths = [path for path in map(_arm_names.folder, names) if path is not None]
    if arguments.fixed_training_set or not paths or arguments.folds:
        return arguments.fixed_training_set
    if per_class:
        print(
            f"note: the generator of {paths[0]} may have seen all training images, while a seed draws "
            f"{per_class} of each class; without --per-class all arms have the same",
            file=sys.stderr,
        )
        return False
    print(
        f"note: the generator of {paths[0]} may have seen all training images, so every seed is trained on all of them "
        "(--fixed-training-set)",
        file=sys.stderr,
    )
    return True


def _recipe(arguments, row, profile, images):
    """Returns the arguments of `training.Trainer` for a classifier."""
    if row.steps is None:
        return {}
    if arguments.recipe and arguments.steps:
        raise ValueError("--recipe determines the number of steps; remove --steps")
    recipe = {"steps": arguments.steps or row.steps[arguments.profile]}
    recipe["learning_rate"] = row.learning_rate or profile["learning_rate"]
    if arguments.recipe:
        recipe = catalogue.recipe(arguments.recipe, images)
    return recipe | ({"mixed_precision": True} if arguments.mixed_precision else {})


def _choice(choice):
    """Returns the choice of a classifier as a sentence."""
    areas = [f"{name} {max(scores.values()):.3f}" for name, scores in choice["auc"].items()]
    return (
        f"classifier: {choice['chosen']}, the best AUC with real images only, augmented or not, on "
        f"{choice['scored_on']} ({', '.join(areas)})"
    )


def _default_folder(arguments):
    """Returns the name of a study's folder, from the data and a digest of the options that determine its results.

    The same command, run again in the same place, has the same name and resumes the study; another one has another.
    """
    defaults, settings = vars(parser().parse_args(["study"])), {}
    for name, value in vars(arguments).items():
        if value == defaults[name] or name in NOT_IN_THE_NAME:
            continue  # so that an option that is added later changes no name
        is_path = name in ("data", "patients", "labels", "pretrain_on") and Path(value).exists()
        settings[name] = str(Path(value).resolve()) if is_path else value
    if arguments.arms:
        settings["arms"] = [name.strip() for name in arguments.arms.split(",")]
    path = Path(arguments.data)
    data = path.stem if path.suffix.lower() == ".npz" else path.resolve().name
    data = re.sub(r"[^\w.-]+", "-", data).strip("-.") or "data"
    return f"synthkit-study-{data}-{digest(settings)[:6]}"


def _check_validation(splits, per_class, phantoms):
    """Warns of a validation set that is larger than what a trial trains on."""
    images = len(splits.train) if per_class is None else per_class * len(splits.train.class_names)
    if len(splits.validation) > images and not phantoms:
        warnings.warn(
            f"the validation set has {len(splits.validation)} images, more than the {images} that a trial trains on; "
            "somebody with so few would not hold back that many. --validation makes it smaller for a folder of images, "
            "and --test gives the rest to the test set",
            stacklevel=2,
        )


def _augment(arguments, names):
    """Returns the arguments of the Augmenter: the mammography study's for its kind of images, upright ones for others.

    Masses have no up and down, and neither do phantoms, which simulate them. A chest film upside down is an image that
    no test set contains.
    """
    settings = arguments.augment or {}
    upright = (
        arguments.data not in ("phantom", "cbis_ddsm_crops") and not (Path(arguments.data) / "prepare.json").exists()
    )
    if not upright or "vertical_flip" in settings:
        return settings
    if any(name in ("augmentation", "elastic") or {"augmented", "filtered"} & {*name.split()} for name in names):
        warnings.warn(
            "augmentation does not turn these images upside down; where up and down mean nothing, as in microscopy or "
            "crops of skin, add --augment vertical_flip=yes",
            stacklevel=2,
        )
    return {**settings, "vertical_flip": False}


def _names(arguments):
    """Returns the names of the arms in `--arms`, or of the default ones."""
    text, phantoms = arguments.arms, arguments.data == "phantom"
    names = list(catalogue.DEFAULT_ARMS)
    if text:
        names = [catalogue.current(name.strip()) for name in text.split(",")]
        _check_folders(text, names)
    catalogue.check(names)
    if phantoms:
        return names if text else [name for name in names if name != "more_real"]
    if text and any(name.split()[:1] == ["oracle"] for name in names):
        raise ValueError("the arm oracle uses the simulator, so it exists for phantoms only; remove it from --arms")
    if not text and (arguments.fixed_training_set or (arguments.folds and arguments.command == "study")):
        names.remove("more_real")
    return [name for name in names if name != "oracle"]


def _check_folders(text, names):
    """Refuses an arm "folder:PATH" without such a folder, and says so if a comma in the path is the reason."""
    for name in names:
        path = _arm_names.folder(name)
        if path is None or Path(path).expanduser().is_dir():
            continue
        rest = text[text.index(f"folder:{path}") :].split(",")
        longer = [_arm_names.folder(",".join(rest[: i + 1]).strip()) for i in range(1, len(rest))]
        for other in longer:
            if Path(other).expanduser().is_dir():
                raise ValueError(
                    f"--arms is separated by commas, and {other} contains one: rename the folder, or link it"
                )
        raise ValueError(f"--arms: {path} is not a folder; expected one that holds a folder of images for each class")


def _generate(arguments, argv):
    _environment.import_tensorflow()
    from synthkit.generate import generate
    from synthkit.imageset import concatenate
    from synthkit.splitting import refuse_near_duplicates

    with used_folder(arguments.out, "the images") as out:
        splits = _load(arguments)
        train, held_out = splits.train, splits.validation
        if arguments.all:
            train = dataclasses.replace(concatenate(list(splits), train.name), held_out=False)
            held_out = None
        others = _pretraining(arguments, splits)
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
            splits="all" if arguments.all else "train",
            source=arguments.data,
            commands=(shlex.join(["synthkit", *argv]), None if arguments.all else _study_command(arguments)),
            progress=sys.stderr.isatty(),
        )
    print(f"{out}: {synthetic!r}")
    print(f"look at {out / 'contact_sheet.png'} and {out / 'nearest_pairs.png'}, then read {out / 'README.md'}")
    return 0


def _study_command(arguments):
    """Returns the command of a study on the same data, with the images that `generate` wrote as an arm."""
    command = ["synthkit", "study", "--data", arguments.data]
    for name in ("image_size", "patients", "labels", "validation", "test"):
        if getattr(arguments, name) is not None:
            command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    command += ["--keep-aspect"] * arguments.keep_aspect
    command += ["--group-near-duplicates"] * arguments.group_near_duplicates
    return shlex.join([*command, "--arms", f"real,augmentation,folder:{arguments.out}"])


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
