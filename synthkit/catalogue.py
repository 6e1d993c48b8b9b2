"""The catalogue: one row for each generator, augmentation, classifier and recipe, and the arms that they make.

`--help`, the names of arms, epochs, colours, the report page and the tables of the notebooks come from these rows. To
add a generator of your own, `register` it:

>>> from synthkit import catalogue
>>> def tiny_gan(image_shape, num_classes): ...
>>> catalogue.register("tiny_gan", tiny_gan, "images of a very small GAN", epochs=50)
>>> [arm.name for arm in catalogue.arms(["real", "tiny_gan", "tiny_gan x2 augmented"])]
['real', 'tiny_gan', 'tiny_gan x2 augmented']
>>> del catalogue.GENERATORS["tiny_gan"]
"""

import difflib
import functools
import importlib
import math
import re
import sys
import typing
import warnings

from synthkit import _arm_names


class Generator(typing.NamedTuple):
    """A generator: `builder(image_shape, num_classes)` returns it, compiled.

    Attributes:
        builder: the callable, or "module:name" of one of synthkit's, which is imported when it is needed.
        text: description of the arm, for `--help` and the report page.
        epochs: passes over the real training images.
        batch_size: images per gradient step.
        color: in figures; None for one that no other arm has.
    """

    builder: object
    text: str
    epochs: int = 300
    batch_size: int = 32
    color: str | None = None


class Augmentation(typing.NamedTuple):
    """An augmentation: `builder()` returns a callable for `pipeline.to_dataset`; attributes as in `Generator`.

    The builders of "augmentation" and "elastic" also take arguments of `augmentation.Augmenter`.
    """

    builder: object
    text: str
    color: str | None = None


class Control(typing.NamedTuple):
    """A control arm; attributes as in `Generator`."""

    text: str
    color: str | None = None


class Rival(typing.NamedTuple):
    """A way to make more training examples of real ones without a generator; attributes as in `Generator`.

    Attributes:
        features: whether it makes features instead of images.
    """

    builder: object
    text: str
    color: str | None = None
    features: bool = False


class Classifier(typing.NamedTuple):
    """A classifier.

    Attributes:
        builder: `builder(image_shape, num_classes)` returns a keras.Model; or one of `pretrained`.
        text: description, for `--help`.
        steps: gradient steps in each profile; None for a classifier that is not trained in steps.
        learning_rate: None for that of the profile.
        image_size: pixels a side to which images of a folder are resized, unless `--image-size` is given.
    """

    builder: object
    text: str
    steps: dict | None
    learning_rate: float | None = None
    image_size: int = 28


class Recipe(typing.NamedTuple):
    """A published recipe: arguments of `training.Trainer`, with epochs instead of steps, and a description."""

    text: str
    optimizer: str
    learning_rate: float
    drops: tuple
    batch_size: int
    epochs: int


# Okabe and Ito's colours, which people with colour blindness can tell apart; the baseline is grey.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#5E3C99")
BASELINE_COLOR = "#555555"

