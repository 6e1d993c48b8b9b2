"""The arms of a study, by name."""

import functools
import warnings

from synthkit import _arm_names
from synthkit.catalogue.rows import (
    AUGMENTATIONS,
    CONTROLS,
    ENDINGS,
    GENERATORS,
    PRETRAIN_STEPS,
    RENAMED,
    RIVALS,
    build,
    texts,
)


def arms(
    names,
    *,
    epochs=None,
    ratio=5.0,
    augment=None,
    keep=None,
    progress=False,
    keep_aspect=False,
    generator_size=None,
    pretrained_on=None,
    pretrain_steps=PRETRAIN_STEPS,
    pretrain_seed=0,
):
    """Makes arms of a study by name.

    Args:
        names: names of arms (`texts`), or "folder:PATH" for images made elsewhere, which is called "folder" and the
            folder's own name; generators, folders and controls may be followed by `ENDINGS`, as in
            "dense_cvae filtered augmented".
        epochs: dict from the names of generators to epochs, where they differ from `GENERATORS`.
        ratio: ratio of synthetic to real images, of arms that do not name one. Where all generators' arms have the same
            ratio, controls that name none have it too, so that they have as many images.
        augment: dict, arguments of `augmentation.Augmenter` for the arms augmentation and elastic, the ending augmented
            and the classifier that filters images (`pretrained.scorer`); None for the mammography study's.
        keep, progress: as in `generators.synthesizer`.
        keep_aspect: whether to pad images of folders that are not square instead of stretching them.
        generator_size: pixels a side at which generators work, as `image_size` of `generators.synthesizer`.
        pretrained_on: ImageSet that the generators of arms with the ending pretrained learn first.
        pretrain_steps, pretrain_seed: gradient steps on it, and the seed of their randomness.

    Returns:
        list of study.Arm.

    Raises:
        ValueError: for an unknown name, a folder that does not exist, or the ending pretrained without `pretrained_on`.
    """
    from synthkit import augmentation, fidelity, pretrained, selection, study
    from synthkit.datasets import phantom
    from synthkit.generators import synthesizer

    augment = augment or {}
    names, epochs = [current(name) for name in names], {current(name): n for name, n in (epochs or {}).items()}
    check([*names, *epochs])
    unknown = [name for name in names if is_pretrained(name)] if pretrained_on is None else []
    if unknown:
        raise ValueError(f"the arm {unknown[0]} needs images to pretrain on; give them with --pretrain-on")
    epochs = {name: row.epochs for name, row in GENERATORS.items()} | epochs
    judge = pretrained.scorer(augment=augmentation.Augmenter(**augment))
    novel = selection.novel(lambda train: fidelity.pixels(train.images))

    @functools.cache  # arms of the same generator share its synthesizer, and with it the fit
    def source(name):
        if name.endswith(" filtered"):
            # A folder holds a limited number of images.
            shares = (1.0, 0.5) if name.startswith("folder:") else (1.0, 0.5, 0.25)
            return selection.Selected(source(name.removesuffix(" filtered")), judge, novel, shares=shares)
        if name.startswith("folder:"):
            return study.from_folder(name.removeprefix("folder:"), keep_aspect=keep_aspect)
        first, *endings = name.split(" ")
        if first in GENERATORS:
            row, options = GENERATORS[first], {"keep": keep, "progress": progress, "image_size": generator_size}
            if endings:
                options["pretrained_on"] = pretrained_on
                options |= {"pretrain_steps": pretrain_steps, "pretrain_seed": pretrain_seed}
            return synthesizer(build(row), epochs=epochs[first], batch_size=row.batch_size, **options)
        if name == "shuffled":
            return study.shuffled(source("dense_cvae"))
        if name in RIVALS:
            return build(RIVALS[name])
        return study.oversample if name == "oversample" else phantom.oracle()

    parsed = [match.groups() for match in (_arm_names.parse(name, GENERATORS) for name in names) if match]
    ratios = {float(number or ratio) for images, number, *_ in parsed if images and images not in CONTROLS}
    common = ratios.pop() if len(ratios) == 1 else ratio

    def arm(name):
        match = _arm_names.parse(name, GENERATORS)
        images, number, first, augmented = match.groups() if match else (None, None, None, None)
        row = AUGMENTATIONS.get("augmentation" if augmented else name)
        options = augment if row in (AUGMENTATIONS["augmentation"], AUGMENTATIONS["elastic"]) else {}
        generator = "dense_cvae" if images == "shuffled" else images and images.split()[0]
        settings = {"epochs": epochs[generator]} if generator in epochs else {}
        if is_pretrained(name):
            settings["pretrained_on"] = f"{pretrained_on.name}, {len(pretrained_on)} images, {pretrain_steps} steps"
        kind = "features" if makes_features(name) else "synthesizer"
        return study.Arm(
            _arm_names.display_name(name),
            **{kind: images and source(images)},
            ratio=float(number or (common if images in CONTROLS else ratio)) if images else 0.0,
            augment=row and build(row)(**options),
            pretrain=0.5 if first else 0.0,
            more_real=name == "more_real",
            settings=settings or None,
        )

    return [arm(name) for name in names]


def current(name):
    """Returns the present name of an arm; warns if the name is an old one."""
    first, *endings = name.split(" ")
    if first not in RENAMED:
        return name
    warnings.warn(f"{first} is now called {RENAMED[first]}; version 0.2 will not know the old name", stacklevel=3)
    return " ".join([RENAMED[first], *endings])


def makes_features(name):
    """Returns whether an arm makes features of a frozen network instead of images."""
    first = name.split(" ")[0]
    return first in RIVALS and RIVALS[first].features


def is_pretrained(name):
    """Returns whether the generator of an arm learns other images first."""
    match = _arm_names.parse(name, GENERATORS)
    return bool(match) and match[1].split(" ")[1:2] == ["pretrained"]


def check(names):
    """Raises ValueError for a name that is not the name of an arm."""
    for name in names:
        if name not in texts() and not _arm_names.parse(name, GENERATORS):
            guess = _arm_names.guess(name, texts(), GENERATORS)
            hint = f" (did you mean {guess!r}?)" if guess else ""
            raise ValueError(
                f"there is no arm {name!r}{hint}; expected one of {', '.join(texts())}, or folder:PATH. The name of a "
                f"generator may be followed by {', '.join(ENDINGS)}, in this order"
            )
