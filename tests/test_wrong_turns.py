"""Wrong turns on the command line: each ends in one sentence that says the way."""

import subprocess
import sys

import pytest

import synthkit
from synthkit import __main__ as command
from synthkit import catalogue


def said(capsys, *arguments):
    """Returns the error that a command ends with, whoever says it."""
    try:
        status = command.main(list(arguments))
    except SystemExit as stop:  # argparse's way
        status = stop.code
    assert status == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "quoted"),
    [
        (["real,", "dense_cvae", "filtered"], "real, dense_cvae filtered"),
        (["real,diffusion", "x2", "--seeds", "3"], "real,diffusion x2"),
        (["real,folder:my", "images"], "real,folder:my images"),
    ],
)
def test_list_of_arms_without_quotes(words, quoted, capsys):
    message = said(capsys, "study", "--arms", *words)
    assert message.endswith(f'Put a list of arms in quotes if it has spaces: --arms "{quoted}"')


def test_other_unknown_words(capsys):
    assert said(capsys, "study", "--arm-list", "real").endswith("unrecognized arguments: --arm-list real")
    assert said(capsys, "study", "phantom").endswith("unrecognized arguments: phantom")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("diffusion:5", "diffusion x5"),
        ("diffusion=2", "diffusion x2"),
        ("conv_cgan*3", "conv_cgan x3"),
        ("conv_cgan×3", "conv_cgan x3"),
        ("dense-cvae", "dense_cvae"),
        ("difusion x2", "diffusion x2"),
        ("dense_cvae augmented filtered", "dense_cvae filtered augmented"),
        ("Oracle", "oracle"),
    ],
)
def test_arm_that_is_nearly_one(name, meant, capsys):
    assert f"there is no arm {name!r} (did you mean {meant!r}?)" in said(capsys, "study", "--arms", f"real,{name}")
    catalogue.check([meant])


def test_arm_that_is_none(capsys):
    assert "there is no arm 'magic'; expected one of real," in said(capsys, "study", "--arms", "magic")


@pytest.mark.parametrize("name", ["study", "generate"])
def test_data_that_are_none(name, tmp_path, capsys):
    options = ["--out", str(tmp_path / "out")]
    if name == "generate":
        options += ["--generator", "dense_cvae", "--per-class", "3"]
    cases = {
        "labels.csv": "is a table: give the folder of its images with --data, and the table with --labels",
        "images.zip": "is an archive: unpack it, and give the folder that holds a folder of images for each class",
        "one.PNG": "is one image: give the folder that holds a folder of images for each class",
        "thesis.docx": "is a file of another kind; expected phantom, cbis_ddsm_crops, an npz file",
    }
    for file, message in cases.items():
        (tmp_path / file).touch()
        assert message in said(capsys, name, "--data", str(tmp_path / file), *options)
    assert "(did you mean 'breastmnist'?)" in said(capsys, name, "--data", "BreastMNST", *options)
    assert not (tmp_path / "out").exists()


def test_classifier_and_generator_that_are_none(capsys):
    message = said(capsys, "study", "--classifier", "resnet-18")
    assert "there is no classifier 'resnet-18' (did you mean 'resnet18'?); expected auto, frozen" in message
    assert message.endswith("or module:function of your own")
    message = said(capsys, "generate", "--generator", "gan", "--per-class", "3", "--out", "x")
    assert "there is no generator 'gan'" in message


def test_failed_study_leaves_no_folder(tmp_path, capsys):
    said(capsys, "study", "--positive", "grey", "--out", str(tmp_path / "deep" / "out"))
    said(capsys, "prepare", "--cbis-ddsm", str(tmp_path / "none"), "--out", str(tmp_path / "deep" / "out"))
    assert not (tmp_path / "deep").exists()


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"synthkit {synthkit.__version__}\n"


@pytest.mark.parametrize("name", [[], ["study"], ["generate"], ["prepare"]])
def test_help_ends_with_examples(name):
    done = subprocess.run(
        [sys.executable, "-m", "synthkit", *name, "--help"], capture_output=True, text=True, check=True
    )
    assert "\nexamples:\n  python -m synthkit " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