CONTROLS = {
    "real": Control("real images only", BASELINE_COLOR),
    "oversample": Control("real images repeated, as many as the ratio says, instead of synthetic ones", "#D55E00"),
    "shuffled": Control("the images of dense_cvae with their labels permuted: the negative control", "#009E73"),
    "more_real": Control(
        "all real images of the training set, also those that the seed did not draw, so the same ones for every seed: "
        "the positive control",
        "#8C6D31",
    ),
    "oracle": Control("new images from the simulator, phantoms only: the positive control", "#E69F00"),
}
RIVALS = {  # functions of `rivals`
    "blend": Rival("rivals:blend", "pairs of real images of one class, one blended into an ellipse of the other"),
    "feature_smote": Rival(
        "rivals:smote",
        "features between those of a real image and of a near neighbour of its class (SMOTE); only with the classifier "
        "frozen",
        "#E69F00",
        True,
    ),
    "feature_gaussian": Rival(
        "rivals:gaussian",
        "features drawn from a normal distribution of each class; only with the classifier frozen",
        "#8C6D31",
        True,
    ),
    "feature_mixup": Rival(
        "rivals:mixup",
        "features and labels of two real images, averaged; only with the classifier frozen",
        "#5E3C99",
        True,
    ),
}
AUGMENTATIONS = {
    "augmentation": Augmentation(
        "augmentation:Augmenter", "real images with random transformations, as in the mammography study", "#0072B2"
    ),
    "elastic": Augmentation("augmentation:elastic", "augmentation, and elastic deformation"),
    "mixup": Augmentation("augmentation:mixup", "pairs of real images and of their labels, averaged"),
    "cutmix": Augmentation(
        "augmentation:cutmix", "real images with a box of another one pasted in, labels mixed by area"
    ),
    "randaugment": Augmentation(
        "augmentation:randaugment", "real images with two of eleven random operations per batch"
    ),
}
GENERATORS = {  # epochs as in the studies, or enough for a few hundred images
    "autoencoder": Generator(
        "generators.medmnist_autoencoder:autoencoder",
        "training images as the MedMNIST study's autoencoder reconstructs them",
        300,
        128,
    ),
    "dense_cvae": Generator(
        "generators.medmnist_cvae:dense_cvae", "images of the MedMNIST study's conditional VAE", 300, 128, "#CC79A7"
    ),
    "dense_cgan": Generator(
        "generators.medmnist_cgan:dense_cgan", "images of the MedMNIST study's dense conditional GAN", 1000, 128
    ),
    "mammography_cgan": Generator(
        "generators.mammography_cgan:mammography_cgan", "images of the mammography study's conditional GAN", 400, 32
    ),
    "dcgan": Generator(
        "generators.skin_dcgan:per_class_dcgan", "images of the skin-lesion study's DCGAN, one per class", 400, 128
    ),
    "conv_cvae": Generator(
        "generators.conv_cvae:conv_cvae", "images of a convolutional conditional VAE", 300, 64, "#8C6D31"
    ),
    "conv_cgan": Generator(
        "generators.conv_cgan:conv_cgan", "images of a convolutional conditional GAN", 80, 32, "#5E3C99"
    ),
    "wgan_gp": Generator(
        "generators.conv_cgan:wgan_gp", "images of conv_cgan with the Wasserstein loss and a gradient penalty", 80
    ),
    "acgan": Generator("generators.conv_cgan:acgan", "images of conv_cgan with an auxiliary classifier", 80),
    "bagan": Generator("generators.bagan:bagan", "images of a balancing GAN, which starts from an autoencoder", 200),
    "diffusion": Generator(
        "generators.diffusion:diffusion", "images of a small conditional diffusion model", 250, 32, "#56B4E9"
    ),
}
PRETRAIN_STEPS = 3000
CLASSIFIERS = {
    "frozen": Classifier(
        "pretrained:frozen",
        "ImageNet features of EfficientNet-Lite0 under a logistic regression; sees images at 96 pixels, or "
        "at more with --image-size",
        None,
        image_size=96,
    ),
    "fine_tuned": Classifier(
        "pretrained:fine_tuned",
        "the same network, with its last layers trained as well",
        {"fast": 100, "full": 300},
        1e-4,
        96,
    ),
    "skin_cnn": Classifier(
        "classifiers:skin_cnn", "the skin-lesion study's small network", {"fast": 600, "full": 1500}
    ),
    "simple_cnn": Classifier(
        "classifiers:simple_cnn", "the mammography study's basic network", {"fast": 600, "full": 1500}
    ),
    "resnet18": Classifier("classifiers:resnet18", "ResNet-18 as in MedMNIST's benchmark", {"fast": 100, "full": 1500}),
}
RECIPES = {
    # Yang et al., "MedMNIST v2", 2023: the training script of its benchmark.
    "medmnist": Recipe("MedMNIST's benchmark: Adam, 100 epochs", "adam", 1e-3, (0.5, 0.75), 128, 100),
    # The MedMNIST study, its section 4.1, which has no learning-rate schedule.
    "medmnist_study": Recipe("the MedMNIST study: stochastic gradient descent, 100 epochs", "sgd", 1e-3, (), 128, 100),
}
ENDINGS = {  # after a generator's name, any of them in this order; the first for neither folders nor controls, the
    # second not for controls
    "pretrained": "images of a generator that first learned those of --pretrain-on, without their labels",
    "filtered": "of its images, without near-duplicates, the half, the quarter or all that a classifier of real images "
    "(frozen) is most confident of, whichever is best on the validation set",
    "x2": "ratio of synthetic to real images, here 2 to 1",
    "first": "train on synthetic images only for the first half of the steps, then on real images only",
    "augmented": "synthetic and real images, transformed as in the arm augmentation",
}
FOLDER = {"folder:PATH": "images made elsewhere, in a folder for each class; may have the endings of a generator"}
AUTO = ("frozen", "fine_tuned", "skin_cnn")  # what the classifier auto chooses from
DEFAULT_ARMS = (
    "real",
    "augmentation",
    "oversample",
    "shuffled",
    "dense_cvae",
    "dense_cvae augmented",
    "more_real",
    "oracle",
)
RENAMED = {"cvae": "dense_cvae", "cgan": "dense_cgan"}  # old names, accepted until version 0.2


