"""Images with labels and patients, their split into parts, and the pipeline that feeds a network."""

import dataclasses
import hashlib
import math
import os
import warnings

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Labelled images that belong to patients. Immutable.

    Example:

    >>> images = np.zeros((4, 8, 8, 1), "uint8")
    >>> crops = ImageSet(images, [0, 1, 1, 0], ["malignant", "benign"], ["P1", "P1", "P2", "P3"])
    >>> crops
    ImageSet(4 images of 8×8×1, 3 patients, malignant 2, benign 2)
    >>> crops[crops.labels == 1].class_counts()
    {'malignant': 0, 'benign': 2}

    Args:
        images: uint8 `(n, height, width, channels)`, grey levels 0 to 255; may be a memory map.
        labels: int `(n,)`, indices into `class_names`.
        class_names: the classes, in the order of their labels.
        patients: `(n,)`, an identifier for every image; one patient an image if None.
        name: what to call the set in messages and reports.
        held_out: whether this is a validation or test part, which nothing may change; `Splits` says so.

    Raises:
        ValueError: for arrays whose type, shape or length do not fit each other.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple
    patients: np.ndarray | None = None
    name: str = "images"
    held_out: bool = False

    def __post_init__(self):
        images, labels = self.images, np.asarray(self.labels)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
            received = f"{getattr(images, 'dtype', type(images).__name__)} {getattr(images, 'shape', '')}"
            raise ValueError(
                f"{self.name}: images must be uint8 of shape (n, height, width, channels). Received: {received}"
            )
        if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"{self.name}: labels must be {len(images)} integers, one an image. "
                f"Received: {labels.dtype} {labels.shape}"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            raise ValueError(
                f"{self.name}: labels must lie between 0 and {len(self.class_names) - 1}, "
                f"the classes being {', '.join(self.class_names)}. Received: {labels.min()} to {labels.max()}"
            )
        patients = np.array([f"{self.name}-{i}" for i in range(len(images))], dtype=str)
        if self.patients is not None:
            patients = np.asarray(self.patients).astype(str)
        if patients.shape != (len(images),):
            raise ValueError(
                f"{self.name}: patients must be {len(images)} identifiers, one an image. Received: {patients.shape}"
            )
        for field, value in (("images", images), ("labels", labels.astype("int64")), ("patients", patients)):
            view = value.view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        """Returns the images at `index` (a slice, integers or booleans) as an ImageSet."""
        return dataclasses.replace(
            self, images=self.images[index], labels=self.labels[index], patients=self.patients[index]
        )

    def __repr__(self):
        counts = ", ".join(f"{name} {count}" for name, count in self.class_counts().items())
        height, width, channels = self.image_shape
        patients = len(np.unique(self.patients))
        return f"ImageSet({len(self)} images of {height}×{width}×{channels}, {patients} patients, {counts})"

    @property
    def image_shape(self):
        """`(height, width, channels)`."""
        return self.images.shape[1:]

    def class_counts(self):
        """Returns the number of images of every class, by name."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def fingerprint(self):
        """Returns a digest of every pixel, label and patient, as 16 hexadecimal digits."""
        digest = hashlib.sha256(repr((self.images.shape, self.class_names)).encode())
        for start in range(0, len(self), 1024):
            digest.update(np.ascontiguousarray(self.images[start : start + 1024]))
        digest.update(self.labels.tobytes() + "\n".join(self.patients).encode())
        return digest.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Splits:
    """The three parts of a data set. Building one whose parts share a patient or an image raises.

    Args:
        train, validation, test: ImageSets with the same classes and image shape, none of them empty.

    Raises:
        ValueError: if the parts do not fit each other or leak into each other; names what they share.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet

    def __post_init__(self):
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, part in parts.items():
            if not len(part):
                raise ValueError(f"{part.name}: the {name} part is empty; it needs at least one image")
            if part.class_names != self.train.class_names or part.image_shape != self.train.image_shape:
                raise ValueError(
                    f"{part.name}: the {name} part must have the train part's classes and image shape "
                    f"{self.train.class_names}, {self.train.image_shape}. "
                    f"Received: {part.class_names}, {part.image_shape}"
                )
            missing = [c for c, count in part.class_counts().items() if not count]
            if missing:
                raise ValueError(f"{part.name}: the {name} part has no image of class {', '.join(missing)}")
        for role, part in parts.items():
            object.__setattr__(self, role, dataclasses.replace(part, held_out=role != "train"))
        for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
            shared = np.intersect1d(parts[a].patients, parts[b].patients)
            if len(shared):
                raise ValueError(
                    f"{self.train.name}: {len(shared)} patients stand both in {a} and in {b}, "
                    f"for example {shared[0]}. Split by patient: synthkit.imageset.split does"
                )
            same = duplicates(parts[a], parts[b])
            if len(same):
                raise ValueError(
                    f"{self.train.name}: {len(same)} images stand both in {a} and in {b}, for example "
                    f"number {same[0]} of {a} (patient {parts[a].patients[same[0]]}). "
                    f"Leave one of each pair out: synthkit.imageset.duplicates finds them"
                )

    def __iter__(self):
        return iter((self.train, self.validation, self.test))


