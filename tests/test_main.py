import dataclasses
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from urllib.error import URLError

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthkit import __main__ as command
from synthkit import _meaning, _option_checks, catalogue, classifiers, study
from synthkit._options import PROFILES, parser
from synthkit.datasets import phantom
from tests.conftest import ROOT, make_imageset
from tests.datasets.test_medmnist import arrays, write

PROFILE = {"seeds": 2, "per_class": 10, "ratio": 1.0, "learning_rate": 1e-3}


@pytest.fixture
def tiny(monkeypatch):
    """A profile, generators and phantoms that take seconds."""
    for key, value in PROFILE.items():
        monkeypatch.setitem(PROFILES, key, {"fast": value, "full": value})
    for name, row in catalogue.CLASSIFIERS.items():
        steps = 2 if name == "resnet18" else 6
        if row.steps:
            monkeypatch.setitem(catalogue.CLASSIFIERS, name, row._replace(steps={"fast": steps, "full": steps}))
    monkeypatch.setattr(catalogue, "AUTO", ("skin_cnn",))
    for name, row in catalogue.GENERATORS.items():
        monkeypatch.setitem(catalogue.GENERATORS, name, row._replace(epochs=2, batch_size=32))
    load = phantom.load
    monkeypatch.setattr(
        phantom, "load", lambda size, **options: load(size, **options | {"train": 60, "validation": 30, "test": 60})
    )


def test_study_from_end_to_end(tiny, tmp_path, capsys):
    options = ["study", "--seeds", "3", "--per-class", "4", "--out", str(tmp_path)]
    assert command.main(options) == 0
    printed = capsys.readouterr()
    assert all(arm in printed.out for arm in catalogue.DEFAULT_ARMS if arm != "more_real")
    assert "positive control" in printed.out
    assert "negative control" in printed.out
    assert "Expected before the study, from simulations: 60 test images" in " ".join(printed.out.split())
    names = {path.name for path in tmp_path.iterdir()} - {".lock"}
    assert names == {"trials", "trials.csv", "scores.npz", "summary.csv", "report.html", "study.json"}
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert len(trials) == 21
    assert (trials["status"] == "done").all()
    assert trials["n_real"].eq(8).all()
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary.columns[:12].tolist() == (
        "arm metric mean low high difference difference_low difference_high p p_holm p_equivalent verdict".split()
    )
    with np.load(tmp_path / "scores.npz", allow_pickle=False) as scores:
        assert scores["scores/dense_cvae"].shape == (3, 60, 2)
        assert len(scores["patients"]) == 60
    assert "21/21" in printed.err
    assert command.main(options) == 0
    assert "21 of 21 trials were finished before" in capsys.readouterr().err


