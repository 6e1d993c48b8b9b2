import dataclasses
import warnings

import cv2
import numpy as np
import pytest

from synthkit.datasets import medmnist, phantom
from synthkit.imageset import ImageSet, Splits
from synthkit.splitting import (
    fold,
    group_near_duplicates,
    near_duplicates,
    partition,
    refuse_near_duplicates,
    split,
    subsample,
    without_near_duplicates,
)
from tests.conftest import make_imageset
from tests.test_imageset import numbered


class TestSplit:
    def test_patients_stay_together_and_fractions_are_met(self):
        rng = np.random.default_rng(0)
        patients = np.repeat(np.arange(400), rng.integers(1, 5, 400))
        images = numbered(len(patients), patients, labels=patients % 2)
        splits = split(images, validation=0.1, test=0.2, seed=3)
        n = len(images)
        assert sum(map(len, splits)) == n
        assert len(splits.validation) == pytest.approx(0.1 * n, abs=3)
        assert len(splits.test) == pytest.approx(0.2 * n, abs=3)
        for imageset in splits:
            assert imageset.labels.mean() == pytest.approx(images.labels.mean(), abs=0.02)

    def test_counts(self):
        assert [len(images) for images in split(numbered(100), validation=10, test=30)] == [60, 10, 30]

    def test_seed_decides(self):
        images = numbered(50)
        assert split(images, seed=1).test.fingerprint() == split(images, seed=1).test.fingerprint()
        assert split(images, seed=1).test.fingerprint() != split(images, seed=2).test.fingerprint()

    def test_class_of_three_images_raises(self):
        images = numbered(40, labels=np.array([0] * 37 + [1] * 3))
        with pytest.raises(ValueError, match="class b has 3 images of 3 patients, too few for the validation set"):
            split(images)

    def test_sizes_that_leave_no_training_set_raise(self):
        with pytest.raises(
            ValueError,
            match="--test. must be positive and leave some of the 10 images to train on. Received: 0.5, 0.5",
        ):
            split(numbered(10), validation=0.5, test=0.5)
        with pytest.raises(ValueError, match="leave some"):
            split(numbered(10), validation=2, test=8)

    def test_partition(self):
        assert [len(part) for part in partition(numbered(40), [10])] == [30, 10]


class TestSubsample:
    def test_per_class_without_replacement(self):
        drawn = subsample(numbered(40), 7, seed=1)
        assert list(drawn.class_counts().values()) == [7, 7]
        assert len(np.unique(drawn.images[:, 0, 0, 0])) == 14
        assert drawn.fingerprint() != subsample(numbered(40), 7, seed=2).fingerprint()

    def test_small_class_is_used_completely(self):
        images = numbered(20, labels=np.array([0] * 3 + [1] * 17))
        assert list(subsample(images, 7).class_counts().values()) == [3, 7]

    def test_total_is_reached_with_other_classes(self):
        images = numbered(30, labels=np.array([0] * 3 + [1] * 27))
        assert list(subsample(images, 7, total=14).class_counts().values()) == [3, 11]

    def test_total_below_the_sum(self):
        assert len(subsample(numbered(30), 7, total=13)) == 13


class TestFold:
    def test_patients_stay_together_and_classes_are_balanced(self):
        patients = np.repeat(np.arange(60), 3)
        images = numbered(180, patients, labels=patients % 2)
        folds = fold(images, 4, seed=1)
        assert np.array_equal(folds, np.repeat(folds[::3], 3))
        assert set(folds) == {0, 1, 2, 3}
        for i in range(4):
            assert images.labels[folds == i].mean() == pytest.approx(0.5, abs=0.1)

    @pytest.mark.parametrize("folds", [1, 6])
    def test_number_of_folds(self, folds):
        with pytest.raises(ValueError, match=f"at most the 5 patients of class a. Received: folds={folds}"):
            fold(numbered(10), folds)


@pytest.fixture
def splits():
    """Some images of the validation and test set are training or validation images, with other brightness and noise."""
    rng = np.random.default_rng(0)
    pictures = cv2.resize(rng.integers(0, 256, (40, 6, 6), "uint8").transpose(1, 2, 0), (40, 40)).transpose(2, 0, 1)
    noise = rng.integers(-4, 5, pictures.shape)
    changed = np.clip(pictures * 0.9 + 10 + noise, 0, 255).astype("uint8")

    def imageset(images, name):
        return ImageSet(images[..., None], np.arange(len(images)) % 2, ("a", "b"), name=name)

    return Splits(
        imageset(pictures[:20], "train"),
        imageset(np.concatenate([changed[20:22], changed[9:11]]), "validation"),
        imageset(np.concatenate([changed[:4], pictures[30:]]), "test"),
    )


def test_near_duplicates_are_found_by_correlation(splits):
    near = near_duplicates(splits.test, splits.train)
    assert np.flatnonzero(near).tolist() == [0, 1, 2, 3]
    vectors = [
        np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).ravel() for image in images.images])
        for images in (splits.test, splits.train)
    ]
    highest = np.corrcoef(*vectors)[: len(splits.test), len(splits.test) :].max(1)
    for limit in (highest.min() - 1e-4, np.median(highest), highest.max() + 1e-4):
        np.testing.assert_array_equal(near_duplicates(splits.test, splits.train, limit=limit), highest > limit)


def test_uniform_images_have_no_near_duplicates():
    uniform = ImageSet(np.full((4, 8, 8, 1), 7, "uint8"), np.arange(4) % 2, ("a", "b"))
    assert not near_duplicates(uniform, uniform).any()


