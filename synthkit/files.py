"""Files that are whole or not there: a kill loses nothing."""

import contextlib
import os
import warnings
from pathlib import Path

import pandas as pd
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
        (folder / "try").touch()
        (folder / "try").unlink()
    except OSError as error:
        raise OSError(f"{folder} cannot be written ({error.strerror}); choose another folder for {what}") from error


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
