"""`--validation` and `--test` where folders are splits, and near-duplicates before a split."""

import pytest

from synthkit.datasets import folders
from synthkit.imageset import ImageSet
from tests.conftest import make_imageset


def save(imageset, folder):
    """Saves images in class folders, without the table, of which `folders.load` would say that it is no image."""
    imageset.save(folder)
    (folder / "labels.csv").unlink()


@pytest.fixture
def root(tmp_path):
    for part, count in (("train", 40), ("val", 10)):
        save(make_imageset(count, count), tmp_path / "set" / part)
    return tmp_path / "set"


def test_a_split_that_is_there_is_not_split_off_again(root):
    with pytest.raises(ValueError, match=r"--validation 0.3 splits off a validation set, but .* has one, of 10 im"):
        folders.load(root, 20, patients=r"(.+)", validation=0.3)


def test_counts_and_fractions_of_all_the_images(root):
    for test, images in ((10, 10), (0.2, 10), (0.4, 20)):
        splits = folders.load(root, 20, patients=r"(.+)", test=test)
        assert [len(part) for part in splits] == [40 - images, 10, images]


def test_images_that_look_alike_stay_together(tmp_path):
    scans = make_imageset(60)
    images = scans.images.copy()
    images[30:] = images[:30] ^ 1  # each image twice, one grey level apart
    save(ImageSet(images, scans.labels, scans.class_names), tmp_path / "scans")
    with pytest.warns(UserWarning, match="60 of 60 images look like others and were put into 30 groups"):
        splits = folders.load(tmp_path / "scans", 20, patients=r"(.+)", group_near_duplicates=True)
    for part in splits:
        same = part.images[:, None] // 2 == part.images[None] // 2
        assert (same.all((2, 3, 4)).sum(1) == 2).all()


def test_grouping_needs_a_split_to_make(root):
    save(make_imageset(10, 3), root / "test")
    with pytest.raises(ValueError, match="set of its own. In study, --drop-near-duplicates or --folds deal with"):
        folders.load(root, 20, patients=r"(.+)", group_near_duplicates=True)


@pytest.mark.parametrize(("count", "sizes"), [(15, [20, 4, 6]), (10, [12, 4, 4])])
def test_small_classes_get_two_images_for_validation(tmp_path, count, sizes):
    save(make_imageset(2 * count), tmp_path / "set")
    splits = folders.load(tmp_path / "set", 20, patients=r"(.+)")
    assert [len(part) for part in splits] == sizes
    assert len(folders.load(tmp_path / "set", 20, patients=r"(.+)", validation=0.1).validation) == 2
