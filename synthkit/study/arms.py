"""Arms: the ways to make a training set, and the controls."""

import dataclasses

import numpy as np

from synthkit.imageset import ImageSet, image_digests


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to make the training set.

    Args:
        name: what to call it.
        synthesizer: callable `(train: ImageSet, labels, seed) → ImageSet`; None for no synthetic images.
        ratio: synthetic images for every real one, in the classes' own proportions.
        augment: callable for `pipeline.to_dataset`, applied to all training images; None for none.
        real_share: share of the real training images, by patient, that the arm may see; the synthesizer as well.
        balance: whether synthetic images fill every class up to the largest, instead of `ratio`.
        pretrain: share of the gradient steps that go to the synthetic images alone, before those on real images
            alone; 0 mixes them.
        counts: dict from a class's name to how many synthetic images of it, instead of `ratio`; None for none such.
        settings: dict, whatever else decides the arm's numbers (a generator's epochs, say), kept with the study and
            compared when it is gone on with; None for nothing.
    """

    name: str
    synthesizer: object = None
    ratio: float = 1.0
    augment: object = None
    real_share: float = 1.0
    balance: bool = False
    pretrain: float = 0.0
    counts: dict | None = None
    settings: dict | None = None


def oversample(train, labels, seed):
    """The synthesizer of the "oversample" control: real training images again, drawn with replacement."""
    rng = np.random.default_rng(seed)
    chosen = np.empty(len(labels), int)
    for label in np.unique(labels):
        chosen[labels == label] = rng.choice(np.flatnonzero(train.labels == label), np.sum(labels == label))
    return train[chosen]


def shuffled(synthesizer):
    """Makes the synthesizer of the "shuffled" control: the same synthetic images, their labels permuted."""

    def synthesize(train, labels, seed):
        made = synthesizer(train, labels, seed)
        return dataclasses.replace(made, labels=np.random.default_rng(seed).permutation(made.labels))

    return synthesize


def synthesize(arm, real, seed, held_out=frozenset()):
    """Asks an arm's synthesizer for its images and checks what comes back.

    The labels asked for are in the real images' proportions, or fill them up to the largest class, or as many as the
    arm counts, in random order.

    Raises:
        ValueError: if the arm is to balance classes that are balanced already; if the synthesizer returns other labels,
            sizes or classes than asked, or an image that stands in `held_out` (digests of the validation and test
            images).
    """
    counts = np.bincount(real.labels, minlength=len(real.class_names))
    counts = counts.max() - counts if arm.balance else np.round(counts * arm.ratio).astype(int)
    if arm.counts is not None:
        counts = np.array([arm.counts.get(name, 0) for name in real.class_names])
    if not counts.any():
        raise ValueError(f"{arm.name} has no synthetic image to ask for: the classes have {counts.max()} more to get")
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    made = arm.synthesizer(real, labels, seed)
    if not isinstance(made, ImageSet):
        raise ValueError(f"the synthesizer of {arm.name} must return an ImageSet. Received: {type(made).__name__}")
    if (
        not np.array_equal(np.sort(made.labels), np.sort(labels))
        or made.image_shape != real.image_shape
        or made.class_names != real.class_names
    ):
        raise ValueError(
            f"the synthesizer of {arm.name} was asked for {len(labels)} images of shape {real.image_shape} and "
            f"classes {real.class_names}. Received: {made!r}"
        )
    leaked = sum(digest in held_out for digest in image_digests(made))
    if leaked:
        raise ValueError(f"{leaked} images of {arm.name} stand in the validation or test part, byte for byte")
    return made
