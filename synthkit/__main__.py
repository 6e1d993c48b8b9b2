"""The command line: `python -m synthkit study` and `python -m synthkit prepare`."""

import asyncio
import contextlib
import sys
import textwrap
import warnings
from pathlib import Path

from synthkit import arms, environment
from synthkit.options import PROFILES, parser

WORKER_SECONDS = 30  # that a cluster's first worker may take to come


def main(argv=None):
    """Runs the command line. Returns the exit status: 0, or 2 for what the user can mend."""
    arguments = parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"synthkit|__main__")
        warnings.showwarning = _note
        try:
            with _cluster(arguments.scheduler):
                return _prepare(arguments) if arguments.command == "prepare" else _study(arguments)
        except (ValueError, OSError) as error:
            print(f"synthkit: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nsynthkit: stopped; the same command goes on where this one was", file=sys.stderr)
            return 130


@contextlib.contextmanager
def _cluster(address):
    """Sends joblib's work to a Dask cluster meanwhile; None leaves it here."""
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError("--scheduler needs Dask: pip install distributed, here and at the workers") from error
    import joblib

    with Client(address, timeout=10, set_as_default=False) as client:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except asyncio.TimeoutError as error:  # which Python 3.10 does not call TimeoutError
            raise OSError(
                f"the scheduler at {address} has no workers: start some with dask worker {address}"
            ) from error
        with joblib.parallel_config(backend="dask", client=client):
            yield


def _note(message, category, filename, lineno, file=None, line=None):
    print(f"note: {message}", file=sys.stderr)


def _study(arguments):
    profile = {key: value[arguments.profile] for key, value in PROFILES.items()}
    phantoms = arguments.data == "phantom"
    names = [name.strip() for name in arguments.arms.split(",")] if arguments.arms else list(arms.ARMS)
    arms.check(names)
    if not phantoms:
        if arguments.arms and any(name.split()[:1] == ["oracle"] for name in names):
            raise ValueError(
                "the arm oracle draws from the simulator, so it exists on phantoms only; leave it out of --arms"
            )
        names = [name for name in names if name != "oracle"]
    environment.import_tensorflow()
    from synthkit import classifiers, files, recipes, report, study
    from synthkit.leaks import without_near_copies
    from synthkit.results import save

    out = Path(arguments.out)
    files.make_folder(out / "trials", "the results")
    if arguments.generators:
        files.make_folder(arguments.generators, "fitted generators")
    per_class = arguments.per_class or (profile["per_class"] if phantoms else None)
    splits = _load(arguments, per_class)
    if arguments.drop_near_copies:
        splits = without_near_copies(splits)
    positive = arguments.positive
    if positive is None and "malignant" in splits.train.class_names:
        positive = "malignant"
    steps = arguments.steps or profile[arguments.classifier]
    recipe = {"steps": steps, "learning_rate": profile["learning_rate"]}
    if arguments.recipe and arguments.steps:
        raise ValueError("--recipe says how many steps there are; leave --steps out")
    if arguments.recipe:
        counts = splits.train.class_counts().values()
        recipe = recipes.recipe(arguments.recipe, sum(min(count, per_class or count) for count in counts))
    if arguments.mixed_precision:
        recipe["mixed_precision"] = True
    found = study.run(
        splits,
        arms.named(
            names,
            epochs=arguments.epochs,
            ratio=profile["ratio"],
            steps=arguments.steps or profile["skin_cnn"],
            learning_rate=profile["learning_rate"],
            keep=arguments.generators,
            progress=sys.stderr.isatty(),
        ),
        out=out,
        classifier=getattr(classifiers, arguments.classifier),
        seeds=arguments.seeds or profile["seeds"],
        train_per_class=per_class,
        positive=positive,
        n_jobs=arguments.jobs,
        settings={"best_auc": arms.BEST_AUC} if phantoms else {},
        **recipe,
    )
    summary = found.summary()
    save(found, summary, out)
    print(_table(summary, report.controls(summary)))
    near, others = report.near_copies(found), found.without_near_copies()
    others = others and others.summary()
    if near:
        print("\n" + "\n".join(textwrap.wrap(near, 100)))
    if others is not None:
        print("\n" + _table(others, []).rstrip())
    print(f"\n{report.write(found, out / 'report.html', summary, others)}")
    failed = (found.trials["status"] != "done").sum()
    if failed:
        raise ValueError(f"{failed} trials failed: see {out / 'trials.csv'}; the same command tries them again")
    return 0


def _prepare(arguments):
    from synthkit.datasets import prepared

    if arguments.breast_only and arguments.image != "full":
        raise ValueError("--breast-only is for full mammograms; add --image full")
    index, skipped = prepared.prepare(
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
    print(f"{out / 'skipped.csv'}: {len(skipped)} rows or files without their counterpart or unreadable")
    return 0


def _load(arguments, per_class):
    """Returns the Splits that `--data` names, at `--image-size`; of phantoms enough for `per_class` a seed."""
    from synthkit.datasets import folders, medmnist, phantom, prepared
    from synthkit.imageset import Splits, resize

    source, size = arguments.data, arguments.image_size
    is_prepared = (Path(source) / "prepare.json").exists()
    if arguments.patients and (is_prepared or not Path(source).is_dir()):
        raise ValueError("--patients is for folders of images")
    if is_prepared:
        splits = prepared.load(source)
        return Splits(*(resize(part, size) for part in splits)) if size else splits
    if source == "phantom":
        # So many that two seeds share a tenth of what they draw: seeds that share more look more alike than they are.
        return phantom.load(size or 28, train=20 * per_class, best_auc=arms.BEST_AUC)
    if Path(source).is_dir():
        return folders.load(source, size or 28, patients=arguments.patients, progress=sys.stderr.isatty())
    if source.lower() not in medmnist.INFO and not source.endswith(".npz"):
        raise ValueError(
            f"{source} is neither a file nor a folder nor a set by name; expected phantom, an npz file, a folder of "
            f"class folders, or one of {', '.join(medmnist.INFO)}"
        )
    splits = medmnist.load(source)
    return Splits(*(resize(part, size) for part in splits)) if size else splits


def _table(summary, controls):
    """Returns the verdicts as text for a terminal."""
    rows = summary[summary["metric"] == "auc"].to_dict("records")
    width = max(12, *(len(row["arm"]) for row in rows)) + 2
    lines = [f"{'arm':{width}}{'AUC':>5}  {'95 %':14}  {'difference':>10}  {'95 %':16}  {'p (Holm)':>8}  verdict"]
    for row in rows:
        line = f"{row['arm']:{width}}{row['mean']:.3f}  {row['low']:.3f} to {row['high']:.3f}  "
        if isinstance(row["verdict"], str) and row["verdict"] != "baseline":
            interval = f"{row['difference_low']:+.3f} to {row['difference_high']:+.3f}"
            line += f"{row['difference']:+10.3f}  {interval}  {row['p_holm']:8.2g}  "
        else:
            line += " " * 40
        lines.append(line + (row["verdict"] if isinstance(row["verdict"], str) else "no baseline"))
    return "\n".join(lines + [""] + [line for text in controls for line in textwrap.wrap(text, 100)])


if __name__ == "__main__":
    sys.exit(main())
