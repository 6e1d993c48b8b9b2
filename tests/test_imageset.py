import numpy as np
import pytest
import tensorflow as tf

from synthkit.imageset import ImageSet, Splits, concatenate, duplicates, resize, without_copies
from synthkit.pipeline import to_dataset
from synthkit.splitting import partition, split, subsample
from tests.conftest import make_imageset


def numbered(count, patients=None, labels=None, name="numbered"):
    """Image i is filled with the bytes of i, so that images can be followed."""
    images = np.zeros((count, 8, 8, 1), "uint8")
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(count) % 256, np.arange(count) // 256
    return ImageSet(images, np.arange(count) % 2 if labels is None else labels, ("a", "b"), patients, name)


class TestImageSet:
    def test_is_immutable(self):
        images = np.zeros((2, 8, 8, 1), "uint8")
        made = ImageSet(images, [0, 1], ("a", "b"))
        for array in (made.images, made.labels, made.patients):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
        with pytest.raises(AttributeError):
            made.labels = np.array([1, 1])

    def test_one_patient_an_image_when_unknown(self):
        assert len(set(numbered(5).patients)) == 5

    def test_indexing_keeps_rows_together(self):
        made = numbered(6, patients=list("uvwxyz"))[[4, 1]]
        assert made.images[:, 0, 0, 0].tolist() == [4, 1]
        assert made.labels.tolist() == [0, 1]
        assert made.patients.tolist() == ["y", "v"]

    def test_memory_map_is_not_read_into_memory(self, tmp_path):
        np.save(tmp_path / "images.npy", np.zeros((3, 8, 8, 1), "uint8"))
        made = ImageSet(np.load(tmp_path / "images.npy", mmap_mode="r"), [0, 1, 1], ("a", "b"))
        assert isinstance(made.images, np.memmap)
        assert isinstance(made[1:].images, np.memmap)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"images": np.zeros((2, 8, 8, 1))}, "uint8 of shape .* Received: float64"),
            ({"images": np.zeros((2, 8, 8), "uint8")}, r"Received: uint8 \(2, 8, 8\)"),
            ({"labels": [0]}, "2 integers"),
            ({"labels": [0.0, 1.0]}, "2 integers"),
            ({"labels": [0, 2]}, "between 0 and 1, the classes being a, b. Received: 0 to 2"),
            ({"labels": [-1, 1]}, "Received: -1 to 1"),
            ({"patients": ["x"]}, "2 identifiers"),
        ],
    )
    def test_what_does_not_fit_raises(self, change, message):
        good = {"images": np.zeros((2, 8, 8, 1), "uint8"), "labels": [0, 1], "class_names": ("a", "b")}
        with pytest.raises(ValueError, match=message):
            ImageSet(**(good | change))

    def test_fingerprint_sees_pixels_labels_and_patients(self):
        base = numbered(4)
        others = [numbered(4, labels=[1, 1, 0, 1]), numbered(4, patients=list("aaab")), numbered(5), base[::-1]]
        assert base.fingerprint() == numbered(4).fingerprint()
        assert base.fingerprint() not in {other.fingerprint() for other in others}


class TestSplits:
    def test_shared_patient_raises_and_is_named(self):
        made = numbered(12, patients=[f"P{i}" for i in range(4)] * 3)
        with pytest.raises(ValueError, match="4 patients stand both in train and in validation, for example P0"):
            Splits(made[:4], made[4:8], made[8:])

    def test_shared_image_raises(self):
        made = numbered(12, patients=[f"P{i}" for i in range(12)])
        copy = ImageSet(made.images[[0, 9]], [0, 1], ("a", "b"), ["X", "Y"])
        with pytest.raises(ValueError, match=r"1 images stand both in train and in test, for example number 0 .*P0"):
            Splits(made[:4], made[4:8], copy)

    def test_empty_part_and_missing_class_raise(self):
        made = numbered(12)
        with pytest.raises(ValueError, match="validation part is empty"):
            Splits(made[:6], made[:0], made[6:])
        with pytest.raises(ValueError, match="test part has no image of class a"):
            Splits(made[:4], made[4:6], made[[7]])


class TestSplit:
    def test_patients_stay_together_and_shares_are_met(self):
        rng = np.random.default_rng(0)
        patients = np.repeat(np.arange(400), rng.integers(1, 5, 400))
        made = numbered(len(patients), patients, labels=patients % 2)
        parts = split(made, validation=0.1, test=0.2, seed=3)
        n = len(made)
        assert sum(map(len, parts)) == n
        assert len(parts.validation) == pytest.approx(0.1 * n, abs=3)
        assert len(parts.test) == pytest.approx(0.2 * n, abs=3)
        for part in parts:
            share = part.labels.mean()
            assert share == pytest.approx(made.labels.mean(), abs=0.02)

    def test_counts(self):
        parts = split(numbered(100), validation=10, test=30)
        assert [len(part) for part in parts] == [60, 10, 30]

    def test_seed_decides(self):
        made = numbered(50)
        assert split(made, seed=1).test.fingerprint() == split(made, seed=1).test.fingerprint()
        assert split(made, seed=1).test.fingerprint() != split(made, seed=2).test.fingerprint()

    def test_class_of_three_images_raises(self):
        made = numbered(40, labels=np.array([0] * 37 + [1] * 3))
        with pytest.raises(ValueError, match="class b has 3 images of 3 patients, too few for the validation part"):
            split(made)

    def test_sizes_that_leave_nothing_raise(self):
        with pytest.raises(ValueError, match="leave some of the 10 images"):
            split(numbered(10), validation=0.5, test=0.5)
        with pytest.raises(ValueError, match="leave some"):
            split(numbered(10), validation=2, test=8)

    def test_partition_makes_any_number_of_parts(self):
        assert [len(part) for part in partition(numbered(40), [10])] == [30, 10]


