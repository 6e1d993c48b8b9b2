"""Wrong turns on the command line: each ends in one sentence that says the way."""

import subprocess
import sys

import pytest

import synthkit
from synthkit import __main__ as command
from synthkit import _option_checks, catalogue
from synthkit._options import parser


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


@pytest.mark.parametrize("name", ["study", "generate"])
def test_results_among_the_images(name, tmp_path, monkeypatch, capsys):
    for label in "ab":
        (tmp_path / "images" / label).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "images")
    options = ["--generator", "dense_cvae", "--per-class", "3"] if name == "generate" else []
    says = f"would lie among the images of {tmp_path / 'images'}, which --data names, and count as some of them. Choose"
    relative = f"{says} a folder outside of it with --out, or run the command from another folder"
    for data, out in ((".", "new/out"), ("../images", "."), (str(tmp_path / "images"), "a/../b")):
        assert f"what is written to {out} {relative}" in said(capsys, name, "--data", data, "--out", out, *options)
    out = str(tmp_path / "images" / "out")
    message = said(capsys, name, "--data", ".", "--out", out, *options)
    assert message.endswith(f"{out} {says} a folder outside of it with --out")
    if name == "study":
        assert "synthkit-study-images-" in said(capsys, name, "--data", ".")
        message = said(capsys, name, "--data", ".", "--out", "../out", "--generators", "kept")
        assert f"what is written to kept {says} a folder outside of it with --generators" in message
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "images"]


def test_results_beside_the_images_or_in_a_prepared_folder_are_none_of_them(tmp_path, monkeypatch):
    for name in ("images", "phantom"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    for data, out in (("images", "."), ("images", "images2"), ("phantom", "phantom/out")):
        _option_checks.outside(parser().parse_args(["study", "--data", data, "--out", out]))
    (tmp_path / "images" / "prepare.json").touch()
    _option_checks.outside(parser().parse_args(["study", "--data", "images", "--out", "images/out"]))


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
