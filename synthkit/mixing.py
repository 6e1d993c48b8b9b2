"""Augmentation through Keras's own layers: images mixed with others of their batch, and RandAugment.

Every function makes a callable for `imageset.to_dataset` and for an arm's `augment`.
"""

import itertools

import keras
import tensorflow as tf


def mixup(alpha=0.2):
    """Mixes every image and its label with another of the batch (Zhang et al., "mixup", 2018): Keras's MixUp.

    Args:
        alpha: of the Beta distribution of the weights, above 0 and at most 1; more mixes more.

    Returns:
        callable for `to_dataset(..., one_hot=True, augment=...)`. What an image is mixed with depends on its batch.
    """
    return _keras_layer(keras.layers.MixUp(_number("alpha", alpha, 1e-3, 1)), f"mixup(alpha={alpha})")


def cutmix():
    """Pastes a box of another image of the batch into every image and mixes labels by area (Yun et al., "CutMix", 2019).

    Keras's CutMix, with the paper's uniform distribution of the area.

    Returns:
        callable for `to_dataset(..., one_hot=True, augment=...)`. What an image is mixed with depends on its batch.
    """
    # The layer's default draws the Beta distribution's parameter down to 0, where its gamma variates underflow to
    # 0 / 0; labels then are no numbers.
    return _keras_layer(keras.layers.CutMix((1.0, 1.0)), "cutmix()")


def randaugment(operations=2, strength=0.5):
    """Applies operations drawn from a list of eleven, a few a batch (Cubuk et al., "RandAugment", 2020): Keras's layer.

    Args:
        operations: int, how many, one after the other.
        strength: of each, from 0 to 1.

    Returns:
        callable for `to_dataset(..., augment=...)`. All images of a batch get the same operations.
    """
    layer = keras.layers.RandAugment((0.0, 1.0), operations, _number("strength", strength, 0, 1))
    return _keras_layer(layer, f"randaugment(operations={operations}, strength={strength})")


def _keras_layer(layer, name):
    """Makes a Keras augmentation layer draw from the batch's seeds alone instead of a state of its own."""
    def augment(images, labels, seeds):
        if isinstance(layer, (keras.layers.MixUp, keras.layers.CutMix)) and labels.shape.rank != 2:
            raise ValueError(f"{name} mixes labels, which must be shares of each class: give to_dataset one_hot=True")
        if images.dtype == "uint8":
            images = tf.cast(images, "float32") / 255
        grey = images.shape[-1] == 1
        number = iter(range(1000))
        layer.generator.next = lambda ordered=True: tf.random.experimental.stateless_fold_in(seeds[0], next(number))
        # One of RandAugment's operations knows colour images only.
        given = {"images": tf.repeat(images, 3, -1) if grey else images}
        made = layer(given | ({"labels": labels} if labels.shape.rank == 2 else {}))
        mixed = made["images"][..., :1] if grey else made["images"]
        return tf.ensure_shape(tf.clip_by_value(mixed, 0, 1), images.shape), made.get("labels", labels)

    augment.__name__ = name
    return augment