def image_digests(imageset):
    """Returns a set-comparable digest of every image's bytes: a list of `n` bytes objects."""
    return [hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest() for image in imageset.images]


def duplicates(imageset, *others):
    """Returns the indices of images in `imageset` that stand, byte for byte, in any of the others."""
    known = set().union(*(image_digests(other) for other in others))
    return np.array([i for i, digest in enumerate(image_digests(imageset)) if digest in known], dtype=int)


def without_copies(imageset, *others):
    """Returns the set without the images that stand in any of the others too, or, with no others, without repeats.

    Warns with the number of images left out and the places of the first few.
    """
    if others:
        copies = duplicates(imageset, *others)
        where = "stand in " + " or ".join(other.name for other in others) + " too"
    else:
        digests = np.array([digest.hex() for digest in image_digests(imageset)])
        copies = np.setdiff1d(np.arange(len(imageset)), np.unique(digests, return_index=True)[1])
        where = "repeat an earlier image"
    if len(copies):
        first = ", ".join(map(str, copies[:5])) + (", …" if len(copies) > 5 else "")
        warnings.warn(
            f"{imageset.name}: {len(copies)} of {len(imageset)} images {where}, byte for byte, and were left out "
            f"(number {first})",
            stacklevel=3,
        )
    return imageset[np.setdiff1d(np.arange(len(imageset)), copies)]


def concatenate(imagesets, name=None):
    """Joins ImageSets of the same classes and image shape, in order."""
    first = imagesets[0]
    for other in imagesets[1:]:
        if other.class_names != first.class_names or other.image_shape != first.image_shape:
            raise ValueError(
                f"{other.name} does not fit {first.name}: expected classes {first.class_names} and shape "
                f"{first.image_shape}. Received: {other.class_names}, {other.image_shape}"
            )
    return ImageSet(
        np.concatenate([part.images for part in imagesets]),
        np.concatenate([part.labels for part in imagesets]),
        first.class_names,
        np.concatenate([part.patients for part in imagesets]),
        name or first.name,
        any(part.held_out for part in imagesets),
    )


def deal(labels, patients, shares, *, seed=0):
    """Deals patients to parts, stratified by class.

    Each class's patients are dealt on their own and those with most images first, to the part that is furthest from
    its share of that class, so parts come as near to their shares as whole patients allow. A patient with images of
    several classes counts for the class of most of them.

    Args:
        labels: int `(n,)`.
        patients: `(n,)`, identifiers.
        shares: share of the images for each part; they add up to 1.
        seed: int.

    Returns:
        int `(n,)`, the part of every image.
    """
    names, patient = np.unique(patients, return_inverse=True)
    votes = np.zeros((len(names), 1 + max(labels, default=0)), int)
    np.add.at(votes, (patient, labels), 1)
    size, major = votes.sum(1), votes.argmax(1)
    part = np.zeros(len(names), int)
    rng = np.random.default_rng(seed)
    for label in range(votes.shape[1]):
        members = rng.permutation(np.flatnonzero(major == label))
        wanted = np.asarray(shares) * size[members].sum()
        for member in members[np.argsort(-size[members], kind="stable")]:
            chosen = int(np.argmax(wanted))
            part[member] = chosen
            wanted[chosen] -= size[member]
    return part[patient]


def partition(imageset, sizes, *, seed=0):
    """Divides a set by patient, stratified by class (see `deal`).

    Args:
        imageset: an ImageSet.
        sizes: share of the images (a float below 1) or their number (an int of 1 or more) for each part but the first,
            which gets the rest.
        seed: int.

    Returns:
        list of ImageSets, one more than `sizes`.

    Raises:
        ValueError: if a size is not positive, or nothing is left for the first part.
    """
    n = len(imageset)
    shares = [size / n if isinstance(size, (int, np.integer)) else size for size in sizes]
    if min(shares) <= 0 or sum(shares) >= 1:
        raise ValueError(
            f"{imageset.name}: sizes must be positive and leave some of the {n} images for the first part. "
            f"Received: {', '.join(map(str, sizes))}"
        )
    shares = np.array([1 - sum(shares), *shares])
    part = deal(imageset.labels, imageset.patients, shares, seed=seed)
    return [imageset[np.flatnonzero(part == p)] for p in range(len(shares))]


