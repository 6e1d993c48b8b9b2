"""What is refused or warned of on the command line before anything is trained: options that do not fit."""

import warnings
from pathlib import Path

from synthkit import _arm_names, catalogue

MANY_IMAGES = 4  # of a patient


def outside(arguments):
    """Refuses folders for results below a folder of images: what is written there would count as images."""
    data = Path(arguments.data)
    if arguments.data == "phantom" or not data.is_dir() or (data / "prepare.json").exists():
        return
    for name in ("out", "generators"):
        folder = getattr(arguments, name, None)
        if folder and Path(folder).resolve().is_relative_to(data.resolve()):
            elsewhere = "" if Path(folder).is_absolute() else ", or run the command from another folder"
            raise ValueError(
                f"what is written to {folder} would lie among the images of {data.resolve()}, which --data names, and "
                f"count as some of them. Choose a folder outside of it with --{name}{elsewhere}"
            )


def pretraining(arguments, names=()):
    """Refuses `--pretrain-steps` without images, images that no arm uses, and arms that lack them."""
    if arguments.pretrain_steps and arguments.pretrain_on is None:
        raise ValueError("--pretrain-steps needs images to pretrain on; give them with --pretrain-on, or remove it")
    arms = [name for name in names if catalogue.is_pretrained(name)]
    if arms and arguments.pretrain_on is None:
        raise ValueError(f"the arm {arms[0]} needs images to pretrain on; give them with --pretrain-on")
    if names and not arms and arguments.pretrain_on is not None:
        raise ValueError(
            'no arm has the ending pretrained, as in "diffusion pretrained"; add one, or remove --pretrain-on'
        )


def features(arguments, names, rows):
    """Refuses arms that make features where the classifier may be another one than frozen features."""
    arms = [name for name in names if catalogue.makes_features(name)]
    if arms and not all(getattr(catalogue.build(row), "has_features", False) for row in rows.values()):
        raise ValueError(
            f"the arm {arms[0]} makes features of a frozen network, not images: add --classifier frozen, or remove the "
            f"arm. Received: --classifier {arguments.classifier or 'auto'}"
        )


def folds(arguments, names):
    """Refuses options and arms that make no sense in a cross-validation."""
    from synthkit.study import folders

    phantoms = arguments.data == "phantom"
    if phantoms and arguments.group_near_duplicates:
        raise ValueError("no two phantoms are near-duplicates; remove --group-near-duplicates")
    others = {"--validation": arguments.validation, "--test": arguments.test}
    others["--drop-near-duplicates"] = arguments.drop_near_duplicates
    given = [name for name, value in others.items() if value]
    if given:
        grouped = given[-1].startswith("--drop") and not phantoms
        hint = "; --group-near-duplicates keeps near-duplicates in one fold" if grouped else ""
        raise ValueError(f"with --folds there is no fixed test set; remove {' and '.join(given)}{hint}")
    for path in filter(None, map(_arm_names.folder, names)):
        source = folders.source(path)
        if source is not None and Path(source).expanduser().resolve() == Path(arguments.data).expanduser().resolve():
            raise ValueError(
                f"the generator of {path} was fitted on images of {source}, and with --folds every one of them is "
                "tested on; name the generator itself as an arm, which is fitted anew for every fold"
            )


def draws(splits, per_class):
    """Warns of training sets that are drawn image by image where patients have many, or of which a class is whole."""
    from synthkit.study import training_sets

    whole = training_sets.drawn_whole(splits.train, per_class) if per_class else []
    if whole:
        warnings.warn(
            f"{per_class} images of each class are all that there are of {', '.join(whole)}: every seed has the same, "
            "and the results are about these images of it. A smaller --per-class draws others for every seed",
            stacklevel=2,
        )
    images = len(splits.train) / len(set(splits.train.patients))
    if per_class and images >= MANY_IMAGES:
        warnings.warn(
            f"--per-class draws image by image, and patients have {images:.0f} images on average: two seeds share more "
            "patients than images, and the intervals allow for the images only, so they may be too narrow. Without "
            "--per-class a seed draws whole patients",
            stacklevel=2,
        )


def seen(side, rows):
    """Warns of classifiers that see images, `side` pixels high, at fewer pixels than these have."""
    sizes = {name: getattr(catalogue.build(row), "image_size", side) for name, row in rows.items()}
    smaller = {name: size for name, size in sizes.items() if size < side}
    if smaller:
        seen = " and ".join(f"{name} sees {size}" for name, size in smaller.items())
        warnings.warn(
            f"the images have {side} pixels a side, of which {seen}; --image-size {side} shows it all and takes longer",
            stacklevel=2,
        )