def test_a_common_colour_is_no_similarity():
    rng = np.random.default_rng(0)

    def brown(count):
        images = np.array([210, 150, 130]) + rng.normal(0, 8, (count, 16, 16, 3))
        return ImageSet(images.astype("uint8"), np.arange(count) % 2, ("a", "b"))

    assert not near_duplicates(brown(50), brown(50)).any()


def test_sets_larger_than_a_block():
    many = make_imageset(2100)
    assert np.flatnonzero(near_duplicates(many[[7, 2098, 1023, 1024]], many[np.arange(8, 2100)])).tolist() == [1, 2, 3]


def test_near_duplicates_are_removed_from_validation_and_test_sets(splits):
    with pytest.warns(UserWarning, match="2 of 4 validation images and 4 of 14 test images look like images"):
        unique = without_near_duplicates(splits)
    assert [len(images) for images in unique] == [20, 2, 10]
    assert unique.train.fingerprint() == splits.train.fingerprint()
    assert unique.test.held_out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [len(images) for images in without_near_duplicates(unique)] == [20, 2, 10]


def films(women, seed=0, patients=True):
    """Two aligned films of each woman, mostly black, all of about the same shape: all correlate above 0.97."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:64, :64] / 64
    images = np.zeros((2 * women, 64, 64, 1), "uint8")
    for i in range(2 * women):
        radius = np.hypot((y - rng.normal(0.55, 0.02)) / rng.normal(0.4, 0.03), x / rng.normal(0.45, 0.05))
        texture = phantom.background(1, 64, rng)[0]
        images[i, ..., 0] = np.clip(np.clip(1 - radius**3, 0, 1) ** 0.35 * (150 + 12 * texture), 0, 255)
    owner = np.arange(2 * women) // 2
    return ImageSet(images, owner % 2, ("normal", "abnormal"), owner if patients else None, "films")


class TestAlignedFilms:
    """Films of different women are alike, but not near-duplicates, and near-duplicates are found among them."""

    @pytest.mark.parametrize("patients", [True, False])
    def test_different_women_are_no_near_duplicates(self, patients):
        splits = split(films(60, patients=patients), seed=1)
        assert near_duplicates(splits.test, splits.train, limit=0.97).mean() > 0.9
        assert not near_duplicates(splits.test, splits.train, splits.validation).any()

    @pytest.mark.parametrize("patients", [True, False])
    def test_the_same_film_again_is_one(self, patients):
        women = films(60, patients=patients)
        noise = np.random.default_rng(0).integers(-2, 3, (10, 64, 64, 1))
        again = np.clip(women.images[:10] * 0.95 + 5 + noise, 0, 255).astype("uint8")
        new = films(20, 7, patients)
        test = ImageSet(np.concatenate([again, new.images]), [*women.labels[:10], *new.labels], women.class_names)
        assert np.flatnonzero(near_duplicates(test, women)).tolist() == list(range(10))


class TestGroups:
    def test_near_duplicates_become_one_patient_in_a_chain(self):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (12, 16, 16, 1))
        for i in (1, 2):  # the second looks like the first, the third like the second
            images[i] = np.clip(images[i - 1] + rng.integers(-12, 13, (16, 16, 1)), 0, 255)
        toy = ImageSet(images.astype("uint8"), np.arange(12) % 2, ("a", "b"), name="toy")
        with pytest.warns(UserWarning, match="3 of 12 images look like others and were put into 1 group, the largest"):
            grouped = group_near_duplicates(toy)
        assert grouped.patients[:3].tolist() == ["toy-0"] * 3
        assert (grouped.patients[3:] == toy.patients[3:]).all()
        for seed in range(5):
            assert sum("toy-0" in part.patients for part in split(grouped, 0.25, 0.25, seed=seed)) == 1

    def test_patients_stay_together(self):
        toy = make_imageset(12, patients=[f"P{i // 3}" for i in range(12)])
        images = toy.images.copy()
        images[11] = images[0] ^ 1
        with pytest.warns(UserWarning, match="2 of 12 images look like others .* the largest of 6 images"):
            grouped = group_near_duplicates(ImageSet(images, toy.labels, toy.class_names, toy.patients))
        assert grouped.patients.tolist() == ["P0"] * 3 + ["P1"] * 3 + ["P2"] * 3 + ["P0"] * 3

    def test_nothing_to_group(self):
        toy = make_imageset(12)
        with pytest.warns(UserWarning, match="no two images look alike"):
            assert group_near_duplicates(toy) is toy


def test_near_duplicates_in_breastmnist(real_data):
    path = real_data("breastmnist.npz")
    with pytest.warns(UserWarning, match="byte for byte"):
        splits = medmnist.load(path)
    assert near_duplicates(splits.test, splits.train).sum() == 54
    assert near_duplicates(splits.validation, splits.train).sum() == 31
    assert near_duplicates(splits.test, splits.train, splits.validation).sum() == 58


def test_phantoms_have_no_near_duplicates():
    splits = phantom.load(28, train=600, test=400)
    assert not near_duplicates(splits.test, splits.train, splits.validation).any()


def test_images_to_pretrain_on_must_not_look_like_what_is_tested_on():
    held_out, others = make_imageset(12, 1, name="test"), make_imageset(30, 2, name="others")
    refuse_near_duplicates(others, held_out)
    brighter = np.clip(held_out.images[:2] * 1.1, 0, 255).astype("uint8")
    mixed = dataclasses.replace(others, images=np.concatenate([others.images[:28], brighter]))
    with pytest.raises(ValueError, match=r"2 of 30 images of others look like .* test images, for example number 28"):
        refuse_near_duplicates(mixed, held_out)
    with pytest.raises(ValueError, match="12 of 12 images of test look like"):
        refuse_near_duplicates(held_out, held_out)
