"""Labels in a table: the class, and if there, the patient and the split of every image file.

Column names of ISIC's, HAM10000's and other public tables are recognised; so are one-hot columns.
"""

import csv
import io
import os
import re
import typing
from pathlib import Path

import pandas as pd

from synthkit.datasets.folder_names import displayed, fold_case, split_of
from synthkit.datasets.reading import SUFFIXES

FILE = (
    "file filename filenames filepath path relativepath image images imageid imagename imagefile imagefilename".split()
)
FILE += "imagepath img imgid imgname imgfile imgpath isicid dicompath name id imageindex".split()
LABEL = "label labels class classes dx diagnosis diagnosis1 classname category target pathology".split()
LABEL += "benignmalignant finding findings findinglabels y".split()
PATIENT = "patient patientid patientname subject subjectid lesion lesionid case caseid person personid".split()
SPLIT = "split partition set subset fold dataset".split()
NOT_ONE_HOT = "age width height sex score confidence".split()
HEAD = "The first line must name the columns"


class Row(typing.NamedTuple):
    """What a table says about one file; patient and split may be None."""

    label: str
    patient: str | None
    split: str | None

    def __str__(self):
        patient, split = self.patient and f"patient {self.patient}", self.split and f"split {self.split}"
        return ", ".join(filter(None, (self.label, patient, split)))


def read_labels(path):
    """Reads a table of labels.

    Args:
        path: CSV file, separated by commas, semicolons or tabs. It must have a column for the file, one for the class
            or one-hot columns of 0 and 1, and may have one for the patient and one for the split.

    Returns:
        `(rows, notes)`: dict from the file's name as the table gives it, with forward slashes, to Row; and sentences
        about columns to look at.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if columns are missing, a row lacks a value, or a file has two labels, patients or splits.
    """
    table, notes = read_any_csv(path), []
    file, label, patient = (next(iter(_columns(table, known)), None) for known in (FILE, LABEL, PATIENT))
    split = _split_column(table)
    if file is None:
        raise ValueError(
            f"{path} has no column for the file, such as file or image_id. {HEAD}. Received: {_listed(table)}"
        )
    used = [column for column in (file, label, patient, split) if column]
    for column in used:
        _check_filled(path, table, column)
    if label:
        classes = _class_names(table[label])
        others = [column for column in _columns(table, LABEL) if column != label and _differ(classes, table[column])]
        if others:
            notes.append(
                f"{path}: the classes are those of the column {label}; to use {' or '.join(others)} instead, remove "
                f"{label} from the table"
            )
    else:
        classes, hot = _one_hot(path, table.drop(columns=used))
        if {*table.columns} - {"", *hot, *_columns(table, FILE + PATIENT + SPLIT)}:
            notes.append(
                f"{path}: the classes are the columns of 0 and 1, {', '.join(hot)}, since none is called label; to use "
                "another column instead, rename it to label"
            )
    rows = {}
    for line, name in table[file].items():
        group = split_of(table[split][line]) if split else None
        if split and group is None:
            raise ValueError(
                f"{path}, line {line}: {split} must be train, validation or test. Received: {table[split][line]!r}"
            )
        row = Row(classes[line], table[patient][line] if patient else None, group)
        key = forward(name)
        if rows.setdefault(key, row) != row:
            raise ValueError(f"{path}, line {line}: {key} appears twice, as {rows[key]} and as {row}")
    return rows, notes


def read_patients(path):
    """Reads a table of patients, separated by commas or tabs, with a column for the file and one for the patient.

    Returns:
        dict from the file's name as the table gives it, with forward slashes, to the patient. Rows without one
        are left out.

    Raises:
        as `read_labels`.
    """
    table = read_any_csv(path, separators=",\t")
    file, patient = (next(iter(_columns(table, known)), None) for known in (FILE, PATIENT))
    if file is None or patient is None:
        raise ValueError(
            f"{path} must have the columns file and patient, separated by commas or tabs. {HEAD}. "
            f"Received: {_listed(table)}"
        )
    known = {}
    for line, name in table[file].items():
        key, value = forward(name), table[patient][line]
        if key and value and known.setdefault(key, value) != value:
            raise ValueError(f"{path}, line {line}: {key} has two patients, {known[key]} and {value}")
    return known


