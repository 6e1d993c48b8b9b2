"""DICOM files → grey levels, from 0 for black to the type's largest value for white.

Uncompressed little-endian files, such as those of CBIS-DDSM, are read directly into an array; all others go through
pydicom's decoders. The steps are the standard's (PS3.3 C.7.6.3 image pixel, C.11.1 modality LUT, C.11.2 VOI LUT),
computed once for every value that a pixel can have and then looked up.
"""

import os
import warnings

import cv2
import numpy as np
import pydicom
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_decoder

from synthkit.datasets import codestream

MAX_PIXELS = 2**26  # 8192×8192; the largest film of CBIS-DDSM has about 40 million pixels
DEFLATED = (uid.DeflatedExplicitVRLittleEndian, uid.JPIPHTJ2KReferencedDeflate)
# Attributes that make grey levels differ from stored values.
TRANSFORMATIONS = ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "VOILUTSequence", "WindowWidth")
DEFER = 2**16  # bytes; longer values, that is, the pixels, are read from the file only when they are accessed


class MissingDecoder(Exception):
    """No installed package decodes a compressed file."""


def read_header(path):
    """Reads everything but the pixels.

    Args:
        path: a DICOM file with its preamble (PS3.10, 7.1).

    Returns:
        pydicom Dataset, without values longer than 64 KiB, which are read when they are accessed.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not a DICOM file, or is damaged; names the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if read_file_meta_info(path).get("TransferSyntaxUID") in DEFLATED:
                # pydicom inflates it when it opens the file, to any size, however large.
                raise ValueError("its data set is deflated, which is not supported; inflate it first")
            header = pydicom.dcmread(path, defer_size=DEFER)
            header.file_meta.TransferSyntaxUID  # noqa: B018 - raises here if it is missing
        end = os.path.getsize(path)
        for element in header.values():
            # Otherwise pydicom would later try to read as many bytes as the element claims to have.
            if element.value is None and element.tag != 0x7FE00010 and element.value_tell + element.length > end:
                raise ValueError(f"the value of {element.tag} is cut off")
        return header
    except FileNotFoundError:
        raise
    except InvalidDicomError as error:
        raise ValueError(
            f"{path} does not begin with the prefix of a DICOM file (PS3.10, 7.1). Replace or remove it"
        ) from error
    except Exception as error:  # pydicom raises many kinds of errors on damaged data
        raise ValueError(f"{path} cannot be read as a DICOM file: {_brief(error)}. Replace or remove it") from error


def text(header, name):
    """Returns an attribute's value as text, or an empty text if it is missing or cannot be read."""
    try:
        return str(header.get(name, "") or "").strip()
    except Exception:  # pydicom converts values when they are accessed, and raises many kinds of errors on damaged ones
        return ""


def size(header):
    """Returns `(rows, columns)` as stated in the header, 0 where they are missing or not numbers."""
    values = (text(header, name) for name in ("Rows", "Columns"))
    return tuple(int(value) if value.isdecimal() else 0 for value in values)


def read_pixels(path, header=None):
    """Reads a greyscale image of one frame as an array; arguments, result and errors as in `open_pixels`."""
    return np.asarray(open_pixels(path, header))


