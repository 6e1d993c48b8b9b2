import hashlib
import warnings

import numpy as np
import pytest

from synthkit.datasets import medmnist
from synthkit.imageset import ImageSet, Splits


def arrays(sizes=(30, 12, 20), classes=2, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    made = {}
    for part, size in zip(("train", "val", "test"), sizes, strict=True):
        shape = (size, 28, 28) if channels == 1 else (size, 28, 28, channels)
        made[f"{part}_images"] = rng.integers(0, 256, shape, "uint8")
        made[f"{part}_labels"] = (np.arange(size) % classes).astype("uint8")[:, None]
    return made


def write(path, **changes):
    np.savez(path, **{key: value for key, value in (arrays() | changes).items() if value is not None})
    return path


class TestTable:
    def test_of_twelve_sets(self):
        assert len(medmnist.INFO) == 12
        assert all(len(info.md5) == 32 for info in medmnist.INFO.values())
        assert medmnist.INFO["dermamnist"].licence == "CC BY-NC 4.0"

    def test_breastmnist_is_the_official_file(self, real_data):
        path = real_data("breastmnist.npz")
        assert hashlib.md5(path.read_bytes()).hexdigest() == medmnist.INFO["breastmnist"].md5
        with pytest.warns(UserWarning, match="1 of 546 images stand in breastmnist validation or breastmnist test"):
            parts = medmnist.load(path)
        assert [len(part) for part in parts] == [545, 78, 156]
        assert parts.test.class_counts() == {"malignant": 42, "normal, benign": 114}


class TestLoad:
    def test_grey_and_colour(self, tmp_path):
        parts = medmnist.load(write(tmp_path / "mine.npz"))
        assert parts.train.image_shape == (28, 28, 1)
        assert parts.train.class_names == ("class 0", "class 1")
        parts = medmnist.load(write(tmp_path / "mine.npz", **arrays(classes=3, channels=3)))
        assert parts.test.image_shape == (28, 28, 3)
        assert len(parts.test.class_names) == 3

    def test_class_names_by_file_name(self, tmp_path):
        assert medmnist.load(write(tmp_path / "pneumoniamnist.npz")).train.class_names == ("normal", "pneumonia")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"val_labels": None}, r"odd.npz is not a MedMNIST file: it lacks val_labels"),
            ({"test_images": np.array([{}, 1], object)}, "odd.npz holds pickled objects"),
            ({"train_images": np.zeros((30, 28, 28))}, r"train_images must be uint8 .*Received: float64"),
            ({"test_labels": np.zeros((20, 14), "uint8")}, "holds 14 labels for each image"),
            ({"test_labels": np.zeros((19, 1), "uint8")}, "one integer for each of the 20 images"),
        ],
    )
    def test_what_is_no_medmnist_file(self, tmp_path, changes, message):
        with pytest.raises(ValueError, match=message):
            medmnist.load(write(tmp_path / "odd.npz", **changes))

    def test_damaged_files(self, tmp_path):
        path = write(tmp_path / "cut.npz")
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(ValueError, match=r"cut.npz is damaged or not an npz file"):
            medmnist.load(path)
        (tmp_path / "text.npz").write_text("not a zip")
        with pytest.raises(ValueError, match=r"text.npz (is damaged|holds pickled)"):
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
        with pytest.raises(OSError, match="could not be downloaded"):  # the md5 is another's
            medmnist.load("octmnist", cache_dir=tmp_path / "cache")
        md5 = hashlib.md5(source.read_bytes()).hexdigest()
        info = medmnist.Info("a; b", (30, 12, 20), 1, md5)
        monkeypatch.setitem(medmnist.INFO, "octmnist", info)
        assert len(medmnist.load("octmnist", cache_dir=tmp_path / "cache").train) == 30


def official(name):
    """Splits of the official sizes and the official class counts where a class is small, in images of one pixel."""
    info = medmnist.INFO[name]
    counts = {"dermamnist": [(228, 359, 769, 80, 779, 4693, 99), (33, 52, 110, 12, 111, 671, 14)]}.get(name)
    parts = []
    for i, size in enumerate(info.sizes):
        labels = np.arange(size) % len(info.class_names)
        if counts and i < 2:
            labels = np.repeat(np.arange(len(counts[i])), counts[i])
        images = (i * 10**6 + np.arange(size, dtype="uint32")).view("uint8").reshape(size, 2, 2, 1)
        parts.append(ImageSet(images, labels, info.class_names, name=f"{name} {i}"))
    return Splits(*parts)


# The MedMNIST study's Table 1. The last two rows state the first release's test sizes: today's files hold fewer.
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
        parts = medmnist.study_subset(official(name), name)
        assert tuple(len(part) for part in parts) == TABLE_1[name]

    def test_about_150_images_a_class(self):
        assert set(medmnist.study_subset(official("octmnist"), "octmnist").train.class_counts().values()) == {150}
        counts = medmnist.study_subset(official("dermamnist"), "dermamnist").train.class_counts()
        assert counts["dermatofibroma"] == 80
        assert counts["vascular lesions"] == 99
        assert set(list(counts.values())[:3]) <= {174, 175}

    def test_breastmnist_is_used_whole(self, real_data):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the image that stands in both parts, tested above
            parts = medmnist.load(real_data("breastmnist.npz"))
        assert medmnist.study_subset(parts, "breastmnist") is parts

    def test_sets_the_study_left_out(self):
        with pytest.raises(ValueError, match="did not use 'bloodmnist'; it used pathmnist"):
            medmnist.study_subset(None, "bloodmnist")
