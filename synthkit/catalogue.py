"""The catalogue: one row for each generator, augmentation, classifier and recipe, and the arms that these make.

`--help`, the names of arms, epochs, colours, the report page and the tables of the notebooks read these rows. To add a
generator of your own, `register` it:

>>> from synthkit import catalogue
>>> def tiny_gan(image_shape, num_classes): ...
>>> catalogue.register("tiny_gan", tiny_gan, "images of a very small GAN", epochs=50)
>>> [arm.name for arm in catalogue.arms(["real", "tiny_gan", "tiny_gan x2 augmented"])]
['real', 'tiny_gan', 'tiny_gan x2 augmented']
>>> del catalogue.GENERATORS["tiny_gan"]
"""

import importlib
import math
import re
import typing
import warnings


class Generator(typing.NamedTuple):
    """A generator: `builder(image_shape, num_classes)` returns it compiled.

    Attributes:
        builder: the callable, or "module:name" of one, which is imported when it is used.
        text: what an arm of its images is, for `--help` and the report page.
        epochs: passes over the real training images.
        batch_size: images per gradient step.
        color: in figures; None for one of those left over.
    """

    builder: object
    text: str
    epochs: int = 300
    batch_size: int = 32
    color: str | None = None


class Augmentation(typing.NamedTuple):
    """An augmentation: `builder()` returns a callable for `pipeline.to_dataset`; fields as in `Generator`."""

    builder: object
    text: str
    color: str | None = None


class Control(typing.NamedTuple):
    """A control arm; fields as in `Generator`."""

    text: str
    color: str | None = None


class Classifier(typing.NamedTuple):
    """A classifier: `builder(image_shape, num_classes)` returns a keras.Model; `steps` is a dict by profile."""

    builder: object
    text: str
    steps: dict


# Okabe and Ito's colours, which people with colour blindness can tell apart; the baseline is grey.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#5E3C99")
BASELINE_COLOR = "#555555"

