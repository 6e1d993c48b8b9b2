"""DICOM files → grey pixels, 0 black and the type's largest value white.

Uncompressed little-endian files, which is how CBIS-DDSM comes, are read straight into an array; everything else goes
through pydicom's decoders. The steps are the standard's (PS3.3 C.7.6.3 image pixel, C.11.1 modality LUT,
C.11.2 VOI LUT), worked out once for every value that a pixel can have and then looked up.
"""

import os
import struct
import warnings

import cv2
import numpy as np
import pydicom
from pydicom import uid
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_modality_lut, apply_voi_lut, get_decoder

from synthkit._scratch import scratch

MAX_PIXELS = 2**26  # 8192×8192; the largest film of CBIS-DDSM has about 40 million pixels
DEFLATED = (uid.DeflatedExplicitVRLittleEndian, uid.JPIPHTJ2KReferencedDeflate)
CHANGES = (
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "WindowWidth",
)
DEFER = 2**16  # bytes; longer values, which are pixels, stay in the file until they are asked for


class MissingDecoder(Exception):
    """A compressed file that is whole, but that no installed package decodes."""


def read_header(path):
    """Reads everything but the pixels.

    Args:
        path: a DICOM file with its preamble (PS3.10, 7.1).

    Returns:
        pydicom Dataset, values longer than 64 KiB still in the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a DICOM file or damaged; names it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if read_file_meta_info(path).get("TransferSyntaxUID") in DEFLATED:
                # Inflating happens on opening, to whatever size the file makes it.
                raise ValueError("its data set is deflated, which is not supported; inflate it first")
            header = pydicom.dcmread(path, defer_size=DEFER)
            header.file_meta.TransferSyntaxUID  # noqa: B018 - asked for, so that its lack is known here
        end = os.path.getsize(path)
        for element in header.values():
            # Values left in the file are read when they are asked for, however many bytes they claim.
            if element.value is None and element.tag != 0x7FE00010 and element.value_tell + element.length > end:
                raise ValueError(f"the value of {element.tag} is cut off")
        return header
    except FileNotFoundError:
        raise
    except InvalidDicomError as error:
        raise ValueError(
            f"{path} does not begin as a DICOM file does (PS3.10, 7.1). Replace it or take it out"
        ) from error
    except Exception as error:  # whatever pydicom makes of bytes that nobody foresaw
        raise ValueError(f"{path} cannot be read as a DICOM file: {_say(error)}. Replace it or take it out") from error


def text(header, name):
    """Returns an attribute's value as text, nothing where it is missing or cannot be read."""
    try:
        return str(header.get(name, "") or "").strip()
    except Exception:  # pydicom converts values as they are asked for, and damaged ones in many ways not
        return ""


def size(header):
    """Returns `(rows, columns)` as the header claims them, 0 where it claims none that can be read."""
    claimed = (text(header, name) for name in ("Rows", "Columns"))
    return tuple(int(value) if value.isdecimal() else 0 for value in claimed)


def read_pixels(path, header=None):
    """Reads a greyscale image of one frame; arguments, result and errors as in `open_pixels`, always an array."""
    return np.asarray(open_pixels(path, header))


