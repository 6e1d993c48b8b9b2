import io
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from synthkit.datasets import cbis_ddsm
from synthkit.datasets.cbis_ddsm import files, phantom_archive
from synthkit.datasets.cbis_ddsm.files import DESCRIPTIONS

LAYOUTS = ("descriptive", "identifiers", "jpeg")
KINDS = {"full": "image_file_path", "crop": "cropped_image_file_path", "mask": "roi_mask_file_path"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Returns a function from a layout to a small simulated archive, written once."""
    archives = {}

    def write(layout="descriptive"):
        if layout not in archives:
            folder = tmp_path_factory.mktemp(layout)
            archives[layout] = phantom_archive.write(folder, 10, seed=1, height=200, layout=layout)
        return archives[layout]

    return write


@pytest.fixture
def tables(real_data):
    return cbis_ddsm.read_tables(real_data("cbis_ddsm/csv"))


def test_real_tables_have_the_reported_numbers(tables):
    # Report 001: mass_train (1318, 14), mass_test (378, 14); report 000, figure 1: 48.3, 43.8 and 7.9 %.
    shapes = {name: table.shape for name, table in tables.items()}
    assert shapes == {
        "mass_train": (1318, 14),
        "mass_test": (378, 14),
        "calc_train": (1546, 14),
        "calc_test": (326, 14),
    }
    train = tables["mass_train"]
    percentages = (100 * train["pathology"].value_counts(normalize=True)).round(1).to_dict()
    assert percentages == {"MALIGNANT": 48.3, "BENIGN": 43.8, "BENIGN_WITHOUT_CALLBACK": 7.9}
    assert train["assessment"].value_counts().to_dict() == {0: 129, 1: 1, 2: 77, 3: 279, 4: 533, 5: 299}
    assert [tables[name]["mass_margins"].isna().sum() for name in ("mass_train", "mass_test")] == [43, 17]
    assert train["mass_shape"].isna().sum() == 4
    patients = [set(tables[name]["patient_id"]) for name in ("mass_train", "mass_test")]
    assert [len(p) for p in patients] == [691, 201]
    assert not patients[0] & patients[1]
    for table in tables.values():
        assert not table[list(KINDS.values())].apply(lambda column: column.str.contains(r"\s")).any(axis=None)
    assert list(tables["mass_test"].columns[:4]) == list(tables["calc_test"].columns[:4])


def test_patients_in_training_and_test_tables(tables):
    shared = cbis_ddsm.shared_patients(tables)
    assert shared == {
        ("mass_train", "mass_test"): 0,
        ("mass_train", "calc_test"): 13,
        ("mass_test", "calc_train"): 18,
        ("calc_train", "calc_test"): 0,
    }


def test_splits_of_the_real_mass_tables(tables):
    mass = cbis_ddsm.merge({name: tables[name] for name in ("mass_train", "mass_test")})
    assert len(mass) == 1696
    assert mass["patient_id"].nunique() == 892
    assert mass.groupby("patient_id").size().max() == 14
    assert (mass["label"] == 0).sum() == (mass["pathology"] == "MALIGNANT").sum() == 784

    train, test, validation = cbis_ddsm.study_split(mass)
    assert [len(train), len(test), len(validation)] == [1187, 341, 168]
    patients = set(train["patient_id"])
    leaked = cbis_ddsm.leaked(train, test)
    assert leaked == sum(patient in patients for patient in test["patient_id"])
    assert leaked > 170  # more than half of the test images

    train, test, validation = cbis_ddsm.patient_split(mass)
    for a, b in ((train, test), (train, validation), (test, validation)):
        assert cbis_ddsm.leaked(a, b) == 0
    assert sorted([*train.index, *test.index, *validation.index]) == list(range(1696))
    np.testing.assert_allclose([len(train), len(test), len(validation)], [1187.2, 339.2, 169.6], atol=3)
    for rows in (train, test, validation):
        assert abs((rows["label"] == 0).mean() - 784 / 1696) < 0.02


def test_missing_descriptions(tables):
    test = tables["mass_test"]
    unknown = cbis_ddsm.fill_missing(test)
    assert (unknown["mass_margins"] == "unknown").sum() == 17
    filled = cbis_ddsm.fill_missing(test, "bfill")
    rows = np.flatnonzero(test["mass_margins"].isna())
    for row in rows:
        assert filled["mass_margins"].iloc[row] == test["mass_margins"].iloc[row:].dropna().iloc[0]
    other_patients = sum(test["patient_id"].iloc[row] != test["patient_id"].iloc[row + 1] for row in rows)
    assert other_patients > 0  # the reason why it is not the default
    assert test["mass_margins"].isna().sum() == 17
    assert cbis_ddsm.fill_missing(tables["mass_train"])["mass_shape"].eq("unknown").sum() == 4
    assert cbis_ddsm.fill_missing(tables["mass_train"], "bfill")["mass_shape"].isna().sum() == 4
    with pytest.raises(ValueError, match="'mean'"):
        cbis_ddsm.fill_missing(test, "mean")


def test_the_two_real_crops(real_data, tmp_path):
    shutil.copytree(real_data("cbis_ddsm/csv"), tmp_path / "csv")
    shutil.copytree(real_data("cbis_ddsm/dicom_sample"), tmp_path / "dicom")
    with pytest.warns(UserWarning, match="rows have no") as warnings:
        table, files = cbis_ddsm.index(tmp_path)
    assert {str(warning.message).split(": ")[1].split(",")[0] for warning in warnings} == {
        "3568 of 3568 rows have no full image",
        "3566 of 3568 rows have no crop image",
        "3568 of 3568 rows have no mask image",
    }
    assert files["kind"].tolist() == ["crop", "crop"]
    assert files["file"].str.contains("ROI mask images").all()
    joined = table[table["crop_file"].notna()]
    assert joined["case"].tolist() == ["Calc-Test_P_00038_LEFT_CC_1", "Calc-Test_P_00038_LEFT_MLO_1"]
    for row in joined.itertuples():
        assert row.case in row.crop_file
        assert (tmp_path / row.crop_file).exists()


MARKS = (b"C" * 40, b"7.7" + b"7" * 61, b"8.8" + b"8" * 61)  # to be replaced by case, study and series


def encoded(kind, pixels):
    """Returns the bytes of a DICOM file with `MARKS` for its identifiers."""
    case, study, series = (mark.decode() for mark in MARKS)
    buffer = io.BytesIO()
    ds = phantom_archive.header(case, study, series, 1, phantom_archive.DESCRIPTIONS[kind], pixels)
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write_files(root, tables, layout):
    """Writes small files for every row of the tables; each kind is encoded once and then gets its identifiers.

    Returns:
        dict from (case, kind) to the path of the file that belongs to it.
    """
    rng = np.random.default_rng(0)
    full = rng.integers(0, 65536, (24, 16), dtype="uint16")
    mask = np.zeros((24, 16), "uint8")
    mask[5:9, 6:11] = 255
    pixels = {"full": full, "crop": full[4:11, 4:12].copy(), "mask": mask}
    templates = {kind: encoded(kind, array) for kind, array in pixels.items()}
    listed, done, expected = [], set(), {}
    for row in tables.itertuples():
        for kind, column in KINDS.items():
            case = row.mammogram if kind == "full" else row.case
            _, study, series, _ = getattr(row, column).split("/")
            if layout == "jpeg":
                number = 1 if kind != "mask" else 2
                path = root / "jpeg" / series / f"{number}-{100 + rng.integers(900)}.jpg"
                listed.append((f"CBIS-DDSM/jpeg/{series}/{path.name}", case, phantom_archive.DESCRIPTIONS[kind]))
            else:
                words = "ROI mask images" if kind != "full" else "full mammogram images"
                inner = f"{study}/{series}"
                if layout == "descriptive":
                    inner = f"08-29-2017-DDSM-{study[-5:]}/1.000000-{words}-{series[-5:]}"
                # Crop and mask are in the same folder, with other names than in the tables.
                path = root / "CBIS-DDSM" / case / inner / f"1-{'12'['mask' in kind]}.dcm"
            expected[row.case, kind] = path.relative_to(root).as_posix()
            if (case, kind) in done:
                expected[row.case, kind] = expected[tables.case[tables.mammogram == case].iloc[0], kind]
                continue
            done.add((case, kind))
            path.parent.mkdir(parents=True, exist_ok=True)
            if layout == "jpeg":
                source = root / f"{kind}.jpg.source"
                if not source.exists():
                    small = (pixels[kind] // 257).astype("uint8") if kind != "mask" else mask
                    small = cv2.resize(small, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
                    source.write_bytes(cv2.imencode(".jpg", small)[1].tobytes())
                os.link(source, path)
            else:
                content = templates[kind]
                for mark, value in zip(MARKS, (case, study, series), strict=True):
                    # Shorter values are padded as in the standard, which pads to even length (PS3.5, 6.2).
                    padded = value.encode().ljust(len(mark), b" " if mark == MARKS[0] else b"\0")
                    content = content.replace(mark, padded)
                path.write_bytes(content)
    if layout == "jpeg":
        names = ["image_path", "PatientID", "SeriesDescription"]
        pd.DataFrame(listed, columns=names).to_csv(root / "csv" / "dicom_info.csv", index=False)
    return expected


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 12])
def test_rows_of_the_real_tables_are_joined_to_files(real_data, tables, tmp_path, layout, every):
    """With the rows of every twelfth patient, or of all."""
    (tmp_path / "csv").mkdir()
    patients = sorted(set(pd.concat([table["patient_id"] for table in tables.values()])))[::every]
    for name, file in cbis_ddsm.TABLES.items():
        table = pd.read_csv(real_data(f"cbis_ddsm/csv/{file}"), dtype=str)
        table[table["patient_id"].isin(patients)].to_csv(tmp_path / "csv" / file, index=False)
        tables[name] = tables[name][tables[name]["patient_id"].isin(patients)]
    merged = cbis_ddsm.merge(tables)
    assert len(merged) == 3568 if every == 1 else len(merged) > 200
    expected = write_files(tmp_path, merged, layout)
    table, files = cbis_ddsm.index(tmp_path)  # would warn of files or rows that are not joined
    assert len(table) == len(merged)
    assert (files["problem"] == "").all()
    assert len(files) == merged["mammogram"].nunique() + 2 * len(merged)
    for kind in KINDS:
        file_of = dict(zip(table["case"], table[f"{kind}_file"], strict=True))
        assert file_of == {case: path for (case, k), path in expected.items() if k == kind}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_simulated_archives_are_joined(archive, layout):
    root = archive(layout)
    table, files = cbis_ddsm.index(root)
    assert (files["kind"] == files["description"].map(DESCRIPTIONS)).all()
    for row in table.itertuples():
        for path in (row.full_file, row.crop_file, row.mask_file):
            assert (root / path).exists()
    if layout == "descriptive":
        # Folders of crops are named after masks, and the tables' paths do not exist in any layout.
        assert files.loc[files["kind"] == "crop", "file"].str.contains("ROI mask images").any()
        assert not any((root / "CBIS-DDSM" / path).exists() for path in table["roi_mask_file_path"])


@pytest.fixture
def copy(archive, tmp_path):
    """Returns a copy of the archive that a test may change."""
    return Path(shutil.copytree(archive(), tmp_path / "copy"))


@pytest.mark.parametrize("name", ["{}.dcm", "{}", "1.3.6.1.4.1.9590.{}", "{}.IMA"])
def test_files_are_joined_by_their_headers_alone(copy, tmp_path, name):
    """All files are in one folder, which is a link, and their names are numbers, with or without a suffix."""
    before, _ = cbis_ddsm.index(copy)
    new_paths, disk = {}, tmp_path / "disk"
    disk.mkdir()
    for number, path in enumerate(sorted(copy.rglob("*.dcm"))):
        new_paths[path.relative_to(copy).as_posix()] = f"link/{name.format(number)}"
        path.rename(disk / name.format(number))
    (copy / "link").symlink_to(disk)
    after, _ = cbis_ddsm.index(copy)
    for kind in KINDS:
        assert after[f"{kind}_file"].tolist() == before[f"{kind}_file"].map(new_paths).tolist()


@pytest.mark.parametrize("layout", ["identifiers", "descriptive"])
def test_files_without_a_patient_id_are_joined_by_series_or_folder(archive, tmp_path, layout):
    root = Path(shutil.copytree(archive(layout), tmp_path / "copy"))
    before, _ = cbis_ddsm.index(root)
    for path in root.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        ds.PatientID = ds.PatientName = "anonymous"
        if layout == "descriptive":
            ds.SeriesInstanceUID = "1.2.3"  # only the folder identifies it
        ds.save_as(path)
    if layout == "identifiers":
        for folder in list((root / "CBIS-DDSM").iterdir()):  # only the series identifies it
            folder.rename(folder.with_name(f"x{hash(folder.name)}"))
    after, _ = cbis_ddsm.index(root)
    for kind in KINDS:
        names = [index[f"{kind}_file"].str.rsplit("/", n=3).str[-3:].tolist() for index in (before, after)]
        assert names[0] == names[1]


def test_pixels_matter_more_than_the_description(copy):
    before, _ = cbis_ddsm.index(copy)
    for path in copy.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        ds.SeriesDescription = {"cropped images": "ROI mask images", "ROI mask images": "cropped images"}.get(
            ds.SeriesDescription, ds.SeriesDescription
        )
        ds.save_as(path)
    after, _ = cbis_ddsm.index(copy)
    pd.testing.assert_frame_equal(before, after)


def test_a_crop_of_two_grey_levels_is_a_crop_unless_it_is_as_large_as_the_mammogram():
    def kind(size, description, many_levels=()):
        file = pd.Series({"case": "M_1", "two_levels": True, "rows": size, "columns": size, "description": description})
        return files._kind(file, {"M"}, {"M": (9, 9)}, many_levels)

    assert kind(9, "cropped images") == "mask"
    assert kind(5, "cropped images") == "crop"
    assert kind(5, "ROI mask images") == "mask"
    assert kind(5, "") == "mask"
    # If another file of the case has many grey levels, that one is the crop.
    assert kind(5, "cropped images", many_levels={"M_1"}) == "mask"


def test_rows_and_files_that_are_not_joined_are_counted_and_named(copy):
    table, _ = cbis_ddsm.index(copy)
    missing, copied, damaged = table["crop_file"].iloc[[0, 1, 2]]
    (copy / missing).unlink()
    shutil.copy(copy / copied, copy / "zzz.dcm")
    (copy / damaged).write_bytes(b"nothing")
    (copy / "scan.dcm").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="belong to no row|rows have no") as warnings:
        table, files = cbis_ddsm.index(copy)
    messages = [str(warning.message) for warning in warnings]
    first = table["case"].iloc[0]
    assert any(f"2 of {len(table)} rows have no crop image, for example {first}" in message for message in messages)
    assert any(f"3 of {len(files)} files belong to no row" in message for message in messages)
    problems = files[files["problem"] != ""].set_index("file")["problem"]
    assert set(problems.index) == {"zzz.dcm", damaged, "scan.dcm"}
    assert "is already the crop image" in problems["zzz.dcm"]
    assert "does not begin with the prefix of a DICOM file" in problems[damaged]


def test_table_errors(tmp_path, archive):
    source = (archive() / "csv" / cbis_ddsm.TABLES["mass_train"]).read_text()
    path = tmp_path / "table.csv"
    for old, new, message in [
        ("MALIGNANT", "MALIGNENT", r"table\.csv, row \d+: pathology must match .* 'MALIGNENT'"),
        ("LEFT", "BOTH", r"left_or_right_breast must match LEFT\|RIGHT"),
        ("patient_id", "patient", "lacks the columns patient_id"),
        ("abnormality id", "image view", "lacks the columns abnormality_id"),
        ("P_0", "X_0", r"patient_id must match P_"),
    ]:
        path.write_text(source.replace(old, new))
        with pytest.raises(ValueError, match=message):
            cbis_ddsm.read_table(path)
    for content in (b"", b"\xff\xfe\x00", b'"', b"a,b\n1,2,3,4\n"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"table\.csv"):
            cbis_ddsm.read_table(path)
    with pytest.raises(FileNotFoundError):
        cbis_ddsm.read_table(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match="no case table"):
        cbis_ddsm.index(tmp_path)


def test_two_tables_of_one_name_that_differ(archive, tmp_path):
    shutil.copytree(archive() / "csv", tmp_path / "csv")
    shutil.copytree(archive() / "csv", tmp_path / "again")
    assert set(cbis_ddsm.read_tables(tmp_path)) == set(cbis_ddsm.TABLES)
    path = tmp_path / "again" / cbis_ddsm.TABLES["mass_test"]
    path.write_text(path.read_text() + "\n")
    with pytest.raises(ValueError, match="differ"):
        cbis_ddsm.read_tables(tmp_path)
