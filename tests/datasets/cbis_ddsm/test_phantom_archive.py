import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
from sklearn.metrics import roc_auc_score

from synthkit.datasets import cbis_ddsm, dicom
from synthkit.datasets.cbis_ddsm import phantom_archive, phantom_mammogram


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return phantom_archive.write(tmp_path_factory.mktemp("archive"), 12, seed=0, height=240)


def test_tables_have_the_columns_of_the_real_tables(archive, real_data):
    for name in cbis_ddsm.TABLES.values():
        real = pd.read_csv(next(real_data("cbis_ddsm/csv").rglob(name)))
        simulated = pd.read_csv(archive / "csv" / name)
        assert list(simulated.columns) == list(real.columns)
        assert set(simulated["pathology"]) <= set(real["pathology"])
        for column in ("image file path", "cropped image file path", "ROI mask file path"):
            assert simulated[column].str.contains("\n").all() == real[column].str.contains("\n").all()
            assert (simulated[column].str.count("/") == 3).all()
            assert (
                simulated[column].str.split("/").str[0].str.count("_")
                == real[column].str.split("/").str[0].str.count("_")[0]
            ).all()


def test_quirks(archive):
    mass = pd.concat([pd.read_csv(archive / "csv" / cbis_ddsm.TABLES[f"mass_{split}"]) for split in ("train", "test")])
    assert mass["mass margins"].isna().any()
    assert (mass["abnormality id"] > 1).any()
    shared = cbis_ddsm.shared_patients(cbis_ddsm.read_tables(archive))
    assert shared["mass_train", "calc_test"] > 0
    assert shared["mass_train", "mass_test"] == shared["calc_train", "calc_test"] == 0
    files = [pydicom.dcmread(path, stop_before_pixels=True) for path in archive.rglob("*.dcm")]
    assert {ds.PhotometricInterpretation for ds in files} == {"MONOCHROME1", "MONOCHROME2"}
    names = [path.parent.name for path in archive.rglob("*.dcm")]
    crops = [ds.SeriesDescription == "cropped images" for ds in files]
    assert any(crop and "ROI mask images" in name for crop, name in zip(crops, names, strict=True))
    first = pd.read_csv(archive / "csv" / cbis_ddsm.TABLES["mass_train"])["cropped image file path"]
    # In the table, every crop is the first file of its series; in some series it is the second.
    numbers = {ds.PatientID: ds.InstanceNumber for ds, crop in zip(files, crops, strict=True) if crop}
    assert first.str.endswith("/000000.dcm").all()
    assert {numbers[path.split("/")[0]] for path in first} == {1, 2}


def test_headers_have_the_attributes_of_the_real_headers(archive, real_data):
    real = pydicom.dcmread(next(real_data("cbis_ddsm/dicom_sample").rglob("*.dcm")))
    path = next(
        path for path in archive.rglob("*.dcm") if dicom.read_header(path).SeriesDescription == "cropped images"
    )
    simulated = pydicom.dcmread(path)
    public = {element.keyword for element in real if not element.tag.is_private}
    assert {element.keyword for element in simulated} == public
    assert simulated.file_meta.TransferSyntaxUID == real.file_meta.TransferSyntaxUID
    for name in (
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "Modality",
        "SOPClassUID",
        "StudyDate",
    ):
        assert simulated[name].value == real[name].value, name


def test_crops_and_masks_belong_to_their_mammograms(archive):
    table, _ = cbis_ddsm.index(archive)
    for row in table.itertuples():
        full, crop, mask = (dicom.read_pixels(archive / f) for f in (row.full_file, row.crop_file, row.mask_file))
        assert mask.shape == full.shape
        assert set(np.unique(mask)) == {0, 255}
        match = cv2.matchTemplate(full.astype("float32"), crop.astype("float32"), cv2.TM_SQDIFF)
        _, _, (left, top), _ = cv2.minMaxLoc(match)
        np.testing.assert_array_equal(full[top : top + crop.shape[0], left : left + crop.shape[1]], crop)
        inside = mask[top : top + crop.shape[0], left : left + crop.shape[1]]
        assert (inside > 0).sum() == (mask > 0).sum()


def test_the_seed_determines_every_byte(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        phantom_archive.write(tmp_path / name, 2, seed, height=200)
    trees = [
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*") if p.is_file()} for n in "abc"
    ]
    assert trees[0] == trees[1]
    assert trees[0] != trees[2]


def test_the_auc_of_the_score():
    rows = phantom_archive._cases(3000, 0, best_auc=0.85)
    auc = roc_auc_score(rows["pathology"] == "MALIGNANT", rows["malignancy"])
    assert abs(auc - 0.85) < 0.02
    assert abs((rows["pathology"] == "MALIGNANT").mean() - 0.48) < 0.04


@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_mammograms(view):
    films = {}
    for density in (1, 4):
        image, masks, boxes = phantom_mammogram.draw(
            300, view, "LEFT", density, [("mass", 2.0, 0.05), ("calc", 1.0, 0.05)], np.random.default_rng(3)
        )
        films[density] = image.astype(float) / 65535
        assert image.dtype == "uint16"
        for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
            assert mask[top:bottom, left:right].any()
            outside = mask.copy()
            outside[top:bottom, left:right] = 0
            assert not outside.any()
        overlap = (masks[0] > 0) & (masks[1] > 0)
        assert overlap.sum() < 0.1 * (masks[0] > 0).sum()
    height, width = films[1].shape
    assert 0.55 < width / height < 0.70
    breast = np.s_[120:210, 20:80]
    assert films[4][breast].mean() > films[1][breast].mean() + 0.08  # dense tissue is brighter
    assert np.median(films[1][:, -width // 12 : -width // 30]) < 0.06  # film without breast
    if view == "MLO":
        muscle = films[1][5:30, 5:30]
        assert muscle.mean() > films[1][breast].mean() + 0.1
        assert muscle.std() < 0.1
    right, *_ = phantom_mammogram.draw(300, view, "RIGHT", 2, [], np.random.default_rng(3))
    assert np.median(right[100:200, -20:]) > 3 * np.median(right[100:200, :20])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"layout": "zip"}, "'zip'"), ({"patients": 0}, "patients=0"), ({"height": 20}, "height=20")],
)
def test_errors(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        phantom_archive.write(tmp_path, **options)
