"""The size that a JPEG, JPEG-LS or JPEG 2000 codestream states, read without decoding it."""

import struct


def size(stream):
    """Returns `(rows, columns)` as stated in a codestream, or None.

    Args:
        stream: bytes, from the start-of-image marker on (ITU-T T.81 B.2.2; T.87 C.1.1; T.800 A.5.1).
    """
    jpeg2000 = stream.find(b"\xff\x4f\xff\x51")
    if 0 <= jpeg2000 < 256 and len(stream) >= jpeg2000 + 24:  # the boxes of a JP2 file come before it
        right, bottom, left, top = struct.unpack(">4I", stream[jpeg2000 + 8 : jpeg2000 + 24])
        return bottom - top, right - left
    if stream[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 9 <= len(stream) and stream[position] == 0xFF:
        marker, length = struct.unpack(">BH", stream[position + 1 : position + 4])
        if marker == 0xFF:
            position += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return struct.unpack(">HH", stream[position + 5 : position + 9])
        else:
            position += 2 + length
    return None
