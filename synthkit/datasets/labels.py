"""Labels in a table: the class, and if there, the patient and the split of every image file.

Column names of ISIC's, HAM10000's and other public tables are recognised; so are one-hot columns.
"""

import csv
import re
import typing

import pandas as pd

from synthkit.datasets.layout import split_of

FILE = "file filename filepath path image imageid imagename imagefile img imgname isicid name id imageindex".split()
LABEL = "label class dx diagnosis classname category target pathology benignmalignant finding findings y".split()
PATIENT = "patient patientid subject subjectid lesion lesionid case caseid person".split()
SPLIT = "split set partition subset fold dataset".split()
NOT_ONE_HOT = "age width height sex score confidence".split()


class Row(typing.NamedTuple):
    """What a table says about one file; patient and split may be None."""

    label: str
    patient: str | None
    split: str | None


def read_labels(path):
    """Reads a table of labels.

    Args:
        path: CSV file, separated by commas, semicolons or tabs. It must have a column for the file, one for the class
            or one-hot columns of 0 and 1, and may have one for the patient and one for the split.

    Returns:
        dict from the file's name as the table gives it, with forward slashes, to Row.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if columns are missing, a row lacks a value, or a file has two labels, patients or splits.
    """
    table = read_any_csv(path)
    names = {re.sub(r"[\W_]", "", str(name).lower()): name for name in table.columns}

    def column(known):
        return next((names[name] for name in known if name in names), None)

    file, label, patient, split = (column(known) for known in (FILE, LABEL, PATIENT, SPLIT))
    if file is None:
        raise ValueError(f"{path} has no column for the file, such as file or image_id. Received: {_listed(table)}")
    classes = table[label] if label else _one_hot(path, table.drop(columns=[c for c in (file, patient, split) if c]))
    rows = {}
    for number, (name, group) in enumerate(zip(table[file], classes, strict=True), 2):
        values = [group, *(table[c].iloc[number - 2] if c else None for c in (patient, split))]
        if not isinstance(name, str) or not isinstance(group, str) or (patient and not isinstance(values[1], str)):
            raise ValueError(f"{path}, line {number}: the file, class or patient is missing")
        if split and isinstance(values[2], str) and split_of(values[2]) is None:
            raise ValueError(
                f"{path}, line {number}: {split} must be train, validation or test. Received: {values[2]!r}"
            )
        row = Row(group.strip(), values[1], split_of(values[2]) if split and isinstance(values[2], str) else None)
        key = name.strip().replace("\\", "/").removeprefix("./")
        if rows.setdefault(key, row) != row:
            raise ValueError(f"{path}, line {number}: {key} appears twice, as {rows[key]} and as {row}")
    return rows


def read_any_csv(path):
    """Reads a table whose separator is a comma, a semicolon or a tab; every cell a text, empty ones missing.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a table; names it.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
        separator = max(",;\t", key=head.count)
        table = pd.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig", quoting=csv.QUOTE_MINIMAL)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist") from error
    except Exception as error:  # pandas raises many kinds of errors on damaged data
        raise ValueError(f"{path} cannot be read as a CSV table ({' '.join(str(error).split())[:200]})") from error
    table.columns = [str(name).strip() for name in table.columns]
    return table


def _one_hot(path, table):
    """Returns the class of every row from columns of 0 and 1."""
    numbers = table.apply(pd.to_numeric, errors="coerce")
    hot = [name for name in table if numbers[name].isin([0, 1]).all() and name.lower() not in NOT_ONE_HOT]
    if len(hot) < 2:
        raise ValueError(f"{path} has no column for the class, such as label or dx. Received: {_listed(table)}")
    wrong = (numbers[hot].sum(axis=1) != 1).to_numpy().nonzero()[0]
    if len(wrong):
        raise ValueError(f"{path}, line {wrong[0] + 2}: exactly one of {', '.join(hot)} must be 1")
    return numbers[hot].idxmax(axis=1)


def _listed(table):
    return ", ".join(table.columns)[:300]


def match(path, rows, names):
    """Finds the table's row of every file.

    Args:
        path: of the table, for errors.
        rows: dict of `read_labels`.
        names: paths of the files relative to the data folder, with forward slashes.

    Returns:
        dict from a name to its Row, of the files that the table names.

    Raises:
        ValueError: if a row fits several files, or none of them fits.
    """
    keys = {}
    for name in names:
        last = name.rpartition("/")[2]
        for key in {name, name.rpartition(".")[0], last, last.rpartition(".")[0] or last}:
            keys.setdefault(key, []).append(name)
    matched = {}
    for key, row in rows.items():
        fitting = keys.get(key) or keys.get(key.rpartition("/")[2]) or []
        if len(fitting) > 1:
            raise ValueError(f"{path}: {key} fits several files, {fitting[0]} and {fitting[1]}; give their paths")
        for name in fitting:
            if matched.setdefault(name, row) != row:
                raise ValueError(f"{path}: {name} has two rows, {matched[name]} and {row}")
    if not matched:
        raise ValueError(f"{path} names none of the {len(names)} images, for example {next(iter(rows), 'nothing')}")
    return matched
