"""Folders as users have them: splits, parts of downloads, patients, masks, other files."""

import unicodedata

import numpy as np
import pytest
from PIL import Image

from synthkit.datasets import folders
from synthkit.datasets.folder_names import fold_case, split_of
from synthkit.datasets.layout import arrange


def picture(path, seed=0, shape=(24, 24), levels=(0, 256)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(*levels, shape).astype("uint8")).save(path)


def tree(root, *folders_, count=4, suffix="png", **options):
    for number, folder in enumerate(folders_):
        for i in range(count):
            picture(root / folder / f"{i}.{suffix}", 1000 * number + i, **options)
    return root


def classes(root):
    entries, _ = arrange(root)
    return sorted({(entry.split, entry.label) for entry in entries}, key=str)


class TestSplits:
    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (("Training", "Testing"), {"train", "test"}),
            (("TRAIN", "Val", "test"), {"train", "validation", "test"}),
            (("training_set", "dev_set", "test_set"), {"train", "validation", "test"}),
            (("train", "valid"), {"train", "validation"}),
        ],
    )
    def test_whatever_they_are_called(self, tmp_path, names, expected):
        tree(tmp_path, *(f"{name}/{label}" for name in names for label in ("cat", "dog")))
        assert {split for split, _ in classes(tmp_path)} == expected
        assert {label for _, label in classes(tmp_path)} == {"cat", "dog"}

    def test_train_with_testing_loses_nothing(self, tmp_path):
        tree(tmp_path, "train/a", "train/b", "testing/a", "testing/b", count=10)
        splits = folders.load(tmp_path, 20, validation=0.2, patients="(.+)")
        assert len(splits.test) == 20
        assert len(splits.train) + len(splits.validation) == 20

    def test_a_folder_beside_splits_is_named(self, tmp_path):
        tree(tmp_path, "train/a", "train/b", "test/a", "test/b", "extra/a", "extra/b")
        with pytest.raises(ValueError, match=r"holds test, train beside extra, which is not a training"):
            arrange(tmp_path)

    def test_two_folders_of_one_split(self, tmp_path):
        tree(tmp_path, "train/a", "train/b", "training/a", "training/b")
        with pytest.raises(ValueError, match="train and training, which are names of one split"):
            arrange(tmp_path)

    def test_no_training_set(self, tmp_path):
        tree(tmp_path, "val/a", "val/b", "test/a", "test/b")
        with pytest.raises(ValueError, match="but no training set; call its folder train"):
            arrange(tmp_path)

    def test_a_class_that_a_split_lacks(self, tmp_path):
        tree(tmp_path, "train/a", "train/b", "test/a")
        with pytest.raises(ValueError, match="test has no images of b, which other splits have"):
            arrange(tmp_path)

    def test_splits_without_classes(self, tmp_path):
        tree(tmp_path, "train", "test")
        with pytest.raises(ValueError, match="8 images are in no class folder, for example test/0.png"):
            arrange(tmp_path)

    def test_names(self):
        assert [split_of(name) for name in ("Train", "DEV", "test-set", "tests", "benign")] == [
            "train",
            "validation",
            "test",
            None,
            None,
        ]


class TestClasses:
    @pytest.mark.parametrize(
        "names",
        [
            ("images_001", "images_002", "images_003"),
            ("fold1", "fold2", "fold3", "fold4", "fold5"),
            ("fold_a", "fold_b"),
            ("P_00001", "P_00002"),
            ("patient17", "patient23"),
            ("10253", "10254", "10255"),
            ("set_1", "set_2"),
        ],
    )
    def test_parts_folds_and_patients_are_no_classes(self, tmp_path, names):
        with pytest.raises(ValueError, match="names are those of parts, folds or patients, not of classes"):
            arrange(tree(tmp_path, *names))

    @pytest.mark.parametrize(
        "names", [("0", "1"), ("grade_1", "grade_2", "grade_3"), ("Stage0", "Stage1"), ("BIRADS 0", "BIRADS 1")]
    )
    def test_numbered_classes_are_classes(self, tmp_path, names):
        assert {label for _, label in classes(tree(tmp_path, *names))} == set(names)

    def test_same_classes_one_level_down(self, tmp_path):
        tree(tmp_path, *(f"{site}/{label}" for site in ("lyon", "graz", "turin") for label in ("benign", "malignant")))
        with pytest.raises(
            ValueError, match="graz, lyon, turin each hold the folders benign, malignant, which look like"
        ):
            arrange(tmp_path)

    def test_one_level_off(self, tmp_path):
        tree(tmp_path, "us/benign", "us/malignant")
        with pytest.raises(ValueError, match=r"Did you mean .*us\?"):
            arrange(tmp_path)
        with pytest.raises(ValueError, match="4 images are in .* itself.*give the folder above it"):
            arrange(tmp_path / "us" / "benign")

    def test_images_beside_class_folders(self, tmp_path):
        tree(tmp_path, "a", "b")
        picture(tmp_path / "loose.png")
        with pytest.raises(ValueError, match=r"1 images are in .* itself, in no class folder, for example loose.png"):
            arrange(tmp_path)

    def test_images_and_masks_are_no_classes(self, tmp_path):
        tree(tmp_path, "images/a", "images/b", "masks/a", "masks/b")
        with pytest.raises(ValueError, match=r"holds one folder with images, images. Did you mean .*images\?"):
            arrange(tmp_path)

    def test_a_table_beside_parts_is_pointed_at(self, tmp_path):
        tree(tmp_path, "part_1", "part_2")
        (tmp_path / "meta.csv").write_text("image_id,dx\n0,nv\n")
        with pytest.raises(ValueError, match="meta.csv may hold the classes: give it with --labels meta.csv"):
            arrange(tmp_path)

    def test_an_archive_is_to_be_unpacked(self, tmp_path):
        (tmp_path / "set.zip").write_bytes(b"PK")
        with pytest.raises(ValueError, match="holds no images; unpack set.zip first"):
            arrange(tmp_path)

    def test_names_are_compared_composed_and_without_case(self, tmp_path):
        composed, decomposed = (unicodedata.normalize(form, "gutartig-ä") for form in ("NFC", "NFD"))
        tree(tmp_path, f"train/{composed}", "train/Malignant", f"test/{decomposed}", "test/malignant")
        assert {label for _, label in classes(tmp_path)} == {composed, "Malignant"}
        assert fold_case(decomposed) == fold_case(composed.upper())