class TestDefaultFolder:
    def folder(self, *options):
        return _meaning.default_folder(command.parser().parse_args(["study", *options]))

    def test_named_after_the_data_and_the_settings(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for path in ("a/skin images", "b/skin images"):
            (tmp_path / path).mkdir(parents=True)
        commands = [
            [],
            ["--seeds", "3"],
            ["--arms", "real,augmentation"],
            ["--arms", "real,elastic"],
            ["--augment", "rotation=5"],
            ["--data", "a/skin images"],
            ["--data", "b/skin images"],
            ["--data", "breastmnist"],
            ["--data", "x/breastmnist_64 (1).npz"],
        ]
        names = [self.folder(*options) for options in commands]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"synthkit-study-phantom-[0-9a-f]{6}", name) for name in names[:5])
        assert f"`{names[0]}`" in (ROOT / "README.md").read_text(encoding="utf-8")
        assert all(name.startswith("synthkit-study-skin-images-") for name in names[5:7])
        assert names[7].startswith("synthkit-study-breastmnist-")
        assert names[8].startswith("synthkit-study-breastmnist_64-1-")

    def test_the_same_study_in_other_words_has_the_same(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "skin").mkdir()
        for one, other in (
            ([], ["--jobs", "2"]),
            ([], ["--data", "phantom", "--generators", "kept"]),
            (["--arms", "real,elastic"], ["--arms", "real, elastic"]),
            (["--data", "skin"], ["--data", str(tmp_path / "skin") + "/"]),
        ):
            assert self.folder(*one) == self.folder(*other)

    def test_the_same_command_resumes(self, tiny, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        options = ["study", "--arms", "real,augmentation", "--seeds", "1"]
        assert command.main(options) == 0
        (out,) = tmp_path.iterdir()
        printed = capsys.readouterr()
        assert f"results: {out.name}" in printed.err
        assert str(Path(out.name) / "report.html") in printed.out
        assert command.main(options) == 0
        assert "2 of 2 trials were finished before" in capsys.readouterr().err
        assert command.main([*options[:-1], "2"]) == 0
        assert len(list(tmp_path.iterdir())) == 2


def test_npz_and_chosen_arms(tiny, tmp_path, capsys, monkeypatch):
    """`--jobs` is passed on; `tests/study/test_trial.py` runs trials in several processes."""
    from synthkit import study

    run = study.run
    monkeypatch.setattr(study, "run", lambda *data, n_jobs, **options: jobs.append(n_jobs) or run(*data, **options))
    jobs = []
    path = write(tmp_path / "mine.npz")
    options = ["--arms", "real, oversample", "--seeds", "1", "--image-size", "20", "--per-class", "9", "--steps", "3"]
    options += ["--jobs", "2"]
    assert command.main(["study", "--data", str(path), *options, "--out", str(tmp_path / "out")]) == 0
    assert "one seed: no verdict" in capsys.readouterr().out
    trials = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert (trials["n_real"].tolist(), trials["steps"].tolist(), jobs) == ([18, 18], [3, 3], [2])


def test_no_more_validation_images_than_a_trial_trains_on(tiny, tmp_path, capsys):
    from synthkit import study

    path, out = write(tmp_path / "mine.npz"), tmp_path / "out"
    options = ["--arms", "real", "--seeds", "1", "--per-class", "3", "--steps", "3", "--out", str(out)]
    assert command.main(["study", "--data", str(path), *options]) == 0
    assert "more than the 6 that a trial trains on, of which 6 are used" in " ".join(capsys.readouterr().err.split())
    results = study.load(out)
    assert len(results.validation.labels) == 6
    assert "of which 6 are used" in results.settings["about"]["notes"][0]


def test_folds_test_on_the_images_of_all_sets(tiny, tmp_path):
    from synthkit import study

    path, images = write(tmp_path / "mine.npz"), arrays()
    options = ["--arms", "real", "--seeds", "1", "--steps", "3", "--folds", "3", "--out", str(tmp_path / "out")]
    assert command.main(["study", "--data", str(path), "--per-class", "3", *options]) == 0
    everything = sum(len(images[f"{part}_labels"]) for part in ("train", "val", "test"))
    assert len(study.load(tmp_path / "out").labels) == everything


def test_images_of_several_sets_that_look_alike_stay_in_one_fold(tiny, tmp_path, capsys):
    from synthkit import study

    path, images = tmp_path / "mine.npz", arrays()
    images["test_images"][:2] = images["train_images"][:2] ^ 1  # as frames of one lesion
    np.savez(path, **images)
    options = [
        "study",
        "--data",
        str(path),
        "--arms",
        "real",
        "--seeds",
        "2",
        "--steps",
        "3",
        "--group-near-duplicates",
    ]
    assert command.main([*options, "--folds", "3", "--out", str(tmp_path / "out")]) == 0
    assert "4 of" in capsys.readouterr().err
    results = study.load(tmp_path / "out")
    _, sizes = np.unique(results.patients, return_counts=True)
    assert np.sort(sizes)[-3:].tolist() == [1, 2, 2]
    for folds in results.folds["real"]:
        assert all(len(set(folds[results.patients == patient])) == 1 for patient in results.patients)
    assert results.settings["near_duplicates"] == []
    assert results.settings["about"]["grouped"]
    assert command.main([*options, "--out", str(tmp_path / "other")]) == 2
    assert "study also takes it with --folds" in capsys.readouterr().err
    assert command.main(["study", "--folds", "3", "--group-near-duplicates"]) == 2
    assert "no two phantoms are near-duplicates" in capsys.readouterr().err
    assert command.main(["study", "--folds", "3", "--drop-near-duplicates"]) == 2
    assert "--group-near-duplicates" not in capsys.readouterr().err


def test_folds_of_images_that_look_alike_take_small_classes(tiny, tmp_path):
    from synthkit import study

    path, labels = tmp_path / "mine.npz", {"train": 7, "val": 2, "test": 3}
    images = arrays()
    for part, rare in labels.items():
        images[f"{part}_labels"] = (np.arange(len(images[f"{part}_labels"])) >= rare).astype("uint8")[:, None]
    np.savez(path, **images)
    options = ["--arms", "real", "--seeds", "1", "--steps", "3", "--folds", "3", "--group-near-duplicates"]
    assert command.main(["study", "--data", str(path), *options, "--out", str(tmp_path / "out")]) == 0
    assert np.bincount(study.load(tmp_path / "out").labels).tolist() == [12, 50]


@pytest.mark.parametrize(
    ("options", "known"),
    [
        (["--data", "breastmnist"], False),
        (["--data", "{}", "--patients", "(.+)"], True),
        (["--data", "{}/prepared"], True),
        (["--data", "{}", "--labels", "{}/ham.csv"], True),
        (["--data", "{}", "--labels", "{}/plain.csv"], False),
    ],
)
def test_whether_patients_are_known(tmp_path, options, known):
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "prepare.json").write_text("{}")
    (tmp_path / "ham.csv").write_text("lesion_id,image_id,dx\nHAM_0,ISIC_0,mel\nHAM_1,ISIC_1,nv\n")
    (tmp_path / "plain.csv").write_text("image_id,dx\nISIC_0,mel\nISIC_1,nv\n")
    arguments = parser().parse_args(["study", *(option.format(tmp_path) for option in options)])
    assert _meaning.patients_known(arguments) == known


