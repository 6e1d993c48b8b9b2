"""Arms of images that were made elsewhere."""

import argparse
import dataclasses
import json
import shutil
import warnings

import cloudpickle
import numpy as np
import pytest
from PIL import Image

from synthkit import __main__ as command
from synthkit import _meaning, catalogue, selection, study
from synthkit._identity import digest
from synthkit.classifiers import skin_cnn
from synthkit.datasets import known_classes
from synthkit.imageset import image_digests
from synthkit.study.arms import synthesize
from tests.conftest import make_imageset

TRAIN = make_imageset(20, 1)


@pytest.fixture
def folder(tmp_path):
    """Ten images of each class, other than the training set's."""
    root = tmp_path / "made elsewhere"
    make_imageset(20, 5).save(root)
    return root


def drawn(path, labels, seed=0, train=TRAIN):
    return study.from_folder(path)(train, np.asarray(labels), seed)


class TestDrawing:
    def test_each_image_once_as_far_as_they_go(self, folder):
        made = make_imageset(20, 5)
        images = drawn(folder, [0] * 10 + [1] * 10)
        assert sorted(image.tobytes() for image in images.images) == sorted(image.tobytes() for image in made.images)
        again = drawn(folder, [1] * 25)
        _, counts = np.unique(again.images.reshape(25, -1), axis=0, return_counts=True)
        assert sorted(counts) == [2] * 5 + [3] * 5
        assert again.class_names == TRAIN.class_names

    def test_the_seed_decides(self, folder):
        one, other = drawn(folder, [0, 1, 1]), drawn(folder, [0, 1, 1], seed=1)
        np.testing.assert_array_equal(one.images, drawn(folder, [0, 1, 1]).images)
        assert (one.images != other.images).any()
        assert one.labels.tolist() == [0, 1, 1]

    def test_size_and_colour_become_the_real_ones(self, tmp_path):
        for name, grey in (("Bright", 200), ("DARK", 90)):  # whatever the case
            (tmp_path / name).mkdir()
            pixels = np.full((40, 40, 3), grey, "uint8")
            pixels[:20, :, 0] = 10
            Image.fromarray(pixels).save(tmp_path / name / "1.png")
        grey = drawn(tmp_path, [0, 1])
        assert grey.image_shape == (20, 20, 1)
        assert grey.images[:, -1, 0, 0].tolist() == [200, 90]
        colour = dataclasses.replace(TRAIN, images=np.repeat(TRAIN.images, 3, axis=3))
        images = drawn(tmp_path, [0, 1], train=colour)
        assert images.image_shape == (20, 20, 3)
        assert images.images[0, 0, 0].tolist() == [10, 200, 200]

    def test_comes_out_of_a_worker_the_same(self, folder):
        arm = study.folder_arm(folder)
        copied = cloudpickle.loads(cloudpickle.dumps(arm.synthesizer))
        np.testing.assert_array_equal(copied(TRAIN, np.array([0, 1]), 0).images, drawn(folder, [0, 1]).images)


