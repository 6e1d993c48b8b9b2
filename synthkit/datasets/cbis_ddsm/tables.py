"""The CBIS-DDSM collection as one table, a row per abnormality and view, joined to its files by identifiers.

The four case tables come with the collection; each row names a full mammogram, a crop and a mask. The paths in them
match no download, and crops and masks are mixed up, so files are joined by their headers and pixels (see `files`).
Feature engineering and splits are the mammography study's (its report, "Feature Engineering" and "Data Splitting");
for each there is also the recommended alternative.

Lee et al., "A curated mammography data set for use in computer-aided detection and diagnosis research", Scientific Data
4, 170177, 2017; The Cancer Imaging Archive, https://doi.org/10.7937/K9/TCIA.2016.7O02S9CY, CC BY 3.0.
"""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from synthkit._files import read_csv
from synthkit.datasets.cbis_ddsm.files import PATHS as FILE_PATHS
from synthkit.datasets.cbis_ddsm.files import find, join, scan
from synthkit.splitting import deal

CLASS_NAMES = ("malignant", "benign")  # the study's labels, 0 and 1
LABELS = {"MALIGNANT": 0, "BENIGN": 1, "BENIGN_WITHOUT_CALLBACK": 1}
TABLES = {
    "mass_train": "mass_case_description_train_set.csv",
    "mass_test": "mass_case_description_test_set.csv",
    "calc_train": "calc_case_description_train_set.csv",
    "calc_test": "calc_case_description_test_set.csv",
}
PATHS = list(FILE_PATHS.values())
FEATURES = {"mass": ["mass_shape", "mass_margins"], "calc": ["calc_type", "calc_distribution"]}
NUMBERS = ("breast_density", "abnormality_id", "assessment", "subtlety")
ALLOWED = {
    "patient_id": r"P_\d{5}",
    "left_or_right_breast": "LEFT|RIGHT",
    "image_view": "CC|MLO",
    "abnormality_type": "mass|calcification",
    "pathology": "|".join(LABELS),
    **dict.fromkeys(NUMBERS, r"\d{1,2}"),
}


def read_table(path):
    """Reads one case table.

    Column names are changed to lower case with underscores: `breast density` becomes `breast_density`, `ROI mask file
    path` becomes `roi_mask_file_path`. Line breaks inside paths are removed.

    Args:
        path: a CSV file with the 14 columns of a mass or a calcification table.

    Returns:
        DataFrame, a row per abnormality and view: `breast_density`, `abnormality_id`, `assessment` and `subtlety` are
        integers, all other columns text, with missing values as in the file. The shape of mass train is (1318, 14), of
        mass test (378, 14), as on the study's slides.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if columns are missing or a value is invalid; names the file, row and column.
    """
    table = read_csv(path)
    table.columns = [re.sub(r"\W+", "_", str(name).strip()).lower() for name in table.columns]
    kind = "calc" if "calc_type" in table.columns else "mass"
    missing = [name for name in [*ALLOWED, *FEATURES[kind], *PATHS] if name not in table.columns]
    repeated = table.columns[table.columns.duplicated()]
    if missing or len(repeated):
        wrong = f"lacks the columns {', '.join(missing)}" if missing else f"has the column {repeated[0]} twice"
        raise ValueError(
            f"{path} is not a case table of CBIS-DDSM: it {wrong}. Received: {', '.join(table.columns)[:300]}"
        )
    for name in table.columns:
        table[name] = table[name].str.strip()
    for name, pattern in ALLOWED.items():
        wrong = np.flatnonzero(~table[name].fillna("").str.fullmatch(pattern).to_numpy(bool))
        if len(wrong):
            value = table[name].iloc[wrong[0]]
            raise ValueError(
                f"{path}, row {wrong[0] + 1}: {name} must match {pattern}. Received: {str(value)[:80]!r} "
                f"({len(wrong)} such rows)"
            )
    return table.astype(dict.fromkeys(NUMBERS, "int64"))


def read_tables(root, below=None):
    """Reads the case tables, which may be anywhere below `root`.

    Args:
        root: folder.
        below: the files there, as `files.find` returns them; None finds them.

    Returns:
        dict from "mass_train", "mass_test", "calc_train" and "calc_test", as far as they are present, to DataFrames of
        `read_table`.

    Raises:
        FileNotFoundError: if there is no case table.
        ValueError: as `read_table`, or if two files of the same name differ.
    """
    root, tables = Path(root), {}
    below = find(root) if below is None else below
    csv = [root / path for path in below if path.endswith(".csv")]
    for name, file in TABLES.items():
        copies = [path for path in csv if path.name == file]
        if len({path.read_bytes() for path in copies}) > 1:
            raise ValueError(f"{copies[0]} and {copies[1]} differ; remove the wrong one")
        if copies:
            tables[name] = read_table(copies[0])
    if not tables:
        raise FileNotFoundError(
            f"{root} contains no case table of CBIS-DDSM; expected at least one of {', '.join(TABLES.values())}"
        )
    return tables