def split(imageset, validation=0.1, test=0.2, *, seed=0):
    """Splits into training, validation and test parts by patient, stratified by class (see `partition`).

    Args:
        imageset: an ImageSet.
        validation, test: share of the images (a float below 1) or their number (an int of 1 or more).
        seed: int.

    Returns:
        Splits.

    Raises:
        ValueError: if a part is left without an image of some class.
    """
    parts = partition(imageset, [validation, test], seed=seed)
    names = ("train", "validation", "test")
    for label, count in enumerate(imageset.class_counts().values()):
        short = [name for part, name in zip(parts, names, strict=True) if label not in part.labels]
        if short:
            patients = len(np.unique(imageset.patients[imageset.labels == label]))
            raise ValueError(
                f"{imageset.name}: class {imageset.class_names[label]} has {count} images of {patients} patients, too "
                f"few for the {' and the '.join(short)} part to get one; give more images or larger shares"
            )
    return Splits(
        *(dataclasses.replace(part, name=f"{imageset.name} {name}") for part, name in zip(parts, names, strict=True))
    )


def fold(imageset, folds, *, seed=0):
    """Deals the patients into folds for cross-validation, classes spread evenly (scikit-learn's StratifiedGroupKFold).

    Args:
        imageset: an ImageSet.
        folds: int, at least 2.
        seed: int.

    Returns:
        int `(n,)`, the fold of every image.

    Raises:
        ValueError: if a class has fewer patients than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for label, name in enumerate(imageset.class_names):
        patients = len(np.unique(imageset.patients[imageset.labels == label]))
        if not 2 <= folds <= patients:
            raise ValueError(
                f"{imageset.name}: folds must be at least 2 and at most the {patients} patients of class {name}. "
                f"Received: folds={folds}"
            )
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    number = np.empty(len(imageset), int)
    for i, (_, held_out) in enumerate(split.split(imageset.labels, imageset.labels, imageset.patients)):
        number[held_out] = i
    return number


def subsample(imageset, per_class, *, seed=0, total=None):
    """Draws images without replacement: `per_class` of each class, or all of a class that has fewer.

    Args:
        imageset: an ImageSet.
        per_class: int, the number to draw of every class.
        seed: int.
        total: if given, what classes fall short of is drawn from the others, as evenly as they allow, until there
            are `total` images.

    Returns:
        ImageSet, its images in their original order.
    """
    available = np.bincount(imageset.labels, minlength=len(imageset.class_names))
    take = np.minimum(available, per_class)
    while total is not None and take.sum() < min(total, len(imageset)):
        room = np.flatnonzero(take < available)
        share = math.ceil((total - take.sum()) / len(room))
        for label in room:
            take[label] += max(0, min(share, available[label] - take[label], total - take.sum()))
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(imageset.labels == label), count, replace=False) for label, count in enumerate(take)
    ]
    chosen = np.sort(np.concatenate(chosen))
    if total is not None and len(chosen) > total:
        chosen = np.sort(rng.choice(chosen, total, replace=False))
    return imageset[chosen]


def resize(imageset, image_size):
    """Returns the set with square images of `image_size` pixels (area averaging down, linear up)."""
    import cv2

    height, width, channels = imageset.image_shape
    if (height, width) == (image_size, image_size):
        return imageset
    how = cv2.INTER_AREA if image_size < max(height, width) else cv2.INTER_LINEAR
    resized = np.empty((len(imageset), image_size, image_size, channels), "uint8")
    for i, image in enumerate(imageset.images):
        resized[i] = cv2.resize(image, (image_size, image_size), interpolation=how).reshape(resized.shape[1:])
    return dataclasses.replace(imageset, images=resized)


def to_dataset(imageset, batch_size=64, *, shuffle_seed=None, augment=None, one_hot=False, repeat=False, skip=0):
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
        skip: batches to leave out at the start, at the cost of counting them.

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
    dataset = dataset.batch(batch_size, drop_remainder=repeat).enumerate().skip(skip)

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