def read_groups(path, column):
    """Reads the subgroup of every image file, such as its view or its site, from a table with a column for the file.

    Args:
        path: CSV file, as in `read_labels`.
        column: the column with the subgroups; case makes no difference.

    Returns:
        dict from the file's name as the table gives it, with forward slashes, to the subgroup; "" where it is empty.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a column is missing, or a file has two subgroups.
    """
    table = read_any_csv(path)
    file = next(iter(_columns(table, FILE)), None)
    group = next((name for name in table.columns if fold_case(name) == fold_case(column)), None)
    if file is None or group is None:
        missing = "the file" if file is None else column
        raise ValueError(f"{path} has no column for {missing} (--groups). {HEAD}. Received: {_listed(table)}")
    known = {}
    for line, name in table[file].items():
        key, value = forward(name), table[group][line]
        if known.setdefault(key, value) != value:
            raise ValueError(f"{path}, line {line}: {key} is in two subgroups, {known[key]} and {value}")
    return known


def read_any_csv(path, separators=",;\t"):
    """Reads a table in UTF-8, or in UTF-16 with its mark; its separator is the most frequent one in the first line.

    Returns:
        DataFrame of texts without blanks around them; its index holds the lines in the file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a table; names it.
    """
    try:
        text = _decode(Path(path).read_bytes())
        separator = max(separators, key=text.partition("\n")[0].count)
        reader, rows, head = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), {}, None
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            while len(cells) > len(head or ()) and not cells[-1]:
                cells.pop()
            if head is None:
                head = cells
                twice = sorted({name for name in head if name and head.count(name) > 1})
                if twice:
                    raise ValueError(f"several columns are called {twice[0]}")
            elif len(cells) > len(head):
                raise ValueError(f"line {reader.line_num} has {len(cells)} cells, the first line {len(head)}")
            elif any(cells):
                rows[reader.line_num] = cells + [""] * (len(head) - len(cells))
        if not head:
            raise ValueError("it is empty")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist") from error
    except (ValueError, csv.Error, OSError) as error:
        raise ValueError(f"{path} cannot be read as a CSV table ({error})") from error
    return pd.DataFrame.from_dict(rows, orient="index", columns=head)


def _decode(content):
    if content.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        raise ValueError("it is a workbook of a spreadsheet program; save its table as CSV")
    try:
        text = content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f'{error.reason} at byte {error.start}; save it as "CSV UTF-8"') from error
    if "\0" in text:
        raise ValueError("it contains null characters")
    return text


def _plain(name):
    return re.sub(r"[\W_]", "", name.casefold())


def _columns(table, known):
    """Returns the columns with known names, the most telling first."""
    names = {_plain(name): name for name in table.columns if name}
    return [names[name] for name in known if name in names]


def _split_column(table):
    """Returns the column of the split: one called split, or one of the other names that gives a split somewhere."""
    for column in _columns(table, SPLIT):
        if _plain(column) == "split" or any(map(split_of, table[column])):
            return column
    return None


def _check_filled(path, table, column):
    empty = table.index[table[column] == ""]
    if len(empty):
        raise ValueError(
            f"{path}, line {empty[0]}: {column} is empty, as in {len(empty)} of {len(table)} rows. Fill it in, or "
            "remove these rows"
        )


def _class_names(values):
    """Returns the class of every row: spellings that differ in case are one class, and so are 1 and 1.0."""
    if values.str.fullmatch(r"-?\d{1,9}(\.0*)?").all():
        return values.map(lambda value: value.partition(".")[0])
    spellings = {}
    return values.map(lambda value: spellings.setdefault(fold_case(value), displayed(value)))


