"""A minimal encoder of lossless JPEG (ITU-T T.81, annex H), which pydicom can read but not write."""

import struct

import numpy as np


def encode(pixels):
    """Encodes uint16 `(rows, columns)` as process 14, selection value 1: each pixel minus the one before.

    In the Huffman table, each of the 17 categories of differences has a code of 5 bits.
    """
    rows, columns = pixels.shape
    values = pixels.astype(int)
    previous = np.empty_like(values)
    previous[:, 1:] = values[:, :-1]
    previous[1:, 0] = values[:-1, 0]
    previous[0, 0] = 1 << 15
    differences = (values - previous + 32768) % 65536 - 32768
    bits = []
    for difference in differences.ravel().tolist():
        category = 16 if difference == -32768 else abs(difference).bit_length()
        bits.append(f"{category:05b}")
        if 0 < category < 16:
            bits.append(f"{difference if difference > 0 else difference + (1 << category) - 1:0{category}b}")
    bits = "".join(bits)
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    return (
        b"\xff\xd8"
        + b"\xff\xc3"
        + struct.pack(">HBHHB3B", 11, 16, rows, columns, 1, 1, 0x11, 0)
        + b"\xff\xc4"
        + struct.pack(">HB16B", 36, 0, *(17 if length == 5 else 0 for length in range(1, 17)))
        + bytes(range(17))
        + b"\xff\xda"
        + struct.pack(">HB2B3B", 8, 1, 1, 0x00, 1, 0, 0)
        + data
        + b"\xff\xd9"
    )
