"""Folders of synthetic images that others can use, with the fitted generator and a card that describes both."""

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np

from synthkit import _card, _class_folders, catalogue
from synthkit._environment import versions
from synthkit._files import claim, locked, read_csv, replacing, used_folder
from synthkit._identity import digest
from synthkit._reusable import reusable
from synthkit.datasets.reading import read_image
from synthkit.generators import adapter, callbacks
from synthkit.imageset import ImageSet, resize
from synthkit.splitting import refuse_near_duplicates

SETTINGS, CARD = ".generate.json", "card.json"
CHECKPOINT, PRETRAINING = ".checkpoint.npz", ".pretraining.npz"  # of the fit, and of the pretraining before it
RECORD = "synthkit.json"  # in a generator's file: what it was fitted on


def generate(
    train,
    generator,
    out,
    *,
    per_class=None,
    counts=None,
    held_out=None,
    seed=0,
    epochs=None,
    image_size=None,
    load=None,
    pretrained_on=None,
    pretrain_steps=catalogue.PRETRAIN_STEPS,
    splits="train",
    source=None,
    commands=(None, None),
    progress=False,
):
    """Fits a generator and writes synthetic images, the generator and a card that describes them into a folder.

    The folder can be given to `synthkit.load` and, as an arm, to `study.folder_arm`. A run that was stopped resumes
    when it is started again, with the same images as a result. A finished folder is left as it is.

    Example:

    >>> import synthkit
    >>> from synthkit.generate import generate
    >>> splits = synthkit.load("phantom", 28)
    >>> generate(splits.train, "conv_cgan", "synthetic", per_class=300, held_out=splits.validation)  # doctest: +SKIP

    Args:
        train: ImageSet to fit the generator on.
        generator: its name in the catalogue.
        out: folder, new or of the same settings.
        per_class: int, number of images of each class.
        counts: dict from a class name to its number of images, instead of `per_class`.
        held_out: ImageSet of real images, such as the validation set, to compare the synthetic ones with; None leaves
            the metrics and the copy test out of the card.
        seed: int, of the fit and of the images.
        epochs: passes over the training images; None for the catalogue's.
        image_size: pixels a side at which the generator works, and of its images; None for that of the training images.
        load: path of a `.keras` file with a fitted generator of this name; None fits one.
        pretrained_on: ImageSet that the generator learns first, without its labels; None for none.
        pretrain_steps: gradient steps on it.
        splits: "train", or "all" if `train` holds the validation and test images too; for the card.
        source: origin of the real images, a name or a path, for the card; None for the name of the set.
        commands: for the card: the command that makes the folder, and the one that uses it in a study; or None.
        progress: whether to show a bar while fitting.

    Returns:
        ImageSet of the synthetic images.

    Raises:
        ValueError: if there is no such generator, it cannot make images of this size, the file contains another one,
            the numbers of images are impossible, images of `pretrained_on` look like held-out ones, or the folder
            belongs to other settings or contains other files.
        OSError: if the folder cannot be written, or another process is writing to it.
        FloatingPointError: if the training diverged.
    """
    if generator not in catalogue.GENERATORS:
        raise ValueError(f"there is no generator {generator!r}; expected one of {', '.join(catalogue.GENERATORS)}")
    if train.held_out:
        raise ValueError(f"{train.name} is a validation or test set; fit a generator on the training set")
    counts = _counts(train, per_class, counts)
    whole, held_whole = train, held_out  # at the size of the study, whose training set has this fingerprint
    if image_size is not None:
        train, held_out = resize(train, image_size), held_out and resize(held_out, image_size)
    row = catalogue.GENERATORS[generator]
    build, class_names = catalogue.build(row), train.class_names
    fitted_on = {"source": source or train.name, "splits": splits, "images": train.class_counts()}
    if source is not None and Path(source).exists():
        with contextlib.suppress(ValueError):  # they are on different drives
            fitted_on["path"] = os.path.relpath(Path(source).resolve(), Path(out).resolve())
    fitted_on |= {"patients": len(np.unique(train.patients)), "fingerprint": whole.fingerprint()}
    record = {"generator": generator, "class_names": list(class_names), "image_shape": list(train.image_shape)}
    record |= {"epochs": epochs or row.epochs, "batch_size": row.batch_size, "fit_seed": seed, "fitted_on": fitted_on}
    if pretrained_on is not None:
        adapter.check_channels(pretrained_on, train)
        if held_out is not None:
            refuse_near_duplicates(pretrained_on, held_whole)
        others = {
            "source": pretrained_on.name,
            "images": len(pretrained_on),
            "fingerprint": pretrained_on.fingerprint(),
            "steps": pretrain_steps,
        }
        record["pretrained_on"] = others
    if load is not None:
        record = _check_loaded(Path(load), record, epochs)
    settings = {
        "generator": generator,
        "data": whole.fingerprint(),
        "held-out images": None if held_out is None else held_whole.fingerprint(),
        **({} if image_size is None else {"pixels a side": image_size}),
        "images of each class": counts,
        "seed": seed,
        "epochs": record["epochs"],
        "generator's code": digest(build),
        "generator's file": load and _file_digest(load),
    }
    if pretrained_on is not None:
        settings["pretrained on"] = [record["pretrained_on"][name] for name in ("fingerprint", "steps")]
    start = reusable(lambda: adapter.build_for(build, train.image_shape, class_names))
    try:
        model = start(seed)
    except ValueError as error:
        raise ValueError(f"{generator}: {error}") from error
    labels = np.repeat(np.arange(len(class_names)), list(counts.values()))
    _class_folders.file_names(labels, class_names)
    with used_folder(out, "the images") as out, locked(out, "synthetic images"):
        _check_empty(out)
        claim(out / SETTINGS, settings)
        if (out / CARD).exists():
            warnings.warn(f"{out} is finished and was left as it is; delete it to start again", stacklevel=2)
            return _read(out, class_names)
        _fit(start, train, seed, record, load, pretrained_on, out, progress)
        synthetic = adapter.draw(model, class_names, labels, seed)
        _class_folders.write(out, synthetic.images, labels, class_names, {"seed": seed})
        about = {"images": counts, **record, "text": row.text, "seed": seed, "loaded": load and Path(load).name}
        about |= {"holds_training_images": getattr(model, "holds_training_images", False)}
        about |= {"command": commands[0], "study_command": commands[1], "folder": str(out), "versions": versions()}
        about |= {"date": datetime.date.today().isoformat()}
        _card.write(out, synthetic, train, held_out, about)
        return synthetic


