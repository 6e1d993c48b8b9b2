"""`--groups`: the subgroups of the images, from a column of a table."""

import re

import numpy as np
import pytest

from synthkit import datasets
from synthkit.datasets import folders, labels
from synthkit.imageset import ImageSet, concatenate
from tests.conftest import make_imageset
from tests.datasets.test_layout import picture, tree

ROWS = [f"{i}.png,{'ab'[i % 2]},P{i // 2},{('MLO', 'CC', '')[i % 3]}" for i in range(40)]
TABLE = "\n".join(["file,label,patient,View", *ROWS])


@pytest.fixture
def images(tmp_path):
    for i in range(40):
        picture(tmp_path / "set" / "all" / f"{i}.png", i)
    return tmp_path / "set"


@pytest.fixture
def table(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE, encoding="utf-8")
    return tmp_path / "t.csv"


def test_groups_stay_with_their_images(images, table):
    splits = folders.load(images, 20, labels=table, groups="view")
    known = [folders.load(images, 20, labels=table, groups=column) for column in ("file", "patient")]
    for part, files, patients in zip(splits, *known, strict=True):
        numbers = [int(name.removesuffix(".png")) for name in files.groups]
        assert part.groups.tolist() == [("MLO", "CC", "not given")[number % 3] for number in numbers]
        assert patients.groups.tolist() == part.patients.tolist()
    assert part[[1, 0]].groups.tolist() == part.groups[[1, 0]].tolist()
    assert concatenate(list(splits)).groups.tolist() == np.concatenate([s.groups for s in splits]).tolist()


def test_groups_of_a_table_of_patients(tmp_path, table):
    for i in range(40):
        picture(tmp_path / "set" / "ab"[i % 2] / f"{i}.png", i)
    splits = folders.load(tmp_path / "set", 20, patients=table, groups="View")
    assert {group for part in splits for group in part.groups} == {"MLO", "CC", "not given"}


def test_what_is_wrong_with_a_column(images, table, tmp_path):
    with pytest.raises(ValueError, match=r"t.csv has no column for density \(--groups\).*Received: file, label"):
        folders.load(images, 20, labels=table, groups="density")
    for i in range(40):
        picture(tmp_path / "classes" / "ab"[i % 2] / f"{i}.png", i)
    with pytest.raises(ValueError, match=r"give the table with --labels, or with --patients. Received: \(.\+\)"):
        folders.load(tmp_path / "classes", 20, patients="(.+)", groups="view")
    table.write_text(TABLE + "\n0.png,a,P0,CC", encoding="utf-8")
    with pytest.raises(ValueError, match="0.png is in two subgroups, MLO and CC"):
        labels.read_groups(table, "View")


def test_one_group_for_every_image():
    with pytest.raises(ValueError, match="groups must be 4 names, one per image"):
        ImageSet(make_imageset(4).images, [0, 1, 0, 1], ["a", "b"], groups=["left"])


def test_how_a_data_set_is_split_is_said(images, table):
    assert datasets.split_of("phantom") == "Every set is simulated on its own."
    assert "of the data set's file" in datasets.split_of("breastmnist")
    assert "by look-alike group, strat" in datasets.split_of(str(images), table, units="look-alike groups")
    sentence = datasets.split_of(str(images), table, test=0.3)
    assert re.search(
        r"by patient, stratified by class, seed 0: validation 0\.1 .* and test 0\.3 of the images", sentence
    )


def test_sets_that_folders_give_are_those_that_are_used(tmp_path, table):
    tree(tmp_path / "set", "train/a", "train/b", "test/a", "test/b")
    for name in (".val", "__MACOSX/validation"):
        (tmp_path / "set" / name).mkdir(parents=True)
    sentence = datasets.split_of(str(tmp_path / "set"))
    assert sentence.startswith("The folders or the table give the test and the train set. Split by patient")
    table.write_text("file,label\n" + "\n".join(f"train/{c}/{i}.png,{c}" for c in "ab" for i in range(4)))
    sentence = datasets.split_of(str(tmp_path / "set"), table)  # which leaves the images below "test" out
    assert sentence.startswith("The folders or the table give the train set. Split by patient")
    assert sentence.endswith("and test 0.2 of the images.")
