"""Files that are whole or not there: a kill loses nothing."""

import contextlib
import os


@contextlib.contextmanager
def replacing(path):
    """Opens a file to write that takes its name only when it is whole and on the disk."""
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def write(path, data):
    """Writes bytes to a file, all or none."""
    with replacing(path) as file:
        file.write(data)
