import argparse
import warnings

import pytest

from synthkit import __main__ as command
from synthkit import _augment_option, _meaning, catalogue
from synthkit.augmentation import Augmenter
from synthkit.datasets import phantom


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("rotation=10", {"rotation_range": 10.0}),
        (
            " rotation_range=5 , Vertical-Flip=No,horizontal_flip=yes",
            {"rotation_range": 5.0, "vertical_flip": False, "horizontal_flip": True},
        ),
        ("zoom=0.9-1.1,width_shift=0", {"zoom_range": (0.9, 1.1), "width_shift_range": 0.0}),
        (
            "brightness=no,channel_shift=off,gamma=none,elastic=no,zoom=no",
            {"brightness_range": None, "channel_shift_range": 0.0, "gamma_range": None}
            | {"elastic_range": 0.0, "zoom_range": 0.0},
        ),
        ("fill_mode=constant,cval=12", {"fill_mode": "constant", "cval": 12.0}),
    ],
)
def test_settings_in_words(text, settings):
    assert _augment_option.parse(text) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "rotatoin=10",
            r"no setting 'rotatoin' \(did you mean rotation\?\); expected NAME=VALUE, with names from r",
        ),
        ("filters=3", "there is no setting 'filters'; expected"),
        ("", "there is no setting ''; expected"),
        ("vertical_flip=2", "expected vertical_flip=yes or vertical_flip=no, received vertical_flip=2"),
        ("rotation", "expected a number, a pair such as 0.8-1.2, or no, received rotation="),
        ("rotation=1.2.3", "received rotation=1.2.3"),
        ("rotation=1000", "rotation_range must be a number between 0 and 360. Received: rotation_range=1000.0"),
        ("fill_mode=black", "fill_mode must be one of"),
    ],
)
def test_what_cannot_be_read(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        _augment_option.parse(text)


def test_defaults_in_the_help_are_the_augmenters():
    text = " ".join(_augment_option.defaults().split())
    pairs = [pair for pair in text.split(", ") if pair != "gamma=no"]
    assert repr(Augmenter(**_augment_option.parse(",".join(pairs)))) == repr(Augmenter())


class TestArms:
    def test_settings_are_those_of_every_arm_that_transforms(self):
        names = ["augmentation", "elastic", "dense_cvae augmented", "mixup", "real"]
        arms = catalogue.arms(names, augment={"rotation_range": 7.0})
        assert [getattr(arm.augment, "rotation_range", None) for arm in arms] == [7.0, 7.0, 7.0, None, None]
        assert arms[1].augment.elastic_range == 0.02
        assert "rotation_range=7.0" in arms[0].augment.__name__  # which is part of the study's identity

    def test_phantoms_alone_are_turned_upside_down_unless_asked(self, monkeypatch, tmp_path, capsys):
        made = []

        def arms(names, augment=None, **options):
            made.append(augment)
            raise ValueError("stop")

        monkeypatch.setattr(catalogue, "arms", arms)
        monkeypatch.setattr(catalogue, "AUTO", ("skin_cnn",))
        monkeypatch.setattr(_meaning, "load", lambda *_, **__: phantom.load(20, train=40, validation=20, test=40))
        runs = [
            ([], {}),
            (["--data", "x"], {"vertical_flip": False}),
            (["--data", "x", "--augment", "rotation=3"], {"rotation_range": 3.0, "vertical_flip": False}),
            (["--data", "x", "--augment", "vertical_flip=yes"], {"vertical_flip": True}),
        ]
        for options, augment in runs:
            assert command.main(["study", "--arms", "real,augmentation", "--out", str(tmp_path / "o"), *options]) == 2
            assert made[-1] == augment
            noted = "does not turn these images upside down" in capsys.readouterr().err
            assert noted == (augment.get("vertical_flip") is False)
        assert command.main(["study", "--arms", "real,mixup", "--out", str(tmp_path / "o"), "--data", "x"]) == 2
        assert "upside down" not in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("class_names", "augment"), [(["kidney-left", "kidney-right"], False), (["kidney-left", "liver"], None)]
    )
    def test_images_of_classes_that_differ_by_side_are_not_mirrored(self, class_names, augment):
        arguments = command.parser().parse_args(["study", "--data", "x", "--augment", "vertical_flip=yes"])
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            settings = _meaning.augment(arguments, ["real", "augmentation"], class_names)
        assert settings.get("horizontal_flip") is augment
        assert [str(note.message)[:51] for note in notes] == ["augmentation does not mirror these images, since cl"] * (
            augment is False
        )
        arguments.augment = {"vertical_flip": True, "horizontal_flip": True}
        assert _meaning.augment(arguments, ["augmentation"], class_names)["horizontal_flip"]
