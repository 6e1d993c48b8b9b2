import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthkit import __main__ as command
from synthkit import catalogue
from synthkit.datasets import phantom
from tests.datasets.test_medmnist import arrays, write

TINY = {
    "seeds": 2,
    "simple_cnn": 6,
    "skin_cnn": 6,
    "resnet18": 2,
    "per_class": 10,
    "ratio": 1.0,
    "learning_rate": 1e-3,
}


@pytest.fixture
def tiny(monkeypatch):
    """A profile and phantoms that take seconds."""
    monkeypatch.setattr(command, "PROFILES", {key: {"fast": value, "full": value} for key, value in TINY.items()})
    monkeypatch.setattr(catalogue, "GENERATORS", dict.fromkeys(catalogue.GENERATORS, (2, 32)))
    load = phantom.load
    monkeypatch.setattr(
        phantom, "load", lambda size, **options: load(size, **options | {"train": 60, "validation": 30, "test": 40})
    )


def test_study_from_end_to_end(tiny, tmp_path, capsys):
    assert command.main(["study", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert all(arm in printed.out for arm in catalogue.ARMS)
    assert "control" in printed.out
    names = {path.name for path in tmp_path.iterdir()} - {".lock"}
    assert names == {"trials", "trials.csv", "scores.npz", "summary.csv", "report.html", "study.json"}
    trials = pd.read_csv(tmp_path / "trials.csv")
    assert len(trials) == 12
    assert (trials["status"] == "done").all()
    assert trials["n_real"].eq(20).all()
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary.columns[:12].tolist() == (
        "arm metric mean low high difference difference_low difference_high p p_holm p_equivalent verdict".split()
    )
    with np.load(tmp_path / "scores.npz", allow_pickle=False) as scores:
        assert scores["scores/cvae"].shape == (2, 40, 2)
        assert len(scores["patients"]) == 40
    assert "12/12" in printed.err
    assert command.main(["study", "--out", str(tmp_path)]) == 0
    assert "12 of 12 trials were finished before" in capsys.readouterr().err


def test_long_names_keep_their_distance():
    row = {"metric": "auc", "mean": 0.75, "low": 0.7, "high": 0.8, "difference": 0.01, "difference_low": 0.0}
    row |= {"difference_high": 0.02, "p_holm": 0.5, "verdict": "inconclusive"}
    names = ["real", "diffusion filtered x2 augmented"]
    head, *lines = command._table(pd.DataFrame([{"arm": name} | row for name in names]), []).splitlines()
    places = {head.index("AUC"), *(line.index("0.750") for line in lines)}
    assert places == {len(names[1]) + 4, len(names[1]) + 2}


def test_npz_and_chosen_arms(tiny, tmp_path, capsys):
    path = write(tmp_path / "mine.npz")
    options = ["--arms", "real, oversample", "--seeds", "1", "--image-size", "20", "--per-class", "9", "--steps", "3"]
    options += ["--jobs", "2"]
    assert command.main(["study", "--data", str(path), *options, "--out", str(tmp_path / "out")]) == 0
    assert "one seed: no verdict" in capsys.readouterr().out
    trials = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert (trials["n_real"].tolist(), trials["steps"].tolist()) == ([18, 18], [3, 3])


def test_epochs_and_kept_generators(tiny, tmp_path, capsys):
    options = ["--arms", "real,cvae", "--seeds", "2", "--epochs", "cvae=1", "--generators", str(tmp_path / "kept")]
    assert command.main(["study", *options, "--out", str(tmp_path / "one")]) == 0
    assert len(list((tmp_path / "kept").iterdir())) == 2
    assert json.loads((tmp_path / "one" / "study.json").read_text())["arms"]["dense_cvae"] == {
        "ratio": 1.0,
        "epochs": 1,
    }
    assert command.main(["study", *options, "--steps", "4", "--out", str(tmp_path / "two")]) == 0
    assert len(list((tmp_path / "kept").iterdir())) == 2
    same = [np.load(tmp_path / out / "trials" / "cvae-0.npz")["samples"] for out in ("one", "two")]
    np.testing.assert_array_equal(*same)
    assert command.main(["study", *options[:-4], "--epochs", "3", "--out", str(tmp_path / "one")]) == 2
    assert "holds another study's trials: its arms is" in capsys.readouterr().err
    further = ["--arms", "real,cvae,cgan", "--seeds", "2", "--epochs", "cvae=1, cgan=3", "--out", str(tmp_path / "one")]
    assert command.main(["study", *further]) == 0


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ("cvae=0", "expected an integer of at least 1, received '0'"),
        ("vae=3", "there is no generator 'vae'; expected some of autoencoder, cvae"),
        ("many", "received 'many'"),
        ("cvae=3,5", "there is no generator '5'"),
    ],
)
def test_epochs_that_are_none(epochs, message, capsys):
    with pytest.raises(SystemExit):
        command.main(["study", "--epochs", epochs])
    assert message in capsys.readouterr().err


