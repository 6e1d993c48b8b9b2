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


@pytest.mark.parametrize("folds", [None, 3])
def test_sentence(folds):
    smallest = plan.smallest_difference(splits_of(20), 2, 5, folds)
    text = plan.sentence(smallest, splits_of(20), 2, 5, folds)
    assert f"AUC of about {smallest:.3f}" in text
    assert f"{80 if folds else 20} test images" in text
    assert ("see python -m synthkit plan" in text) == (smallest > 0.1)
    groups = plan.sentence(smallest, splits_of(80, 5), 2, 5, folds, units="look-alike groups")
    assert re.search(r"test images of \d+ look-alike groups, 5 seeds", groups)


class TestHopeless:
    def test_eight_test_images_are_refused_with_a_way_on(self):
        with pytest.raises(ValueError, match="Use --folds 5 --seeds 5, which tests on all 68 images") as error:
            plan.refuse_hopeless(splits_of(8), 3)
        assert f"change the AUC by {plan.smallest_difference(splits_of(8), 1, 3):.2f} to be found" in str(error.value)
        plan.refuse_hopeless(splits_of(40), 5)

    def test_two_patients_of_a_class(self):
        plan.refuse_hopeless(splits_of(80, 5), 5)  # sixteen patients with images of both classes
        splits = splits_of(20, 10)
        with pytest.raises(ValueError, match="test images of 2 patients, and a verdict takes 3. Use --folds 5"):
            plan.refuse_hopeless(splits, 5)
        text = plan.text(splits, 1)
        assert "No verdict with this test set: a class has 2 patients" in text
        assert "test set takes" not in text

    def test_more_seeds_or_more_images(self):
        with pytest.raises(
            ValueError, match="20 patients and 3 seeds: .* Use --seeds 5; with --seeds 2 the study runs"
        ):
            plan.refuse_hopeless(splits_of(20), 3)
        tiny = Splits(*(make_imageset(4, i, name=f"set {i}") for i in range(3)))
        with pytest.raises(ValueError, match="Collect more images"):
            plan.refuse_hopeless(tiny, 5)

    def test_the_study_does_not_begin(self, tmp_path, capsys):
        make_imageset(40).save(tmp_path / "images")
        out = tmp_path / "out"
        study = ["study", "--data", str(tmp_path / "images"), "--classifier", "skin_cnn", "--arms", "real,oversample"]
        assert command.main([*study, "--seeds", "3", "--out", str(out)]) == 2
        assert "with --seeds 2 the study runs, and gives no verdict" in " ".join(capsys.readouterr().err.split())
        assert not out.exists()


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


def test_the_study_that_is_planned_is_the_one_that_runs(tmp_path, capsys):
    for name in ("real", "made"):
        make_imageset(60, 1 if name == "real" else 2).save(tmp_path / name)
    options = ["plan", "--data", str(tmp_path / "real"), "--classifier", "skin_cnn", "--image-size", "20"]
    assert command.main([*options, "--arms", f"augmentation,folder:{tmp_path / 'made'}"]) == 0
    printed = capsys.readouterr()
    assert "a study of 3 arms could find" in " ".join(printed.out.split())  # and the baseline
    assert "every seed is trained on all of them" in printed.err


def test_folds_have_other_training_sets_than_the_seeds_of_a_test_set():
    splits = splits_of(20)
    found = [plan.smallest_difference(splits, 2, 5, 3, overlap) for overlap in (0.5, 0.0)]
    assert found[0] == found[1]