@pytest.mark.parametrize("per_class", [1, 2])
def test_few_phantoms_have_validation_images_of_both_classes(tiny, tmp_path, per_class):
    options = ["--arms", "real", "--seeds", "1", "--steps", "3", "--per-class", str(per_class)]
    assert command.main(["study", *options, "--out", str(tmp_path)]) == 0


def test_pretrained_generators_and_what_they_learned_first(tiny, tmp_path, capsys):
    path, out = write(tmp_path / "mine.npz"), tmp_path / "out"
    study = ["study", "--data", str(path), "--seeds", "1", "--image-size", "20", "--per-class", "9", "--steps", "3"]
    study += ["--pretrain-steps", "4"]
    arms = ["--arms", "real,dense_cvae x1,dense_cvae pretrained x1", "--classifier", "skin_cnn", "--out", str(out)]
    assert command.main([*study, *arms, "--pretrain-on", "phantom"]) == 0
    trials = pd.read_csv(out / "trials.csv")
    assert trials["status"].tolist() == ["done"] * 3
    stored = json.loads((out / "study.json").read_text())
    assert stored["about"]["pretrained_on"] == "phantom"
    assert stored["arms"]["dense_cvae pretrained x1"]["pretrained_on"] == "phantom, 60 images, 4 steps"
    assert "first took 4 gradient steps, once for all seeds, on simulated masses" in " ".join(
        (out / "report.html").read_text().split()
    )
    assert command.main([*study, *arms]) == 2
    assert "--pretrain-steps needs images to pretrain on" in capsys.readouterr().err
    assert command.main([*study[:-2], *arms]) == 2
    assert (
        "dense_cvae pretrained x1 needs images to pretrain on; give them with --pretrain-on" in capsys.readouterr().err
    )
    assert command.main([*study, *arms, "--pretrain-on", str(path)]) == 2
    expected = (
        "pretrained_on of dense_cvae pretrained x1 is phantom, 60 images, 4 steps, here it is mine train, 30 images"
    )
    assert expected in capsys.readouterr().err