def _counts(train, per_class, counts):
    """Returns how many images of each class to draw, as a dict from all the classes' names."""
    if (per_class is None) == (counts is None):
        raise ValueError("give the number of images with either per_class or counts (--per-class or --counts)")
    counts = dict.fromkeys(train.class_names, per_class) if counts is None else dict(counts)
    unknown = [name for name in counts if name not in train.class_names]
    if unknown:
        raise ValueError(f"there is no class {unknown[0]!r}; expected {', '.join(train.class_names)}")
    if any(not isinstance(count, int) or count < 0 for count in counts.values()) or not any(counts.values()):
        raise ValueError(f"images to draw must be whole numbers, at least 1 in all. Received: {counts}")
    return {name: counts.get(name, 0) for name in train.class_names}


def _check_empty(out):
    """Refuses a folder with files that `generate` did not write: images of two kinds would mix."""
    others = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    if others and not (out / SETTINGS).exists():
        raise ValueError(f"{out} holds other files, for example {min(others)}; choose a new folder for the images")


def _fit(start, train, seed, record, load, pretrained_on, out, progress):
    """Fits a generator, or resumes the fit, or reads the weights of a fitted one, and writes its file to the folder."""
    model = start(seed)
    file = out / f"{record['generator']}.keras"
    learned, checkpoint = (callbacks.Checkpoint(out / name, every=None) for name in (PRETRAINING, CHECKPOINT))
    if load is not None and not file.exists():
        with replacing(file) as part:
            shutil.copyfile(load, part)
    try:
        if file.exists():
            adapter.load_weights(model, file)
            return
        options = {"batch_size": record["batch_size"], "progress": progress}
        if pretrained_on is not None and not checkpoint.path.exists():
            steps = record["pretrained_on"]["steps"]
            adapter.pretrain(model, pretrained_on, train, seed, steps=steps, callbacks=[learned], **options)
            weights = model.get_weights()
            start(seed).set_weights(weights)  # the same model, with new optimizers
        adapter.fit(model, train, seed, epochs=record["epochs"], callbacks=[checkpoint], **options)
        adapter.draw(model, train.class_names, np.arange(len(train.class_names)), seed)  # raises if it diverged
    except Exception:
        if not any(callback.path.exists() for callback in (learned, checkpoint)):
            # There is nothing to resume, so the folder is free for other settings.
            (out / SETTINGS).unlink()
            file.unlink(missing_ok=True)
        raise
    _save(model, file, record)


