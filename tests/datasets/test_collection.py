"""Masks, depths and copies among the images of a folder, whose files are read together."""

import numpy as np
import pytest
from PIL import Image

from synthkit.datasets import folders
from synthkit.datasets.finding import find_images
from tests.datasets.test_layout import picture, tree


def test_two_grey_levels_among_others(tmp_path):
    tree(tmp_path, "a", "b", count=12)
    for i in range(2):
        picture(tmp_path / "a" / f"other{i}.png", levels=(0, 2))
    with pytest.warns(UserWarning, match="2 images have at most two grey levels"):
        splits = folders.load(tmp_path, 20, patients="(.+)")
    assert sum(map(len, splits)) == 24
    for i in range(2, 8):
        picture(tmp_path / "a" / f"other{i}.png", levels=(0, 2))
    with pytest.raises(ValueError, match="8 of the 20 images of a have at most two grey levels"):
        folders.load(tmp_path, 20, patients="(.+)")


def test_a_set_of_two_grey_levels_is_a_set(tmp_path):
    tree(tmp_path, "a", "b", count=12, levels=(0, 2))
    with pytest.warns(UserWarning, match="all images have at most two grey levels, as masks have"):
        assert sum(map(len, folders.load(tmp_path, 20, patients="(.+)"))) == 24


def test_every_damaged_file_is_named(tmp_path):
    tree(tmp_path, "a", "b", count=8)
    for name in ("a/0.png", "b/3.png"):
        (tmp_path / name).write_bytes(b"\x89PNG and no more")
    with pytest.raises(ValueError, match=r"2 of 16 files cannot be read as images:\n.*a/0.png(.|\n)*b/3.png"):
        folders.load(tmp_path, 20, patients="(.+)")


def test_masks_in_three_channels(tmp_path):
    tree(tmp_path, "a", "b", count=12)
    for i in range(2):
        mask = np.repeat(np.random.default_rng(i).integers(0, 2, (24, 24, 1)) * 255, 3, axis=2).astype("uint8")
        Image.fromarray(mask).save(tmp_path / "a" / f"other{i}.png")
    with pytest.warns(UserWarning, match="2 images have at most two grey levels"):
        assert sum(map(len, folders.load(tmp_path, 20, patients="(.+)"))) == 24


def deep(path, bits, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 2**bits, (20, 20)).astype("uint16")).save(path)


def test_classes_of_other_depths_are_said(tmp_path):
    for i in range(10):
        deep(tmp_path / "a" / f"{i}.png", 12, i)
        deep(tmp_path / "b" / f"{i}.png", 16, 50 + i)
    with pytest.warns(UserWarning, match="images of 16 bits use 12 in a, 16 in b. If these are other scales"):
        folders.load(tmp_path, 20, patients="(.+)")


def write_deep(root, change):
    for i in range(20):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 4096, (40, 40)).astype("uint16")
        Image.fromarray(change(i, pixels)).save(path)


def burn_in(i, pixels):
    if i in (6, 7):
        pixels[:4, :20] = 65535
    return pixels


@pytest.mark.parametrize(
    ("change", "highest"),
    [
        (burn_in, "65535 in a/6.png"),
        (lambda i, pixels: 61440 + pixels, "655.. in"),
        (lambda i, pixels: 30720 + pixels, "348.. in"),
        # With padding: then the percentiles are far from each other, and the levels are few all the same.
        (lambda i, pixels: np.where(np.arange(40) < 4, 0, 61440 + pixels).astype("uint16"), "655.. in"),
    ],
)
def test_few_grey_levels_after_scaling_are_said(tmp_path, change, highest):
    write_deep(tmp_path, change)
    with pytest.warns(
        UserWarning, match=f"20 of 20 images of 16 bits have only about 1[67] of 256 .* value, {highest}"
    ):
        splits = folders.load(tmp_path, 40, patients="(.+)")
    assert max(len(np.unique(image)) for image in splits.test.images) <= 18


@pytest.mark.parametrize(
    "change",
    [
        lambda i, pixels: pixels * 16,
        lambda i, pixels: pixels // 256 * 4096,  # 16 levels from the start
        lambda i, pixels: np.where(np.arange(1600).reshape(40, 40) < 1590, 0, pixels * 16).astype("uint16"),  # black
        lambda i, pixels: pixels * 16 if i % 5 == 0 else pixels,  # many images use the range
    ],
)
def test_images_that_keep_their_grey_levels_are_not_warned_of(tmp_path, change):
    """Warnings are errors here."""
    write_deep(tmp_path, change)
    assert sum(map(len, folders.load(tmp_path, 40, patients="(.+)"))) == 20


