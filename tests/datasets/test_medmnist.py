import hashlib
import warnings

import numpy as np
import pytest

from synthkit import datasets
from synthkit.datasets import medmnist
from synthkit.datasets.medmnist_info import LARGER, Info
from synthkit.imageset import ImageSet, Splits


def arrays(sizes=(30, 12, 20), classes=2, channels=1, seed=0):
    """Returns the arrays of a file in MedMNIST's format."""
    rng = np.random.default_rng(seed)
    contents = {}
    for key, size in zip(("train", "val", "test"), sizes, strict=True):
        shape = (size, 28, 28) if channels == 1 else (size, 28, 28, channels)
        contents[f"{key}_images"] = rng.integers(0, 256, shape, "uint8")
        contents[f"{key}_labels"] = (np.arange(size) % classes).astype("uint8")[:, None]
    return contents


def write(path, **changes):
    np.savez(path, **{key: value for key, value in (arrays() | changes).items() if value is not None})
    return path


class TestInfo:
    def test_twelve_sets(self):
        assert len(medmnist.INFO) == 12
        assert LARGER.keys() == medmnist.INFO.keys()
        checksums = [info.md5 for info in medmnist.INFO.values()] + [md5 for s in LARGER.values() for md5 in s.values()]
        assert len(set(checksums)) == 48
        assert {len(md5) for md5 in checksums} == {32}
        assert medmnist.INFO["dermamnist"].licence == "CC BY-NC 4.0"

    def test_breastmnist_is_the_official_file(self, real_data):
        path = real_data("breastmnist.npz")
        assert hashlib.md5(path.read_bytes()).hexdigest() == medmnist.INFO["breastmnist"].md5
        with pytest.warns(UserWarning, match="1 of 546 images are also in breastmnist validation or breastmnist test"):
            splits = medmnist.load(path)
        assert [len(images) for images in splits] == [545, 78, 156]
        assert splits.test.class_counts() == {"malignant": 42, "normal, benign": 114}


class TestLoad:
    def test_grey_and_colour(self, tmp_path):
        splits = medmnist.load(write(tmp_path / "mine.npz"))
        assert splits.train.image_shape == (28, 28, 1)
        assert splits.train.class_names == ("class 0", "class 1")
        splits = medmnist.load(write(tmp_path / "mine.npz", **arrays(classes=3, channels=3)))
        assert splits.test.image_shape == (28, 28, 3)
        assert len(splits.test.class_names) == 3

    def test_class_names_by_file_name(self, tmp_path):
        assert medmnist.load(write(tmp_path / "pneumoniamnist.npz")).train.class_names == ("normal", "pneumonia")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"val_labels": None}, r"odd.npz is not a MedMNIST file: it lacks val_labels"),
            ({"test_images": np.array([{}, 1], object)}, "odd.npz contains pickled objects"),
            ({"train_images": np.zeros((30, 28, 28))}, r"train_images must be uint8 .*Received: float64"),
            ({"test_labels": np.zeros((20, 14), "uint8")}, "contains 14 labels per image"),
            ({"test_labels": np.zeros((19, 1), "uint8")}, "one integer for each of the 20 images"),
        ],
    )
    def test_files_of_another_format(self, tmp_path, changes, message):
        with pytest.raises(ValueError, match=message):
            medmnist.load(write(tmp_path / "odd.npz", **changes))

    def test_suffix_in_capital_letters(self, tmp_path):
        write(tmp_path / "odd.npz").rename(tmp_path / "ODD.NPZ")
        assert len(datasets.load(tmp_path / "ODD.NPZ").test) > 0

    @pytest.mark.parametrize("name", ["thatmnist", "nothing"])
    def test_unknown_names(self, name):
        with pytest.raises(ValueError, match=f"expected the path of an npz file, or one of pathmnist.*'{name}'"):
            medmnist.load(name)

    def test_damaged_files(self, tmp_path):
        path = write(tmp_path / "cut.npz")
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(ValueError, match=r"cut.npz is damaged or not an npz file"):
            medmnist.load(path)
        (tmp_path / "text.npz").write_text("not a zip")
        with pytest.raises(ValueError, match=r"text.npz (is damaged|contains pickled)"):
            medmnist.load(tmp_path / "text.npz")
        with pytest.raises(FileNotFoundError, match=r"none.npz does not exist"):
            medmnist.load(tmp_path / "none.npz")

    def test_multi_label_set_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="chestmnist is a multi-label set"):
            medmnist.load(write(tmp_path / "chestmnist.npz"))

    def test_download_is_checked_and_says_where_to_put_the_file(self, tmp_path, monkeypatch):
        source = write(tmp_path / "source.npz")
        monkeypatch.setattr(medmnist, "URL", source.as_uri().replace("source", "{name}"))
        with pytest.raises(
            OSError, match=r"octmnist could not be downloaded from file.*Put the file at .*octmnist.npz"
        ):
            medmnist.load("octmnist", cache_dir=tmp_path / "cache")
        monkeypatch.setattr(medmnist, "URL", source.as_uri())
        with pytest.raises(OSError, match="could not be downloaded"):  # another md5 is expected
            medmnist.load("octmnist", cache_dir=tmp_path / "cache")
        md5 = hashlib.md5(source.read_bytes()).hexdigest()
        info = Info("a; b", (30, 12, 20), 1, md5)
        monkeypatch.setitem(medmnist.INFO, "octmnist", info)
        assert len(medmnist.load("octmnist", cache_dir=tmp_path / "cache").train) == 30