def _save(model, file, record):
    """Saves a fitted generator and, in the same file, a record of its fit."""
    with replacing(file) as part:
        model.save(part)
        with zipfile.ZipFile(part, "a") as archive:
            archive.writestr(RECORD, json.dumps(record))


def _check_loaded(path, wanted, epochs):
    """Compares a generator's file with the record that it should have.

    Returns:
        dict, the record of its fit; None where the file does not say.

    Raises:
        ValueError: if it is damaged, or has another generator, other classes, another size or other training images.
    """
    record = _read_record(path)
    shape, classes = record.get("image_shape"), record.get("class_names")
    if "pretrained_on" in wanted:
        raise ValueError("a loaded generator is not pretrained again: leave out pretrained_on (--pretrain-on)")
    if epochs is not None:
        raise ValueError("a loaded generator is not fitted again: leave out epochs (--epochs)")
    if record.get("generator", wanted["generator"]) != wanted["generator"]:
        raise ValueError(f"{path} holds the generator {record['generator']}, not {wanted['generator']}")
    if shape and list(shape) != wanted["image_shape"]:
        made, real = ("×".join(map(str, sizes)) for sizes in (shape, wanted["image_shape"]))
        raise ValueError(
            f"{path} makes images of {made}, and it is to work at {real} (height, width, channels); give its own size "
            f"(--generator-size {shape[0]})"
        )
    number = len(classes) if classes else record.get("num_classes", len(wanted["class_names"]))
    if number != len(wanted["class_names"]) or (classes and classes != wanted["class_names"]):
        raise ValueError(
            f"{path} was fitted on {number} classes{', ' + ', '.join(classes) + ', in this order' if classes else ''}; "
            f"the real images have {', '.join(wanted['class_names'])}"
        )
    fitted_on = record.get("fitted_on")
    if fitted_on and fitted_on["fingerprint"] != wanted["fitted_on"]["fingerprint"]:
        raise ValueError(
            f"{path} was fitted on other images, {fitted_on['images']} of {fitted_on['source']}; give the same data "
            "with the same options (--data, --image-size, --patients, --labels, --all)"
        )
    if not fitted_on:
        warnings.warn(
            f"{path} does not say which images and classes it was fitted on; its classes are assumed to be "
            f"{', '.join(wanted['class_names'])}, in this order, and its images the training set",
            stacklevel=3,
        )
    unknown = dict.fromkeys(("epochs", "batch_size", "fit_seed", "fitted_on", "pretrained_on"))
    return wanted | unknown | {key: value for key, value in record.items() if key in unknown}


def _read_record(path):
    """Reads the record in a generator's file, or else its configuration."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected a generator's .keras file")
    try:
        with zipfile.ZipFile(path) as archive:
            if RECORD in archive.namelist():
                return dict(json.loads(archive.read(RECORD)))
            config = dict(json.loads(archive.read("config.json"))["config"])
    except Exception as error:  # damaged bytes fail in many ways
        raise ValueError(f"{path} is not a generator in Keras's format, or is damaged ({error})") from error
    return {key: config[key] for key in ("image_shape", "num_classes") if key in config}


def _file_digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _read(out, class_names):
    """Reads the images of a finished folder, in the order in which they were drawn."""
    table = read_csv(out / _class_folders.TABLE)
    images = np.stack([read_image(out / name) for name in table["file"]])
    labels = [class_names.index(name) for name in table["label"]]
    return ImageSet(images if images.ndim == 4 else images[..., None], labels, class_names, name=out.name)
