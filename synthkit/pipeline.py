"""The tf.data pipeline that feeds a network."""

import os


def to_dataset(imageset, batch_size=64, *, shuffle_seed=None, augment=None, one_hot=False, repeat=False):
    """Builds the tf.data pipeline that feeds a network.

    The uint8 images are in memory once, or not at all if they are a memory map; each batch is converted to float32 when
    it is needed.

    Args:
        imageset: an ImageSet.
        batch_size: int.
        shuffle_seed: int; the whole set is shuffled again in every epoch. None keeps the order.
        augment: callable `(images, labels, seeds) → (images, labels)` of TensorFlow tensors, applied to every batch.
            Images are uint8 `(batch, height, width, channels)`, labels those of the returned data set, and seeds int64
            `(batch, 2)`, one pair per image: `shuffle_seed` and the image's position in the stream. It returns images
            as uint8, or as float32 in [0, 1]. Batches are augmented in parallel, so its random numbers must depend on
            the seeds alone. For training only. `synthkit.augmentation` makes such callables.
        one_hot: whether labels are float32 `(batch, classes)`, probabilities of the classes, which an augmentation may
            mix.
        repeat: whether to repeat the set without end. All batches are then full, and every new iterator starts with the
            same order.

    Returns:
        tf.data.Dataset of `(images, labels)`: images float32 `(batch, height, width, channels)` in [0, 1], labels int64
        `(batch,)` or, with `one_hot`, float32 `(batch, classes)`.

    Raises:
        ValueError: if `augment` is given for a validation or test set, or without `shuffle_seed`, that is, not for
            training; or if it returns images of another shape or type.
        tf.errors.InvalidArgumentError: when the first batch is computed, if `augment` returns values outside [0, 1].
    """
    import tensorflow as tf

    if augment is not None and imageset.held_out:
        raise ValueError(f"augment is for training sets; {imageset.name} is a validation or test set. Omit augment")
    if augment is not None and shuffle_seed is None:
        raise ValueError("augment is for training, which shuffles: give shuffle_seed as well, or omit augment")

    def order():
        indices = tf.data.Dataset.range(len(imageset))
        if shuffle_seed is not None:
            indices = indices.shuffle(len(imageset), seed=shuffle_seed, reshuffle_each_iteration=True)
        return indices.repeat() if repeat else indices

    dataset = order()
    if repeat:
        # A new order for every iterator: a shared one would depend on how far earlier iterators had read ahead.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        dataset = tf.data.Dataset.range(1).flat_map(lambda _: order()).apply(endless)
    dataset = dataset.batch(batch_size, drop_remainder=repeat).enumerate()

    def load(step, index):
        # NumPy indexes the array or memory map itself, so TensorFlow holds no copy of the images.
        images = tf.numpy_function(lambda i: imageset.images[i], [index], "uint8", stateful=False)
        images.set_shape((batch_size if repeat else None, *imageset.image_shape))
        labels = tf.gather(imageset.labels, index)
        if one_hot:
            labels = tf.one_hot(labels, len(imageset.class_names))
        if augment is not None:
            position = step * batch_size + tf.range(tf.size(index, "int64"))
            seeds = tf.stack([tf.fill(tf.shape(position), tf.constant(shuffle_seed, "int64")), position], axis=1)
            images, labels = _augmented(augment, images, labels, seeds)
        if images.dtype == "uint8":
            images = tf.cast(images, "float32") / 255
        return images, labels

    # Without augmentation a batch is too little work for several threads.
    threads = None if augment is None else min(os.cpu_count() or 1, 8)
    dataset = dataset.map(load, num_parallel_calls=threads, deterministic=True if threads else None)
    options = tf.data.Options()
    # tf.data's tuning thread sleeps for longer and longer, and an iterator that is closed waits for it to wake up.
    options.autotune.enabled = False
    return dataset.prefetch(2).with_options(options)


def _augmented(augment, images, labels, seeds):
    """Applies `augment` and checks what it returns; the range of values is checked in the first batch only."""
    import tensorflow as tf

    augmented, labels = augment(images, labels, seeds)
    if augmented.dtype not in ("uint8", "float32") or not augmented.shape.is_compatible_with(images.shape):
        raise ValueError(
            f"augment must return uint8 or float32 images of shape {images.shape}. "
            f"Received: {augmented.dtype.name} {augmented.shape}"
        )
    if augmented.dtype == "uint8":
        return augmented, labels

    def check():
        low, high = tf.reduce_min(augmented), tf.reduce_max(augmented)
        message = "augment must return float32 images in [0, 1]. Received (lowest, highest):"
        with tf.control_dependencies([tf.debugging.Assert((low >= 0) & (high <= 1), [message, low, high])]):
            return tf.constant(True)

    with tf.control_dependencies([tf.cond(seeds[0, 1] == 0, check, lambda: tf.constant(True))]):
        return tf.identity(augmented), labels
