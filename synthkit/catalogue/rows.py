"""The rows of the catalogue."""

import importlib
import re
import typing


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
