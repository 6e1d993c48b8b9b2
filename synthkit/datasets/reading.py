"""The one reader of image files: JPEG, PNG, BMP, TIFF, PGM, PPM, WebP and DICOM, of 8 or 16 bits, grey or colour."""

import contextlib
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from synthkit.datasets import dicom
from synthkit.datasets.dicom import MAX_PIXELS

DICOM_SUFFIXES = (".dcm", ".dicom")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp", *DICOM_SUFFIXES)
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "PPM", "WEBP")  # for some others, Pillow starts external programs
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262  # tags of TIFF
MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*", b"P2", b"P3", b"P5", b"P6")


def is_image(file):
    """Returns whether the first bytes of a file are those of a format that `read_image` reads."""
    with open(file, "rb") as stream:
        head = stream.read(132)
    return head.startswith(MAGIC) or head[128:] == b"DICM" or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def read_image(file):
    """Reads an image file, scaled to 8 bits.

    Args:
        file: path of an image file.

    Returns:
        uint8 `(height, width)` or `(height, width, 3)`, RGB; transparency is dropped.

    Raises:
        ValueError: if the file is damaged, too large or not an image; names the file.
    """
    image = read_stored(file)
    return image if image.dtype == np.uint8 else (image // 257).astype("uint8")


def read_stored(file):
    """Reads an image file without scaling 16 bits to 8; errors as `read_image`.

    Returns:
        uint8 or uint16, `(height, width)` or `(height, width, 3)`, RGB, black 0. For DICOM files, look-up tables and
        windows are applied (`dicom.read_pixels`).
    """
    if is_dicom(file):
        return dicom.read_pixels(file)
    with _opened(file) as image:
        # Phones put a preview or a map of brightness behind the photograph.
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            raise ValueError(f"it contains {image.n_frames} images; save each in its own file")
        channels = _deep_channels(image)
        white_is_0 = image.format == "TIFF" and image.tag_v2.get(PHOTOMETRIC) == 0
        image = ImageOps.exif_transpose(image)
        if channels:
            return _read_deep(file, image, channels)
        if image.mode.startswith(("I", "F")):
            if white_is_0 and image.mode == "F":
                raise ValueError("its grey levels are floating-point numbers, 0 for white; save it with 8 or 16 bits")
            pixels = np.asarray(image)
            if pixels.min() < 0 or pixels.max() > 65535 or (pixels != np.round(pixels)).any():
                raise ValueError(
                    f"grey levels must be whole numbers from 0 to 65535, not {pixels.min()} to {pixels.max()}; save "
                    "it with 8 or 16 bits"
                )
            pixels = pixels.astype("uint16")
            return 65535 - pixels if white_is_0 else pixels  # Pillow inverts those of up to 8 bits only
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def read_size(file):
    """Returns `(height, width)` of an image file, not of a DICOM file, without decoding it; errors as `read_image`."""
    with _opened(file) as image:
        return image.size[::-1]


def has_two_levels(image):
    """Returns whether an image, grey or in the same three channels, has at most two grey levels, as masks have."""
    low, high = image.min(), image.max()
    return bool(((image == low) | (image == high)).all() and (image.ndim == 2 or (image == image[..., :1]).all()))


def is_dicom(file):
    """Returns whether a file has the DICOM prefix (PS3.10, 7.1), or the suffix of a DICOM file."""
    if Path(file).suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        with open(file, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}). Replace or remove it") from error


def _deep_channels(image):
    """Returns "LA" or "RGB" for an opened file with several channels of 16 bits, of which Pillow keeps 8, else ""."""
    if image.mode.startswith(("I", "F")):  # one channel, whose bits Pillow keeps
        return ""
    if image.format == "TIFF":
        return "RGB" if max(image.tag_v2.get(BITS_PER_SAMPLE, (1,))) > 8 else ""
    layout = str(image.tile[0][3]) if image.tile else ""
    if image.format == "PNG" and ";16" in layout:
        return "LA" if layout.startswith("LA") else "RGB"
    return "RGB" if image.format == "PPM" and "65535" in layout else ""  # Pillow scales by any other highest level


def _read_deep(file, image, channels):
    """Reads a file of `_deep_channels` in full, and compares the high bytes with `image`, which Pillow has read."""
    high = np.asarray(image.convert("RGB"))
    pixels = cv2.imdecode(np.fromfile(file, "uint8"), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)  # turns it by EXIF, too
    read = pixels is not None and pixels.dtype == np.uint16 and pixels.shape == high.shape
    # Pillow rounds those of PPM files, and takes the high bytes of all others.
    if not read or np.abs((pixels[..., ::-1] >> 8).astype("int16") - high).max() > 1:
        raise ValueError("its channels have 16 bits and cannot be read in full; save it with 8 bits, or in grey")
    return pixels[..., 0] if channels == "LA" else pixels[..., ::-1]


def _check_length(file, image):
    """Refuses an uncompressed TIFF file that is too short for its size: Pillow would fill it up with black."""
    if image.format == "TIFF" and image.info.get("compression") == "raw":
        bits = sum(image.tag_v2.get(BITS_PER_SAMPLE, (1,)))
        needed, available = image.width * image.height * bits // 8, os.path.getsize(file)
        if needed > available:
            raise ValueError(f"its {image.height}×{image.width} pixels need {needed:,} bytes, it has {available:,}")


@contextlib.contextmanager
def _opened(file):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of unusual metadata
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise ValueError(f"its header claims {height}×{width} pixels, more than {MAX_PIXELS:,}")
                _check_length(file, image)
                yield image
    except UnidentifiedImageError as error:
        kind = "of another format" if os.path.getsize(file) else "empty"
        raise ValueError(f"{file} cannot be read as an image: it is {kind}. Replace or remove it") from error
    except Exception as error:  # decoders raise many kinds of errors on damaged data
        raise ValueError(f"{file} cannot be read as an image ({error}). Replace or remove it") from error