class TestRefusals:
    @pytest.mark.parametrize("path", ["none", "made elsewhere/labels.csv"])
    def test_no_folder(self, folder, path):
        with pytest.raises(
            ValueError, match=f"{path} is not a folder: give one that holds a folder of images for each"
        ):
            study.folder_arm(folder.parent / path)

    def test_no_class(self, folder):
        with pytest.raises(ValueError, match=rf"holds no images of bright or dark. Did you mean {folder}\?"):
            drawn(folder.parent, [0])
        with pytest.raises(ValueError, match="with the names of the real ones. Received: bright, dark"):
            drawn(folder, [0], train=dataclasses.replace(TRAIN, class_names=("benign", "malignant")))

    def test_missing_class(self, folder):
        shutil.rmtree(folder / "dark")
        with pytest.raises(ValueError, match="made elsewhere holds no images of dark: add a folder called dark"):
            drawn(folder, [0, 1])
        assert drawn(folder, [0, 0]).labels.tolist() == [0, 0]  # one class alone may be asked for

    def test_stranger_is_named(self, folder):
        shutil.copytree(folder / "dark", folder / "normal")
        with pytest.warns(UserWarning, match="the real images have no class normal, so its files were left out"):
            drawn(folder, [0, 1])

    def test_damaged_files_are_named(self, folder):
        (folder / "dark" / "dark_00003.png").write_bytes(b"\x89PNG no more")
        with pytest.raises(ValueError, match=r"1 of 20 files cannot be read as images:\n.*dark_00003.png"):
            drawn(folder, [0, 1])

    def test_files_of_another_kind(self, folder):
        for i in range(5):
            (folder / "dark" / f"{i}.npy").write_bytes(b"\x93NUMPY")
        with pytest.raises(
            ValueError, match=r"5 files of dark cannot be read as images, for example dark/0.npy; 10 can"
        ):
            drawn(folder, [0, 1])

    def test_copies_of_held_out_images(self, splits, tmp_path):
        splits.test.save(tmp_path / "copied")
        arm = study.folder_arm(tmp_path / "copied")
        held_out = set(image_digests(splits.test))
        with pytest.raises(ValueError, match="24 images of folder copied are validation or test images"):
            synthesize(arm, splits.train, 0, held_out)

    def test_masks_and_loose_images_are_left_out_with_a_note(self, folder):
        for i in range(1, 5):
            (folder / "dark" / f"dark_{i:05}_mask.png").write_bytes((folder / "dark" / f"dark_{i:05}.png").read_bytes())
        (folder / "grid.png").write_bytes((folder / "dark" / "dark_00001.png").read_bytes())
        entries, notes = known_classes.find(folder, TRAIN.class_names)
        assert "4 masks or overlays beside their images were left out" in notes[0]
        assert "1 images are in no class folder and were left out, for example grid.png" in notes[1]
        assert len(entries) == 20


class TestDoor:
    def test_scarce_images_are_said_before_the_first_trial(self, folder, splits):
        check = study.from_folder(folder).check
        check(splits.train, {"bright": 10, "dark": 10})
        with pytest.warns(UserWarning, match="fewer images than a trial needs .10 of 12 dark., so some are used"):
            check(splits.train, {"bright": 10, "dark": 12})

    def test_notes_are_said_once(self, folder, splits):
        shutil.copytree(folder / "dark", folder / "normal")
        synthesizer = study.from_folder(folder)
        with pytest.warns(UserWarning, match="no class normal"):
            synthesizer.check(splits.train, {"bright": 1, "dark": 1})
        copied = cloudpickle.loads(cloudpickle.dumps(synthesizer))  # in a worker; a warning would be an error
        assert len(copied(splits.train, np.array([0, 1]), 0)) == 2

    def test_study_asks(self, folder, splits, tmp_path):
        shutil.rmtree(folder / "dark")
        arms = [study.Arm("real"), study.folder_arm(folder, ratio=0.5)]
        with pytest.raises(ValueError, match="holds no images of dark"):
            study.run(splits, arms, out=tmp_path / "out", classifier=skin_cnn, fixed_training_set=True)
        assert not (tmp_path / "out").exists()

    def test_filtered_and_shuffled_pass_it_on(self, folder):
        synthesizer = study.from_folder(folder)
        shutil.rmtree(folder / "dark")
        for passed_on in (selection.filtered(synthesizer), study.shuffled(synthesizer)):
            with pytest.raises(ValueError, match="holds no images of dark"):
                passed_on.check(TRAIN, {"bright": 1, "dark": 1})

    def test_what_its_generator_has_seen(self, folder):
        def card(**fitted_on):
            text = json.dumps({"fitted_on": {"source": "S", "splits": "train", "fingerprint": "0"} | fitted_on})
            (folder / "card.json").write_text(text)

        check, few = study.from_folder(folder).check, {"bright": 1, "dark": 1}
        card(fingerprint=TRAIN.fingerprint())
        check(TRAIN, few)
        card()
        with pytest.warns(UserWarning, match=r"was fitted on other images than this study's training set"):
            check(TRAIN, few)
        card(splits="all")
        with pytest.raises(ValueError, match="was fitted on all images of S, test images among them"):
            check(TRAIN, few)
        (folder / "card.json").write_text("[1]")
        check(TRAIN, few)


class TestIdentity:
    def test_is_that_of_the_images(self, folder, tmp_path):
        before = digest(study.from_folder(folder))
        (folder / "README.md").write_text("licence: CC0")
        (folder / "dark" / "notes.txt").write_text("x")
        folder.rename(tmp_path / "renamed")
        assert digest(study.from_folder(tmp_path / "renamed")) == before
        (tmp_path / "renamed" / "dark" / "dark_00001.png").unlink()
        assert digest(study.from_folder(tmp_path / "renamed")) != before


