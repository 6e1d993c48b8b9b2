"""Labelled images of patients, and their training, validation and test sets."""

import dataclasses
import hashlib
import warnings
from pathlib import Path

import numpy as np

LOOK_ALIKE_GROUPS = "look-alike groups"  # what counts as patients where these are not known and such are grouped
SPLIT_NAMES = {"train": "training set", "validation": "validation set", "test": "test set"}


@dataclasses.dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with labels, class names and patients. Immutable.

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
        patients: `(n,)`, an identifier for every image; None gives every image a patient of its own.
        name: name of the set in messages and reports.
        held_out: whether this is a validation or test set, whose images must not be augmented; set by `Splits`.
        groups: `(n,)`, the subgroup of every image, such as its view, in which a study is scored apart; None for none.

    Raises:
        ValueError: for arrays of the wrong type or shape, or of different lengths.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple
    patients: np.ndarray | None = None
    name: str = "images"
    held_out: bool = False
    groups: np.ndarray | None = None
    source = None  # text that determines the pixels, if `drawn_by` was called; `dataclasses.replace` leaves it out

    def __post_init__(self):
        images, labels = self.images, np.asarray(self.labels)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
            received = f"{getattr(images, 'dtype', type(images).__name__)} {getattr(images, 'shape', '')}"
            raise ValueError(
                f"{self.name}: images must be uint8 of shape (n, height, width, channels). Received: {received}"
            )
        if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"{self.name}: labels must be {len(images)} integers, one per image. "
                f"Received: {labels.dtype} {labels.shape}"
            )
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            raise ValueError(
                f"{self.name}: labels must be from 0 to {len(self.class_names) - 1}, "
                f"for the classes {', '.join(self.class_names)}. Received: {labels.min()} to {labels.max()}"
            )
        patients = np.array([f"{self.name}-{i}" for i in range(len(images))], dtype=str)
        if self.patients is not None:
            patients = np.asarray(self.patients).astype(str)
        if patients.shape != (len(images),):
            raise ValueError(
                f"{self.name}: patients must be {len(images)} identifiers, one per image. Received: {patients.shape}"
            )
        fields = {"images": images, "labels": labels.astype("int64"), "patients": patients}
        if self.groups is not None:
            groups = fields["groups"] = np.asarray(self.groups).astype(str)
            if groups.shape != (len(images),):
                raise ValueError(
                    f"{self.name}: groups must be {len(images)} names, one per image. Received: {groups.shape}"
                )
        for field, value in fields.items():
            view = value.view()
            view.flags.writeable = False
            object.__setattr__(self, field, view)
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        """Returns the selected images as an ImageSet; `index` is a slice, integers or booleans."""
        groups = None if self.groups is None else self.groups[index]
        chosen = {"images": self.images[index], "labels": self.labels[index], "patients": self.patients[index]}
        part = dataclasses.replace(self, **chosen, groups=groups)
        if self.source is None:
            return part
        every = np.arange(len(self), dtype="int64")
        rows = every[index]
        if np.array_equal(rows, every):
            return part.drawn_by(self.source)
        return part.drawn_by(f"{self.source}, rows {hashlib.sha256(rows.tobytes()).hexdigest()}")

    def drawn_by(self, source):
        """Returns the same set, identified by the text `source` instead of its pixels.

        For images that a simulator draws: another kind of processor rounds a few grey levels differently, and they are
        the same images all the same.

        Args:
            source: text that determines every pixel; None identifies the set by its pixels.
        """
        drawn = dataclasses.replace(self)
        object.__setattr__(drawn, "source", source)
        return drawn

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
        """Returns a digest of every pixel (or of `drawn_by`), label and patient, as 16 hexadecimal digits."""
        digest = hashlib.sha256(repr((self.images.shape, self.class_names)).encode())
        if self.source is None:
            for start in range(0, len(self), 1024):
                digest.update(np.ascontiguousarray(self.images[start : start + 1024]))
        else:
            digest.update(self.source.encode())
        digest.update(self.labels.tobytes() + "\n".join(self.patients).encode())
        return digest.hexdigest()[:16]

    def save(self, folder):
        """Writes the images as PNG files in class folders, `CLASS/CLASS_00001.png`, and `labels.csv` beside them.

        `synthkit.load(folder, image_size, labels=f"{folder}/labels.csv")` reads them back with their patients and
        splits them anew. Save the sets of a Splits in `train`, `validation` and `test` of one folder to keep the split.

        Args:
            folder: new or empty.

        Raises:
            ValueError: if the folder holds something, images have neither 1 nor 3 channels, or a class cannot be the
                name of a folder.
            OSError: if a file cannot be written.
        """
        from synthkit import _class_folders

        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty; save to a new folder, so that images of two sets do not mix")
        _class_folders.write(folder, self.images, self.labels, self.class_names, {"patient": self.patients})


