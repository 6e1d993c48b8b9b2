"""The real images and tables of the repository, against the checksums and counts in `data/README.md`."""

import re

import pytest

from synthkit import datasets
from synthkit.datasets import bundled, cbis_ddsm
from tests.conftest import ROOT
from tests.tools import real_images


@pytest.mark.parametrize("name", [bundled.CROPS, bundled.TABLES])
def test_the_files_are_those_of_the_data_page(name):
    page = (ROOT / "data" / "README.md").read_text()
    assert re.search(rf"`{name}` \|.*`{real_images.checksum(bundled.folder(name))}`", page)


def test_the_crops_take_three_megabytes_with_the_tables():
    files = [f for name in (bundled.CROPS, bundled.TABLES) for f in bundled.folder(name).rglob("*.*")]
    assert sum(file.stat().st_size for file in files) < 3e6


def test_crops_by_their_name():
    splits = datasets.load("cbis_ddsm_crops")
    assert [len(images) for images in splits] == [200, 60, 220]
    assert [int((images.labels == 0).sum()) for images in splits] == [90, 30, 100]
    assert splits.train.class_names == ("malignant", "benign")
    assert splits.train.image_shape == (96, 96, 1)
    assert [len(set(images.patients)) for images in splits] == [20, 6, 22]  # blocks of ten files
    assert datasets.load("cbis_ddsm_crops", 28).test.image_shape == (28, 28, 1)


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    (tmp_path / "cbis_ddsm_crops").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="cbis_ddsm_crops"):
        datasets.load("cbis_ddsm_crops")


def test_without_the_repository(monkeypatch, tmp_path):
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match="comes with the repository"):
        datasets.load("cbis_ddsm_crops")


def test_crops_are_those_of_the_collection(real_data, tmp_path):
    real_images.write_crops(real_data("cbis_ddsm/mass_crops_224"), tmp_path)
    assert real_images.checksum(tmp_path) == real_images.checksum(bundled.folder(bundled.CROPS))


def test_tables_have_what_the_study_counted():
    """The slides' shapes and the report's Figures 1 and 2."""
    tables = cbis_ddsm.read_tables(bundled.folder(bundled.TABLES))
    assert [tables[name].shape for name in ("mass_train", "mass_test")] == [(1318, 14), (378, 14)]
    shares = tables["mass_train"]["pathology"].value_counts(normalize=True).mul(100).round(1)
    assert shares.to_dict() == {"MALIGNANT": 48.3, "BENIGN": 43.8, "BENIGN_WITHOUT_CALLBACK": 7.9}
    grades = tables["mass_train"]["assessment"].value_counts().sort_index().to_dict()
    assert grades == {0: 129, 1: 1, 2: 77, 3: 279, 4: 533, 5: 299}
    assert tables["mass_train"]["mass_margins"].isna().sum() == 43


def test_the_studys_split_leaks():
    """1187, 341 and 168 images, as on the slides; 217 test images show patients of the training set."""
    tables = cbis_ddsm.read_tables(bundled.folder(bundled.TABLES))
    masses = cbis_ddsm.merge({name: table for name, table in tables.items() if name.startswith("mass")})
    train, test, validation = cbis_ddsm.study_split(masses)
    assert [len(part) for part in (train, test, validation)] == [1187, 341, 168]
    assert cbis_ddsm.leaked(train, test) == 217
