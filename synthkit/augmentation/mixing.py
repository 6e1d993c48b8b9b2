"""Augmentation through Keras's layers: mixup, CutMix and RandAugment.

Every function makes a callable for `augment` of `pipeline.to_dataset` and of `study.Arm`. Callables are combined as
functions are:

    def both(images, labels, seeds):
        return mixed(*augmenter(images, labels, seeds), seeds)

Which images are mixed and which operations are drawn depends on the whole batch, so results are reproducible for the
same seed and the same batch size.
"""


def mixup(alpha=0.2):
    """Blends every image and its label with another of the batch: Keras's MixUp.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018.

    Args:
        alpha: float above 0, parameter of the Beta distribution of the weights; larger values blend more.

    Returns:
        callable for `to_dataset(..., augment=..., one_hot=True)`.

    Raises:
        ValueError: if alpha is not above 0. The callable raises it if labels are not one-hot.
    """
    import keras

    if not alpha > 0:
        raise ValueError(f"alpha must be above 0. Received: alpha={alpha}")
    return _keras_layer(keras.layers.MixUp(alpha), f"mixup(alpha={alpha})", mixes_labels=True)


def cutmix():
    """Pastes a rectangle of another image of the batch into every image and mixes their labels by area: Keras's CutMix.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019. The
    rectangle's fraction of the area is uniform, as in the paper; with the layer's own default most rectangles cover
    almost nothing or almost everything.

    Returns:
        callable for `to_dataset(..., augment=..., one_hot=True)`.

    Raises:
        ValueError: by the callable, if labels are not one-hot.
    """
    import keras

    return _keras_layer(keras.layers.CutMix((1.0, 1.0)), "cutmix()", mixes_labels=True)


def randaugment(operations=2, strength=0.5):
    """Applies operations from a list of eleven, drawn for every batch: Keras's RandAugment.

    Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", 2020.

    Args:
        operations: int, number of operations, applied one after the other; the same ones for all images of a batch.
        strength: float from 0 to 1, of all operations.

    Returns:
        callable for `to_dataset(..., augment=...)`.

    Raises:
        ValueError: if an argument is outside its range.
    """
    import keras

    if not isinstance(operations, int) or operations < 1:
        raise ValueError(f"operations must be an integer of at least 1. Received: operations={operations!r}")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be a number from 0 to 1. Received: strength={strength}")
    layer = keras.layers.RandAugment((0.0, 1.0), operations, strength)
    return _keras_layer(layer, f"randaugment(operations={operations}, strength={strength})")


def _keras_layer(layer, name, mixes_labels=False):
    """Makes a callable of a Keras layer whose random numbers depend on the batch's seeds alone.

    The layer's own seed generator has a state, so its numbers would depend on the order in which batches are computed.
    """
    import keras
    import tensorflow as tf

    class BatchSeeds(keras.random.SeedGenerator):
        """Derives all random numbers of a batch from one seed."""

        def start(self, seed):
            self.seed, self.draws = seed, 0

        def next(self, ordered=True):
            self.draws += 1
            return tf.random.experimental.stateless_fold_in(self.seed, self.draws - 1)

    generator = layer.generator = BatchSeeds(0)

    def augment(images, labels, seeds):
        if mixes_labels and labels.shape.rank != 2:
            raise ValueError(f"{name} mixes labels, so they must be one-hot: call to_dataset with one_hot=True")
        if images.dtype == "uint8":
            images = tf.cast(images, "float32") / 255
        grey = images.shape[-1] == 1
        generator.start(seeds[0])
        # One of RandAugment's operations accepts colour images only.
        data = {"images": tf.repeat(images, 3, axis=-1) if grey else images}
        outputs = layer(data | ({"labels": labels} if mixes_labels else {}))
        augmented = outputs["images"][..., :1] if grey else outputs["images"]
        return tf.ensure_shape(tf.clip_by_value(augmented, 0, 1), images.shape), outputs.get("labels", labels)

    augment.__name__ = name
    return augment