def merge(tables):
    """Combines case tables into one and adds columns that follow from them.

    Args:
        tables: dict from names like "mass_train" to DataFrames, as `read_tables` returns it.

    Returns:
        DataFrame of all rows with the additional columns `table`, `official_split` (train or test), `mammogram` and
        `case` (the names that the collection uses: `Mass-Training_P_00001_LEFT_CC`, for a case followed by the number
        of the abnormality), and `label` (malignant 0; benign and benign without callback 1).
    """
    extended = []
    for name, table in tables.items():
        kind, official = name.split("_")
        prefix = f"{kind.capitalize()}-{'Training' if official == 'train' else 'Test'}"
        patient, side, view = (table[c] for c in ("patient_id", "left_or_right_breast", "image_view"))
        mammogram = prefix + "_" + patient + "_" + side + "_" + view
        case = mammogram + "_" + table["abnormality_id"].astype(str)
        extended.append(table.assign(table=name, official_split=official, mammogram=mammogram, case=case))
    merged = pd.concat(extended, ignore_index=True)
    return merged.assign(label=merged["pathology"].map(LABELS).astype("int64"))


def fill_missing(table, method="unknown", columns=None):
    """Fills missing descriptions.

    Args:
        table: DataFrame of `read_table` or `merge`.
        method: "unknown" fills in that word, which is recommended; "bfill" copies the next row's value, as the study
            did for `mass_margins`, which gives one patient's margins to another.
        columns: names; None means all descriptions for "unknown", and `mass_margins` for "bfill".

    Returns:
        DataFrame. With "bfill" a missing value in the last row stays missing.

    Raises:
        ValueError: for an unknown method.
    """
    if method not in ("unknown", "bfill"):
        raise ValueError(f"method must be 'unknown' or 'bfill'. Received: {method!r}")
    if columns is None:
        columns = [c for names in FEATURES.values() for c in names] if method == "unknown" else ["mass_margins"]
    columns = [c for c in columns if c in table.columns]
    filled = table[columns].fillna("unknown") if method == "unknown" else table[columns].bfill()
    return table.assign(**filled)


def index(root, tables=None, below=None, *, jobs=1, progress=False):
    """Joins the files below `root` to the rows of the case tables.

    Args:
        root: folder of the collection or of any part of it: the archive's DICOM tree with either kind of folder names,
            or the layout with `csv/` and `jpeg/`.
        tables: dict of `read_tables`; None reads those below `root`.
        below: the files there, as `files.find` returns them; None finds them.
        jobs: processes that examine files, -1 for one per core.
        progress: whether to show a bar.

    Returns:
        `(table, files)`. `table`: DataFrame of `merge` with `full_file`, `crop_file` and `mask_file`, the corrected
        paths, relative to `root` and missing where there is no file. `files`: DataFrame of `files.scan`, with the
        `case` of every file, or in `problem` the reason why it has none.

    Raises:
        FileNotFoundError, ValueError: as `read_tables`.

    Warns with the number of rows without a file and of files without a row, and an example of each.
    """
    below = find(root) if below is None else below
    table = merge(read_tables(root, below) if tables is None else tables)
    files = scan(root, table, below, jobs=jobs, progress=progress)
    table = join(table, files)
    for sentence in leftovers(table, files):
        warnings.warn(f"{root}: {sentence}", stacklevel=2)
    return table, files


def leftovers(table, files):
    """Returns sentences that count the rows without a file, for each kind of file, and the files without a row."""
    sentences = []
    for kind in ("full", "crop", "mask"):
        missing = table["case"][table[f"{kind}_file"].isna()]
        if len(missing):
            sentences.append(f"{len(missing)} of {len(table)} rows have no {kind} image, for example {missing.iloc[0]}")
    unmatched = files[files["problem"] != ""]
    if len(unmatched):
        example = f"{unmatched['file'].iloc[0]}: {unmatched['problem'].iloc[0]}"
        sentences.append(f"{len(unmatched)} of {len(files)} files belong to no row, for example {example}")
    return sentences


def study_split(table, seed=42):
    """Splits image by image, as the study did, so that the splits share patients. Only for demonstrating this leak.

    30 % of the rows are split off, and 33 % of these are for validation: 1187 / 341 / 168 of the 1,696 mass rows.

    Returns:
        `(train, test, validation)` DataFrames.
    """
    from sklearn.model_selection import train_test_split

    train, rest = train_test_split(table, test_size=0.3, random_state=seed)
    test, validation = train_test_split(rest, test_size=0.33, random_state=seed)
    return train, test, validation


def patient_split(table, validation=0.1, test=0.2, *, seed=0):
    """Splits by patient, stratified by label: 70 / 20 / 10 %, as closely as whole patients allow.

    Returns:
        `(train, test, validation)` DataFrames.
    """
    fractions = [1 - validation - test, test, validation]
    split = deal(table["label"].to_numpy(), table["patient_id"].to_numpy(str), fractions, seed=seed)
    return tuple(table[split == i] for i in range(3))


def leaked(train, test):
    """Returns the number of rows of `test` whose patient is also in `train`."""
    return int(test["patient_id"].isin(train["patient_id"]).sum())


def shared_patients(tables):
    """Counts the patients that appear in a training table and in a test table.

    Masses and calcifications were split independently: in the real tables, 13 patients of mass train are also in calc
    test, and 18 of mass test are also in calc train.

    Args:
        tables: dict of `read_tables`.

    Returns:
        dict from pairs like ("mass_train", "calc_test") to the number of patients in both.
    """
    names = [name for name in TABLES if name in tables]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if a.split("_")[1] != b.split("_")[1]]
    return {(a, b): len(set(tables[a]["patient_id"]) & set(tables[b]["patient_id"])) for a, b in pairs}