CONTROLS = {
    "real": Control("real images only, the baseline", BASELINE_COLOR),
    "oversample": Control("real images repeated, to the same count as the synthetic ones", "#D55E00"),
    "shuffled": Control("the dense_cvae arm's images with their labels permuted: the negative control", "#009E73"),
    "oracle": Control("fresh images from the simulator, phantoms only: the positive control", "#E69F00"),
}
AUGMENTATIONS = {
    "augmentation": Augmentation(
        "synthkit.augmentation:Augmenter",
        "real images, transformed anew in every batch as in the mammography study",
        "#0072B2",
    ),
    "elastic": Augmentation("synthkit.augmentation:elastic", "the same with elastic deformation"),
    "mixup": Augmentation("synthkit.augmentation:mixup", "real images and their labels mixed in pairs"),
    "cutmix": Augmentation(
        "synthkit.augmentation:cutmix", "real images with a box of another pasted in, labels mixed by area"
    ),
    "randaugment": Augmentation(
        "synthkit.augmentation:randaugment", "real images, two of eleven operations drawn for every batch"
    ),
}
MODULE = "synthkit.generators"
GENERATORS = {  # epochs as the studies trained theirs, or as many as a few hundred images need
    "autoencoder": Generator(
        f"{MODULE}.medmnist_autoencoder:autoencoder",
        "training images as the MedMNIST study's deep autoencoder reconstructs them",
        300,
        128,
    ),
    "dense_cvae": Generator(
        f"{MODULE}.medmnist_cvae:dense_cvae",
        "images of the MedMNIST study's conditional variational autoencoder",
        300,
        128,
        "#CC79A7",
    ),
    "dense_cgan": Generator(
        f"{MODULE}.medmnist_cgan:dense_cgan",
        "images of the MedMNIST study's fully connected conditional GAN",
        1000,
        128,
    ),
    "mammography_cgan": Generator(
        f"{MODULE}.mammography_cgan:mammography_cgan",
        "images of the mammography study's convolutional conditional GAN",
        400,
        32,
    ),
    "dcgan": Generator(
        f"{MODULE}.skin_dcgan:per_class_dcgan", "images of the skin-lesion study's DCGAN, one for each class", 400, 128
    ),
    "conv_cvae": Generator(
        f"{MODULE}.conv_cvae:conv_cvae",
        "images of a convolutional conditional variational autoencoder",
        300,
        64,
        "#8C6D31",
    ),
    "conv_cgan": Generator(
        f"{MODULE}.conv_cgan:conv_cgan",
        "images of a convolutional conditional GAN made for few images",
        80,
        32,
        "#5E3C99",
    ),
    "wgan_gp": Generator(f"{MODULE}.conv_cgan:wgan_gp", "the same with Wasserstein's loss and a gradient penalty", 80),
    "acgan": Generator(f"{MODULE}.conv_cgan:acgan", "the same with an auxiliary classifier", 80),
    "diffusion": Generator(
        f"{MODULE}.diffusion:diffusion", "images of a small conditional diffusion model", 250, 32, "#56B4E9"
    ),
}
CLASSIFIERS = {
    "skin_cnn": Classifier(
        "synthkit.classifiers:skin_cnn", "the skin-lesion study's small network", {"fast": 300, "full": 1500}
    ),
    "simple_cnn": Classifier(
        "synthkit.classifiers:simple_cnn", "the mammography study's basic network", {"fast": 300, "full": 1500}
    ),
    "resnet18": Classifier(
        "synthkit.classifiers:resnet18", "as MedMNIST's benchmark has it", {"fast": 100, "full": 1500}
    ),
}
RECIPES = {
    # Yang et al., "MedMNIST v2", 2023: its benchmark's own training script.
    "medmnist": {"optimizer": "adam", "learning_rate": 1e-3, "drops": (0.5, 0.75), "batch_size": 128, "epochs": 100},
    # The MedMNIST study, its section 4.1, which has no learning-rate schedule.
    "medmnist_study": {"optimizer": "sgd", "learning_rate": 1e-3, "drops": (), "batch_size": 128, "epochs": 100},
}
ENDINGS = {  # after a generator's name, any of them in this order; after a control's all but the first
    "filtered": "the half of its images whose label a classifier of the real ones is surest of, without copies",
    "x2": "ratio of synthetic to real images, here two to one",
    "first": "synthetic images alone for the first half of the steps, real ones alone for the second",
    "augmented": "synthetic and real images transformed as in the arm augmentation",
}
DEFAULT_ARMS = ("real", "augmentation", "oversample", "shuffled", "dense_cvae", "oracle")
RENAMED = {"cvae": "dense_cvae", "cgan": "dense_cgan"}  # old names, accepted until version 0.2


def register(name, builder, text, *, epochs=300, batch_size=32, color=None):
    """Adds a generator of your own to the catalogue.

    Args:
        name: of the arm; letters, digits and underscores.
        builder: callable `(image_shape, num_classes) → compiled generator` (`generators.contract.Generator`).
        text, epochs, batch_size, color: as in `Generator`.

    Raises:
        ValueError: if the name is taken, or has other characters.
    """
    if not re.fullmatch(r"[A-Za-z]\w*", name) or name in texts():
        raise ValueError(
            f"a generator's name must be new and made of letters, digits and underscores. Received: {name!r}"
        )
    GENERATORS[name] = Generator(builder, text, epochs, batch_size, color)


def texts():
    """Returns what each arm is, as a dict from its name, those of the default study first."""
    rows = {**CONTROLS, **AUGMENTATIONS, **GENERATORS}
    return {name: rows[name].text for name in dict.fromkeys((*DEFAULT_ARMS, *rows))}


def colors():
    """Returns the colours of the arms that have one of their own, as a dict from their names."""
    rows = {**CONTROLS, **AUGMENTATIONS, **GENERATORS}
    return {name: row.color for name, row in rows.items() if row.color}


def build(row):
    """Returns a row's builder, imported if the row only names it."""
    if callable(row.builder):
        return row.builder
    module, _, name = row.builder.partition(":")
    return getattr(importlib.import_module(module), name)