def open_pixels(path, header=None):
    """Opens a greyscale image of one frame.

    Args:
        path: a DICOM file.
        header: result of `read_header` for the file; None reads it.

    Returns:
        `(rows, columns)`, uint8 for images of up to 8 bits and uint16 for others, 0 black and the type's largest value
        white: the stored values after the modality LUT and the VOI LUT or window if the header has them, else
        scaled by the whole range of the stored bits; MONOCHROME1 is inverted. An array, or `Rows` if the pixels need no
        decoding.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the header does not describe a greyscale image of one frame, of up to 16 bits and `MAX_PIXELS`
            pixels, or the pixels are missing, cut off or damaged; names the file.
    """
    header = read_header(path) if header is None else header
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, allocated, stored = _check(header)
            to_grey = _to_grey(header, allocated, stored)
            offset = _offset(path, header, shape, allocated)
            if offset is None:
                return to_grey(_decode(header, shape))
            return Rows(path, offset, shape, allocated // 8, to_grey)
    except FileNotFoundError:
        raise
    except MissingDecoder as error:
        raise ValueError(f'{path} cannot be decoded: {error}. Run pip install "synthkit[jpeg]"') from error
    except Exception as error:  # a damaged header or codestream can fail anywhere in a decoder
        raise ValueError(f"{path} cannot be used as an image: {_brief(error)}. Replace or remove it") from error


class Rows:
    """An uncompressed image whose pixels are read from the file when they are needed, all or a band of rows at a time.

    `numpy.asarray` reads all of them.

    Args:
        path: of the file.
        offset: position of the first pixel in the file, in bytes.
        shape: `(rows, columns)`.
        itemsize: bytes per pixel, little-endian.
        to_grey: function from stored values, unsigned, to uint8 or uint16 grey levels.
    """

    ndim = 2

    def __init__(self, path, offset, shape, itemsize, to_grey):
        self.path, self.offset, self.shape, self.to_grey = path, offset, shape, to_grey
        self.stored = np.dtype(f"<u{itemsize}")
        self.dtype = to_grey(np.zeros((1, 1), self.stored)).dtype

    def bands(self, spans):
        """Yields the grey levels of the rows `start` to `stop` of each span; the next band may overwrite them."""
        # Preparing a film of 24 MB takes a quarter less time than reading all of its pixels into new memory first.
        columns = self.shape[1]
        buffer = np.empty((max(stop - start for start, stop in spans), columns), self.stored)
        with open(self.path, "rb", buffering=0) as file:
            for start, stop in spans:
                rows = buffer[: stop - start]
                file.seek(self.offset + start * columns * self.stored.itemsize)
                if file.readinto(memoryview(rows).cast("B")) != rows.nbytes:
                    raise self._cut_off()
                yield self.to_grey(rows)

    def __getitem__(self, rows):
        spans = [(row, row + 1) for row in range(self.shape[0])[rows]]
        return np.concatenate([band.copy() for band in self.bands(spans)])

    def __array__(self, dtype=None, copy=None):
        pixels = np.fromfile(self.path, self.stored, self.shape[0] * self.shape[1], offset=self.offset)
        if len(pixels) < self.shape[0] * self.shape[1]:
            raise self._cut_off()
        return self.to_grey(pixels.reshape(self.shape)).astype(dtype or self.dtype, copy=False)

    def _cut_off(self):
        return ValueError(f"{self.path} was cut off while it was read. Replace or remove it")


def _to_grey(header, allocated, stored):
    """Returns the function from stored values, as unsigned numbers, to grey levels."""
    all_bits = stored == allocated
    if all_bits and not header.PixelRepresentation and not any(_has(header, name) for name in TRANSFORMATIONS):
        # The stored values are the grey levels.
        return cv2.bitwise_not if header.PhotometricInterpretation == "MONOCHROME1" else lambda codes: codes
    table = grey_levels(header)
    return lambda codes: table[codes if all_bits else codes & codes.dtype.type(len(table) - 1)]


def grey_levels(header):
    """Returns the grey level of every stored value: modality LUT, VOI LUT or window, scaling, inversion.

    Args:
        header: pydicom Dataset with Bits Stored, Pixel Representation and Photometric Interpretation.

    Returns:
        `(2**bits,)` array, uint8 or uint16, indexed by the stored bits taken as an unsigned number.
    """
    bits, signed = int(header.BitsStored), int(header.PixelRepresentation) == 1
    codes = np.arange(2**bits, dtype="int32")
    values = np.where(codes < 2 ** (bits - 1), codes, codes - 2**bits) if signed else codes
    low, high = float(values.min()), float(values.max())
    voi_lut = bool(header.get("VOILUTSequence"))
    levels = values.astype(f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}")
    slope, intercept = float(header.get("RescaleSlope", 1) or 1), float(header.get("RescaleIntercept", 0) or 0)
    if header.get("ModalityLUTSequence"):
        levels = apply_modality_lut(levels, header)
        low, high = 0.0, 2.0 ** int(header.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    elif (slope, intercept) != (1, 0):
        levels = apply_modality_lut(levels, header)
        low, high = sorted((low * slope + intercept, high * slope + intercept))
    if voi_lut:
        # The descriptor of a VOI LUT gives the range of its entries (PS3.3 C.11.2.1.1).
        levels = apply_voi_lut(levels, header, prefer_lut=True)
        low, high = 0.0, 2.0 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1
    elif _has(header, "WindowWidth"):
        levels = apply_voi_lut(levels, header)
    white = 255 if bits <= 8 else 65535
    grey = np.clip((levels.astype("float64") - low) / (high - low), 0, 1)
    if not np.isfinite(grey).all():
        raise ValueError("its rescale slope, rescale intercept or window is not a finite number")
    if header.PhotometricInterpretation == "MONOCHROME1":
        grey = 1 - grey
    return np.round(white * grey).astype("uint8" if bits <= 8 else "uint16")


def _has(header, name):
    return name in header and header[name].value not in (None, "", [])


def _check(header):
    """Checks that the header describes one greyscale frame (PS3.3 C.7.6.3.1).

    Returns:
        `(rows, columns)`, Bits Allocated, Bits Stored.
    """
    names = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    values = {name: header.get(name) for name in (*names, "PhotometricInterpretation")}
    missing = [name for name, value in values.items() if value in (None, "")]
    if missing:
        raise ValueError(f"its header has no {', '.join(missing)}")
    rows, columns, allocated, stored, high, signed = (int(values[name]) for name in names)
    samples, frames = int(header.get("SamplesPerPixel", 1) or 1), int(header.get("NumberOfFrames", 1) or 1)
    photometric = values["PhotometricInterpretation"]
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or samples != 1:
        raise ValueError(f"expected one sample of MONOCHROME1 or MONOCHROME2, received {samples} of {photometric}")
    if frames != 1:
        raise ValueError(f"expected one frame, received {frames}")
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise ValueError(f"expected 1 to {MAX_PIXELS:,} pixels, its header claims {rows}×{columns}")
    if allocated not in (1, 8, 16) or not 1 <= stored <= allocated or high != stored - 1 or signed not in (0, 1):
        raise ValueError(
            f"expected up to 16 bits per pixel and a high bit one below the bits stored; received {allocated} bits "
            f"allocated, {stored} stored, high bit {high}, pixel representation {signed}"
        )
    return (rows, columns), allocated, stored


def _offset(path, header, shape, allocated):
    """Returns the position of the first pixel in the file, in bytes, or None if the pixels have to be decoded."""
    element = header.get_item("PixelData", keep_deferred=True)
    if element is None:
        raise ValueError("it has no pixel data")
    rows, columns = shape
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed or element.length == 0xFFFFFFFF or allocated == 1:
        return None
    needed = rows * columns * allocated // 8
    available = min(element.length, max(0, os.path.getsize(path) - element.value_tell))
    if available < needed:
        raise ValueError(f"its {rows}×{columns} pixels need {needed:,} bytes, it has {available:,}")
    return element.value_tell if syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian) else None


def _decode(header, shape):
    """Decodes the stored values with pydicom. Returns `(rows, columns)`, as unsigned numbers."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        _check_codestream(header, syntax)
        if not get_decoder(syntax).is_available:
            raise MissingDecoder(f"{syntax.name} needs a decoder that is not installed")
    if syntax == uid.RLELossless:
        # On damaged data pydicom's own decoder raises an error; a faster one, if installed, may abort the process.
        header.pixel_array_options(decoding_plugin="pydicom")
    pixels = header.pixel_array
    if pixels.shape != shape or pixels.itemsize > 2:
        raise ValueError(f"expected {shape} pixels of up to 16 bits, decoded {pixels.shape} of {pixels.dtype}")
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")).view(f"u{pixels.itemsize}")


def _check_codestream(header, syntax):
    """Raises ValueError if a codestream's size is not the header's, before a decoder allocates memory for it."""
    if syntax == uid.RLELossless:
        return
    stream = get_frame(header.PixelData, 0, number_of_frames=1)
    stated = codestream.size(stream)
    if stated != (int(header.Rows), int(header.Columns)):
        data = "state no size" if stated is None else f"are {stated[0]}×{stated[1]}"
        raise ValueError(f"its header claims {header.Rows}×{header.Columns} pixels, its compressed data {data}")


def _brief(error):
    """Returns an error's message in one line of at most 300 characters."""
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
