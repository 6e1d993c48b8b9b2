"""Files that are either complete or absent, also after a kill; locks on folders; files that may come from anywhere."""

import contextlib
import json
import math
import os
import tempfile
import uuid
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

# An array that is larger than this many bytes and compressed by more than this ratio is a zip bomb: images are
# compressed to a half at best.
BOMB_BYTES, BOMB_RATIO = 2**28, 100
DRIVE = Path("/content/drive/MyDrive")  # where Colab mounts Google Drive


@contextlib.contextmanager
def replacing(path):
    """Yields a temporary path in the folder of `path`; once the file there is complete and on disk, it replaces `path`.

    The folder is made if it is missing. A process that is killed leaves the old file, or none, and perhaps a folder
    named `.part-…`, which nothing reads.

    Raises:
        OSError: if the file cannot be written; the old one is still there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # In a folder of its own, because other processes and machines may be writing the same file.
        with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent, ignore_cleanup_errors=True) as folder:
            part = Path(folder) / path.name
            yield part
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
    except OSError as error:
        raise unwritable(path, error) from error


def local(path):
    """Returns where a file that is only needed until a job ends is written: at `path`, or on the local disk.

    A file on Google Drive, which Colab mounts, is uploaded every time that it is written, and Drive's bin keeps the old
    one. There the file gets a place among the temporary files instead. A file `.local` in the folder on Drive names it,
    so that whoever deletes this folder starts anew.
    """
    path = Path(path).absolute()
    if not path.is_relative_to(DRIVE):
        return path
    name = path.parent / ".local"
    if not name.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        name.write_text(uuid.uuid4().hex, encoding="ascii")
    return Path(tempfile.gettempdir()) / "synthkit" / name.read_text(encoding="ascii") / path.name


def unwritable(path, error):
    """Returns an OSError that says what to do about a file that cannot be written, because the disk is full or gone."""
    return OSError(
        f"{path} cannot be written ({error.strerror}). What was finished before is kept: free some space, or choose "
        "another folder, and run the same command again"
    )


def make_folder(folder, what):
    """Makes a folder if it is missing, and checks that files can be written there.

    Raises:
        OSError: if not; says to choose another folder for `what`.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"{folder} cannot be written ({error.strerror}); choose another folder for {what}") from error


@contextlib.contextmanager
def used_folder(folder, what):
    """Makes a folder as `make_folder` does, for as long as the block lasts; if that fails, none stays that is empty.

    Raises:
        OSError: if it cannot be written.
    """
    folder = Path(folder)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder, what)
    try:
        yield folder
    except BaseException:
        for path in new:
            _remove_empty(path)
        raise


def _remove_empty(folder):
    """Removes a folder that holds nothing, or only the file of a lock that was let go of."""
    with contextlib.suppress(OSError):
        if all(path.name == ".lock" for path in folder.iterdir()):
            (folder / ".lock").unlink(missing_ok=True)
            folder.rmdir()


def write_json(path, content):
    """Writes JSON to a file that is complete or absent."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


@contextlib.contextmanager
def waiting(path):
    """Waits until no other process holds the lock `path`, and holds it meanwhile. A process that dies gives it up.

    The folder is made if it is missing.

    Raises:
        OSError: if the folder cannot be written.
    """
    folder, lock = Path(path).parent, FileLock(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield
    finally:
        lock.release()


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
    """Writes the settings of a job to a file in its folder, or compares them with those of the job that is there.

    Args:
        path: of the file.
        settings: dict that JSON can hold.

    Returns:
        bool, whether the file was missing and has been written.

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
    """Compares the settings `before`, read from the file `path`, with those of `now`.

    Raises:
        ValueError: if they differ; names the first that does.
    """
    for key in [*now, *(key for key in before if key not in now)]:
        if before.get(key) != now.get(key):
            raise ValueError(
                f"{path.parent} belongs to a job with other settings: {key} is {before.get(key)}, here it is "
                f"{now.get(key)}. Choose another folder, or delete this one"
            )


@contextlib.contextmanager
def locked(folder, what):
    """Locks a folder against other processes; the lock ends with the context, or with the process if it is killed.

    Args:
        folder: an existing folder.
        what: the job that uses it, for the error message.

    Raises:
        BlockingIOError: if another process has locked it.
    """
    lock = FileLock(Path(folder) / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(
            f"another process is at work on {what} in {folder}; wait until it ends, or choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def check_name(path):
    """Raises ValueError if a path is not UTF-8, as some names in archives from other systems are not."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the name {os.fsencode(path)!r} is not UTF-8; rename it") from error


def read_member(file, name):
    """Reads an array from an npz file that may come from anywhere.

    Args:
        file: numpy.lib.npyio.NpzFile.
        name: of the array.

    Raises:
        KeyError: if there is no array of that name.
        ValueError: if its size differs from the one in its header, or if it is a zip bomb.
    """
    member = f"{name}.npy"  # the full name, because NumPy prefers a member that is called just `name`
    info = file.zip.getinfo(member)
    with file.zip.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
        expected = stream.tell() + math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and expected != info.file_size:
        raise ValueError(f"{member} says that it is {expected:,} bytes long, but it is {info.file_size:,}")
    if info.file_size > BOMB_BYTES and info.file_size > BOMB_RATIO * info.compress_size:
        raise ValueError(
            f"{member} would swell from {info.compress_size:,} to {info.file_size:,} bytes, which images never do"
        )
    return file[member]


def read_csv(path):
    """Reads a table that may come from anywhere. All cells are read as text, empty ones as missing values.

    Returns:
        pandas.DataFrame.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is not a table; names the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pd.read_csv(path, dtype=str)
    except FileNotFoundError:
        raise
    except Exception as error:  # pandas raises many kinds of errors for damaged tables
        raise ValueError(f"{path} cannot be read as a CSV table ({' '.join(str(error).split())[:200]})") from error


def harmless(table):
    """Returns a DataFrame in which a spreadsheet takes no cell for a formula.

    Text that begins with =, +, -, @, a tab or a carriage return gets an apostrophe in front, as OWASP's page on CSV
    injection advises.
    """
    changed = {}
    for name in table.columns:
        formulas = table[name].map(lambda cell: isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r"))
        if formulas.any():
            changed[name] = table[name].where(~formulas, "'" + table[name].astype(str))
    return table.assign(**changed)
