"""The files of a CBIS-DDSM download: which case each belongs to and what it shows, by its header and its pixels.

The case is the header's Patient ID (0010,0020), in which the collection saves the case's name; without one, the case
whose path in the case tables has the Series Instance UID (0020,000E); without that, the case that a folder in the
file's path is named after. A file shows a mammogram if the case's name has no abnormality number; else a mask if the
pixels have at most two grey levels, and a crop if they have more, whatever the folder or the table says.
"""

import re
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from synthkit import _workers
from synthkit._files import read_csv
from synthkit.datasets import dicom
from synthkit.datasets.finding import DOCUMENTS, files_below
from synthkit.datasets.reading import SUFFIXES, has_two_levels, is_dicom, read_image, read_size

CASE = re.compile(r"(?:Mass|Calc)-(?:Training|Test)_P_\d{5}_(?:LEFT|RIGHT)_(?:CC|MLO)(?:_\d{1,2})?")
SERIES = re.compile(r"\d+(?:\.\d+){5,}")
DESCRIPTIONS = {"full mammogram images": "full", "cropped images": "crop", "ROI mask images": "mask"}
PATHS = {"full": "image_file_path", "crop": "cropped_image_file_path", "mask": "roi_mask_file_path"}
CRASHED = "its decoder crashed or ran out of memory, twice. Replace or remove it"
SAMPLES = 64  # rows that are read to tell a mask from a crop


def scan(root, table, below, *, jobs=1, progress=False):
    """Examines every image file below a folder.

    Args:
        root: folder.
        table: DataFrame of `cbis_ddsm.merge`.
        below: the files there, as `find` returns them.
        jobs: processes, -1 for one per core.
        progress: whether to show a bar.

    Returns:
        DataFrame, one row per file in the order of their paths: `file` (relative to `root`), `case` (empty if the file
        belongs to none), `kind` (full, crop, mask or empty), `description` (from the header), `rows`, `columns`,
        `problem` (why the file belongs to no case; empty if it belongs to one).
    """
    paths = [path for path in below if _is_image(root, path)]
    listed = _read_listed([Path(root) / path for path in below if path.endswith("dicom_info.csv")])
    tasks = {path: (root, path, listed.get(path.split("/jpeg/")[-1].removeprefix("jpeg/"))) for path in paths}
    descriptions = {}
    with tqdm(total=len(paths), desc="examining files", unit="file", disable=not progress) as bar:
        for path, description in _workers.run(describe, tasks, jobs, batch_size="auto"):
            descriptions[path] = description or _undescribed(path, f"{path}: {CRASHED}")
            bar.update()
    columns = ["file", "case", "series", "description", "rows", "columns", "two_levels", "problem"]
    return _assign(pd.DataFrame([descriptions[path] for path in paths], columns=columns), table)


def _is_image(root, path):
    suffix = Path(path).suffix.lower()
    return suffix in SUFFIXES or (suffix not in DOCUMENTS and is_dicom(Path(root) / path))


def find(root):
    """Returns the sorted paths of all files below a folder, relative to it, without hidden ones."""
    paths, _ = files_below(root)
    return ["/".join(path) for path in paths]