def test_phantoms_are_simulated_as_many_as_it_takes(tiny, tmp_path, monkeypatch):
    asked = []
    load = phantom.load
    monkeypatch.setattr(phantom, "load", lambda size, **options: asked.append(options) or load(size, **options))
    options = ["--arms", "real", "--seeds", "1", "--out", str(tmp_path)]
    assert command.main(["study", *options]) == 0
    command.main(["study", *options, "--per-class", "15", "--out", str(tmp_path / "other")])
    assert [options["train"] for options in asked] == [200, 300]


def test_near_copies_are_told_or_left_out(tiny, tmp_path, capsys):
    made = arrays()
    for part in ("val", "test"):  # one grey level off, so not the same bytes
        made[f"{part}_images"][:6] = made["train_images"][:6] ^ (1 if part == "val" else 2)
    path = write(tmp_path / "mine.npz", **made)
    options = ["study", "--data", str(path), "--arms", "real,oversample", "--seeds", "2"]
    assert command.main([*options, "--out", str(tmp_path / "all")]) == 0
    printed = capsys.readouterr()
    assert "6 of 20 test images look like copies of training or validation images" in " ".join(printed.out.split())
    assert printed.out.count("baseline") == 2
    assert "look like copies" in (tmp_path / "all" / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "all" / "study.json").read_text())["near_duplicates"] == list(range(6))
    assert command.main([*options, "--drop-near-copies", "--out", str(tmp_path / "apart")]) == 0
    printed = capsys.readouterr()
    assert "6 of 12 validation images and 6 of 20 test images are nearly copies of others" in printed.err
    assert printed.out.count("baseline") == 1
    with np.load(tmp_path / "apart" / "scores.npz") as scores:
        assert scores["scores/real"].shape == (2, 14, 2)


def test_folder(tiny, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for label in ("benign", "malignant"):
        (tmp_path / "skin" / label).mkdir(parents=True)
        for i in range(30):
            Image.fromarray(rng.integers(0, 256, (24, 24), "uint8")).save(tmp_path / "skin" / label / f"{i}.jpg")
    options = ["--patients", r"(\w+/\d+)", "--arms", "real", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert command.main(["study", "--data", str(tmp_path / "skin"), *options]) == 0
    assert "AUC" in capsys.readouterr().out


def test_npz_of_nine_classes_in_colour(tiny, tmp_path, capsys):
    path = write(tmp_path / "pathmnist.npz", **arrays(sizes=(90, 27, 36), classes=9, channels=3))
    options = ["--arms", "real,cgan", "--classifier", "resnet18", "--seeds", "1", "--out", str(tmp_path / "out")]
    assert command.main(["study", "--data", str(path), *options]) == 0
    assert "dense_cgan" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "scores.npz", allow_pickle=False) as scores:
        assert scores["scores/cgan"].shape == (1, 36, 9)


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
    """Inputs that make no study, by name."""
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
    (tmp_path / "skin" / "b" / "7.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (tmp_path / "one" / "a").mkdir(parents=True)
    Image.new("L", (9, 9)).save(tmp_path / "one" / "a" / "1.png")
    (tmp_path / "file").write_text("in the way")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "{}/none.npz"], "none.npz does not exist"),
        (["--data", "{}/none"], "is neither a file nor a folder nor a set by name"),
        (["--data", "{}/other.npz"], "is not a MedMNIST file: it lacks val_labels"),
        (["--data", "{}/pickled.npz"], "holds pickled objects"),
        (["--data", "{}/cut.npz"], "is damaged or not an npz file"),
        (["--data", "{}/few.npz"], "too few images, 1 of class 0"),
        (["--data", "{}/one"], "holds 1 folder with images (a)"),
        (["--data", "{}/skin"], "7.jpg cannot be read as an image"),
        (["--data", "{}/skin", "--patients", "("], "not a regular expression"),
        (["--patients", "x"], "--patients is for folders"),
        (["--arms", "real,magic"], "there is no arm 'magic'"),
        (["--data", "{}/few.npz", "--arms", "oracle"], "exists on phantoms only"),
        (["--seeds", "0"], "expected an integer of at least 1, received '0'"),
        (["--out", "{}/file/out"], "cannot be written (Not a directory)"),
        (["--recipe", "medmnist", "--steps", "9"], "--recipe says how many steps there are; leave --steps out"),
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


def test_another_studys_folder(tiny, tmp_path, capsys):
    options = ["study", "--arms", "real", "--out", str(tmp_path)]
    assert command.main(options) == 0
    capsys.readouterr()
    assert command.main([*options, "--image-size", "24"]) == 2
    assert "holds another study's trials: its images are others" in capsys.readouterr().err
    assert command.main([*options, "--mixed-precision"]) == 2
    assert "its mixed_precision is None, here it is True" in capsys.readouterr().err


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
        [sys.executable, "-m", "synthkit", "study", "--help"], capture_output=True, text=True, check=True
    )
    assert max(map(len, done.stdout.splitlines())) <= 120
    for word in ("--data", "--seeds", "oversample", "profiles"):
        assert word in done.stdout