def open_pixels(path, header=None, *, decode=True):
    """Opens a greyscale image of one frame.

    Args:
        path: a DICOM file.
        header: what `read_header` returned for it; None reads it.
        decode: whether to decode pixels that are not stored as they are; None is returned for them otherwise.

    Returns:
        `(rows, columns)`, uint8 for images of up to 8 bits and uint16 for others, 0 black, the type's largest value
        white: the stored bits through modality LUT and VOI LUT or window where the header has them, else over the whole
        range of the stored bits; MONOCHROME1 inverted. An array, or `Rows` where the pixels are stored as they are.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the header describes no greyscale image of one frame, of up to 16 bits and `MAX_PIXELS` pixels,
            or the pixels are missing, cut off or damaged; names the file.
    """
    header = read_header(path) if header is None else header
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, allocated, stored = _check(header)
            grey = _grey(header, allocated, stored)
            offset = _offset(path, header, shape, allocated)
            if offset is None:
                return grey(_decode(header, shape)) if decode else None
            return Rows(path, offset, shape, allocated // 8, grey)
    except FileNotFoundError:
        raise
    except MissingDecoder as error:
        raise ValueError(f'{path} cannot be decoded: {error}. Run pip install "synthkit[jpeg]"') from error
    except Exception as error:  # a damaged header or codestream can fail anywhere in a decoder
        raise ValueError(f"{path} holds no image that can be used: {_say(error)}. Replace it or take it out") from error


class Rows:
    """An uncompressed image whose pixels stay in the file until some of its rows are asked for.

    `numpy.asarray` reads them all. A film of 24 MB that is read a band at a time into one buffer needs neither new
    memory nor a way back from it to the processor.

    Args:
        path: the file.
        offset: where its pixels begin, in bytes.
        shape: `(rows, columns)`.
        itemsize: bytes a pixel, little-endian.
        grey: function from stored values, unsigned, to uint8 or uint16 grey levels.
    """

    ndim = 2

    def __init__(self, path, offset, shape, itemsize, grey):
        self.path, self.offset, self.shape, self.grey = path, offset, shape, grey
        self.stored = np.dtype(f"<u{itemsize}")
        self.dtype = grey(np.zeros((1, 1), self.stored)).dtype

    def bands(self, spans):
        """Yields the grey levels of the rows `start` to `stop` of each span, good until the next are asked for."""
        columns = self.shape[1]
        tallest = max(stop - start for start, stop in spans)
        buffer = scratch("stored rows", (tallest, columns), self.stored)
        with open(self.path, "rb", buffering=0) as file:
            for start, stop in spans:
                rows = buffer[: stop - start]
                file.seek(self.offset + start * columns * self.stored.itemsize)
                if file.readinto(memoryview(rows).cast("B")) != rows.nbytes:
                    raise self._cut_off()
                yield self.grey(rows)

    def __getitem__(self, rows):
        spans = [(row, row + 1) for row in range(self.shape[0])[rows]]
        return np.concatenate([band.copy() for band in self.bands(spans)])

    def __array__(self, dtype=None, copy=None):
        pixels = np.fromfile(self.path, self.stored, self.shape[0] * self.shape[1], offset=self.offset)
        if len(pixels) < self.shape[0] * self.shape[1]:
            raise self._cut_off()
        return self.grey(pixels.reshape(self.shape)).astype(dtype or self.dtype, copy=False)

    def _cut_off(self):
        return ValueError(f"{self.path} was cut off while it was read. Replace it or take it out")


def _grey(header, allocated, stored):
    """Returns the function from stored values, as unsigned numbers, to grey levels."""
    whole = stored == allocated
    if whole and not header.PixelRepresentation and not any(_has(header, name) for name in CHANGES):
        # The stored bits are the grey levels.
        return cv2.bitwise_not if header.PhotometricInterpretation == "MONOCHROME1" else as_stored
    table = grey_levels(header)
    return lambda codes: table[codes if whole else codes & codes.dtype.type(len(table) - 1)]


def as_stored(codes):
    """The `grey` of `Rows` whose stored bits are the grey levels."""
    return codes


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
        # A VOI LUT's entries say their own range (PS3.3 C.11.2.1.1).
        levels = apply_voi_lut(levels, header, prefer_lut=True)
        low, high = 0.0, 2.0 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1
    elif _has(header, "WindowWidth"):
        levels = apply_voi_lut(levels, header)
    white = 255 if bits <= 8 else 65535
    grey = np.clip((levels.astype("float64") - low) / (high - low), 0, 1)
    if not np.isfinite(grey).all():
        raise ValueError("its rescale slope, intercept or window are not finite numbers")
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
        raise ValueError(f"its header lacks {', '.join(missing)}")
    rows, columns, allocated, stored, high, signed = (int(values[name]) for name in names)
    samples, frames = int(header.get("SamplesPerPixel", 1) or 1), int(header.get("NumberOfFrames", 1) or 1)
    meaning = values["PhotometricInterpretation"]
    if meaning not in ("MONOCHROME1", "MONOCHROME2") or samples != 1:
        raise ValueError(f"expected one sample of MONOCHROME1 or MONOCHROME2, received {samples} of {meaning}")
    if frames != 1:
        raise ValueError(f"expected one frame, received {frames}")
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise ValueError(f"expected 1 to {MAX_PIXELS:,} pixels, its header claims {rows}×{columns}")
    if allocated not in (1, 8, 16) or not 1 <= stored <= allocated or high != stored - 1 or signed not in (0, 1):
        raise ValueError(
            f"expected up to 16 bits a pixel, the highest being one less than those stored; received "
            f"{allocated} allocated, {stored} stored, highest {high}, pixel representation {signed}"
        )
    return (rows, columns), allocated, stored


def _offset(path, header, shape, allocated):
    """Returns where the pixels begin in the file, in bytes, or None if they have to be decoded."""
    element = header.get_item("PixelData", keep_deferred=True)
    if element is None:
        raise ValueError("it has no pixel data")
    rows, columns = shape
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed or element.length == 0xFFFFFFFF or allocated == 1:
        return None
    room = min(element.length, max(0, os.path.getsize(path) - element.value_tell))
    if room < rows * columns * allocated // 8:
        raise ValueError(f"its {rows}×{columns} pixels need {rows * columns * allocated // 8:,} bytes, it has {room:,}")
    return element.value_tell if syntax in (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian) else None


def _decode(header, shape):
    """Returns the stored values `(rows, columns)`, as unsigned numbers, through pydicom's decoders."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        _check_codestream(header, syntax)
        if not get_decoder(syntax).is_available:
            raise MissingDecoder(f"{syntax.name} needs a decoder that is not installed")
    if syntax == uid.RLELossless:
        # pydicom's own decoder raises where a faster one, if installed, panics on damaged data.
        header.pixel_array_options(decoding_plugin="pydicom")
    pixels = header.pixel_array
    if pixels.shape != shape or pixels.itemsize > 2:
        raise ValueError(f"expected {shape} pixels of up to 16 bits, decoded {pixels.shape} of {pixels.dtype}")
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")).view(f"u{pixels.itemsize}")


def _check_codestream(header, syntax):
    """Refuses a JPEG codestream of another size than the header's before a decoder makes room for it."""
    from pydicom.encaps import get_frame

    if syntax == uid.RLELossless:
        return
    stream = get_frame(header.PixelData, 0, number_of_frames=1)
    size = codestream_size(stream)
    if size != (int(header.Rows), int(header.Columns)):
        found = "no size at all" if size is None else f"{size[0]}×{size[1]}"
        raise ValueError(f"its header claims {header.Rows}×{header.Columns} pixels, its compressed data {found}")


def codestream_size(stream):
    """Returns `(rows, columns)` that a JPEG, JPEG-LS or JPEG 2000 codestream states, or None if it states none.

    Args:
        stream: bytes, from the start-of-image marker on (ITU-T T.81 B.2.2; T.87 C.1.1; T.800 A.5.1).
    """
    jpeg2000 = stream.find(b"\xff\x4f\xff\x51")
    if 0 <= jpeg2000 < 256 and len(stream) >= jpeg2000 + 24:  # inside JP2 boxes it starts a little later
        right, bottom, left, top = struct.unpack(">4I", stream[jpeg2000 + 8 : jpeg2000 + 24])
        return bottom - top, right - left
    if stream[:2] != b"\xff\xd8":
        return None
    place = 2
    while place + 9 <= len(stream) and stream[place] == 0xFF:
        marker, length = struct.unpack(">BH", stream[place + 1 : place + 4])
        if marker == 0xFF:
            place += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return struct.unpack(">HH", stream[place + 5 : place + 9])
        else:
            place += 2 + length
    return None


def _say(error):
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
