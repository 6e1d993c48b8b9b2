import warnings

import cv2
import numpy as np
import pytest

from synthkit.datasets import medmnist, phantom
from synthkit.imageset import ImageSet, Splits
from synthkit.splitting import near_duplicates, without_near_duplicates
from tests.conftest import make_imageset


def parts():
    rng = np.random.default_rng(0)
    pictures = cv2.resize(rng.integers(0, 256, (40, 6, 6), "uint8").transpose(1, 2, 0), (40, 40)).transpose(2, 0, 1)
    noise = rng.integers(-4, 5, pictures.shape)
    again = np.clip(pictures * 0.9 + 10 + noise, 0, 255).astype("uint8")  # brighter, paler, noisier

    def part(images, name):
        return ImageSet(images[..., None], np.arange(len(images)) % 2, ("a", "b"), name=name)

    test = part(np.concatenate([again[:4], pictures[30:]]), "test")
    return Splits(part(pictures[:20], "train"), part(np.concatenate([again[20:22], again[9:11]]), "validation"), test)


def test_near_copies_are_found_by_correlation():
    splits = parts()
    near = near_duplicates(splits.test, splits.train)
    assert np.flatnonzero(near).tolist() == [0, 1, 2, 3]
    vectors = [
        np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).ravel() for image in part.images])
        for part in (splits.test, splits.train)
    ]
    highest = np.corrcoef(*vectors)[: len(splits.test), len(splits.test) :].max(1)
    for limit in (highest.min() - 1e-4, np.median(highest), highest.max() + 1e-4):
        np.testing.assert_array_equal(near_duplicates(splits.test, splits.train, limit=limit), highest > limit)


def test_even_images_are_copies_of_nothing():
    even = ImageSet(np.full((4, 8, 8, 1), 7, "uint8"), np.arange(4) % 2, ("a", "b"))
    assert not near_duplicates(even, even).any()


def test_a_common_colour_makes_no_copies():
    rng = np.random.default_rng(0)

    def brown(count):
        images = np.array([210, 150, 130]) + rng.normal(0, 8, (count, 16, 16, 3))
        return ImageSet(images.astype("uint8"), np.arange(count) % 2, ("a", "b"))

    assert not near_duplicates(brown(50), brown(50)).any()


def test_blocks_do_not_matter():
    many = make_imageset(2100)
    assert np.flatnonzero(near_duplicates(many[[7, 2098, 1023, 1024]], many[np.arange(8, 2100)])).tolist() == [1, 2, 3]


def test_near_copies_are_left_out_of_what_is_scored():
    splits = parts()
    with pytest.warns(UserWarning, match="2 of 4 validation images and 4 of 14 test images are nearly copies"):
        apart = without_near_duplicates(splits)
    assert [len(part) for part in apart] == [20, 2, 10]
    assert apart.train.fingerprint() == splits.train.fingerprint()
    assert apart.test.held_out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [len(part) for part in without_near_duplicates(apart)] == [20, 2, 10]


def test_breastmnist_has_them(real_data):
    path = real_data("breastmnist.npz")
    with pytest.warns(UserWarning, match="byte for byte"):
        splits = medmnist.load(path)
    assert near_duplicates(splits.test, splits.train).sum() == 54
    assert near_duplicates(splits.validation, splits.train).sum() == 31
    assert near_duplicates(splits.test, splits.train, splits.validation).sum() == 58


def test_phantoms_have_none():
    splits = phantom.load(28, train=600, test=400)
    assert not near_duplicates(splits.test, splits.train, splits.validation).any()