class TestSubsample:
    def test_per_class_without_replacement(self):
        drawn = subsample(numbered(40), 7, seed=1)
        assert list(drawn.class_counts().values()) == [7, 7]
        assert len(np.unique(drawn.images[:, 0, 0, 0])) == 14
        assert drawn.fingerprint() != subsample(numbered(40), 7, seed=2).fingerprint()

    def test_short_class_is_taken_whole(self):
        made = numbered(20, labels=np.array([0] * 3 + [1] * 17))
        assert list(subsample(made, 7).class_counts().values()) == [3, 7]

    def test_total_is_made_up_from_the_others(self):
        made = numbered(30, labels=np.array([0] * 3 + [1] * 27))
        assert list(subsample(made, 7, total=14).class_counts().values()) == [3, 11]

    def test_total_below_the_sum(self):
        assert len(subsample(numbered(30), 7, total=13)) == 13


def test_duplicates_and_without_copies():
    made = numbered(6)
    assert duplicates(made, made[[5, 2]]).tolist() == [2, 5]
    with pytest.warns(UserWarning, match=r"1 of 6 images stand in other too, byte for byte, .*number 4"):
        rest = without_copies(made, ImageSet(made.images[[4]], [0], ("a", "b"), name="other"))
    assert rest.images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 5]
    with pytest.warns(UserWarning, match=r"2 of 8 images repeat an earlier image.*number 6, 7"):
        assert len(without_copies(concatenate([made, made[:2]]))) == 6


def test_concatenate_refuses_other_classes():
    with pytest.raises(ValueError, match="toy does not fit numbered"):
        concatenate([numbered(2), make_imageset(2)])


def test_resize_averages_areas():
    image = np.kron(np.array([[10, 20], [30, 41]], "uint8"), np.ones((4, 4), "uint8"))[None, ..., None]
    small = resize(ImageSet(image, [0], ("a", "b")), 2)
    assert small.images[0, ..., 0].tolist() == [[10, 20], [30, 41]]


class TestToDataset:
    def read(self, dataset, count=None):
        batches = list(dataset.take(count) if count else dataset)
        return np.concatenate([np.round(b[0][:, 0, 0, 0] * 255) for b in batches]).astype(int), batches

    def test_order_and_range(self):
        seen, batches = self.read(to_dataset(numbered(10), 4))
        assert seen.tolist() == list(range(10))
        images, labels = batches[0]
        assert images.dtype == "float32"
        assert labels.numpy().tolist() == [0, 1, 0, 1]
        bright = next(iter(to_dataset(ImageSet(np.full((1, 8, 8, 1), 255, "uint8"), [0], ("a", "b")))))
        assert bright[0].numpy().max() == 1.0

    def test_shuffle_is_seeded_and_covers_every_epoch(self):
        first, _ = self.read(to_dataset(numbered(10), 5, shuffle_seed=1, repeat=True), 4)
        again, _ = self.read(to_dataset(numbered(10), 5, shuffle_seed=1, repeat=True), 4)
        other, _ = self.read(to_dataset(numbered(10), 5, shuffle_seed=2, repeat=True), 4)
        assert first.tolist() == again.tolist() != other.tolist()
        assert sorted(first[:10]) == sorted(first[10:]) == list(range(10))
        assert first[:10].tolist() != first[10:].tolist()

    def test_cardinality_is_told(self):
        assert to_dataset(numbered(10), 4, shuffle_seed=0).cardinality() == 3
        assert to_dataset(numbered(10), 4, shuffle_seed=0, repeat=True).cardinality() == tf.data.INFINITE_CARDINALITY

    def test_endless_order_does_not_depend_on_earlier_iterations(self):
        data = to_dataset(numbered(10), 5, shuffle_seed=1, repeat=True)
        first, _ = self.read(data, 6)
        self.read(data, 1)
        again, _ = self.read(data, 6)
        assert first.tolist() == again.tolist()

    def test_repeat_gives_full_batches(self):
        _, batches = self.read(to_dataset(numbered(10), 4, shuffle_seed=0, repeat=True), 7)
        assert {len(labels) for _, labels in batches} == {4}

    def test_augment_is_for_training_only(self):
        with pytest.raises(ValueError, match="augment is for training data"):
            to_dataset(numbered(4), augment=lambda images, labels, seeds: (images, labels))

    def test_reads_a_memory_map(self, tmp_path):
        np.save(tmp_path / "images.npy", numbered(6).images)
        mapped = ImageSet(np.load(tmp_path / "images.npy", mmap_mode="r"), [0, 1] * 3, ("a", "b"))
        assert self.read(to_dataset(mapped, 4))[0].tolist() == list(range(6))
