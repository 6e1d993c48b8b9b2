import re

import numpy as np
import pytest

from synthkit import __main__ as command
from synthkit import plan, statistics
from synthkit.classifiers import skin_cnn
from synthkit.imageset import Splits
from tests.conftest import make_imageset
from tests.generators.toy import toy_gan


def splits_of(test, patients_each=1):
    return Splits(
        make_imageset(40, 1, name="train"),
        make_imageset(20, 2, name="validation"),
        make_imageset(test, 3, name="test", patients=[f"P{i // patients_each}" for i in range(test)]),
    )


def test_sizes():
    table = plan.sizes(splits_of(60, 3))
    assert table.loc["training set"].tolist() == [20, 20, 40]
    assert table.loc["test set"].to_dict() == {"bright": 30, "dark": 30, "patients": 20}


class TestDetectable:
    def test_more_patients_seeds_and_fewer_arms_find_less(self):
        labels = np.arange(200) % 2
        base = plan.detectable(labels, np.arange(200), 2, 5)
        assert plan.detectable(labels, np.arange(200), 2, 5, copies=4) < base
        assert plan.detectable(labels, np.arange(200), 2, 10) < base
        assert plan.detectable(labels, np.arange(200), 8, 5) > base
        assert plan.detectable(labels, np.arange(200) // 10, 2, 5) > base

    def test_what_is_planned_is_found_four_times_in_five(self):
        """An effect of that size, in studies like those that were simulated, but others."""
        effect = plan.detectable(np.arange(200) % 2, np.arange(200), 1, 6)
        rates = statistics.error_rates(150, images=200, images_per_patient=1, seeds=6, effects=effect, seed=9)
        assert 0.65 < rates.loc["helps", "share"] < 0.95

    def test_a_cross_validation_tests_on_more(self):
        table = plan.table(splits_of(40), 2, seeds=(5,))
        assert table["--folds 5"][0] < table["test set"][0]

    def test_more_folds_than_patients(self):
        few = Splits(*(make_imageset(4, i, name=f"set {i}") for i in range(3)))
        assert list(plan.table(few, 1, seeds=(5,), folds=9)) == ["seeds", "test set"]


def test_patients_needed():
    test = splits_of(100).test
    assert plan.patients_needed(test, 0.5) == 100
    few, many = (plan.patients_needed(test, effect, seeds=20, seed_deviation=0.002) for effect in (0.05, 0.03))
    assert 100 < few < many < np.inf
    assert plan.patients_needed(test, 0.001) == np.inf


def test_times_are_of_the_epochs_and_steps_that_are_asked_for():
    train = splits_of(20).train
    short, long = (plan.seconds_of_generator(toy_gan, train, epochs, 8) for epochs in (10, 10_000))
    assert 0 < short < long
    times = [plan.seconds_of_training(skin_cnn, splits_of(20), {"steps": n, "batch_size": 8}) for n in (10, 10_000)]
    assert 0 < times[0] < times[1]


@pytest.mark.parametrize("folds", [None, 2])
def test_sentence(folds):
    text = plan.sentence(splits_of(20), 2, 5, folds)
    found = float(re.search(r"AUC of about (\d\.\d+)", text)[1])
    assert f"{80 if folds else 20} test images" in text
    assert ("see python -m synthkit plan" in text) == (found > 0.1)
    assert plan.sentence(splits_of(20), 2, 2) == ""


def test_command(tmp_path, capsys):
    make_imageset(80).save(tmp_path / "images")
    options = ["--image-size", "20", "--classifier", "skin_cnn", "--arms", "real,oversample,dense_cvae"]
    assert command.main(["plan", "--data", str(tmp_path / "images"), *options]) == 0
    text = capsys.readouterr().out
    assert re.search(r"test set +8 +8 +16", text)
    assert "a study of 3 arms could find" in text
    assert "--folds 5" in text
    assert re.search(r"dense_cvae +\d+\.\d", text)
    assert text.count("To find a difference of") == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "images"]


def test_folds_have_other_training_sets_than_the_seeds_of_a_test_set():
    splits = splits_of(20)
    assert plan.sentence(splits, 2, 5, 2, overlap=0.5) == plan.sentence(splits, 2, 5, 2)
