"""Files that are whole or not there: a kill loses nothing."""

import contextlib
import os
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def replacing(path):
    """Opens a file to write that takes its name only when it is whole and on the disk.

    Raises:
        OSError: if it cannot be written; what had the name before is still there.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(
            f"{path} cannot be written ({error.strerror}). What was finished before is kept; make room or choose "
            "another folder, and run the same command again",
        ) from error


def write(path, data):
    """Writes bytes to a file, all or none."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def locked(folder, what):
    """Keeps other processes out of a folder for as long as this one lives; a kill lets go of it.

    Args:
        folder: that exists.
        what: what is at work on it, for the error.

    Raises:
        BlockingIOError: if another process holds it.
    """
    lock = FileLock(Path(folder) / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(
            f"another process is at work on {what} in {folder}; wait for its end or choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