def official(name):
    """Returns splits of the official sizes, with the official class counts where classes are small, of 2×2 images."""
    info = medmnist.INFO[name]
    counts = {"dermamnist": [(228, 359, 769, 80, 779, 4693, 99), (33, 52, 110, 12, 111, 671, 14)]}.get(name)
    splits = []
    for i, size in enumerate(info.sizes):
        labels = np.arange(size) % len(info.class_names)
        if counts and i < 2:
            labels = np.repeat(np.arange(len(counts[i])), counts[i])
        images = (i * 10**6 + np.arange(size, dtype="uint32")).view("uint8").reshape(size, 2, 2, 1)
        splits.append(ImageSet(images, labels, info.class_names, name=f"{name} {i}"))
    return Splits(*splits)


# The MedMNIST study's Table 1, but for the test sizes of the last two rows, which are larger in the first release.
TABLE_1 = {
    "pathmnist": (1350, 150, 7180),
    "dermamnist": (1050, 117, 2005),
    "octmnist": (600, 67, 1000),
    "pneumoniamnist": (300, 34, 624),
    "organamnist": (1650, 184, 8889),
    "organcmnist": (1650, 184, 8216),
    "organsmnist": (1650, 184, 8827),
}


class TestStudySubset:
    @pytest.mark.parametrize("name", TABLE_1)
    def test_sizes_of_table_1(self, name):
        splits = medmnist.study_subset(official(name), name)
        assert tuple(map(len, splits)) == TABLE_1[name]

    def test_about_150_images_per_class(self):
        assert set(medmnist.study_subset(official("octmnist"), "octmnist").train.class_counts().values()) == {150}
        counts = medmnist.study_subset(official("dermamnist"), "dermamnist").train.class_counts()
        assert counts["dermatofibroma"] == 80
        assert counts["vascular lesions"] == 99
        assert set(list(counts.values())[:3]) <= {174, 175}

    def test_breastmnist_is_used_completely(self, real_data):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the image that is in two sets, see above
            splits = medmnist.load(real_data("breastmnist.npz"))
        assert medmnist.study_subset(splits, "breastmnist") is splits

    def test_sets_that_the_study_did_not_use(self):
        with pytest.raises(ValueError, match="did not use 'bloodmnist'; it used pathmnist"):
            medmnist.study_subset(None, "bloodmnist")
