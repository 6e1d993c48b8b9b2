"""The command line: `synthkit study`, `plan`, `claims`, `generate` and `prepare`, or `python -m synthkit study` …"""

import dataclasses
import shlex
import sys
import warnings
from pathlib import Path

from synthkit import _environment, _meaning, _option_checks, _study_command, catalogue
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
    commands = {
        "study": _study_command.run,
        "plan": _plan,
        "claims": _claims,
        "generate": _generate,
        "prepare": _prepare,
    }
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
    comparisons = max(1, sum(name != "real" for name in names))  # a study adds the baseline
    print(f"{arguments.data}: {plan.text(splits, comparisons, *expected, draw)}")
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


def _generate(arguments, argv):
    _environment.import_tensorflow()
    from synthkit.generate import generate
    from synthkit.imageset import concatenate
    from synthkit.splitting import refuse_near_duplicates

    _option_checks.pretraining(arguments)
    _option_checks.outside(arguments)
    _meaning.choose_size(arguments, {name: catalogue.CLASSIFIERS[name] for name in catalogue.AUTO})  # as a study does
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
            image_size=_meaning.generator_size(arguments, (), train.image_shape[0]),
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