class TestFiles:
    def test_hidden_folders_and_rubbish_are_left_out(self, tmp_path):
        tree(tmp_path, "a", "b", ".ipynb_checkpoints", "a/.thumbs", "__MACOSX/a")
        entries, notes = arrange(tmp_path)
        assert len(entries) == 8
        assert notes == []

    def test_links_are_followed_and_cycles_are_not(self, tmp_path):
        tree(tmp_path / "set", "a", "b")
        tree(tmp_path / "disk", "more")
        (tmp_path / "set" / "a" / "link").symlink_to(tmp_path / "disk" / "more")
        (tmp_path / "set" / "b" / "back").symlink_to(tmp_path / "set")
        entries, notes = arrange(tmp_path / "set")
        assert len(entries) == 12
        assert len(notes) == 1
        assert "1 links lead back to a folder above and were left out, for example b/back" in notes[0]

    @pytest.mark.parametrize("name", ["{}_mask", "{}_Mask_2", "{}-segmentation", "{} mask", "{}_gt"])
    def test_masks_beside_their_images(self, tmp_path, name):
        tree(tmp_path, "a", "b")
        for i in range(4):
            picture(tmp_path / "a" / f"{name.format(i)}.png", levels=(0, 2))
        entries, notes = arrange(tmp_path)
        assert len(entries) == 8
        assert "4 masks or overlays beside their images were left out" in notes[0]

    def test_mask_folders_beside_images(self, tmp_path):
        tree(tmp_path, "a/images", "a/masks", "b/images", "b/Mask")
        entries, notes = arrange(tmp_path)
        assert len(entries) == 8
        assert "8 masks" in notes[0]

    def test_a_file_that_only_ends_like_a_mask_stays(self, tmp_path):
        tree(tmp_path, "a", "b")
        picture(tmp_path / "a" / "unpaired_mask.png")
        assert len(arrange(tmp_path)[0]) == 9

    def test_two_grey_levels_among_others(self, tmp_path):
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

    def test_a_set_of_two_grey_levels_is_a_set(self, tmp_path):
        tree(tmp_path, "a", "b", count=12, levels=(0, 2))
        with pytest.warns(UserWarning, match="no patients"):
            assert sum(map(len, folders.load(tmp_path, 20))) == 24

    def test_many_files_that_cannot_be_read(self, tmp_path):
        tree(tmp_path, "a", "b", count=8)
        for i in range(6):
            (tmp_path / "a" / f"{i}.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
        with pytest.raises(ValueError, match="6 files of a cannot be read as images, for example a/0.heic; 8 can"):
            arrange(tmp_path)

    def test_documents_are_noted(self, tmp_path):
        tree(tmp_path, "a", "b")
        for i in range(9):
            (tmp_path / "a" / f"{i}.xml").write_text("<x/>")
        assert "9 files are not images and were left out, for example a/0.xml" in arrange(tmp_path)[1][0]

    def test_every_damaged_file_is_named(self, tmp_path):
        tree(tmp_path, "a", "b", count=8)
        for name in ("a/0.png", "b/3.png"):
            (tmp_path / name).write_bytes(b"\x89PNG and no more")
        with pytest.raises(ValueError, match=r"2 of 16 files cannot be read as images:\n.*a/0.png(.|\n)*b/3.png"):
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
        assert len(arrange(tmp_path)[0]) == 20

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