def register(name, builder, text, *, epochs=300, batch_size=32, color=None):
    """Adds a generator of your own to the catalogue.

    Args:
        name: of the arm; letters, digits and underscores.
        builder: callable `(image_shape, num_classes) → compiled generator` (`generators.contract.Generator`).
        text, epochs, batch_size, color: as in `Generator`.

    Raises:
        ValueError: if the name exists already or has other characters.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name) or name in texts():
        raise ValueError(
            f"the name of a generator must be new, and of letters, digits and underscores only. Received: name={name!r}"
        )
    GENERATORS[name] = Generator(builder, text, epochs, batch_size, color)


def texts():
    """Returns a dict from the names of arms, without endings, to descriptions, those of the default study first."""
    rows = {**CONTROLS, **RIVALS, **AUGMENTATIONS, **GENERATORS}
    return {name: rows[name].text for name in dict.fromkeys((*filter(rows.get, DEFAULT_ARMS), *rows))}


def colors():
    """Returns a dict from the names of arms to their colours, without those that have none of their own."""
    rows = {**CONTROLS, **RIVALS, **AUGMENTATIONS, **GENERATORS}
    return {name: row.color for name, row in rows.items() if row.color}


def build(row):
    """Returns a row's builder, imported if the row has only its name."""
    if callable(row.builder):
        return row.builder
    module, _, name = row.builder.partition(":")
    return getattr(importlib.import_module(f"synthkit.{module}"), name)


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


def classifier(name, weights="imagenet"):
    """Finds a classifier.

    Args:
        name: one of `CLASSIFIERS`; a Keras application, such as "VGG16" (in any case), whose frozen features go into a
            logistic regression, or "fine_tuned:VGG16"; or "module:function" of a builder of your own.
        weights: of a Keras application: "imagenet", the path of a file, or None to train it from random weights.

    Returns:
        Classifier.

    Raises:
        ValueError: for an unknown name.
        FileNotFoundError: if the file of weights does not exist.
    """
    if name in CLASSIFIERS:
        return CLASSIFIERS[name]
    kind, application = _kind(name)
    if ":" in application:
        return Classifier(_imported(name), "a classifier of your own", {"fast": 300, "full": 1500})
    from synthkit import classifiers, pretrained

    known = {name.lower(): name for name in classifiers.APPLICATIONS}
    application = known.get(application.lower())
    if application is None:
        close = difflib.get_close_matches(name.lower(), [*CLASSIFIERS, *known], 1)
        hint = f" (did you mean {known.get(close[0], close[0])!r}?)" if close else ""
        raise ValueError(
            f"there is no classifier {name!r}{hint}; expected auto, {', '.join(CLASSIFIERS)}, a Keras application such "
            "as VGG16, or module:function of your own"
        )
    text = f"{application} of Keras"
    if weights is None:

        def build(image_shape, num_classes):
            return classifiers.transfer(application, image_shape, num_classes, weights=None)

        build.__name__ = application
        return Classifier(build, f"{text}, from random weights", {"fast": 300, "full": 1500}, image_size=96)
    backbone = classifiers.application(application, weights)
    if kind == "fine_tuned":
        return CLASSIFIERS[kind]._replace(builder=pretrained.FineTuned(backbone), text=f"{text}, fine-tuned")
    return CLASSIFIERS["frozen"]._replace(builder=pretrained.Frozen(backbone), text=f"frozen features of {text}")


def _kind(name):
    """Splits "fine_tuned:VGG16" into how the network is used and its name; others are "" and the name."""
    kind, _, rest = name.partition(":")
    return (kind, rest) if kind in ("frozen", "fine_tuned") and rest else ("", name)


def is_application(name):
    """Returns whether a classifier's name is that of a Keras application, alone or as in "fine_tuned:VGG16"."""
    from synthkit import classifiers

    return _kind(name)[1].lower() in map(str.lower, classifiers.APPLICATIONS)


def _imported(name):
    """Returns the function "module:function", from the current folder or an installed package."""
    module, _, function = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"--classifier {name}: {error}. Expected module:function of a builder (image_shape, num_classes) → "
            "keras.Model, in the current folder or an installed package"
        ) from error
    if not callable(found):
        raise ValueError(f"--classifier {name}: {function} is not a function. Received: {type(found).__name__}")
    return found


def recipe(name, images):
    """Returns a published recipe as arguments of `training.Trainer`.

    The mammography study and the skin-lesion study name neither optimizer, learning rate nor epochs of their
    classifiers, so there are no recipes of theirs.

    Args:
        name: "medmnist" (the benchmark's: Adam at 1e-3, divided by 10 after half and after three quarters of the steps,
            batches of 128, 100 epochs, weights with the best validation AUC) or "medmnist_study" (stochastic gradient
            descent at 1e-3, no drops, otherwise the same).
        images: int, size of the real training set. It determines the steps, whatever an arm adds to the set.

    Returns:
        dict.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}. Received: {name!r}")
    settings = RECIPES[name]._asdict()
    epochs, _ = settings.pop("epochs"), settings.pop("text")
    steps = math.ceil(epochs * images / settings["batch_size"])
    return settings | {"steps": steps, "checks": epochs, "selection": "best"}