def names(arms):
    return _meaning.names(argparse.Namespace(arms=arms, data="my_images"))


class TestNames:
    def test_endings(self, folder):
        names = [f"folder:{folder}{ending}" for ending in ("", " filtered x2 augmented", " x0.5 first")]
        plain, filtered, first = catalogue.arms(names, ratio=3.0)
        assert [arm.name for arm in (plain, filtered, first)] == [
            "folder made elsewhere",
            "folder made elsewhere filtered x2 augmented",
            "folder made elsewhere x0.5 first",
        ]
        assert [arm.ratio for arm in (plain, filtered, first)] == [3.0, 2.0, 0.5]
        assert [arm.augment is None for arm in (plain, filtered, first)] == [True, False, True]
        assert first.pretrain == 0.5
        assert plain.synthesizer is first.synthesizer
        assert filtered.synthesizer is not plain.synthesizer
        assert all(arm.settings is None for arm in (plain, filtered, first))

    def test_name_of_ones_own(self, folder):
        arm = study.folder_arm(folder, "medigan", ratio=2.0, counts={"dark": 5})
        assert (arm.name, arm.ratio, arm.counts) == ("medigan", 2.0, {"dark": 5})

    def test_paths_with_commas(self, folder, tmp_path):
        (tmp_path / "a,b").mkdir()
        with pytest.raises(
            ValueError, match=f"separated by commas, and {tmp_path}/a,b contains one: rename the folder"
        ):
            names(f"real,folder:{tmp_path}/a,b x2,dense_cvae")
        with pytest.raises(ValueError, match=r"--arms: nowhere is not a folder"):
            names("real,folder:nowhere x2,dense_cvae")
        assert names(f"real, folder:{folder} x2") == ["real", f"folder:{folder} x2"]


def test_study_with_a_folder(folder, splits, tmp_path):
    from synthkit.classifiers import skin_cnn

    arms = [study.Arm("real"), study.folder_arm(folder, ratio=0.5)]
    options = {"out": tmp_path / "out", "classifier": skin_cnn, "seeds": 2, "steps": 4, "progress": False}
    with pytest.raises(ValueError, match="may have seen all training images, and without fixed_training_set=True"):
        study.run(splits, arms, **options)
    options["fixed_training_set"] = True
    trials = study.run(splits, arms, **options).trials
    assert trials["status"].eq("done").all()
    assert trials["n_synthetic"].tolist() == [0, 12, 0, 12]
    make_imageset(4, 9).save(tmp_path / "new")
    (tmp_path / "new" / "dark" / "dark_00001.png").rename(folder / "dark" / "more.png")
    with warnings.catch_warnings(), pytest.raises(ValueError, match="the arm folder made elsewhere has changed"):
        study.run(splits, arms, **options)


def test_folds_test_on_every_image_and_so_on_what_a_generator_was_fitted_on(tmp_path, capsys):
    data, synthetic = tmp_path / "data", tmp_path / "synthetic"
    make_imageset(24).save(data)
    make_imageset(20, 1).save(synthetic)
    card = {"fitted_on": {"source": str(data), "splits": "train", "fingerprint": "0"}}
    options = [
        "study",
        "--data",
        str(data),
        "--folds",
        "3",
        "--steps",
        "3",
        "--seeds",
        "2",
        "--out",
        str(tmp_path / "o"),
    ]
    options += ["--classifier", "skin_cnn", "--image-size", "20"]
    assert command.main([*options, "--arms", f"real,folder:{synthetic} x1"]) == 0
    assert "by a network trained on 2 of 3 folds" in capsys.readouterr().out.replace("\n", " ")
    (synthetic / "card.json").write_text(json.dumps(card))
    assert command.main([*options, "--arms", f"real,folder:{synthetic} x1"]) == 2
    assert "every one of them is tested on; name the generator itself as an arm" in capsys.readouterr().err
    assert command.main([*options, "--arms", "real", "--test", "0.2"]) == 2
    assert "there is no fixed test set; remove --test" in capsys.readouterr().err
    options[options.index("--folds") + 1] = "2"
    with pytest.raises(SystemExit):
        command.main([*options, "--arms", "real"])
    assert "with two folds, intervals are too narrow; expected 3 or more" in capsys.readouterr().err