@dataclasses.dataclass(frozen=True)
class Splits:
    """The training, validation and test set of a data set, which share no patient and no image.

    Args:
        train, validation, test: ImageSets with the same classes and image shape, each with images of every class.

    Raises:
        ValueError: if a set is empty or lacks a class, if classes or image shapes differ, or if two sets share a
            patient or an image, which it names.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet

    def __post_init__(self):
        sets = {"train": self.train, "validation": self.validation, "test": self.test}
        for role, imageset in sets.items():
            title = SPLIT_NAMES[role]
            if not len(imageset):
                raise ValueError(f"{imageset.name}: the {title} is empty; it needs at least one image")
            if imageset.class_names != self.train.class_names or imageset.image_shape != self.train.image_shape:
                raise ValueError(
                    f"{imageset.name}: the {title} must have the training set's classes and image shape "
                    f"{self.train.class_names}, {self.train.image_shape}. "
                    f"Received: {imageset.class_names}, {imageset.image_shape}"
                )
            missing = [name for name, count in imageset.class_counts().items() if not count]
            if missing:
                raise ValueError(f"{imageset.name}: the {title} has no image of class {', '.join(missing)}")
        for role, imageset in sets.items():
            marked = dataclasses.replace(imageset, held_out=role != "train").drawn_by(imageset.source)
            object.__setattr__(self, role, marked)
        for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
            both = f"are in both the {SPLIT_NAMES[a]} and the {SPLIT_NAMES[b]}"
            patients = np.intersect1d(sets[a].patients, sets[b].patients)
            if len(patients):
                raise ValueError(
                    f"{self.train.name}: {len(patients)} patients {both}, for example {patients[0]}. Split by patient, "
                    "as synthkit.splitting.split does"
                )
            same = duplicates(sets[a], sets[b])
            if len(same):
                raise ValueError(
                    f"{self.train.name}: {len(same)} images {both}, for example number {same[0]} of the "
                    f"{SPLIT_NAMES[a]} (patient {sets[a].patients[same[0]]}). Leave them out of one of the two, as "
                    "synthkit.imageset.without_copies does"
                )

    def __iter__(self):
        return iter((self.train, self.validation, self.test))


def image_digests(imageset):
    """Returns a digest of every image's bytes: a list of `n` bytes objects."""
    return [hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest() for image in imageset.images]


def duplicates(imageset, *others):
    """Returns the indices of images in `imageset` that are also, byte for byte, in any of the others."""
    known = set().union(*(image_digests(other) for other in others))
    return np.array([i for i, digest in enumerate(image_digests(imageset)) if digest in known], dtype=int)


def without_copies(imageset, *others):
    """Returns the set without the images that are also in any of the others, or, if there are none, without repeats.

    Warns with the number of images that are left out and the indices of the first five.
    """
    if others:
        copies = duplicates(imageset, *others)
        where = "are also in " + " or ".join(other.name for other in others)
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
    """Concatenates ImageSets of the same classes and image shape."""
    first = imagesets[0]
    for other in imagesets[1:]:
        if other.class_names != first.class_names or other.image_shape != first.image_shape:
            raise ValueError(
                f"{other.name} does not fit {first.name}: expected classes {first.class_names} and shape "
                f"{first.image_shape}. Received: {other.class_names}, {other.image_shape}"
            )
    return ImageSet(
        np.concatenate([imageset.images for imageset in imagesets]),
        np.concatenate([imageset.labels for imageset in imagesets]),
        first.class_names,
        np.concatenate([imageset.patients for imageset in imagesets]),
        name or first.name,
        any(imageset.held_out for imageset in imagesets),
        None if any(part.groups is None for part in imagesets) else np.concatenate([p.groups for p in imagesets]),
    )


def resize(imageset, image_size):
    """Returns the set with square images of `image_size` pixels (see `resize_image`)."""
    if imageset.image_shape[:2] == (image_size, image_size):
        return imageset
    resized = np.empty((len(imageset), image_size, image_size, imageset.image_shape[2]), "uint8")
    for i, image in enumerate(imageset.images):
        resized[i] = resize_image(image, image_size).reshape(resized.shape[1:])
    return dataclasses.replace(imageset, images=resized)


def resize_image(image, image_size, *, keep_aspect=False):
    """Resizes an image to a square: area averaging where a side shrinks, linear interpolation where one grows.

    Args:
        image: uint8, uint16 or float32 `(height, width)` or `(height, width, channels)`.
        image_size: pixels a side.
        keep_aspect: True keeps the aspect ratio and pads the shorter side with black, equally at both ends; False
            stretches.

    Returns:
        Array of the same type, `(image_size, image_size)` or with channels.

    Raises:
        ValueError: if `image_size` is below 1.
    """
    import cv2

    before = image.shape[:2]
    size = fitted_size(before, image_size, keep_aspect)
    smaller = tuple(map(min, before, size))
    image = np.ascontiguousarray(image)
    if smaller != before:
        image = cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA)
    if smaller != size:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return pad_to_square(image, image_size)


def fitted_size(shape, image_size, keep_aspect):
    """Returns the `(height, width)` to which an image of `shape` is resized in a square of `image_size` pixels."""
    if image_size < 1:
        raise ValueError(f"image_size must be at least 1 pixel. Received: image_size={image_size}")
    if not keep_aspect:
        return image_size, image_size
    return tuple(max(1, round(side * image_size / max(shape))) for side in shape)


def pad_to_square(image, image_size):
    """Pads an image with black, equally at both ends, to a square of `image_size` pixels."""
    import cv2

    tall, wide = image_size - image.shape[0], image_size - image.shape[1]
    if not tall and not wide:
        return image
    return cv2.copyMakeBorder(
        image, tall // 2, tall - tall // 2, wide // 2, wide - wide // 2, cv2.BORDER_CONSTANT, value=0
    )
