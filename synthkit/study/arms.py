"""Arms: the ways to make a training set, and the synthesizers of the control arms."""

import dataclasses

import numpy as np

from synthkit.imageset import ImageSet, image_digests


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to make the training set.

    Args:
        name: name of the arm in tables, figures and files.
        synthesizer: callable `(train: ImageSet, labels, seed) → ImageSet`; None for no synthetic images. If it has a
            `check(train, counts)`, that is called before the first trial with the number of images of each class.
        ratio: ratio of synthetic to real images; classes keep the proportions of the real images.
        augment: callable for `pipeline.to_dataset`, applied to all training images; None for no augmentation.
        real_share: fraction of the real training images, by patient, that the classifier and the synthesizer get.
        balance: whether synthetic images fill every class up to the size of the largest, instead of `ratio`.
        pretrain: fraction of the gradient steps, the first ones, that use synthetic images alone; the others then use
            real images alone. 0 mixes both kinds in all steps.
        counts: dict from a class name to its number of synthetic images, instead of `ratio`; None uses `ratio`.
        more_real: whether the real images of the training set that the seed did not draw are added: the positive
            control of a study of real images.
        features: callable of `rivals` that makes features instead of images, for a classifier of frozen features
            (`pretrained.Frozen`); with `synthesizer` None. None for none.
        settings: dict of whatever else determines the results of this arm, such as the epochs of its generator. It is
            stored with the study and compared when the study is resumed. None for nothing else.
    """

    name: str
    synthesizer: object = None
    ratio: float = 1.0
    augment: object = None
    real_share: float = 1.0
    balance: bool = False
    pretrain: float = 0.0
    counts: dict | None = None
    more_real: bool = False
    features: object = None
    settings: dict | None = None


def oversample(train, labels, seed):
    """The synthesizer of the "oversample" control: copies of real training images, drawn with replacement."""
    rng = np.random.default_rng(seed)
    rows = np.empty(len(labels), int)
    for label in np.unique(labels):
        rows[labels == label] = rng.choice(np.flatnonzero(train.labels == label), np.sum(labels == label))
    return train[rows]


def shuffled(synthesizer):
    """Makes the synthesizer of the "shuffled" control: the same synthetic images with their labels permuted."""

    def synthesize(train, labels, seed):
        synthetic = synthesizer(train, labels, seed)
        return dataclasses.replace(synthetic, labels=np.random.default_rng(seed).permutation(synthetic.labels))

    synthesize.synthesizer = synthesizer
    for name in ("check", "pretrained_on"):
        if hasattr(synthesizer, name):
            setattr(synthesize, name, getattr(synthesizer, name))
    return synthesize


def origin(synthesizer):
    """Returns the synthesizer whose images a control or a selection uses; others are returned as they are."""
    while hasattr(synthesizer, "synthesizer"):
        synthesizer = synthesizer.synthesizer
    return synthesizer


def requested(arm, real_counts):
    """Returns the number of synthetic images of each class that an arm needs.

    Args:
        arm: Arm with a synthesizer.
        real_counts: dict from a class name to the number of real training images.

    Returns:
        dict from a class name to int.

    Raises:
        ValueError: if it needs none, for example to balance classes that are balanced already.
    """
    real = np.array(list(real_counts.values()))
    counts = real.max() - real if arm.balance else np.round(real * arm.ratio).astype(int)
    if arm.counts is not None:
        counts = np.array([arm.counts.get(name, 0) for name in real_counts])
    if not counts.any():
        raise ValueError(
            f"the arm {arm.name} asks for no synthetic image: its classes are balanced already, or its ratio or counts "
            f"are too small"
        )
    return dict(zip(real_counts, counts.tolist(), strict=True))


def synthesize(arm, real, seed, held_out=frozenset()):
    """Calls an arm's synthesizer and checks the images that it returns.

    The requested labels, in random order, are in the proportions of the real images, or fill every class up to the
    largest (`Arm.balance`), or are those of `Arm.counts`.

    Args:
        arm: Arm.
        real: ImageSet, the real training images.
        seed: int.
        held_out: set of digests of the validation and test images (`imageset.image_digests`).

    Returns:
        ImageSet.

    Raises:
        ValueError: if no image is to be synthesized; if the synthesizer returns other labels, image sizes or classes
            than requested; or if it returns a validation or test image.
    """
    counts = list(requested(arm, real.class_counts()).values())
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    synthetic = arm.synthesizer(real, labels, seed)
    if not isinstance(synthetic, ImageSet):
        raise ValueError(f"the synthesizer of {arm.name} must return an ImageSet. Received: {type(synthetic).__name__}")
    if (
        not np.array_equal(np.sort(synthetic.labels), np.sort(labels))
        or synthetic.image_shape != real.image_shape
        or synthetic.class_names != real.class_names
    ):
        raise ValueError(
            f"the synthesizer of {arm.name} was asked for {len(labels)} images of shape {real.image_shape} and "
            f"classes {real.class_names}. Received: {synthetic!r}"
        )
    leaked = sum(digest in held_out for digest in image_digests(synthetic))
    if leaked:
        raise ValueError(f"{leaked} images of {arm.name} are validation or test images, byte for byte")
    return synthetic
