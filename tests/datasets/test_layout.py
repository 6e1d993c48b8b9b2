"""Folders as users have them: splits, parts of downloads, patients, masks, other files."""

import unicodedata

import numpy as np
import pytest
from PIL import Image

from synthkit.datasets import folders
from synthkit.datasets.folder_names import fold_case
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
            (("train_images", "Test cases"), {"train", "test"}),
            (("ISIC2018_Training_Input", "ISIC2018_Validation_Input"), {"train", "validation"}),
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

    def test_a_copy_of_the_splits_beside_them(self, tmp_path):
        splits = [f"{split}/{label}" for split in ("train", "val", "test") for label in ("a", "b")]
        tree(tmp_path, *splits, *(f"xray/{split}" for split in splits))
        with pytest.raises(ValueError, match=r"beside xray, .* Give .*xray, which holds splits, too, or move it out"):
            arrange(tmp_path)

    @pytest.mark.parametrize(
        ("names", "strange"),
        [
            (("benign", "malignant", "Test cases"), "holds Test cases beside benign, malignant"),
            (("train_benign", "train_malignant", "test_benign"), "test_benign, train_benign, train_malignant is named"),
            (("benign", "malignant", "auto_test"), "auto_test is named like a training, validation or test set"),
        ],
    )
    def test_splits_among_classes(self, tmp_path, names, strange):
        with pytest.raises(ValueError, match=strange):
            arrange(tree(tmp_path, *names))

    def test_classes_that_are_all_called_tests(self, tmp_path):
        assert {label for _, label in classes(tree(tmp_path, "negative test", "positive test"))} == {
            "negative test",
            "positive test",
        }

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

    @pytest.mark.parametrize("folder", ["test", "test/a", "Val", "__MACOSX/../dev_set/.hidden"])
    def test_an_empty_split(self, tmp_path, folder):
        tree(tmp_path, "train/a", "train/b", "testing/a", "testing/b")
        (tmp_path / "__MACOSX").mkdir()
        (tmp_path / folder).mkdir(parents=True)
        name, what = ("test", "test") if folder.startswith("test") else (folder.split("/")[-2:][0], "validation")
        message = rf"{name} is the folder of the {what} set, but holds no images. Put the images of that set there, or "
        with pytest.raises(ValueError, match=rf"{message}remove the folder, so that a {what} set is split off$"):
            arrange(tmp_path)

    def test_an_empty_training_set(self, tmp_path):
        tree(tmp_path, "test/a", "test/b")
        (tmp_path / "train").mkdir()
        with pytest.raises(ValueError, match="train is the folder of the training set, but .* of that set there$"):
            arrange(tmp_path)

    @pytest.mark.parametrize("file", ["images.zip", "0.gif", "a/0.gif", "labels.csv"])
    def test_a_split_of_other_files(self, tmp_path, file):
        tree(tmp_path, "train/a", "train/b")
        (tmp_path / "test" / file).parent.mkdir(parents=True)
        (tmp_path / "test" / file).write_bytes(b"GIF89a")
        message = f"holds no images that can be read: it has 1 other files, for example test/{file}. Put .*, as bmp, "
        with pytest.raises(ValueError, match=message):
            arrange(tmp_path)

    def test_a_link_to_a_split_that_is_gone(self, tmp_path):
        tree(tmp_path, "train/a", "train/b")
        (tmp_path / "test").symlink_to(tmp_path / "gone")
        with pytest.raises(ValueError, match="test is the folder of the test set, but holds no images"):
            arrange(tmp_path)

    def test_splits_without_classes(self, tmp_path):
        tree(tmp_path, "train", "test")
        with pytest.raises(ValueError, match="8 images are in no class folder, for example test/0.png"):
            arrange(tmp_path)


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

    @pytest.mark.parametrize("patients", [("patient_1", "patient_2"), ("7", "12", "90")])
    def test_patients_below_classes_may_have_the_same_numbers(self, tmp_path, patients):
        tree(tmp_path, *(f"{label}/{patient}" for label in ("benign", "malignant") for patient in patients))
        assert {label for _, label in classes(tmp_path)} == {"benign", "malignant"}

    def test_patients_above_classes(self, tmp_path):
        tree(tmp_path, *(f"{patient}/{label}" for patient in (8863, 8876, 8889) for label in (0, 1)))
        with pytest.raises(
            ValueError, match="8863, 8876, 8889 each hold the folders 0, 1, which look like the classes"
        ):
            arrange(tmp_path)

    def test_an_empty_class(self, tmp_path):
        tree(tmp_path, "a", "b")
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / ".DS_Store").touch()
        with pytest.raises(ValueError, match="c is an empty folder. If it is a class, its images are missing"):
            arrange(tmp_path)

    def test_a_class_without_one_readable_image(self, tmp_path):
        tree(tmp_path, "a", "b")
        (tmp_path / "c").mkdir()
        (tmp_path / "c" / "1.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
        with pytest.raises(ValueError, match="1 files of c cannot be read as images, for example c/1.heic; 0 can"):
            arrange(tmp_path)

    def test_spellings_of_one_class_are_said(self, tmp_path):
        tree(tmp_path, "Benign", "benign ", "malignant")
        entries, notes = arrange(tmp_path)
        assert {entry.label for entry in entries} == {"Benign", "malignant"}
        assert "the folders Benign and benign are one class" in notes[0]

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
        with pytest.raises(ValueError, match="meta.csv may hold the classes: give it with --labels /.*meta.csv"):
            arrange(tmp_path)

    def test_a_table_beside_the_only_folder_is_pointed_at(self, tmp_path):
        tree(tmp_path, "images")
        (tmp_path / "truth.csv").write_text("image,A,B\n0,1,0\n")
        with pytest.raises(ValueError, match="truth.csv may hold the classes: give it with --labels /.*truth.csv"):
            arrange(tmp_path)

    def test_a_folder_that_holds_an_npz_file(self, tmp_path):
        (tmp_path / "set.npz").touch()
        with pytest.raises(ValueError, match=r"holds no images; did you mean .*set.npz\?"):
            arrange(tmp_path)

    def test_a_folder_of_files_that_cannot_be_read(self, tmp_path):
        for name in ("a/1.gif", "b/2.gif", "notes.txt"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"GIF89a")
        with pytest.raises(ValueError, match=r"no images that can be read \(bmp, .*\), only 2 other files, .* a/1.gif"):
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
