import dataclasses
import re
import warnings

import numpy as np
import pytest

import synthkit
from synthkit.imageset import ImageSet, Splits, concatenate, duplicates, resize, resize_image, without_copies
from tests.conftest import make_imageset


def numbered(count, patients=None, labels=None, name="numbered"):
    """Returns images whose first two pixels hold their number, so that each can be recognised."""
    images = np.zeros((count, 8, 8, 1), "uint8")
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(count) % 256, np.arange(count) // 256
    return ImageSet(images, np.arange(count) % 2 if labels is None else labels, ("a", "b"), patients, name)


class TestImageSet:
    def test_is_immutable(self):
        images = np.zeros((2, 8, 8, 1), "uint8")
        imageset = ImageSet(images, [0, 1], ("a", "b"))
        for array in (imageset.images, imageset.labels, imageset.patients):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
        with pytest.raises(AttributeError):
            imageset.labels = np.array([1, 1])

    def test_every_image_has_its_own_patient_by_default(self):
        assert len(set(numbered(5).patients)) == 5

    def test_indexing_keeps_rows_together(self):
        selected = numbered(6, patients=list("uvwxyz"))[[4, 1]]
        assert selected.images[:, 0, 0, 0].tolist() == [4, 1]
        assert selected.labels.tolist() == [0, 1]
        assert selected.patients.tolist() == ["y", "v"]

    def test_memory_map_is_not_read_into_memory(self, tmp_path):
        np.save(tmp_path / "images.npy", np.zeros((3, 8, 8, 1), "uint8"))
        imageset = ImageSet(np.load(tmp_path / "images.npy", mmap_mode="r"), [0, 1, 1], ("a", "b"))
        assert isinstance(imageset.images, np.memmap)
        assert isinstance(imageset[1:].images, np.memmap)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"images": np.zeros((2, 8, 8, 1))}, "uint8 of shape .* Received: float64"),
            ({"images": np.zeros((2, 8, 8), "uint8")}, r"Received: uint8 \(2, 8, 8\)"),
            ({"labels": [0]}, "2 integers"),
            ({"labels": [0.0, 1.0]}, "2 integers"),
            ({"labels": [0, 2]}, "from 0 to 1, for the classes a, b. Received: 0 to 2"),
            ({"labels": [-1, 1]}, "Received: -1 to 1"),
            ({"patients": ["x"]}, "2 identifiers"),
        ],
    )
    def test_invalid_arguments(self, change, message):
        valid = {"images": np.zeros((2, 8, 8, 1), "uint8"), "labels": [0, 1], "class_names": ("a", "b")}
        with pytest.raises(ValueError, match=message):
            ImageSet(**(valid | change))

    def test_fingerprint_sees_pixels_labels_and_patients(self):
        base = numbered(4)
        others = [numbered(4, labels=[1, 1, 0, 1]), numbered(4, patients=list("aaab")), numbered(5), base[::-1]]
        assert base.fingerprint() == numbered(4).fingerprint()
        assert base.fingerprint() not in {other.fingerprint() for other in others}

    def test_fingerprint_of_drawn_images_does_not_see_pixels(self):
        images = np.zeros((4, 8, 8, 1), "uint8")
        one, other = (ImageSet(images + level, [0, 1, 0, 1], ("a", "b")) for level in (0, 1))
        assert one.fingerprint() != other.fingerprint()
        one, other = one.drawn_by("seed 3"), other.drawn_by("seed 3")
        assert one.fingerprint() == other.fingerprint() != ImageSet(images, [0, 1, 0, 1], ("a", "b")).fingerprint()
        assert one[1:].fingerprint() == other[[1, 2, 3]].fingerprint() != one[[1, 3]].fingerprint()
        changed = dataclasses.replace(one, images=images + 7)
        assert changed.fingerprint() != one.fingerprint(), "other pixels are no longer what the seed draws"


class TestSplits:
    def test_shared_patient_raises_and_is_named(self):
        images = numbered(12, patients=[f"P{i}" for i in range(4)] * 3)
        message = "4 patients are in both the training set and the validation set, for example P0"
        with pytest.raises(ValueError, match=message):
            Splits(images[:4], images[4:8], images[8:])

    def test_shared_image_raises(self):
        images = numbered(12, patients=[f"P{i}" for i in range(12)])
        copy = ImageSet(images.images[[0, 9]], [0, 1], ("a", "b"), ["X", "Y"])
        message = r"1 images are in both the training set and the test set, for example number 0 .*P0"
        with pytest.raises(ValueError, match=message):
            Splits(images[:4], images[4:8], copy)

    def test_empty_set_and_missing_class_raise(self):
        images = numbered(12)
        with pytest.raises(ValueError, match="the validation set is empty"):
            Splits(images[:6], images[:0], images[6:])
        with pytest.raises(ValueError, match="the test set has no image of class a"):
            Splits(images[:4], images[4:6], images[[7]])


