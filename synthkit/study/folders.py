"""Arms of images that were made elsewhere: other people's generators, web services, a folder that `generate` wrote."""

import hashlib
import json
import warnings
from pathlib import Path

import numpy as np

from synthkit.datasets import known_classes
from synthkit.datasets.finding import files_below, looks_like_image
from synthkit.study.arms import Arm


def folder_arm(path, name=None, *, keep_aspect=False, **options):
    """Makes an arm of images that were made elsewhere.

    Example:

    >>> from synthkit import study
    >>> study.folder_arm("images/gan", ratio=2.0, augment=None)  # doctest: +SKIP

    Args:
        path: folder with a folder of images for each class; see `from_folder`.
        name: of the arm; None for "folder" and the folder's own name.
        keep_aspect: as in `from_folder`.
        options: further arguments of `Arm`, such as ratio, balance, counts and augment.

    Returns:
        Arm.

    Raises:
        ValueError: if there is no such folder.
    """
    synthesizer = from_folder(path, keep_aspect=keep_aspect)
    return Arm(f"folder {Path(path).expanduser().resolve().name}" if name is None else name, synthesizer, **options)


def from_folder(path, *, keep_aspect=False):
    """Makes a synthesizer of images that were made elsewhere.

    For every label it draws an image of that class at random, with another draw for every seed. No image is drawn twice
    before all images of its class have been drawn. Images are resized to the size of the real ones and converted to
    grey or colour like them.

    Args:
        path: folder with a folder of images for each class, named like the real classes, in upper or lower case. Other
            folders in it are left out with a note. On a cluster every worker must see it under this path.
        keep_aspect: whether to pad images that are not square instead of stretching them.

    Returns:
        callable `(train: ImageSet, labels (n,), seed) → ImageSet`. Before its first trial a study calls its
        `check(train, counts)`; its `identity()` is a digest of the images, so that renaming the folder changes nothing.

    Raises:
        ValueError: if there is no such folder; later, if it has no images of a requested class, files are
            damaged, or its generator was fitted on validation or test images of the study.
    """
    from synthkit._reusable import ProcessCache  # which loads Keras

    folder, loaded, checked = Path(path).expanduser().resolve(), ProcessCache(), []
    if not folder.is_dir():
        raise ValueError(f"{path} is not a folder: give one that holds a folder of images for each class")

    def load(train, counts):
        kind = train.class_names, train.image_shape
        if kind not in loaded:
            with warnings.catch_warnings():
                if checked:  # the notes were printed before, though maybe in another process
                    warnings.simplefilter("ignore")
                loaded[kind] = known_classes.read(folder, *kind, keep_aspect=keep_aspect)
        missing = [name for name, count in loaded[kind].class_counts().items() if not count and counts[name]]
        if missing:
            raise ValueError(
                f"{folder} holds no images of {', '.join(missing)}: add a folder called {missing[0]}, or request none "
                "(study.folder_arm with counts)"
            )
        return loaded[kind]

    def synthesize(train, labels, seed):
        labels = np.asarray(labels)
        counts = np.bincount(labels, minlength=len(train.class_names)).tolist()
        images = load(train, dict(zip(train.class_names, counts, strict=True)))
        rng, chosen = np.random.default_rng(seed), np.empty(len(labels), int)
        for label in np.unique(labels):
            own, wanted = np.flatnonzero(images.labels == label), np.flatnonzero(labels == label)
            rounds = [rng.permutation(own) for _ in range(-(-len(wanted) // len(own)))]
            chosen[wanted] = np.concatenate(rounds)[: len(wanted)]
        return images[chosen]

    def check(train, counts):
        images = load(train, counts)
        checked.append(True)
        _check_card(folder, train)
        scarce = [name for name, count in images.class_counts().items() if count < counts[name]]
        if scarce:
            few = ", ".join(f"{images.class_counts()[name]} of {counts[name]} {name}" for name in scarce)
            warnings.warn(
                f"{folder} holds fewer images than a trial needs ({few}), so some are used several times", stacklevel=2
            )

    synthesize.check, synthesize.made_elsewhere = check, str(folder)
    synthesize.identity = lambda: ["folder", _digest(folder), keep_aspect]
    return synthesize


def _digest(folder):
    """Returns a digest of the images in a folder's folders: their names and bytes."""
    digest = hashlib.sha256()
    for path in files_below(folder)[0]:
        file = folder.joinpath(*path)
        if len(path) > 1 and looks_like_image(file):
            digest.update("/".join(path).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def source(path):
    """Returns the data that the generator of a folder was fitted on: a path or a name; None without a card."""
    folder = Path(path).expanduser()
    card = _fitted_on(folder)
    if card is None or "path" not in card:
        return card and card["source"]
    return (folder.resolve() / card["path"]).resolve()


def _fitted_on(folder):
    """Returns what the card of a folder says of a generator's training images; None without a card by `generate`."""
    try:
        fitted_on = json.loads((folder / "card.json").read_text(encoding="utf-8"))["fitted_on"]
        return {key: fitted_on[key] for key in ("source", "splits", "fingerprint")} | fitted_on
    except (OSError, ValueError, TypeError, KeyError):
        return None  # made by something else


def _check_card(folder, train):
    """Compares the training images in the card of a folder that `generate` wrote with a study's training set.

    Raises:
        ValueError: if the generator was fitted on all splits of its data.
    """
    card = _fitted_on(folder)
    if card is None:
        return
    source = card["source"]
    if card["fingerprint"] == train.fingerprint():
        return
    if card["splits"] == "all":
        raise ValueError(
            f"the generator of {folder} was fitted on all images of {source}, test images among them (generate --all), "
            "so a study with its images would be too good. Run generate without --all; or, if this study is on other "
            "images, copy the class folders without card.json and give that folder"
        )
    warnings.warn(
        f"the generator of {folder} was fitted on other images than this study's training set (on those of {source}); "
        "make sure that none of them is among this study's validation and test images",
        stacklevel=3,
    )