def describe(root, path, listed=None):
    """Describes one file by its header and pixels: the columns of `scan`, with `series` and `two_levels` for `kind`.

    Args:
        root: folder.
        path: str, relative to it.
        listed: `(Patient ID, description)` of a JPEG file according to `dicom_info.csv`, or None.
    """
    case = description = problem = ""
    series = _series(path)
    rows = columns = 0
    two_levels = None
    try:
        if is_dicom(Path(root) / path):
            header = dicom.read_header(Path(root) / path)
            case = dicom.text(header, "PatientID") or dicom.text(header, "PatientName")
            series = dicom.text(header, "SeriesInstanceUID") or series
            description = dicom.text(header, "SeriesDescription")
            rows, columns = dicom.size(header)
            if not _is_mammogram(case, path):
                sample = dicom.open_pixels(Path(root) / path, header)[:: max(1, rows // SAMPLES)]
                two_levels = has_two_levels(sample)
        else:
            case, description = listed or ("", "")
            rows, columns = read_size(Path(root) / path)
            if not _is_mammogram(case, path):
                # JPEG compression blurs a mask's edges, so up to 2 % of its pixels may have other grey levels.
                pixels = read_grey(Path(root) / path)
                two_levels = bool(np.mean((pixels > 32) & (pixels < 223)) < 0.02)
    except (ValueError, OSError) as error:
        problem = str(error)
    return path, _case(case, path), series, description, rows, columns, two_levels, problem


def _undescribed(path, problem):
    """Returns the result of `describe` for a file of which only the path is known."""
    return path, _case("", path), _series(path), "", 0, 0, None, problem


def _series(path):
    """Returns the last Series Instance UID in a path, or an empty text."""
    return next(iter(SERIES.findall(path)[::-1]), "")


def _case(case, path):
    """Returns the case that a header names, else the last one named in the path, or an empty text."""
    match = CASE.fullmatch(case) or next(iter(list(CASE.finditer(path))[::-1]), None)
    return match[0] if match else ""


def _is_mammogram(case, path):
    case = _case(case, path)
    return bool(case) and not case.rpartition("_")[2].isdigit()


def read_grey(path):
    """Reads a JPEG or PNG file as uint8 grey levels `(height, width)`; errors as `read_image`."""
    image = read_image(path)
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image


def _read_listed(paths):
    """Reads `dicom_info.csv` of the layout with JPEG files: dict from `series/file` to (Patient ID, description)."""
    if not paths:
        return {}
    table = read_csv(paths[0]).fillna("")
    columns = ["image_path", "PatientID", "SeriesDescription"]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"{paths[0]} must have the columns {', '.join(columns)}. Missing: {', '.join(missing)}")
    images = table["image_path"].str.split("/jpeg/").str[-1]
    return dict(zip(images, zip(table["PatientID"], table["SeriesDescription"], strict=True), strict=True))


def _assign(files, table):
    """Decides every file's case and kind; `problem` explains why a file has none."""
    cases = set(table["case"])
    mammograms = set(table["mammogram"])
    by_series = {}
    for kind, column in PATHS.items():
        name = table["mammogram" if kind == "full" else "case"]
        series = table[column].fillna("").str.findall(SERIES).str[-1]
        by_series |= {uid: case for uid, case in zip(series, name, strict=True) if isinstance(uid, str)}
    known = [case in cases or case in mammograms for case in files["case"]]
    files["case"] = files["case"].where(known, files["series"].map(by_series).fillna(""))
    full = files["case"].isin(mammograms)
    sizes = dict(zip(files["case"][full], zip(files["rows"][full], files["columns"][full], strict=True), strict=True))
    many_levels = set(files["case"][files["two_levels"].eq(False)])
    kinds, problems, taken = [], [], {}
    for row in files.itertuples():
        kind, problem = _kind(row, mammograms, sizes, many_levels), row.problem
        if not row.case:
            problem = problem or "neither its header nor its path names a case of the tables"
        elif not kind:
            problem = problem or "neither its pixels nor its header show whether it is a crop or a mask"
        elif (row.case, kind) in taken:
            problem = f"{taken[row.case, kind]} is already the {kind} image of {row.case}"
        else:
            problem = "" if kind == "full" or row.two_levels is not None else problem
            taken[row.case, kind] = row.file
        kinds.append(kind)
        problems.append(problem)
    files = files.assign(kind=kinds, problem=problems)
    files.loc[files["problem"] != "", "case"] = ""
    return files[["file", "case", "kind", "description", "rows", "columns", "problem"]]


def _kind(file, mammograms, sizes, many_levels):
    """Returns full, crop or mask, or an empty text if that cannot be decided."""
    described = DESCRIPTIONS.get(file.description, "")
    if file.case in mammograms:
        return "full"
    if file.two_levels is None:
        return described if described != "full" else ""
    if not file.two_levels:
        return "crop"
    # If another file of the case has many grey levels, that one is the crop, whatever their descriptions and sizes.
    if file.case in many_levels:
        return "mask"
    # A file of two grey levels that is described as a crop is a mask only if it has the mammogram's size.
    same_size = sizes.get(file.case.rpartition("_")[0]) == (file.rows, file.columns)
    return "crop" if described == "crop" and not same_size else "mask"


def join(table, files):
    """Adds `full_file`, `crop_file` and `mask_file`, which `scan` found, to the table; missing where there is none."""
    for kind in ("full", "crop", "mask"):
        joined = files[(files["kind"] == kind) & (files["problem"] == "")]
        file_of = dict(zip(joined["case"], joined["file"], strict=True))
        name = table["mammogram" if kind == "full" else "case"]
        table = table.assign(**{f"{kind}_file": name.map(file_of).astype(object)})
    return table