def _differ(classes, other):
    """Returns whether two columns sort rows into different classes."""
    return len(other.unique()) > 1 and bool((pd.factorize(classes)[0] != pd.factorize(_class_names(other))[0]).any())


def _one_hot(path, table):
    """Returns the class of every row from columns of 0 and 1, and the names of these columns."""
    numbers = table.loc[:, [bool(name) for name in table.columns]].apply(pd.to_numeric, errors="coerce")
    hot = [name for name in numbers if numbers[name].isin([0, 1]).all() and _plain(name) not in NOT_ONE_HOT]
    if len(hot) < 2:
        raise ValueError(f"{path} has no column for the class, such as label or dx. {HEAD}. Received: {_listed(table)}")
    wrong = numbers.index[numbers[hot].sum(axis=1) != 1]
    if len(wrong):
        raise ValueError(
            f"{path}, line {wrong[0]}: exactly one of {', '.join(hot)} must be 1, as it is not in {len(wrong)} of "
            f"{len(table)} rows. If one column holds the class, rename it to label; otherwise remove columns of 0 and "
            "1 that are no classes, and correct or remove these rows"
        )
    return numbers[hot].idxmax(axis=1), hot


def _listed(table):
    return ", ".join(table.columns)[:300]


def forward(name):
    """Returns a file's name with forward slashes."""
    return name.replace("\\", "/").removeprefix("./")


def match(path, rows, names, companions=(), unreadable=()):
    """Finds the table's row of every file.

    A row fits a file whose path ends with the row's name, or whose whole path is the end of it, as where a table names
    files by their paths on another computer. Case and the suffixes of images make no difference.

    Args:
        path: of the table, for errors.
        rows: dict from the names of files to what the table says about them.
        names: paths of the images relative to the data folder, with forward slashes.
        companions: paths of masks and overlays beside images; a row that also fits an image is about the image.
        unreadable: paths of other files; a row is about one of them only if it fits no image.

    Returns:
        `(matched, missing)`: dict from a name to the value of its row, of the files that the table names; and the
        names of rows without a file.

    Raises:
        ValueError: if a row fits several files, several rows fit one file, or none fits.
    """
    images, masks = [*names, *companions], set(companions)
    find, find_unreadable = _finder(images, SUFFIXES), _finder(unreadable)
    matched, owners, missing = {}, {}, []
    for key, row in rows.items():
        fitting = find(key)
        if len(fitting) > 1:
            fitting = [name for name in fitting if name not in masks] or fitting
        if len(fitting) > 1:
            raise ValueError(f"{path}: {key} fits several files, {fitting[0]} and {fitting[1]}; give their paths")
        for name in fitting:
            if owners.setdefault(name, key) != key:
                raise ValueError(f"{path}: {name} has two rows, {owners[name]} and {key}; give their paths")
            matched[name] = row
        if not fitting:
            lost = find_unreadable(key)[:1]
            matched.update(dict.fromkeys(lost, row))
            missing += [] if lost else [key]
    if not matched:
        raise ValueError(
            f"{path} names none of the {len(images)} images: it has {next(iter(rows), 'no rows')}, where files are "
            f"called {images[0]}"
        )
    return matched, missing


def _finder(names, suffixes=None):
    """Returns a function from a row's name to the files that it fits; it may lack one of `suffixes`, None for any."""
    whole, ends = {}, {}
    for name in names:
        parts = fold_case(name).split("/")
        for i in range(len(parts)):
            for key in _with_and_without_suffix("/".join(parts[i:]), suffixes):
                ends.setdefault(key, []).append(name)
                if not i:
                    whole.setdefault(key, []).append(name)

    def find(key):
        parts = fold_case(key).split("/")
        tails = ["/".join(parts[i:]) for i in range(len(parts))]
        return whole.get(tails[0]) or ends.get(tails[0]) or next((whole[t] for t in tails if t in whole), [])

    return find


def _with_and_without_suffix(name, suffixes):
    stem, suffix = os.path.splitext(name.removesuffix(".gz"))
    return {name, stem} if suffixes is None or suffix in suffixes else {name}
