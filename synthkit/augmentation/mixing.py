"""Augmentation through Keras's own layers: images mixed with others of their batch, and RandAugment.

Every function makes a callable for `pipeline.to_dataset` and for an arm's `augment`. They compose with
`augmentation.Augmenter` as functions do:

    def both(images, labels, seeds):
        return mixed(*augmenter(images, labels, seeds), seeds)

Which images are mixed and which operations are drawn depends on the batch, hence on its size too; the same seed and
batch size give the same images.
"""


def mixup(alpha=0.2):
    """Mixes every image and its label with another of the batch: Keras's MixUp.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.

    Args:
        alpha: float above 0, of the Beta distribution of the weights; more mixes more.

    Returns:
        callable for `to_dataset(..., augment=..., one_hot=True)`.

    Raises:
        ValueError: if alpha is not above 0; the callable itself, if labels are not shares of each class.
    """
    import keras

    if not alpha > 0:
        raise ValueError(f"alpha must be above 0. Received: alpha={alpha}")
    return _keras_layer(keras.layers.MixUp(alpha), f"mixup(alpha={alpha})", mixes_labels=True)


def cutmix():
    """Pastes a box of another image of the batch into every image and mixes their labels by area: Keras's CutMix.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019. The
    box's share of the area is uniform, as in the paper; the layer's own default prefers boxes of nothing or everything.

    Returns:
        callable for `to_dataset(..., augment=..., one_hot=True)`.

    Raises:
        ValueError: the callable itself, if labels are not shares of each class.
    """
    import keras

    return _keras_layer(keras.layers.CutMix((1.0, 1.0)), "cutmix()", mixes_labels=True)


def randaugment(operations=2, strength=0.5):
    """Applies operations drawn anew for every batch from a list of eleven: Keras's RandAugment.

    Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", 2020.

    Args:
        operations: int, how many, one after the other, the same ones for all images of a batch.
        strength: float from 0 to 1, of all of them.

    Returns:
        callable for `to_dataset(..., augment=...)`.

    Raises:
        ValueError: if an argument lies outside its range.
    """
    import keras

    if not isinstance(operations, int) or operations < 1:
        raise ValueError(f"operations must be an integer of at least 1. Received: operations={operations!r}")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must lie between 0 and 1. Received: strength={strength}")
    layer = keras.layers.RandAugment((0.0, 1.0), operations, strength)
    return _keras_layer(layer, f"randaugment(operations={operations}, strength={strength})")


def _keras_layer(layer, name, mixes_labels=False):
    """Makes a Keras layer draw from a batch's seeds alone: its own state would depend on the order of execution."""
    import keras
    import tensorflow as tf

    class BatchSeeds(keras.random.SeedGenerator):
        """Derives every draw from one seed."""

        def start(self, seed):
            self.seed, self.draws = seed, 0

        def next(self, ordered=True):
            self.draws += 1
            return tf.random.experimental.stateless_fold_in(self.seed, self.draws - 1)

    generator = layer.generator = BatchSeeds(0)

    def augment(images, labels, seeds):
        if mixes_labels and labels.shape.rank != 2:
            raise ValueError(f"{name} mixes labels, so they must be one-hot: give to_dataset one_hot=True")
        if images.dtype == "uint8":
            images = tf.cast(images, "float32") / 255
        grey = images.shape[-1] == 1
        generator.start(seeds[0])
        # One of RandAugment's operations takes colour images only.
        data = {"images": tf.repeat(images, 3, axis=-1) if grey else images}
        changed = layer(data | ({"labels": labels} if mixes_labels else {}))
        images_changed = changed["images"][..., :1] if grey else changed["images"]
        return tf.ensure_shape(tf.clip_by_value(images_changed, 0, 1), images.shape), changed.get("labels", labels)

    augment.__name__ = name
    return augment