def test_duplicates_and_without_copies():
    images = numbered(6)
    assert duplicates(images, images[[5, 2]]).tolist() == [2, 5]
    with pytest.warns(UserWarning, match=r"1 of 6 images are also in other, byte for byte, .*number 4"):
        rest = without_copies(images, ImageSet(images.images[[4]], [0], ("a", "b"), name="other"))
    assert rest.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 5]
    with pytest.warns(UserWarning, match=r"2 of 8 images repeat an earlier image.*number 6, 7"):
        assert len(without_copies(concatenate([images, images[:2]]))) == 6


def test_concatenate_refuses_other_classes():
    with pytest.raises(ValueError, match="toy does not fit numbered"):
        concatenate([numbered(2), make_imageset(2)])


def test_resize_resizes_every_image():
    image = np.kron(np.array([[10, 20], [30, 41]], "uint8"), np.ones((4, 4), "uint8"))[None, ..., None]
    small = resize(ImageSet(image, [0], ("a", "b")), 2)
    assert small.images[0, ..., 0].tolist() == [[10, 20], [30, 41]]


def area_average(image, size):
    """Returns the mean of each output pixel's area, computed by the definition; float64."""

    def weights(n, count):
        edges = np.arange(count + 1) * n / count
        low, high = edges[:-1, None], edges[1:, None]
        return np.clip(np.minimum(high, np.arange(n) + 1) - np.maximum(low, np.arange(n)), 0, None) / (n / count)

    return weights(image.shape[0], size[0]) @ image.astype(float) @ weights(image.shape[1], size[1]).T


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_resize_averages_areas(dtype):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (61, 47), dtype)
    resized = resize_image(image, 20)
    assert resized.dtype == dtype
    assert np.abs(resized - area_average(image, (20, 20))).max() <= 0.51


def test_resize_keeps_the_aspect_ratio_by_padding():
    image = np.full((40, 20), 200, "uint8")
    padded = resize_image(image, 10, keep_aspect=True)
    assert (padded == 200).sum() == 50
    assert (padded[:, 2:7] == 200).all()
    assert resize_image(image, 10).all()
    assert resize_image(image.T, 10, keep_aspect=True)[2:7].all()
    assert resize_image(image, 80, keep_aspect=True)[:, 20:60].all()
    assert resize_image(np.zeros((40, 20, 3), "uint8"), 10, keep_aspect=True).shape == (10, 10, 3)
    with pytest.raises(ValueError, match="image_size=0"):
        resize_image(image, 0)


class TestSave:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_comes_back_equal(self, tmp_path, channels):
        images = np.random.default_rng(0).integers(0, 256, (60, 16, 16, channels)).astype("uint8")
        patients = [f"P{i // 2}" for i in range(60)]
        saved = ImageSet(images, np.arange(60) // 2 % 2, ("normal, benign", "malignant"), patients)
        saved.save(tmp_path / "saved")
        splits = synthkit.load(tmp_path / "saved", 16, labels=tmp_path / "saved" / "labels.csv")
        names = splits.train.class_names
        assert set(names) == set(saved.class_names)
        read = {
            image.tobytes(): (names[label], patient)
            for part in splits
            for image, label, patient in zip(part.images, part.labels, part.patients, strict=True)
        }
        assert read == {
            image.tobytes(): (saved.class_names[label], patient)
            for image, label, patient in zip(saved.images, saved.labels, saved.patients, strict=True)
        }

    def test_sets_keep_their_split(self, splits, tmp_path):
        for name, part in zip(("train", "validation", "test"), splits, strict=True):
            part.save(tmp_path / name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = synthkit.load(tmp_path, 20)
        for part, again in zip(splits, read, strict=True):
            order, again_order = np.argsort(part.labels, kind="stable"), np.argsort(again.labels, kind="stable")
            np.testing.assert_array_equal(part.images[order], again.images[again_order])

    def test_folder_that_holds_something(self, tmp_path):
        numbered(4).save(tmp_path / "saved")
        assert (tmp_path / "saved" / "labels.csv").read_text().splitlines()[1] == "a/a_00001.png,a,numbered-0"
        with pytest.raises(ValueError, match="saved is not empty; save to a new folder"):
            numbered(4).save(tmp_path / "saved")

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (("a/b", "c"), "a class folder cannot be called 'a/b': rename the class"),
            (("..", "c"), "a class folder cannot be called '..'"),
            (("a", "A"), "classes must differ in more than the case of letters. Received: a, A"),
        ],
    )
    def test_classes_that_make_no_folder(self, tmp_path, names, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            ImageSet(np.zeros((2, 8, 8, 1), "uint8"), [0, 1], names).save(tmp_path / "saved")
        assert not (tmp_path / "saved").exists()
        with pytest.raises(ValueError, match="images of 2 channels"):
            ImageSet(np.zeros((2, 8, 8, 2), "uint8"), [0, 1], ("a", "b")).save(tmp_path / "saved")

    def test_no_cell_is_a_formula(self, tmp_path):
        numbered(2, patients=["=1+1", "P2"]).save(tmp_path / "saved")
        assert (tmp_path / "saved" / "labels.csv").read_text().splitlines()[1:] == [
            "a/a_00001.png,a,'=1+1",
            "b/b_00001.png,b,P2",
        ]
