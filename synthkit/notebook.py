"""What the notebooks share: settings, one folder for results, one way to load images, a clock, the measured results.

Nothing else of synthkit uses this module, and it reads neither the profile nor the environment.
"""

import dataclasses
import json
import threading
import time
from pathlib import Path

import numpy as np

from synthkit import _files
from synthkit._identity import digest

RESULTS = "synthkit_notebooks"
EVERY = 2.0  # seconds between two updates of a clock


def settings(profiles, profile):
    """Returns the settings of one profile.

    Args:
        profiles: dict from a setting to a dict from a profile to its value.
        profile: "fast", "colab" or "full".

    Returns:
        dict from a setting to its value.

    Raises:
        ValueError: for an unknown profile.
    """
    known = list(next(iter(profiles.values())))
    if profile not in known:
        raise ValueError(f"PROFILE must be one of {', '.join(known)}. Received: {profile!r}")
    return {name: values[profile] for name, values in profiles.items()}


def folder(name, *settings):
    """Makes and returns the folder for a notebook's results: on Google Drive where that is mounted, else beside it.

    A cell that is run again finds there what it had finished, and resumes.

    Args:
        name: the number of the notebook, and the profile.
        settings: what decides the results, such as the source of the images: with others the folder is another one, so
            that nothing of another source or of a changed exercise is taken for theirs.
    """
    ending = f"-{digest(list(settings))[:8]}" if settings else ""
    path = (_files.DRIVE if _files.DRIVE.is_dir() else Path()) / RESULTS / f"{name}{ending}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def is_collection(source):
    """Returns whether a source is a download of CBIS-DDSM, with its case tables."""
    from synthkit.datasets.cbis_ddsm import TABLES

    path = Path(source)
    return path.is_dir() and any(True for name in TABLES.values() for _ in path.rglob(name))


def load(source, image_size, prepare=False, at_most=None, **options):
    """Loads the images of a notebook, the same in all of them.

    Args:
        source: as `datasets.load` takes it, or a folder with a download of CBIS-DDSM.
        image_size: pixels a side.
        prepare: whether to prepare a download of CBIS-DDSM, as the first notebook does.
        at_most: training images of a class to keep, so that a first look at a large set is short; None keeps all.
        options: of `datasets.load`, such as `patients` and `labels`.

    Returns:
        Splits.

    Raises:
        FileNotFoundError: for a download of CBIS-DDSM that notebook 1 has not prepared.
    """
    from synthkit import datasets
    from synthkit.datasets import cbis_ddsm
    from synthkit.splitting import subsample

    if is_collection(source):
        prepared = folder("prepared")
        if prepare:
            cbis_ddsm.prepare(source, prepared, image="crop", image_size=224)
        elif not (prepared / "prepare.json").exists():
            raise FileNotFoundError(f"{source} is a download of CBIS-DDSM; run notebook 1, which prepares its crops")
        source = prepared
    splits = datasets.load(source, image_size, **options)
    if at_most is None or max(splits.train.class_counts().values()) <= at_most:
        return splits
    train = subsample(splits.train, at_most)
    print(f"a first look: {len(train)} of {len(splits.train)} training images, at most {at_most} of a class")
    return dataclasses.replace(splits, train=train)


def positive(class_names):
    """Returns the label of the class that is to be found, malignant or the like; of several such classes the first."""
    from synthkit.study.checks import positive_class

    name = positive_class(class_names)
    return 0 if name is None else list(class_names).index(name)


def one_each(images, labels, count):
    """Returns `count` images of each class, those of one class after those of another."""
    return np.concatenate([images[np.flatnonzero(labels == label)[:count]] for label in np.unique(labels)])


def measured(name):
    """Reads a table of `data/results`: what a long run gave.

    Args:
        name: of the CSV file, without its ending.

    Returns:
        DataFrame.
    """
    import pandas as pd

    from synthkit.datasets import bundled

    return pd.read_csv(bundled.folder("results") / f"{name}.csv")


def table(summary, arms=None, over=None):
    """Makes a readable table of a study's summary, whether of this run or of a long one.

    Args:
        summary: DataFrame of `study.Results.summary`, or one that `measured` reads.
        arms: names of arms, in the order of the rows; None for all.
        over: the summary of the same study with the baseline augmentation, for a column on what arms with augmentation
            add to it; None for no such column.

    Returns:
        DataFrame with a row for each arm: AUC and its difference to the baseline with 95 % intervals, sensitivity,
        specificity, accuracy, and the verdict, which says so where an effect is surely below the margin, or where
        too few test patients are the reason that there is no more of it.
    """
    import pandas as pd

    from synthkit.statistics import MARGIN
    from synthkit.statistics.sentences import few_patients

    def mean(row):
        return f"{row['mean']:.3f} ({row['low']:.2f} to {row['high']:.2f})"

    def difference(row):
        if not np.isfinite(row["difference"]):
            return ""
        return f"{row['difference']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"

    def verdict(row):
        inside = max(-row["difference_low"], row["difference_high"]) <= MARGIN
        if row["verdict"] in ("helps", "hurts") and inside:
            return f"{row['verdict']}, by less than {MARGIN:g}"
        return f"{row['verdict']} (few patients)" if few_patients(row) else row["verdict"]

    rows, by = {}, summary.set_index(["arm", "metric"])
    for arm in arms or summary["arm"].unique():
        area = by.loc[(arm, "auc")]
        rows[arm] = {"test AUC": mean(area), "difference": difference(area)}
        for metric in ("sensitivity", "specificity", "accuracy"):
            if (arm, metric) in by.index:
                rows[arm][metric] = f"{by.loc[(arm, metric), 'mean']:.2f}"
        rows[arm]["verdict"] = verdict(area)
        if over is not None:
            beyond = over.set_index(["arm", "metric"]).loc[(arm, "auc")]
            rows[arm]["beyond augmentation"] = verdict(beyond) if arm.endswith("augmented") else ""
    return pd.DataFrame.from_dict(rows, orient="index")


