"""The one reader of image files: JPEG and PNG, of 8 or 16 bits, grey or colour."""

import contextlib

import numpy as np
from PIL import Image, ImageOps

from synthkit.datasets.dicom import MAX_PIXELS

SUFFIXES = (".jpg", ".jpeg", ".png")
FORMATS = ("JPEG", "PNG")  # Pillow reads others by starting programs


def read_image(file):
    """Reads an image file.

    Args:
        file: path of a JPEG or PNG file.

    Returns:
        uint8 `(height, width)` or `(height, width, 3)`, RGB; 16 bits are scaled to 8, transparency is dropped.

    Raises:
        ValueError: if the file is damaged, too large or not an image; names it.
    """
    with _opened(file) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            return (np.asarray(image).astype("uint32") // 257).astype("uint8")
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def read_size(file):
    """Returns `(height, width)` of an image file without decoding it; errors as `read_image`."""
    with _opened(file) as image:
        return image.size[::-1]


@contextlib.contextmanager
def _opened(file):
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"its header claims {height}×{width} pixels, more than {MAX_PIXELS:,}")
            yield image
    except Exception as error:  # decoders raise many kinds of errors on damaged data
        raise ValueError(f"{file} cannot be read as an image ({error}). Replace or remove it") from error