def test_epochs_and_kept_generators(tiny, tmp_path, capsys):
    study, one, two = ["study", "--seeds", "1"], ["--out", str(tmp_path / "one")], ["--out", str(tmp_path / "two")]
    arms = ["--arms", "real,dense_cvae"]
    kept = ["--epochs", "dense_cvae=1", "--generators", str(tmp_path / "kept")]
    assert command.main([*study, *arms, *kept, *one]) == 0
    assert len(list((tmp_path / "kept").glob("*.keras"))) == 1
    arm = json.loads((tmp_path / "one" / "study.json").read_text())["arms"]["dense_cvae"]
    assert (arm["ratio"], arm["epochs"]) == (1.0, 1)
    assert command.main([*study, *arms, *kept, "--steps", "4", *two]) == 0
    assert len(list((tmp_path / "kept").glob("*.keras"))) == 1
    samples = [np.load(tmp_path / out / "trials" / "dense_cvae-0.npz")["samples"] for out in ("one", "two")]
    np.testing.assert_array_equal(*samples)
    assert command.main([*study, *arms, "--epochs", "3", *one]) == 2
    assert "epochs of dense_cvae is 1, here it is 3" in capsys.readouterr().err
    assert command.main([*study, "--arms", "real,dense_cgan", "--epochs", "dense_cvae=1, dense_cgan=3", *one]) == 0


def test_a_study_that_is_resumed_keeps_its_question(tiny, tmp_path, capsys):
    path = write(tmp_path / "mine.npz", **arrays((60, 30, 120)))
    make_imageset(20, 1, name="a").save(tmp_path / "a")
    for old, new in (("bright", "class 0"), ("dark", "class 1")):
        (tmp_path / "a" / old).rename(tmp_path / "a" / new)
    options = ["study", "--data", str(path), "--arms", f"real,folder:{tmp_path / 'a'}", "--seeds", "3", "--steps", "2"]
    options += ["--baseline", f"folder:{tmp_path / 'a'}", "--out", str(tmp_path / "out")]
    assert command.main([*options, "--margin", "0.2", "--metric", "sensitivity"]) == 0
    assert "stays" not in capsys.readouterr().err
    protocol = json.loads((tmp_path / "out" / "study.json").read_text())["protocol"]
    assert (protocol["baseline"], protocol["margin"], protocol["metric"]) == ("folder a", 0.2, "sensitivity")
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary.loc[summary["arm"] == "real", "difference"].notna().all()
    assert command.main(options) == 0  # with the margin and the metric of the protocol
    printed = capsys.readouterr()
    assert "stays" not in printed.err
    assert "the difference in sensitivity, 0.2," in " ".join(printed.out.split())
    assert not pd.read_csv(tmp_path / "out" / "summary.csv")["exploratory"].all()
    assert command.main([*options, "--margin", "0.1", "--metric", "auc"]) == 0
    printed = capsys.readouterr()
    assert "and stays: margin 0.2, not 0.1, metric sensitivity, not auc" in printed.err
    assert "the difference in sensitivity, 0.1," in " ".join(printed.out.split())


def test_a_baseline_that_is_no_arm_is_refused(splits, tmp_path):
    arms = [study.Arm("one"), study.Arm("two")]
    with pytest.raises(ValueError, match="baseline must be one of the arms one, two. Received: 'three'"):
        study.run(splits, arms, out=tmp_path, classifier=classifiers.skin_cnn, baseline="three")


