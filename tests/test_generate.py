"""A folder of synthetic images: what is in it, what its card says, and what happens to a run that was killed."""

import dataclasses
import json
import re
import shutil
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import synthkit
from synthkit import __main__ as command
from synthkit import _card, catalogue, fidelity
from synthkit.datasets import phantom
from synthkit.generate import generate
from synthkit.generators import adapter, callbacks
from synthkit.generators.medmnist_cvae import dense_cvae
from synthkit.imageset import ImageSet
from tests.conftest import make_imageset

COUNTS = {"malignant": 12, "benign": 8}


@pytest.fixture(scope="module")
def phantoms():
    return phantom.load(20, train=60, validation=30, test=40)


def run(splits, out, **options):
    options = {"counts": COUNTS, "held_out": splits.validation, "epochs": 2} | options
    return generate(splits.train, "dense_cvae", out, **options)


@pytest.fixture(scope="module")
def made(phantoms, tmp_path_factory):
    """Returns a finished folder, which no test changes, and its images."""
    out = tmp_path_factory.mktemp("made") / "synthetic images"
    return out, run(phantoms, out, source="phantom", commands=("the command", "the study"))


def visible(folder):
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


class TestFolder:
    def test_holds_what_it_says(self, made):
        out, images = made
        files = {"README.md", "card.json", "contact_sheet.png", "dense_cvae.keras", "labels.csv", "nearest_pairs.png"}
        assert visible(out) == files | {"malignant", "benign"}
        table = pd.read_csv(out / "labels.csv")
        assert table.columns.tolist() == ["file", "label", "seed"]
        assert table["label"].value_counts().to_dict() == COUNTS
        assert table["file"][0] == "malignant/malignant_00001.png"
        for file, label, image in zip(table["file"], images.labels, images.images, strict=True):
            np.testing.assert_array_equal(np.asarray(Image.open(out / file)), image[..., 0])
            assert file.startswith(images.class_names[label])

    def test_is_a_data_set(self, made):
        out, images = made
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            splits = synthkit.load(out, 20, validation=4, test=4)
        left_out = "6 files are not images and were left out, for example README.md"
        assert any(left_out in str(note.message) for note in notes)
        assert sum(map(len, splits)) == 20
        read = np.concatenate([part.images for part in splits])
        assert sorted(image.tobytes() for image in read) == sorted(image.tobytes() for image in images.images)
        with pytest.warns(UserWarning, match="no patients are given"):
            splits = synthkit.load(out, 20, labels=out / "labels.csv", validation=4, test=4)
        assert sum(map(len, splits)) == 20

    def test_generator_comes_back_from_its_file(self, made):
        out, images = made
        model = keras.models.load_model(out / "dense_cvae.keras")
        np.testing.assert_array_equal(adapter.draw(model, images.class_names, images.labels, 0).images, images.images)

    def test_other_settings_are_refused(self, phantoms, made):
        with pytest.raises(ValueError, match="belongs to a job with other settings: seed is 0, here it is 1"):
            run(phantoms, made[0], seed=1)
        with pytest.raises(ValueError, match="other settings: epochs is 2, here it is 3"):
            run(phantoms, made[0], epochs=3)

    def test_what_the_user_filled_in_stays(self, phantoms, made, tmp_path):
        out = tmp_path / "mine"
        shutil.copytree(made[0], out)
        (out / "README.md").write_text("CC BY 4.0")
        with pytest.warns(UserWarning, match="mine is finished and was left as it is"):
            again = run(phantoms, out)
        assert (out / "README.md").read_text() == "CC BY 4.0"
        np.testing.assert_array_equal(again.images, made[1].images)

    def test_other_files_are_refused(self, phantoms, tmp_path):
        (tmp_path / "holiday.jpg").touch()
        with pytest.raises(ValueError, match=r"holds other files, for example holiday.jpg; choose a new folder"):
            run(phantoms, tmp_path)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"counts": {"normal": 3}}, "there is no class 'normal'; expected malignant, benign"),
            ({"counts": {"benign": 0}}, "at least 1 in all"),
            ({"per_class": 3}, "either per_class or counts"),
            ({"counts": None}, "either per_class or counts"),
        ],
    )
    def test_failure_leaves_no_folder(self, phantoms, tmp_path, options, message):
        with pytest.raises(ValueError, match=message):
            run(phantoms, tmp_path / "deep" / "out", **options)
        assert not (tmp_path / "deep").exists()

    def test_diverged_training_leaves_no_folder(self, phantoms, tmp_path, monkeypatch):
        def build(image_shape, num_classes):
            model = dense_cvae(image_shape, num_classes)
            model.optimizer.learning_rate = float("nan")
            return model

        monkeypatch.setitem(catalogue.GENERATORS, "dense_cvae", catalogue.Generator(build, "wild"))
        with pytest.raises(FloatingPointError, match="its training diverged"):
            run(phantoms, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_held_out_images_are_not_learned_from(self, phantoms, tmp_path):
        with pytest.raises(ValueError, match="is a validation or test set; fit a generator on the training set"):
            generate(phantoms.test, "dense_cvae", tmp_path / "out", per_class=3)


class TestResume:
    def test_killed_run_comes_to_the_same_files(self, phantoms, made, tmp_path, monkeypatch):
        write = callbacks.Checkpoint.on_epoch_end

        def stop(self, epoch, logs=None):
            write(self, epoch, logs)
            raise KeyboardInterrupt

        monkeypatch.setattr(callbacks, "PAUSE", 0)
        monkeypatch.setattr(callbacks, "COSTS", 0)
        monkeypatch.setattr(callbacks.Checkpoint, "on_epoch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            run(phantoms, tmp_path / "out")
        assert not visible(tmp_path / "out")
        monkeypatch.setattr(callbacks.Checkpoint, "on_epoch_end", write)
        run(phantoms, tmp_path / "out", source="phantom", commands=("the command", "the study"))
        for file in sorted(made[0].rglob("*.png")) + [made[0] / "labels.csv"]:
            assert (tmp_path / "out" / file.relative_to(made[0])).read_bytes() == file.read_bytes(), file
        assert not (tmp_path / "out" / ".checkpoint.npz").exists()


class TestLoad:
    def test_draws_the_same_and_others(self, phantoms, made, tmp_path):
        options = {"load": made[0] / "dense_cvae.keras", "epochs": None, "held_out": None}
        same = run(phantoms, tmp_path / "same", **options)
        np.testing.assert_array_equal(same.images, made[1].images)
        other = run(phantoms, tmp_path / "other", seed=1, **options)
        assert (other.images != made[1].images).any()
        written = json.loads((tmp_path / "other" / "card.json").read_text(encoding="utf-8"))
        assert (written["epochs"], written["fit_seed"], written["seed"]) == (2, 0, 1)
        assert "which was fitted with seed 0" in (tmp_path / "other" / "README.md").read_text(encoding="utf-8")

    def test_others_are_refused(self, phantoms, made, tmp_path):
        train, file = phantoms.train, made[0] / "dense_cvae.keras"
        swapped = ImageSet(train.images, train.labels, train.class_names[::-1], train.patients)
        cases = [
            (swapped, "dense_cvae", "2 classes, malignant, benign, in this order; the real images have benign, malig"),
            (train[np.arange(40)], "dense_cvae", "was fitted on other images, .* of phantom; give the same data"),
            (phantom.load(24, train=60).train, "dense_cvae", r"makes images of 20×20×1, .*\(--generator-size 20\)"),
            (train, "conv_cvae", "holds the generator dense_cvae, not conv_cvae"),
        ]
        for real, name, message in cases:
            with pytest.raises(ValueError, match=message):
                generate(real, name, tmp_path / "out", per_class=3, load=file)
        with pytest.raises(ValueError, match=r"leave out epochs \(--epochs\)"):
            run(phantoms, tmp_path / "out", load=file)
        (tmp_path / "cut.keras").write_bytes(file.read_bytes()[:-200])
        with pytest.raises(ValueError, match=r"cut.keras is not a generator in Keras's format, or is damaged"):
            run(phantoms, tmp_path / "out", load=tmp_path / "cut.keras", epochs=None)
        with pytest.raises(FileNotFoundError, match=r"none.keras does not exist"):
            run(phantoms, tmp_path / "out", load=tmp_path / "none.keras", epochs=None)
        assert not (tmp_path / "out").exists()

    def test_file_without_a_record(self, phantoms, tmp_path):
        keras.utils.set_random_seed(0)
        model = dense_cvae((20, 20, 1), 2)
        adapter.fit(model, phantoms.train, 0, epochs=1)
        model.save(tmp_path / "plain.keras")
        with pytest.warns(UserWarning, match=r"plain.keras does not say which images and classes it was fitted on"):
            run(phantoms, tmp_path / "out", load=tmp_path / "plain.keras", epochs=None, held_out=None)
        assert "not known: plain.keras does not say" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


class TestCard:
    def test_says_what_it_was_fitted_on(self, phantoms, made):
        written = json.loads((made[0] / "card.json").read_text(encoding="utf-8"))
        assert written["fitted_on"] == {
            "source": "phantom",
            "splits": "train",
            "images": phantoms.train.class_counts(),
            "patients": len(np.unique(phantoms.train.patients)),
            "fingerprint": phantoms.train.fingerprint(),
        }
        assert (written["generator"], written["epochs"], written["batch_size"]) == ("dense_cvae", 2, 128)
        page = (made[0] / "README.md").read_text(encoding="utf-8")
        for text in (
            "the command\n",
            "the study\n",
            "20×20 pixels, grey",
            "licence | *(to be filled in",
            "they show real",
        ):
            assert text in page
        assert "holds them all" not in page
        names = "congruence coverage constraint completeness comprehension compliance consistency"
        table = page.partition("## The seven criteria")[2].partition("\n## ")[0]
        assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE)[1:] == names.split()

    def test_measures_as_fidelity_does(self, phantoms, made):
        held_out, images = phantoms.validation, made[1]
        drawn = _card.in_proportion(images, held_out)
        space = fidelity.pixels(np.concatenate([phantoms.train.images, held_out.images]))
        distance = fidelity.kid(space(held_out.images), space(drawn.images), patients=held_out.patients)
        row = json.loads((made[0] / "card.json").read_text(encoding="utf-8"))["fidelity"]["synthetic"]
        assert row["kid"] == pytest.approx(distance.value, abs=1e-4)
        assert (row["real"], row["synthetic"]) == (30, len(drawn))

    def test_draws_in_proportion(self):
        def labelled(first, second):
            return make_imageset(2 * max(first, second))[[*range(0, 2 * first, 2), *range(1, 2 * second, 2)]]

        drawn = _card.in_proportion(labelled(20, 20), labelled(1, 3))
        assert drawn.class_counts() == {"bright": 6, "dark": 20}
        assert _card.in_proportion(labelled(20, 20), labelled(1, 3), 8).class_counts() == {"bright": 2, "dark": 6}
        assert _card.in_proportion(labelled(20, 20), labelled(0, 3)).class_counts() == {"bright": 0, "dark": 20}
        assert len(_card.in_proportion(labelled(20, 0), labelled(1, 3))) == 0

    def about(self, train):
        return {
            **{"images": train.class_counts(), "image_shape": train.image_shape, "generator": "g", "text": "t"},
            **{"epochs": 1, "batch_size": 1, "seed": 0, "date": "today", "versions": {}, "folder": "f"},
            "fitted_on": {"images": train.class_counts(), "patients": 9, "splits": "train", "source": "phantom"},
        }

    def test_tells_copies_from_new_images(self, tmp_path):
        splits = phantom.load(20, train=120, validation=80)
        copied = _card.write(
            tmp_path, splits.train[np.arange(60)], splits.train, splits.validation, self.about(splits.train)
        )
        assert copied["copies"]["identical_to_training_images"] == 60
        assert copied["copies"]["identical_to_held_out_images"] == 0
        assert copied["copies"]["p"] < 0.01
        assert copied["nearest_pairs"][0]["distance"] == pytest.approx(0, abs=1e-3)
        page = (tmp_path / "README.md").read_text(encoding="utf-8")
        assert (copied["copies"]["copies"], copied["copies"]["held_out_copies"]) == (60, 0)
        assert "The generator copies training images" in page
        new = _card.write(tmp_path, splits.test, splits.train, splits.validation, self.about(splits.train))
        assert new["copies"]["identical_to_training_images"] == 0
        assert new["copies"]["p"] > 0.05
        assert abs(new["fidelity"]["synthetic"]["kid"]) < 4 * new["fidelity"]["synthetic"]["kid_error"]
        assert "no sign of copying" in (tmp_path / "README.md").read_text(encoding="utf-8")

    def test_says_what_is_not_measured(self, phantoms, tmp_path):
        few = phantoms.test[np.arange(3)]
        assert "too few images" in _card.measure(None, few, phantoms.train, phantoms.validation)["not_measured"]
        one = dataclasses.replace(phantoms.validation, patients=np.repeat("one", len(phantoms.validation)))
        assert "fewer than three patients" in _card.measure(None, phantoms.test, phantoms.train, one)["not_measured"]
        written = _card.write(tmp_path, few, phantoms.train, None, self.about(phantoms.train))
        assert written["copies"]["not_measured"] == "no real images were held out from the fit"
        assert len(written["nearest_pairs"]) == 3
        page = (tmp_path / "README.md").read_text(encoding="utf-8")
        assert "Not measured: no real images were held out from the fit." in page
        assert "The copy test was not made" in page

    def test_warns_of_the_autoencoder(self, phantoms, tmp_path):
        generate(phantoms.train, "autoencoder", tmp_path / "out", per_class=3, epochs=1)
        assert "This generator keeps its training images" in (tmp_path / "out" / "README.md").read_text(
            encoding="utf-8"
        )


class TestCommand:
    @pytest.fixture(autouse=True)
    def _few(self, phantoms, monkeypatch):
        monkeypatch.setattr(phantom, "load", lambda size, **options: phantoms)

    def command(self, out, *options):
        return command.main(["generate", "--generator", "dense_cvae", "--out", str(out), *options])

    def test_from_end_to_end(self, made, tmp_path, capsys):
        options = ("--counts", "malignant=12, benign=8", "--epochs", "2")
        assert self.command(tmp_path / "out", *options) == 0
        assert "ImageSet(20 images of 20×20×1, 20 patients, malignant 12, benign 8)" in capsys.readouterr().out
        table = pd.read_csv(tmp_path / "out" / "labels.csv")
        for file in table["file"]:
            assert (tmp_path / "out" / file).read_bytes() == (made[0] / file).read_bytes()
        page = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
        assert f"generate --generator dense_cvae --out {tmp_path / 'out'} --counts 'malignant=12, benign=8'" in page
        assert f"study --data phantom --arms real,augmentation,folder:{tmp_path / 'out'}" in page

    def test_all(self, phantoms, tmp_path):
        assert self.command(tmp_path / "out", "--per-class", "3", "--epochs", "1", "--all") == 0
        written = json.loads((tmp_path / "out" / "card.json").read_text(encoding="utf-8"))
        assert sum(written["fitted_on"]["images"].values()) == sum(map(len, phantoms)) == 130
        assert written["held_out"] is None
        assert "Do not test a classifier" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
        with pytest.raises(ValueError, match="was fitted on all images of phantom, test images among them"):
            synthkit.study.from_folder(tmp_path / "out").check(phantoms.train, COUNTS)

    def test_class_names_with_commas(self):
        from synthkit._options import parser

        options = ["generate", "--generator", "diffusion", "--out", "x", "--counts", "malignant=2,normal, benign=3"]
        assert parser().parse_args(options).counts == {"malignant": 2, "normal, benign": 3}

    @pytest.mark.parametrize("counts", ["benign", "benign=x", "benign=1,benign=2", "=3", "benign=-1"])
    def test_counts_that_are_none(self, counts, capsys):
        with pytest.raises(SystemExit):
            self.command("x", "--counts", counts)
        assert "expected the number of images of each class, as in benign=300,malignant=250" in capsys.readouterr().err

    def test_failure_leaves_no_folder(self, tmp_path, capsys):
        assert self.command(tmp_path / "deep" / "out", "--counts", "normal=3") == 2
        assert "there is no class 'normal'; expected malignant, benign" in capsys.readouterr().err
        assert not (tmp_path / "deep").exists()


class TestPretraining:
    def test_it_is_recorded_and_part_of_the_settings(self, phantoms, tmp_path):
        others = phantom.load(28, train=50).train
        images = run(phantoms, tmp_path / "a", pretrained_on=others, pretrain_steps=3)
        record = {"source": others.name, "images": 50, "fingerprint": others.fingerprint(), "steps": 3}
        assert json.loads((tmp_path / "a" / "card.json").read_text())["pretrained_on"] == record
        assert "after 50 images of" in (tmp_path / "a" / "README.md").read_text()
        assert (images.images != run(phantoms, tmp_path / "b").images).any()
        with pytest.raises(ValueError, match="belongs to a job with other settings"):
            run(phantoms, tmp_path / "a")
        run(phantoms, tmp_path / "c", load=tmp_path / "a" / "dense_cvae.keras", epochs=None)
        assert json.loads((tmp_path / "c" / "card.json").read_text())["pretrained_on"] == record

    def test_as_in_a_study_also_after_a_kill(self, phantoms, tmp_path, monkeypatch):
        others, epochs, write = phantom.load(28, train=50).train, [], callbacks.Checkpoint.on_epoch_end

        def stop(self, epoch, logs=None):
            write(self, epoch, logs)
            epochs.append(epoch)
            if len(epochs) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(callbacks, "PAUSE", 0)
        monkeypatch.setattr(callbacks, "COSTS", 0)
        monkeypatch.setattr(callbacks.Checkpoint, "on_epoch_end", stop)
        options = {"pretrained_on": others, "pretrain_steps": 300, "counts": {"malignant": 3, "benign": 3}}
        with pytest.raises(KeyboardInterrupt):
            run(phantoms, tmp_path / "a", **options)
        images = run(phantoms, tmp_path / "a", **options).images
        assert epochs == [0, 1, 2, 0, 1]  # three of pretraining, two of the fit
        options = {"epochs": 2, "pretrained_on": others, "pretrain_steps": 300}
        synthesize = adapter.synthesizer(dense_cvae, **options)
        labels = np.repeat([0, 1], 3)
        np.testing.assert_array_equal(images, synthesize(phantoms.train, labels, 0).images)

    def test_held_out_images_are_refused(self, phantoms, tmp_path):
        with pytest.raises(ValueError, match="look like validation or test images"):
            run(phantoms, tmp_path / "a", pretrained_on=phantoms.validation)

    def test_on_the_command_line(self, tmp_path, capsys):
        options = ["--per-class", "2", "--epochs", "1", "--image-size", "20", "--out", str(tmp_path / "a")]
        options += ["--pretrain-steps", "2"]
        assert command.main(["generate", "--generator", "dense_cvae", "--pretrain-on", "phantom", *options]) == 0
        assert json.loads((tmp_path / "a" / "card.json").read_text())["pretrained_on"]["source"]
        options = ["--arms", "real,dense_cvae", "--out", str(tmp_path / "b"), "--pretrain-on", "phantom"]
        assert command.main(["study", *options]) == 2
        assert "no arm has the ending pretrained" in capsys.readouterr().err


def test_a_folder_of_images_is_read_as_a_study_reads_it(tmp_path, capsys, monkeypatch):
    make_imageset(40, 1, size=100).save(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    options = ["generate", "--data", "mine", "--generator", "dense_cvae", "--per-class", "6", "--epochs", "1"]
    assert command.main([*options, "--out", "synthetic"]) == 0
    card = json.loads((tmp_path / "synthetic" / "card.json").read_text())
    assert (card["image_shape"], card["fitted_on"]["path"]) == ([64, 64, 1], "../mine")
    assert "--image-size 96" in card["study_command"]
    assert np.asarray(Image.open(tmp_path / "synthetic" / "dark" / "dark_00001.png")).shape == (64, 64)
    assert command.main([*options, "--generator-size", "20", "--out", "small"]) == 0
    capsys.readouterr()
    options = ["study", "--data", "mine", "--classifier", "skin_cnn", "--image-size", "96", "--steps", "2"]
    options += ["--seeds", "1", "--arms", "real,folder:synthetic x0.5"]
    assert command.main([*options, "--out", "out"]) == 0
    assert "was fitted on other images" not in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    options[2], options[-1] = str(tmp_path / "mine"), f"real,folder:{tmp_path / 'synthetic'}"
    assert command.main([*options, "--folds", "3"]) == 2
    assert "every one of them is tested on; name the generator itself as an arm" in capsys.readouterr().err