def arms(names, *, epochs=None, ratio=5.0, steps=300, learning_rate=2e-3, keep=None, progress=False):
    """Makes arms of a study by name.

    Args:
        names: names of arms (`texts`); those of generators and controls may be followed by `ENDINGS`, as in
            "dense_cvae filtered augmented".
        epochs: dict from a generator's name to its epochs, where they differ from `GENERATORS`.
        ratio: ratio of synthetic to real images.
        steps, learning_rate: of the classifier that filters images. It is trained with and without augmentation; the
            one with the better AUC on a quarter of the real training images, which neither has seen, is used.
        keep: folder for fitted generators, as in `generators.synthesizer`.
        progress: whether generators show a bar while they are fitted.

    Returns:
        list of study.Arm.

    Raises:
        ValueError: for an unknown name.
    """
    from synthkit import augmentation, classifiers, fidelity, selection, study, training
    from synthkit.datasets import phantom
    from synthkit.generators import synthesizer

    names = [current(name) for name in names]
    check(names)
    epochs = {name: row.epochs for name, row in GENERATORS.items()} | (epochs or {})
    options = {"keep": keep, "progress": progress}
    synthetic = {
        name: synthesizer(build(row), epochs=epochs[name], batch_size=row.batch_size, **options)
        for name, row in GENERATORS.items()
        if any(name in (arm.split()[0], "dense_cvae") for arm in names)
    }
    judge = training.scorer(
        classifiers.skin_cnn, steps=steps, learning_rate=learning_rate, augment=(None, augmentation.Augmenter())
    )
    rules = selection.confident(judge), selection.novel(lambda train: fidelity.pixels(train.images))
    synthesizers = {
        **{f"{name} filtered": selection.filtered(synthesize, *rules) for name, synthesize in synthetic.items()},
        **synthetic,
        "oversample": study.oversample,
        "shuffled": study.shuffled(synthetic["dense_cvae"]),
        "oracle": phantom.oracle(),
    }

    def arm(name):
        plain = name in texts()
        source, number, first, augmented = (name, None, None, None) if plain else _with_endings(name).groups()
        augment = AUGMENTATIONS.get("augmentation" if augmented else name)
        generator = "dense_cvae" if source == "shuffled" else source.split()[0]
        return study.Arm(
            name,
            synthesizers.get(source),
            ratio=float(number or ratio) if source in synthesizers else 0.0,
            augment=augment and build(augment)(),
            pretrain=0.5 if first else 0.0,
            settings={"epochs": epochs[generator]} if generator in epochs else None,
        )

    return [arm(name) for name in names]


def current(name):
    """Returns an arm's name as it is today; warns if it was an old one."""
    first, *endings = name.split(" ")
    if first not in RENAMED:
        return name
    warnings.warn(f"{first} is now called {RENAMED[first]}; the old name will go in version 0.2", stacklevel=3)
    return " ".join([RENAMED[first], *endings])


def check(names):
    """Raises ValueError for a name that is not an arm's."""
    for name in names:
        if name not in texts() and not _with_endings(name):
            raise ValueError(
                f"there is no arm {name!r}; expected names from {', '.join(texts())}; a generator's may be followed by "
                f"{', '.join(ENDINGS)}, in this order"
            )


def _with_endings(name):
    """Matches a name with endings: the images' source, their ratio to real ones, first, augmented; or returns None."""
    number = r"(?=.*[1-9])\d+(?:\.\d+)?"
    source = rf"(?:{'|'.join(GENERATORS)})(?: filtered)?|oversample|shuffled|oracle"
    return re.fullmatch(rf"({source})(?: x({number}))?( first)?( augmented)?", name)


def recipe(name, images):
    """Returns a published recipe as arguments of `training.Trainer`.

    The mammography and the skin-lesion study name neither optimizer, learning rate nor epochs of their classifiers, so
    there is no recipe of theirs.

    Args:
        name: "medmnist" (the benchmark's: Adam at 1e-3, a tenth of it after half of the steps and again after three
            quarters, batches of 128, 100 epochs, weights of the best validation AUC) or "medmnist_study" (stochastic
            gradient descent at 1e-3, otherwise the same).
        images: int, of the real training set; epochs over these determine the steps, whatever an arm adds to them.

    Returns:
        dict.

    Raises:
        ValueError: for another name.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}. Received: {name!r}")
    settings = dict(RECIPES[name])
    epochs = settings.pop("epochs")
    return settings | {"steps": math.ceil(epochs * images / settings["batch_size"]), "checks": epochs}