def test_old_names_of_arms_are_accepted_with_a_note(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("synthkit.study.run", lambda splits, arms, **options: stop([arm.name for arm in arms]))
    assert command.main(["study", "--arms", "real,cvae x2", "--epochs", "cvae=3", "--out", str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert "note: cvae is now called dense_cvae" in printed
    assert "['real', 'dense_cvae x2']" in printed


def stop(result):
    """Ends a command where a test has seen enough."""
    raise ValueError(result)


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ("dense_cvae=0", "expected an integer of at least 1, received '0'"),
        ("vae=3", "there is no generator 'vae'; expected names from autoencoder, dense_cvae"),
        ("many", "received 'many'"),
        ("dense_cvae=3,5", "there is no generator '5'"),
    ],
)
def test_invalid_epochs(epochs, message, capsys):
    with pytest.raises(SystemExit):
        command.main(["study", "--epochs", epochs])
    assert message in capsys.readouterr().err


def test_twenty_times_as_many_phantoms_as_a_seed_draws_are_simulated(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(phantom, "load", lambda size, train, validation: stop(f"{train}, {validation} phantoms"))
    for option, number in (([], "200, 20"), (["--per-class", "15"], "300, 30")):
        assert command.main(["study", "--arms", "real", *option, "--out", str(tmp_path)]) == 2
        assert f"{number} phantoms" in capsys.readouterr().err


def test_near_duplicates_are_reported_or_dropped(tiny, tmp_path, capsys):
    images = arrays()
    for part in ("val", "test"):  # one grey level off, so not the same bytes
        images[f"{part}_images"][:6] = images["train_images"][:6] ^ (1 if part == "val" else 2)
    path = write(tmp_path / "mine.npz", **images)
    options = ["study", "--data", str(path), "--arms", "real", "--seeds", "1"]
    assert command.main([*options, "--out", str(tmp_path / "all")]) == 0
    printed = capsys.readouterr()
    assert "6 of 20 test images look like training or validation images" in " ".join(printed.out.split())
    assert printed.out.count("baseline") == 4  # of AUC, sensitivity, the gap, and AUC without near-duplicates
    assert "look like training" in (tmp_path / "all" / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "all" / "study.json").read_text())["near_duplicates"] == list(range(6))
    assert command.main([*options, "--drop-near-duplicates", "--out", str(tmp_path / "dropped")]) == 0
    printed = capsys.readouterr()
    assert "6 of 12 validation images and 6 of 20 test images" in printed.err
    assert len(re.findall("  baseline$", printed.out, re.M)) == 3
    with np.load(tmp_path / "dropped" / "scores.npz") as scores:
        assert scores["scores/real"].shape == (1, 14, 2)


def test_folder(tiny, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for label in ("benign", "malignant"):
        (tmp_path / "skin" / label).mkdir(parents=True)
        for i in range(30):
            Image.fromarray(rng.integers(0, 256, (24, 24), "uint8")).save(tmp_path / "skin" / label / f"{i}.jpg")
    options = ["--patients", r"(\w+/\d+)", "--arms", "real", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert command.main(["study", "--data", str(tmp_path / "skin"), *options]) == 0
    assert "AUC" in capsys.readouterr().out
    table = "file,patient,site\n" + "\n".join(
        f"{label}/{i}.jpg,{label}{i},site {i % 2}" for label in ("benign", "malignant") for i in range(30)
    )
    (tmp_path / "skin.csv").write_text(table)
    options = [*options[2:], "--patients", str(tmp_path / "skin.csv"), "--groups", "site", "--prevalence", "0.01"]
    assert command.main(["study", "--data", str(tmp_path / "skin"), *options, "--out", str(tmp_path / "groups")]) == 0
    about = json.loads((tmp_path / "groups" / "study.json").read_text())["about"]
    assert set(about["groups"]) == {"site 0", "site 1"}
    assert about["prevalence"] == 0.01
    assert about["commands"][0].startswith(f"python -m synthkit study --data {tmp_path / 'skin'} --arms real")
    assert about["classifier"] == catalogue.CLASSIFIERS["skin_cnn"].text


@pytest.mark.parametrize("images", [3, 5])
def test_images_of_one_patient_that_are_drawn_one_by_one_are_noted(splits, images):
    patients = [f"T{i // images}" for i in range(len(splits.train))]
    several = dataclasses.replace(splits, train=dataclasses.replace(splits.train, patients=patients))
    with warnings.catch_warnings(record=True, action="always") as noted:
        _option_checks.draws(several, 5)
        _option_checks.draws(several, None)
    assert len(noted) == (images > 4)


@pytest.mark.parametrize("classifier", ["simple_cnn", pytest.param("resnet18", marks=pytest.mark.slow)])
def test_npz_of_nine_classes_in_colour(tiny, tmp_path, capsys, classifier):
    path = write(tmp_path / "pathmnist.npz", **arrays(sizes=(90, 27, 36), classes=9, channels=3))
    options = ["--arms", "real,dense_cgan", "--classifier", classifier, "--seeds", "1", "--out", str(tmp_path / "out")]
    assert command.main(["study", "--data", str(path), *options]) == 0
    assert "dense_cgan" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "scores.npz", allow_pickle=False) as scores:
        assert scores["scores/dense_cgan"].shape == (1, 36, 9)


def test_folder_in_the_layout_of_the_skin_lesion_set(tiny, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for part, count in (("train", 24), ("test", 10)):
        for label in ("benign", "malignant"):
            (tmp_path / "skin" / part / label).mkdir(parents=True)
            for i in range(count):
                image = Image.fromarray(rng.integers(0, 256, (224, 224, 3), "uint8"))
                image.save(tmp_path / "skin" / part / label / f"{i}.jpg")
    options = ["--image-size", "32", "--arms", "real,dcgan", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert command.main(["study", "--data", str(tmp_path / "skin"), *options]) == 0
    assert "dcgan" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "trials" / "dcgan-0.npz", allow_pickle=False) as trial:
        assert trial["samples"].shape[1:] == (32, 32, 3)


@pytest.fixture
def broken(tmp_path):
    """Inputs that cannot be used."""
    write(tmp_path / "other.npz", val_labels=None)
    write(tmp_path / "pickled.npz", test_images=np.array([{}], object))
    write(tmp_path / "cut.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-4000])
    few = arrays(sizes=(63, 12, 20))
    few["train_labels"] = (np.arange(63) >= 3).astype("uint8")
    few["val_labels"] = (np.arange(12) >= 1).astype("uint8")
    np.savez(tmp_path / "few.npz", **few)
    for label in ("a", "b"):
        (tmp_path / "skin" / label).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (9, 9), "uint8")).save(
                tmp_path / "skin" / label / f"{i}.jpg"
            )
    (tmp_path / "skin" / "b" / "7.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    (tmp_path / "one" / "a").mkdir(parents=True)
    Image.new("L", (9, 9)).save(tmp_path / "one" / "a" / "1.png")
    (tmp_path / "file").write_text("in the way")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "{}/none.npz"], "none.npz does not exist"),
        (["--data", "{}/none"], "is neither a file, a folder nor the name of a data set"),
        (["--data", "{}/other.npz"], "is not a MedMNIST file: it lacks val_labels"),
        (["--data", "{}/pickled.npz"], "pickled objects"),
        (["--data", "{}/cut.npz"], "is damaged or not an npz file"),
        (["--data", "{}/few.npz"], "too few images, 1 of class 0"),
        (["--data", "{}/one"], "holds one folder with images, a"),
        (["--data", "{}/skin"], "7.jpg cannot be read as an image"),
        (["--data", "{}/skin", "--patients", "("], "not a regular expression"),
        (["--patients", "x"], "--patients is for folders"),
        (["--arms", "real,magic"], "there is no arm 'magic'"),
        (["--data", "{}/few.npz", "--arms", "oracle"], "it exists for phantoms only"),
        (["--seeds", "0"], "expected an integer of at least 1, received '0'"),
        (["--out", "{}/file/out"], "cannot be written (Not a directory)"),
        (["--recipe", "medmnist", "--steps", "9"], "--recipe determines the number of steps; remove --steps"),
        (["--positive", "grey"], "positive must be one of malignant, benign"),
    ],
)
def test_one_sentence_and_exit_status_2(tiny, broken, capsys, arguments, says):
    arguments = [argument.format(broken) for argument in arguments]
    if "--out" not in arguments:
        arguments += ["--out", str(broken / "out")]
    try:
        status = command.main(["study", *arguments])
    except SystemExit as stop:  # argparse's way
        status = stop.code
    printed = capsys.readouterr()
    assert status == 2
    assert says in printed.err
    assert "Traceback" not in printed.err
    errors = [line for line in printed.err.splitlines() if "error: " in line or line.startswith("synthkit: ")]
    assert len(errors) == 1


