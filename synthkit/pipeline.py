"""The tf.data pipeline that feeds a network."""

import os


def to_dataset(imageset, batch_size=64, *, shuffle_seed=None, augment=None, one_hot=False, repeat=False):
    """Builds the tf.data pipeline that feeds a network.

    The uint8 images stay in memory once; batches become float32 as they are needed.

    Args:
        imageset: an ImageSet.
        batch_size: int.
        shuffle_seed: int; reshuffles the whole set every epoch. None keeps the order.
        augment: callable `(images, labels, seeds) → (images, labels)` of TensorFlow tensors, applied batch by batch:
            uint8 images `(batch, height, width, channels)`, the labels as they leave here, and int64 seeds
            `(batch, 2)`, an image's own (`shuffle_seed` and its place in the stream of images). It returns images as
            uint8, or as float32 in [0, 1]. It runs in parallel, so it must draw from the seeds alone. For training
            only. `synthkit.augmentation` and `synthkit.mixing` make such callables.
        one_hot: whether labels are float32 `(batch, classes)`, shares of each class, which an augmentation may mix.
        repeat: whether to go round for ever. Batches are then always full, and every iteration starts over in the same
            order.

    Returns:
        tf.data.Dataset of `(float32 images (batch, height, width, channels) in [0, 1], int64 labels (batch,))`; with
        `one_hot` the labels are as said there.

    Raises:
        ValueError: if `augment` is given for a validation or test part or without `shuffle_seed`, that is, for
            something that is not training, or if it does not return images of the same shape.
        tf.errors.InvalidArgumentError: from the first batch, if what it returns lies outside [0, 1].
    """
    import tensorflow as tf

    if augment is not None and imageset.held_out:
        raise ValueError(f"augment is for training data, and {imageset.name} is held out for scoring: leave it out")
    if augment is not None and shuffle_seed is None:
        raise ValueError("augment is for training data: give shuffle_seed too, or leave augment out")

    def order():
        places = tf.data.Dataset.range(len(imageset))
        if shuffle_seed is not None:
            places = places.shuffle(len(imageset), seed=shuffle_seed, reshuffle_each_iteration=True)
        return places.repeat() if repeat else places

    dataset = order()
    if repeat:
        # Made anew for every iterator, an endless order does not depend on how far ahead an earlier one had read.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        dataset = tf.data.Dataset.range(1).flat_map(lambda _: order()).apply(endless)
    dataset = dataset.batch(batch_size, drop_remainder=repeat).enumerate()

    def load(step, index):
        # NumPy reads straight from memory or from a memory map, so the images are held once or not at all.
        images = tf.numpy_function(lambda i: imageset.images[i], [index], "uint8", stateful=False)
        images.set_shape((batch_size if repeat else None, *imageset.image_shape))
        labels = tf.gather(imageset.labels, index)
        if one_hot:
            labels = tf.one_hot(labels, len(imageset.class_names))
        if augment is not None:
            place = step * batch_size + tf.range(tf.size(index, "int64"))
            seeds = tf.stack([tf.fill(tf.shape(place), tf.constant(shuffle_seed, "int64")), place], axis=1)
            images, labels = _augmented(augment, images, labels, seeds)
        if images.dtype == "uint8":
            images = tf.cast(images, "float32") / 255
        return images, labels

    # Without augmentation a batch is not work enough to share.
    threads = None if augment is None else min(os.cpu_count() or 1, 8)
    dataset = dataset.map(load, num_parallel_calls=threads, deterministic=True if threads else None)
    options = tf.data.Options()
    # The tuning thread of tf.data sleeps for ever longer spells, and closing an iterator waits until it wakes.
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)


def _augmented(augment, images, labels, seeds):
    """Applies `augment` and holds it to its contract; the range is looked at in the first batch only."""
    import tensorflow as tf

    changed, labels = augment(images, labels, seeds)
    if changed.dtype not in ("uint8", "float32") or not changed.shape.is_compatible_with(images.shape):
        raise ValueError(
            f"augment must return uint8 or float32 images of shape {images.shape}. "
            f"Received: {changed.dtype.name} {changed.shape}"
        )
    if changed.dtype == "uint8":
        return changed, labels

    def check():
        low, high = tf.reduce_min(changed), tf.reduce_max(changed)
        message = "augment must return float32 images in [0, 1]. Received (lowest, highest):"
        with tf.control_dependencies([tf.debugging.Assert((low >= 0) & (high <= 1), [message, low, high])]):
            return tf.constant(True)

    with tf.control_dependencies([tf.cond(seeds[0, 1] == 0, check, lambda: tf.constant(True))]):
        return tf.identity(changed), labels
