"""Files that are whole or not there: a kill loses nothing."""

import contextlib
import json
import math
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

# An array that is larger than the one and compressed better than the other is a zip bomb: images halve, at best.
BOMB_BYTES, BOMB_RATIO = 2**28, 100


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path beside `path`, which it replaces once it is complete and on the disk.

    The folder is made if it is missing. A process that is killed leaves the old file, or none.

    Raises:
        OSError: if the file cannot be written; the old one is still there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder of its own: other processes and other machines may be writing the same file.
        with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent, ignore_cleanup_errors=True) as folder:
            part = Path(folder) / path.name
            yield part
            with open(part, "rb") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path, error):
    """Returns the error that says what to do when a file cannot be written, a disk being full or gone."""
    return OSError(
        f"{path} cannot be written ({error.strerror}). What was finished before is kept: make room, or choose another "
        "folder, and run the same command again"
    )


def make_folder(folder, what):
    """Makes a folder if it is not there and tries whether it can be written.

    Raises:
        OSError: if not; says to choose another for `what`.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{folder} cannot be written ({error.strerror}); choose another folder for {what}") from error


def write_json(path, content):
    """Writes JSON to a file, all or nothing."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def read_json(path):
    """Reads a JSON object that synthkit wrote.

    Raises:
        ValueError: if the file is damaged; names it.
    """
    try:
        return dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it, or choose another folder") from error


def claim(path, settings):
    """Writes a job's settings to a file, or compares them with those of the job whose folder this is.

    Args:
        path: the file, in the job's folder.
        settings: dict that JSON can hold.

    Returns:
        bool, whether the file was written now.

    Raises:
        ValueError: if the folder belongs to a job with other settings; names the first that differs.
    """
    path, settings = Path(path), json.loads(json.dumps(settings))
    if not path.exists():
        write_json(path, settings)
        return True
    compare(path, read_json(path), settings)
    return False


def compare(path, before, now):
    """Raises ValueError if two dicts of settings, those in the file `path` and today's, differ; names the first."""
    for key in [*now, *(key for key in before if key not in now)]:
        if before.get(key) != now.get(key):
            raise ValueError(
                f"{path.parent} belongs to a job with other settings: {key} is {before.get(key)}, here it is "
                f"{now.get(key)}. Choose another folder, or delete this one"
            )


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


def check_name(path):
    """Raises ValueError if a path cannot be told in UTF-8, as names of other systems' archives at times cannot."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the name {os.fsencode(path)!r} is not UTF-8; rename it") from error


def read_member(file, name):
    """Reads an array from an npz file that may come from anywhere.

    Args:
        file: what `numpy.load` returned.
        name: of the array.

    Raises:
        KeyError: if there is none of that name.
        ValueError: if it is not as large as its header says, or would swell as no images do.
    """
    member = f"{name}.npy"  # whole, since a member that is called just `name` would be taken before it
    info = file.zip.getinfo(member)
    with file.zip.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        wanted = stream.tell() + math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and wanted != info.file_size:
        raise ValueError(f"{member} says that it is {wanted:,} bytes long, and is {info.file_size:,}")
    if info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * info.compress_size:
        raise ValueError(
            f"{member} would swell from {info.compress_size:,} to {info.file_size:,} bytes, as no images do"
        )
    return file[member]


def read_csv(path):
    """Reads a table that may come from anywhere: every cell a text, an empty one missing.

    Returns:
        pandas.DataFrame.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no table; names it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pd.read_csv(path, dtype=str)
    except FileNotFoundError:
        raise
    except Exception as error:  # pandas raises many kinds for bytes that are no table
        raise ValueError(f"{path} cannot be read as a CSV table ({' '.join(str(error).split())[:200]})") from error


def harmless(table):
    """Returns a DataFrame of which a spreadsheet takes no cell for a formula.

    A text that begins with =, +, -, @, a tab or a carriage return gets an apostrophe in front, as OWASP's page on CSV
    injection advises.
    """
    changed = {}
    for name in table.columns:
        texts = table[name].map(lambda cell: isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r"))
        if texts.any():
            changed[name] = table[name].where(~texts, "'" + table[name].astype(str))
    return table.assign(**changed)
