"""Random changes of files."""

import io
import zipfile

# Rows, Columns, Bits Allocated, Bits Stored and Pixel Data as they begin in DICOM files.
TAGS = (b"\x28\x00\x10\x00", b"\x28\x00\x11\x00", b"\x28\x00\x00\x01", b"\x28\x00\x01\x01", b"\xe0\x7f\x10\x00")


def mutate(content, rng, unchanged=0):
    """Changes bytes at one to three positions, mostly near the beginning, where headers are.

    Half of the zip files get a mutated member instead, whose checksum is correct.
    """
    if content[:2] == b"PK" and rng.random() < 0.5:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name, buffer = rng.choice(list(members)), io.BytesIO()
        members[name] = mutate(members[name], rng)
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, member in members.items():
                archive.writestr(name, member)
        return buffer.getvalue()
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        end = len(content) if rng.random() < 0.3 else min(len(content), unchanged + 1800)
        start = int(rng.integers(min(unchanged, end // 2), max(1, end)))
        size = int(rng.integers(1, 40))
        kind = rng.integers(10)
        if kind in (0, 7, 8, 9):
            content[start : start + 1] = bytes([rng.integers(256)])
        elif kind == 1:
            content[start : start + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"])
        elif kind == 2:
            del content[start : start + size]
        elif kind == 3:
            content[start:start] = rng.bytes(size)
        elif kind == 4:
            content[start:start] = content[start : start + size]
        elif kind == 5 and rng.random() < 0.3:
            del content[start:]
        elif kind == 6 and TAGS[0] not in content:
            digits = [i for i in range(len(content)) if chr(content[i]).isdigit()]
            if digits:  # changes a number in a header, a table or JSON
                position = int(rng.choice(digits))
                content[position:position] = rng.choice([b"9", b"-", b"99999999", b"."])
        else:
            tag = content.find(rng.choice(TAGS))
            if tag >= 0:
                position = tag + 4 + int(rng.integers(8))
                content[position : position + 2] = rng.choice([b"\xff\xff", b"\0\0", b"\1\0", rng.bytes(2)])
    return bytes(content)
