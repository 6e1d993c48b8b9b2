"""Many image files → images of one size and depth, without those that are masks or in several classes."""

import collections
import hashlib
import warnings

import cv2
import numpy as np
from tqdm.auto import tqdm

from synthkit.datasets.finding import few
from synthkit.datasets.reading import has_two_levels, is_dicom, read_stored
from synthkit.imageset import resize_image

MOST_NAMED = 10  # damaged files that an error names
FEW_LEVELS = 32  # of 256; an image that scaling leaves fewer has lost detail


def read_images(root, entries, image_size, keep_aspect=False, progress=False):
    """Reads and resizes images. Returns them, uint8, and the entries without masks that turned up among them."""
    images, damaged, stretched, two_levels = [], [], 0, []
    with tqdm(total=len(entries), desc=f"reading {root.name}", unit="image", disable=not progress) as bar:
        for entry in entries:
            try:
                image = read_stored(entry.file)
                two_levels.append(has_two_levels(image))
                stretched += image.shape[0] != image.shape[1]
                images.append(resize_image(image, image_size, keep_aspect=keep_aspect))
            except ValueError as error:
                damaged.append(str(error))
            bar.update()
    if damaged:
        listed = "\n  ".join(damaged[:MOST_NAMED]) + ("\n  …" if len(damaged) > MOST_NAMED else "")
        raise ValueError(f"{root}: {len(damaged)} of {len(entries)} files cannot be read as images:\n  {listed}")
    images, entries = _without_masks(root, images, entries, two_levels)
    if stretched and not keep_aspect:
        warnings.warn(
            f"{root}: {stretched} images are not square and were stretched to {image_size}×{image_size} pixels; "
            "--keep-aspect pads them instead",
            stacklevel=4,
        )
    return _to_8_bits(root, images, entries), entries


def _without_masks(root, images, entries, two_levels):
    """Leaves out images of at most two grey levels among others; refuses a class that would lose more than a few."""
    flags = np.array(two_levels)
    if flags.all():
        warnings.warn(f"{root}: all images have at most two grey levels, as masks have", stacklevel=5)
    if not flags.any() or flags.all():
        return images, entries
    labels = np.array([entry.label for entry in entries])
    for label in np.unique(labels[flags]):
        masks, count = np.flatnonzero(flags & (labels == label)), int(np.sum(labels == label))
        if len(masks) > few(count):
            raise ValueError(
                f"{root}: {len(masks)} of the {count} images of {label} have at most two grey levels, as masks have, "
                f"for example {entries[masks[0]].name}. Move masks out of the class folders"
            )
    example = entries[int(flags.argmax())].name
    warnings.warn(
        f"{root}: {flags.sum()} images have at most two grey levels, as masks have, and were left out, for example "
        f"{example}",
        stacklevel=5,
    )
    kept = np.flatnonzero(~flags)
    return [images[i] for i in kept], [entries[i] for i in kept]


def _to_8_bits(root, images, entries):
    """Scales images of 16 bits to 8, by the bits that the set uses: 12 in files of 16 fill the grey range, too.

    DICOM files say how many bits they use and were scaled by these, so others are not compared with them.
    """
    deep = [i for i, image in enumerate(images) if image.dtype == np.uint16]
    groups = {}
    for i in deep:
        groups.setdefault(is_dicom(entries[i].file), []).append(i)
    images = list(images)
    for places in groups.values():
        highest = [int(images[i].max()) for i in places]
        bits = max(8, max(highest).bit_length())
        if bits < 16:
            warnings.warn(
                f"{root}: {len(places)} images of 16 bits use {bits} of them at most, and were scaled by these",
                stacklevel=5,
            )
        used = {}
        for i, high in zip(places, highest, strict=True):
            used[entries[i].label] = max(used.get(entries[i].label, 0), high.bit_length())
        if max(used.values()) - min(used.values()) > 1:
            listed = ", ".join(f"{count} in {label}" for label, count in used.items())
            warnings.warn(
                f"{root}: images of 16 bits use {listed}. If these are other scales and not other images, convert them "
                "to the same one: a classifier would tell them apart by their brightness",
                stacklevel=5,
            )
        scaled = [(images[i] / ((2**bits - 1) / 255)).astype("uint8") for i in places]
        _warn_of_few_levels(
            root, [images[i] for i in places], scaled, max(highest), entries[places[np.argmax(highest)]]
        )
        for i, image in zip(places, scaled, strict=True):
            images[i] = image
    return images


def _warn_of_few_levels(root, stored, scaled, highest, brightest):
    """Warns if scaling left nearly all images few grey levels, as it does if one has text or the data an offset."""
    levels = [_main_levels(image) for image in scaled]
    # Masks have few before scaling, too, and lose none.
    poor = [n < FEW_LEVELS and _main_levels(image) > 2 * n for n, image in zip(levels, stored, strict=True)]
    if np.mean(poor) >= 0.9:
        warnings.warn(
            f"{root}: {sum(poor)} of {len(poor)} images of 16 bits have only about {int(np.median(levels))} of 256 "
            f"grey levels left, because the set is scaled by the bits of its highest value, {highest} in "
            f"{brightest.name}. Window or rescale the images first, or remove burned-in text",
            stacklevel=6,
        )


def _main_levels(image):
    """Returns the number of grey levels, the most frequent first, that 99 % of an image's pixels have."""
    counts = np.sort(np.unique(image, return_counts=True)[1])[::-1]
    return int(np.searchsorted(np.cumsum(counts), 0.99 * image.size)) + 1


def to_channels(image, color):
    """Returns an image of 8 bits with three channels or one: `(height, width, 3)` or `(height, width, 1)`."""
    if color != (image.ndim == 3):
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB if color else cv2.COLOR_RGB2GRAY)
    return image if color else image[..., None]


def without_contradictions(root, images, entries):
    """Leaves out images that are in several classes, byte for byte; refuses a class that would lose more than a few."""
    labels, digests = {}, [hashlib.sha256(image.tobytes()).digest() for image in images]
    for digest, entry in zip(digests, entries, strict=True):
        labels.setdefault(digest, {}).setdefault(entry.label, entry.name)
    flags = [len(labels[digest]) > 1 for digest in digests]
    if not any(flags):
        return images, entries
    first, second = list(labels[digests[flags.index(True)]].values())[:2]
    what = f"{sum(flags)} images are in several classes, for example {first} is the same as {second}"
    counts = collections.Counter(entry.label for entry in entries)
    lost = collections.Counter(entry.label for entry, flag in zip(entries, flags, strict=True) if flag)
    if any(count > few(counts[label]) for label, count in lost.items()):
        raise ValueError(f"{root}: {what}. Keep each in the class that is right")
    warnings.warn(f"{root}: {what}; all of these were left out", stacklevel=3)
    kept = [i for i, flag in enumerate(flags) if not flag]
    return [images[i] for i in kept], [entries[i] for i in kept]