def test_twelve_bits_beside_dicom_files(tmp_path, dicom_file):
    for i in range(10):
        deep(tmp_path / "a" / f"{i}.png", 12, i)
        dicom_file(tmp_path / "b" / f"{i}", i)
    with pytest.warns(UserWarning, match="10 images of 16 bits use 12 of them at most"):
        splits = folders.load(tmp_path, 20, patients="(.+)")
    assert [int(splits.train.images[splits.train.labels == label].max()) > 250 for label in (0, 1)] == [True, True]


@pytest.fixture
def dicom_file():
    from synthkit.datasets.cbis_ddsm import phantom_archive

    def write(path, seed):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 65536, (20, 20), dtype="uint16")
        ds = phantom_archive.header("Mass-Training_P_00001_LEFT_CC_1", "1.2.3.4.5.6.7", "1.2.3.5.6", 1, "x", pixels)
        ds.save_as(path, enforce_file_format=True)

    return write


def test_an_image_in_two_classes_is_left_out_of_both(tmp_path):
    tree(tmp_path, "a", "b", count=12)
    picture(tmp_path / "b" / "again.png", 0)
    with pytest.warns(UserWarning, match="2 images are in several classes, for example a/0.png is the same as b/again"):
        assert sum(map(len, folders.load(tmp_path, 20, patients="(.+)"))) == 23


def test_a_class_that_is_a_link_to_another(tmp_path):
    tree(tmp_path, "a", "b", count=12)
    (tmp_path / "c").symlink_to(tmp_path / "b")
    with pytest.raises(ValueError, match="24 images are in several classes, .* Keep each in the class that is right"):
        folders.load(tmp_path, 20, patients="(.+)")


def test_a_tiff_file_that_lacks_most_of_its_rows(tmp_path):
    tree(tmp_path, "a", "b", count=12, suffix="tif")
    content = bytearray((tmp_path / "a" / "0.tif").read_bytes())
    height = content.find(b"\x01\x01\x04\x00\x01\x00\x00\x00\x18\x00")
    content[height + 8 : height + 10] = b"\x00\x20"
    (tmp_path / "a" / "0.tif").write_bytes(content)
    with pytest.raises(ValueError, match="0.tif cannot be read as an image .its 8192×24 pixels need 196,608 bytes"):
        folders.load(tmp_path, 20, patients="(.+)")


def test_empty_file_is_said_to_be_empty(tmp_path):
    tree(tmp_path, "a", "b", count=12)
    (tmp_path / "a" / "zero.jpg").touch()
    with pytest.raises(ValueError, match="zero.jpg cannot be read as an image: it is empty"):
        folders.load(tmp_path, 20, patients="(.+)")


class TestFormats:
    @pytest.mark.parametrize("suffix", ["JPG", "bmp", "tif", "TIFF", "pgm", "webp", "jpeg"])
    def test_formats(self, tmp_path, suffix):
        tree(tmp_path, "a", "b", count=10, suffix=suffix)
        with pytest.warns(UserWarning, match="no patients"):
            assert sum(map(len, folders.load(tmp_path, 20))) == 20

    def test_without_extension(self, tmp_path):
        tree(tmp_path, "a", "b", count=10)
        for path in list(tmp_path.rglob("*.png")):
            path.rename(path.with_suffix(""))
        assert len(find_images(tmp_path)[0]) == 20

    def test_twelve_bits_fill_the_grey_range(self, tmp_path):
        rng = np.random.default_rng(0)
        for i in range(20):
            path = tmp_path / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 4096, (20, 20)).astype("uint16")).save(path)
        with pytest.warns(UserWarning, match="20 images of 16 bits use 12 of them at most"):
            splits = folders.load(tmp_path, 20, patients="(.+)")
        assert splits.train.images.max() > 250

    def test_colour_in_the_last_class_alone_is_seen(self, tmp_path):
        tree(tmp_path, "a", count=30)
        tree(tmp_path, "b", count=30, shape=(24, 24, 3))
        with pytest.warns(UserWarning, match="no patients"):
            assert folders.load(tmp_path, 20).train.image_shape == (20, 20, 3)

    def test_stretching_is_said_and_padding_is_a_choice(self, tmp_path):
        tree(tmp_path, "a", "b", count=10, shape=(20, 40), levels=(200, 256))
        with pytest.warns(UserWarning, match="20 images are not square and were stretched to 20×20"):
            assert folders.load(tmp_path, 20, patients="(.+)").train.images.min() >= 200
        padded = folders.load(tmp_path, 20, patients="(.+)", keep_aspect=True).train.images
        assert not padded[:, :5].any()
        assert padded[:, 5:15].min() >= 200
