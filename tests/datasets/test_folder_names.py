import unicodedata

import pytest

from synthkit.datasets import folder_names


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("Train", "train"), ("DEV", "validation"), ("test-set", "test"), ("Training Data", "train")),
        *(("TestImages", "test"), ("val_cases", "validation"), ("tr", "train")),
        *(("tests", None), ("benign", None), ("auto_test", None), ("train_benign", None), ("contest", None)),
    ],
)
def test_split_of(name, split):
    assert folder_names.split_of(name) == split


def test_names_that_differ_in_the_split_alone():
    assert folder_names.splits_of(["x_train_1", "x_test_1"]) == {"x_train_1": "train", "x_test_1": "test"}
    assert set(folder_names.splits_of(["train_benign", "test_malignant"]).values()) == {None}
    assert set(folder_names.splits_of(["stress test"]).values()) == {None}


def test_comparison():
    decomposed = unicodedata.normalize("NFD", " Läsion ")
    assert folder_names.fold_case(decomposed) == "läsion"
    assert folder_names.displayed(decomposed) == "Läsion"


@pytest.mark.parametrize(
    ("names", "numbered"),
    [
        (["patient17", "patient23"], True),
        (["2021-03-04", "2021-03-05"], True),
        (["0", "1", "2"], False),
        (["1", "4"], True),
        (["grade_1", "grade_2"], False),
        (["benign", "malignant"], False),
        (["x²", "x³"], False),
    ],
)
def test_numbered(names, numbered):
    assert folder_names.are_numbered(names) == numbered


def test_base_names():
    names, mask = folder_names.base_names("benign (4)_mask_1.png")
    assert mask
    assert names == {("benign", "4"), ("benign", "4", "1")}
    assert folder_names.base_names("IMG_0042.jpg") == ({("0042",)}, False)