def show_trained(names):
    """Shows generators that come trained with the repository: images beside real ones, and how they were trained.

    Args:
        names: of generators in `data/generators`, such as "conv_cgan".

    Returns:
        DataFrame with a row for each: epochs and minutes of the training up to these weights, KID to the validation
        set in the features of `frozen`, the AUC with which `frozen` recognises the class that was asked for, and
        diversity, as a fraction of that of the real images.
    """
    import matplotlib.pyplot as plt
    import pandas as pd

    from synthkit import plots, trained
    from synthkit.datasets import bundled

    loaded = {name: trained.load(name) for name in names}
    size = next(iter(loaded.values()))[0].image_shape[0]
    real = bundled.load(size).train
    classes = ", ".join(real.class_names)
    asked = np.repeat(np.arange(len(real.class_names)), 8)
    pictures = {"real": one_each(real.images, real.labels, 8)}
    pictures |= {name: model.sample(asked, 1) for name, (model, _) in loaded.items()}
    _, axes = plt.subplots(len(pictures), 1, figsize=(11, 3 * len(pictures)), layout="constrained")
    for (name, images), ax in zip(pictures.items(), axes, strict=True):
        plots.image_grid(images, 8, ax).set_title(f"{name}, {size}×{size} pixels; rows: {classes}", loc="left")
    plt.show()
    _, axes = plt.subplots(1, 3, figsize=(12, 2.8), layout="constrained")
    rows = {}
    for (name, (_, record)), color in zip(loaded.items(), plots.COLORS, strict=False):
        measured = pd.DataFrame(record["measured"])
        for column, ax in zip(("kid", "label_auc", "diversity"), axes, strict=True):
            ax.plot(measured["minutes"], measured[column], ".-", color=color, label=name)
        best = measured.loc[measured["kid"].idxmin()]
        rows[name] = best[["epoch", "minutes", "kid", "label_auc", "diversity"]]
    axes[1].axhline(record["real_validation_images"]["label_auc"], color=plots.BASELINE_COLOR, linestyle="--")
    for ax, text in zip(axes, ("KID to the validation set", "AUC of the class", "diversity"), strict=True):
        ax.set(xlabel="minutes of training", ylabel=text, xlim=(0, None))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=9)
    plt.show()
    return pd.DataFrame(rows).T.astype({"epoch": int})


def keep(model, path, fit):
    """Fits a generator, or reads it from the file where an earlier run of the cell has kept it.

    Args:
        model: generator, compiled and not fitted.
        path: file for its weights, ending in .keras; beside it one ending in .json for what `fit` returned.
        fit: callable `()` that fits the model and returns what JSON can hold, such as its history.

    Returns:
        what `fit` returned, as JSON gives it back.
    """
    from synthkit._files import replacing, write_json
    from synthkit.generators.adapter import load_weights

    record = Path(path).with_suffix(".json")
    if Path(path).exists() and record.exists():
        load_weights(model, path)
    else:
        result = fit()
        with replacing(Path(path)) as temporary:
            model.save(temporary)
        write_json(record, result)
    return json.loads(record.read_text(encoding="utf-8"))


class clock:
    """Shows in one line of the notebook that a cell is working: what it does and for how long, every two seconds.

    Example:

        with notebook.clock("the study") as say:
            study.run(…, progress=say)

    Args:
        title: what takes time.
    """

    def __init__(self, title):
        self.title, self.text = title, ""

    def __call__(self, text):
        """Says what is being done."""
        self.text = str(text)

    def epochs(self, total):
        """Returns a Keras callback that says which epoch of how many is being trained."""
        import keras

        return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self(f"epoch {epoch + 1} of {total}"))

    def __enter__(self):
        from IPython.display import display

        self.began, self.stopped = time.monotonic(), threading.Event()
        self.handle = display(_Line(f"{self.title} …"), display_id=True)
        self.thread = threading.Thread(target=self._tick, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stopped.set()
        self.thread.join()
        self._show("done" if kind is None else "stopped")

    def _tick(self):
        while not self.stopped.wait(EVERY):
            self._show(self.text or "working")

    def _show(self, text):
        if self.handle is not None:  # there is none outside a notebook
            self.handle.update(_Line(f"{self.title}: {text}, {time.monotonic() - self.began:.0f} s"))


class _Line:
    """Text that a notebook shows as it is."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text