def test_the_folder_of_another_study_is_refused(tiny, tmp_path, capsys):
    options = ["study", "--arms", "real", "--out", str(tmp_path)]
    assert command.main(options) == 0
    capsys.readouterr()
    assert command.main([*options, "--image-size", "24"]) == 2
    assert "holds trials on other images" in capsys.readouterr().err
    assert command.main([*options, "--mixed-precision"]) == 2
    assert "mixed_precision is None, here it is True" in capsys.readouterr().err


def test_failed_trials_are_counted(tiny, tmp_path, capsys, monkeypatch):
    from synthkit import study

    def broken(train, labels, seed):
        raise RuntimeError("no luck")

    monkeypatch.setattr(study, "oversample", broken)
    assert command.main(["study", "--arms", "real,oversample", "--out", str(tmp_path)]) == 2
    assert "2 trials failed" in capsys.readouterr().err
    assert "no luck" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_module_runs_and_helps():
    done = subprocess.run(
        [sys.executable, "-m", "synthkit", "study", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: python -m synthkit study [options]")
    assert max(map(len, done.stdout.splitlines())) <= 120
    for word in ("--data", "profiles", "examples", *catalogue.texts(), *catalogue.ENDINGS, *catalogue.CLASSIFIERS):
        assert word in done.stdout


def test_the_console_command_has_its_own_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/synthkit"])
    with pytest.raises(SystemExit):
        command.main(["prepare", "--help"])
    assert capsys.readouterr().out.startswith("usage: synthkit prepare ")


class TestClassifiers:
    def test_the_best_on_real_images_is_chosen_and_shown(self, tiny, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(catalogue, "AUTO", ("frozen", "skin_cnn"))
        path, out = write(tmp_path / "mine.npz", **arrays()), tmp_path / "out"
        options = ["study", "--data", str(path), "--arms", "augmentation", "--seeds", "2", "--out", str(out)]
        assert command.main(options) == 0
        printed = capsys.readouterr()
        assert re.search(r"classifier: (frozen|skin_cnn), the best AUC with real images only, augmented", printed.out)
        assert "note: the arm real was added, as the baseline" in printed.err
        assert "Sensitivity (" in printed.out
        assert "chosen" in json.loads((out / "study.json").read_text())
        assert list((out / "features").glob("*.npy")) or "classifier: skin_cnn" in printed.out

    @pytest.mark.parametrize(("given", "seen"), [(None, 96), (40, 96), (160, 160)])
    def test_frozen_networks_see_images_at_the_size_that_was_asked_for(self, given, seen):
        options = ["--image-size", str(given)] * (given is not None)
        for name in ("frozen", "fine_tuned", "fine_tuned:MobileNetV2"):
            arguments = command.parser().parse_args(["study", "--data", "mine", "--classifier", name, *options])
            (row,) = _meaning.classifiers(arguments).values()
            builder = catalogue.build(row)
            assert builder.image_size == seen
            assert builder.__name__.endswith(f", {seen} pixels")
        auto = _meaning.classifiers(command.parser().parse_args(["study", "--data", "mine", *options]))
        sizes = [getattr(catalogue.build(row), "image_size", None) for row in auto.values()]
        assert sizes == [seen, seen, None]

    def test_images_that_are_larger_than_what_a_network_sees(self):
        rows = _meaning.classifiers(command.parser().parse_args(["study", "--data", "mine"]))
        with pytest.warns(
            UserWarning, match="128 pixels a side, of which frozen sees 96 and fine_tuned sees 96; --image"
        ):
            _option_checks.seen(128, rows)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            _option_checks.seen(96, rows)

    @pytest.mark.parametrize("options", [["--positive", "neither"], ["--arms", "real,dense_cvae pretrained"]])
    def test_nothing_is_chosen_for_a_study_that_is_refused(self, options, tiny, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(catalogue, "AUTO", ("frozen", "skin_cnn"))
        monkeypatch.setattr(study, "choose", lambda *_, **__: pytest.fail("trained"))
        path, out = write(tmp_path / "mine.npz", **arrays()), tmp_path / "out"
        study_options = ["--arms", "augmentation", "--seeds", "2", "--out", str(out), *options]
        assert command.main(["study", "--data", str(path), *study_options]) == 2
        assert re.search("positive must be one of|needs images to pretrain on", capsys.readouterr().err)

    def test_options_that_the_choice_would_drop(self, tiny, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(catalogue, "AUTO", ("frozen", "skin_cnn"))
        path = write(tmp_path / "mine.npz", **arrays())
        for option in (["--steps", "9"], ["--recipe", "medmnist"], ["--mixed-precision"]):
            assert command.main(["study", "--data", str(path), *option, "--out", str(tmp_path / "out")]) == 2
            expected = f"as {option[0]} supposes; name a classifier that is (--classifier skin_cnn), or remove"
            assert expected in " ".join(capsys.readouterr().err.split())

    def test_other_weights_are_another_study(self, tiny, tmp_path, capsys):
        network = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
        path, weights = write(tmp_path / "mine.npz", **arrays()), tmp_path / "mine.weights.h5"
        options = ["study", "--data", str(path), "--classifier", "VGG16", "--weights", str(weights), "--arms", "real"]
        options += ["--seeds", "1", "--image-size", "32", "--out", str(tmp_path / "out")]
        network.save_weights(weights)
        assert command.main(options) == 0
        network.set_weights([1.1 * values for values in network.get_weights()])
        network.save_weights(weights)
        assert command.main(options) == 2
        assert re.search(r"classifier is frozen VGG16 \w{8}, 96 pixels, here it is", capsys.readouterr().err)

    def test_bad_choices(self, tiny, tmp_path, capsys):
        for options, message in (
            (["--classifier", "frozen", "--steps", "9"], "as --steps supposes; remove --steps"),
            (["--classifier", "frozen", "--mixed-precision"], "as --mixed-precision supposes; remove"),
            (["--classifier", "frozn"], "there is no classifier 'frozn' (did you mean 'frozen'?)"),
            (["--classifier", "VGG16", "--weights", "no.h5"], "there is no file no.h5"),
            (["--classifier", "fine_tuned", "--weights", "none"], "--weights are those of a Keras application"),
            (["--data", "cbis_ddsm_crops", "--weights", "none"], "remove them. Received: --classifier auto"),
            (
                ["--classifier", "frozen", "--arms", "real,oversample first"],
                "is not trained in steps; leave out the arm",
            ),
        ):
            assert command.main(["study", *options, "--out", str(tmp_path / "out")]) == 2
            assert message in " ".join(capsys.readouterr().err.split())
            assert not (tmp_path / "out").exists()
        with pytest.raises(SystemExit):
            command.main(["study", "--operating-point", "accuracy"])
        assert "an operating point is youden" in " ".join(capsys.readouterr().err.split())

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            (["frozen"], "ImageNet features of EfficientNet-Lite0"),
            pytest.param(["fine_tuned"], "the same network, with its last layers trained", marks=pytest.mark.slow),
            pytest.param(["resnet18"], "ResNet-18", marks=pytest.mark.slow),
            (["vgg16", "--weights", "FILE"], "frozen features of VGG16"),
            (["VGG16", "--weights", "none", "--steps", "1", "--image-size", "32"], "VGG16 of Keras, from random"),
            (["mine_of_a_test:network", "--steps", "2"], "a classifier of your own"),
        ],
    )
    def test_what_people_try_runs(self, tiny, tmp_path, capsys, monkeypatch, options, name):
        code = "from synthkit import classifiers\n\n\ndef network(*shape):\n    return classifiers.skin_cnn(*shape)\n"
        (tmp_path / "mine_of_a_test.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        if "FILE" in options:
            network = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
            network.save_weights(tmp_path / "vgg16.weights.h5")
            options = [str(tmp_path / "vgg16.weights.h5") if word == "FILE" else word for word in options]
        path, out = write(tmp_path / "mine.npz", **arrays()), tmp_path / "out"
        study = ["study", "--data", str(path), "--arms", "real,oversample", "--seeds", "1", "--out", str(out)]
        assert command.main([*study, "--classifier", *options]) == 0
        assert "one seed: no verdict" in capsys.readouterr().out
        assert name in json.loads((out / "study.json").read_text())["about"]["classifier"]

    def test_without_the_internet_a_sentence_says_where_to_put_the_file(self, tiny, tmp_path, capsys, monkeypatch):
        def unreachable(*_):
            raise URLError("no internet")

        monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
        monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path / "home"))
        path, out = write(tmp_path / "mine.npz", **arrays()), tmp_path / "out"
        assert command.main(["study", "--data", str(path), "--classifier", "VGG16", "--out", str(out)]) == 2
        (error,) = [line for line in capsys.readouterr().err.split("\n\n") if "could not be downloaded" in line]
        text = " ".join(error.split())
        assert "download vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 on another machine and copy it to" in text
        assert "Traceback" not in text
