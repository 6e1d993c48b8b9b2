import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from synthkit import study
from synthkit.classifiers import skin_cnn
from synthkit.imageset import ImageSet
from synthkit.splitting import subsample
from synthkit.study import Arm, trial
from synthkit.study.results import load
from tests.conftest import make_imageset


def brighter(train, labels, seed):
    """A synthesizer written outside synthkit: new images of the toy classes."""
    fresh = make_imageset(2 * len(labels), seed % 1000, name="brighter")
    chosen = [np.flatnonzero(fresh.labels == label)[i] for i, label in enumerate(labels)]
    return ImageSet(fresh.images[chosen], labels, train.class_names, name="brighter")


ARMS = [Arm("real"), Arm("brighter", brighter), Arm("shuffled", study.shuffled(brighter), ratio=2.0)]
OPTIONS = {"classifier": skin_cnn, "seeds": 2, "steps": 6, "batch_size": 8, "positive": "bright", "progress": False}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small study that has run to its end, its folder and its results."""
    from synthkit.imageset import Splits

    splits = Splits(*(make_imageset(n, s, name=f"toy {s}") for s, n in enumerate((24, 12, 30))))
    out = tmp_path_factory.mktemp("study")
    return splits, out, study.run(splits, ARMS, out=out, **OPTIONS)


def test_every_trial_is_there(finished):
    _, out, results = finished
    assert results.trials.columns.tolist() == (
        "arm seed n_real n_synthetic steps auc accuracy balanced_accuracy sensitivity specificity f1 brier seconds "
        "status".split()
    )
    assert list(zip(results.trials["seed"], results.trials["arm"], strict=True)) == [
        (seed, arm) for seed in (0, 1) for arm in ("real", "brighter", "shuffled")
    ]
    assert results.trials["n_synthetic"].tolist() == [0, 24, 48] * 2
    assert set(results.trials["steps"]) == {6}
    read = pd.read_csv(out / "trials.csv")
    pd.testing.assert_frame_equal(read, results.trials, rtol=1e-15)
    assert sorted(path.name for path in (out / "trials").iterdir()) == sorted(
        f"{arm.name}-{seed}.npz" for arm in ARMS for seed in (0, 1)
    )


def test_training_accuracy_is_that_of_the_chosen_weights_on_what_was_learnt_from(tmp_path, splits):
    import keras

    def constant(image_shape, num_classes):
        inputs = keras.Input(image_shape)
        flat = keras.layers.Flatten()(inputs)
        bias = keras.initializers.Constant(50.0)
        outputs = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros", bias_initializer=bias)(flat)
        return keras.Model(inputs, outputs)

    arms = [Arm("counted", brighter, counts={"dark": 6})]
    options = OPTIONS | {"classifier": constant, "seeds": 1}
    found = study.run(splits, arms, out=tmp_path, learning_rate=1e-9, **options)
    dark = splits.train.class_counts()["dark"] + 6
    assert found.histories["counted", 0]["train_accuracy"] == pytest.approx(dark / (len(splits.train) + 6))


def test_rows_follow_from_the_stored_scores(finished):
    from synthkit.statistics import score

    splits, _, results = finished
    assert (results.labels == splits.test.labels).all()
    assert (results.patients == splits.test.patients).all()
    for arm, seeds in results.scores.items():
        for seed, scores in enumerate(seeds):
            row = results.trials.set_index(["arm", "seed"]).loc[arm, seed]
            expected = score(splits.test.labels, scores, positive=0)
            assert row[list(expected)].to_dict() == pytest.approx(expected)


def test_started_again_it_runs_nothing(finished, monkeypatch):
    splits, out, results = finished
    monkeypatch.setattr(study, "Trials", lambda *_, **__: pytest.fail("ran a trial that was finished"))
    again = study.run(splits, ARMS, out=out, **OPTIONS)
    pd.testing.assert_frame_equal(again.trials, results.trials, check_exact=True)


def test_missing_trials_come_out_the_same_bit_for_bit(finished, tmp_path):
    splits, _, results = finished
    study.run(splits, ARMS, out=tmp_path, **OPTIONS)
    (tmp_path / "trials" / "brighter-0.npz").unlink()
    (tmp_path / "trials" / "real-1.npz").unlink()
    again = study.run(splits, ARMS, out=tmp_path, **OPTIONS)
    for arm in results.scores:
        assert (again.scores[arm] == results.scores[arm]).all()
    columns = results.trials.columns.drop("seconds")
    pd.testing.assert_frame_equal(again.trials[columns], results.trials[columns], check_exact=True)


def test_arms_and_seeds_can_be_added(finished, tmp_path):
    splits, _, results = finished
    study.run(splits, ARMS[:1], out=tmp_path, **(OPTIONS | {"seeds": 1}))
    grown = study.run(splits, ARMS, out=tmp_path, **OPTIONS)
    assert (grown.scores["shuffled"] == results.scores["shuffled"]).all()
    assert grown.seeds == [0, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 8}, "its steps is 6, here it is 8"),
        ({"settings": {"epochs": 3}}, "its epochs is None, here it is 3"),
        ({"arms": [Arm("brighter", brighter, ratio=3.0)]}, "another study's trials: its arms"),
        ({"splits": True}, "another study's trials: its images are others"),
    ],
)
def test_another_studys_folder_is_refused(finished, change, message):
    splits, out, _ = finished
    if change.pop("splits", False):
        splits = dataclasses.replace(splits, test=splits.test[:-1])
    with pytest.raises(ValueError, match=message):
        study.run(splits, change.pop("arms", ARMS), out=out, **(OPTIONS | change))


def test_a_recipe_that_is_left_out_is_another_study(splits, tmp_path):
    options = OPTIONS | {"seeds": 1}
    study.run(splits, ARMS[:1], out=tmp_path, label_smoothing=0.1, **options)
    with pytest.raises(ValueError, match="another study's trials: its label_smoothing is 0.1, here it is None"):
        study.run(splits, ARMS[:1], out=tmp_path, **options)


def test_a_classifier_without_a_name_is_the_same_in_another_process(splits, tmp_path):
    class Nameless:
        def __init__(self, address):
            self.address = address

        def __str__(self):
            return f"functools.partial(<function f at {self.address}>, width=2)"

        def __call__(self, *shape):
            return OPTIONS["classifier"](*shape)

    options = OPTIONS | {"seeds": 1}
    study.run(splits, ARMS[:1], out=tmp_path, **options | {"classifier": Nameless("0x7f6300")})
    found = study.run(splits, ARMS[:1], out=tmp_path, **options | {"classifier": Nameless("0x7f6399")})
    assert found.settings["classifier"] == "functools.partial(<function f>, width=2)"


def test_trials_without_a_study_are_refused(finished, tmp_path):
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "real-0.npz").write_bytes(b"")
    with pytest.raises(ValueError, match="holds trials without a study.json"):
        study.run(finished[0], ARMS, out=tmp_path, **OPTIONS)


def test_damaged_trial_is_named(finished, tmp_path):
    splits, _, _ = finished
    study.run(splits, ARMS[:1], out=tmp_path, **(OPTIONS | {"seeds": 1}))
    (tmp_path / "trials" / "real-0.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"real-0.npz is not a trial that can be read .*delete it"):
        load(tmp_path)


def test_failing_synthesizer_fails_its_trials_only(finished, tmp_path):
    def broken(train, labels, seed):
        raise RuntimeError("no images today")

    splits, _, results = finished
    found = study.run(splits, [Arm("real"), Arm("broken", broken)], out=tmp_path, **OPTIONS)
    assert found.trials["status"].tolist() == ["done", "failed: RuntimeError: no images today"] * 2
    assert list(found.scores) == ["real"]
    assert (found.scores["real"] == results.scores["real"]).all()
    repaired = study.run(splits, [Arm("real"), Arm("broken", brighter)], out=tmp_path, **OPTIONS)
    assert (repaired.trials["status"] == "done").all()


class TestDoor:
    def test_synthesizer_that_returns_test_images_is_caught(self, finished, tmp_path):
        splits = finished[0]

        def thief(train, labels, seed):
            stolen = subsample(splits.test, 12)
            return dataclasses.replace(stolen, labels=np.sort(labels)) if len(labels) == 24 else stolen

        found = study.run(splits, [Arm("thief", thief)], out=tmp_path, **(OPTIONS | {"seeds": 1}))
        assert "images of thief stand in the validation or test part" in found.trials["status"][0]

    def test_synthesizer_must_return_what_was_asked(self, finished):
        real = finished[0].train
        labels = np.array([0] * 12 + [1] * 12)
        for wrong in (make_imageset(23), make_imageset(24, size=24), make_imageset(24)[::2]):
            with pytest.raises(ValueError, match=r"asked for 24 images of shape \(20, 20, 1\)"):
                trial.synthesize(Arm("odd", lambda *_, wrong=wrong: wrong), real, 0)
        with pytest.raises(ValueError, match="must return an ImageSet. Received: ndarray"):
            trial.synthesize(Arm("odd", lambda train, *_: train.images), real, 0)
        assert np.sort(trial.synthesize(Arm("good", brighter), real, 0).labels).tolist() == labels.tolist()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"seeds": 0}, "seeds must be an integer of at least 1. Received: seeds=0"),
            ({"positive": "grey"}, "positive must be one of bright, dark. Received: 'grey'"),
            ({"arms": []}, "Received: none"),
            ({"arms": [Arm("real"), Arm("real")]}, "different names"),
            ({"arms": [Arm("../up")]}, "becomes a file's name"),
        ],
    )
    def test_arguments_that_make_no_study(self, finished, tmp_path, change, message):
        with pytest.raises(ValueError, match=message):
            study.run(finished[0], change.pop("arms", ARMS), out=tmp_path, **(OPTIONS | change))

    def test_too_few_images(self, finished, tmp_path):
        splits = dataclasses.replace(finished[0], test=make_imageset(30, 7, name="toy x")[:3])
        with pytest.raises(ValueError, match="toy x has too few images, 1 of dark"):
            study.run(splits, ARMS, out=tmp_path, **OPTIONS)


def test_oversample_draws_training_images_of_the_asked_class():
    train, labels = make_imageset(20, 1), np.array([1, 0, 1, 1])
    made = study.oversample(train, labels, seed=1)
    assert made.labels.tolist() == labels.tolist()
    assert {image.tobytes() for image in made.images} <= {image.tobytes() for image in train.images}


def test_shuffled_keeps_images_and_counts():
    train, labels = make_imageset(20, 1), np.arange(40) % 2
    plain, mixed = brighter(train, labels, 3), study.shuffled(brighter)(train, labels, 3)
    assert (plain.images == mixed.images).all()
    assert mixed.labels.sum() == labels.sum()
    assert 10 < (mixed.labels != plain.labels).sum() < 30


def test_samples_show_what_the_classifier_was_given(finished, tmp_path):
    splits, _, results = finished
    assert results.samples["real"].class_counts() == {"bright": 8, "dark": 8}
    real = {image.tobytes() for image in splits.train.images}
    assert {image.tobytes() for image in results.samples["real"].images} <= real
    arm = Arm("inverted", augment=lambda images, labels, seeds: (255 - images, labels))
    found = study.run(splits, [arm], out=tmp_path, **(OPTIONS | {"seeds": 1}))
    assert {(255 - image).tobytes() for image in found.samples["inverted"].images} <= real


def test_subset_of_the_training_part_is_drawn_for_every_seed(finished, tmp_path):
    found = study.run(finished[0], ARMS[:2], out=tmp_path, **(OPTIONS | {"train_per_class": 5}))
    assert set(found.trials["n_real"]) == {10}
    assert found.trials["n_synthetic"].tolist() == [0, 10, 0, 10]


SCRIPT = """
import sys
from tests.conftest import make_imageset
from tests.test_study import ARMS, OPTIONS
from synthkit import study
from synthkit.study import trial
from synthkit.imageset import Splits
splits = Splits(*(make_imageset(n, s, name=f"toy {s}") for s, n in enumerate((24, 12, 30))))
study.run(splits, ARMS, out=sys.argv[1], **(OPTIONS | {"progress": True}))
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_killed_study_goes_on_and_ends_the_same(finished, tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "trials").glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    kept = len(list((tmp_path / "trials").glob("*.npz")))
    assert 1 <= kept < 6
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{kept} of 6 trials were finished before" in done.stderr
    again, results = load(tmp_path), finished[2]
    columns = results.trials.columns.drop("seconds")
    pd.testing.assert_frame_equal(again.trials[columns], results.trials[columns], check_exact=True)
    for arm in results.scores:
        assert (again.scores[arm] == results.scores[arm]).all()


class TestArmsThatUseRealImagesOtherwise:
    def test_balance_fills_up_the_smaller_class(self):
        images = make_imageset(40, 1)
        real = images[np.flatnonzero((images.labels == 0) | (np.arange(40) < 20))]
        made = trial.synthesize(Arm("balanced", brighter, balance=True), real, seed=0)
        assert (real.class_counts(), made.class_counts()) == ({"bright": 20, "dark": 10}, {"bright": 0, "dark": 10})

    def test_nothing_to_balance_is_said(self):
        with pytest.raises(ValueError, match="balanced has no synthetic image to ask for"):
            trial.synthesize(Arm("balanced", brighter, balance=True), make_imageset(20), seed=0)

    def test_counts_are_of_each_class(self):
        made = trial.synthesize(Arm("counted", brighter, counts={"dark": 7, "bright": 2}), make_imageset(20), seed=0)
        assert made.class_counts() == {"bright": 2, "dark": 7}

    def test_counts_are_kept_and_checked(self, tmp_path, splits):
        found = study.run(splits, [Arm("counted", brighter, counts={"dark": 3})], out=tmp_path, **OPTIONS)
        assert found.settings["arms"] == {"counted": {"counts": {"dark": 3}}}
        assert found.trials["n_synthetic"].tolist() == [3, 3]
        with pytest.raises(ValueError, match=r"counted: counts must be of bright, dark.*counts=\{'grey': 1\}"):
            study.run(splits, [Arm("counted", brighter, counts={"grey": 1})], out=tmp_path, **OPTIONS)

    def test_pretraining_counts_its_images_and_no_further_steps(self, tmp_path, splits):
        arms = [Arm("mixed", brighter), Arm("pretrained", brighter, pretrain=0.5)]
        found = study.run(splits, arms, out=tmp_path, **OPTIONS | {"seeds": 1})
        assert found.trials[["n_real", "n_synthetic", "steps"]].to_numpy().tolist() == [[24, 24, 6]] * 2
        assert found.settings["arms"] == {"mixed": {"ratio": 1.0}, "pretrained": {"ratio": 1.0, "pretrain": 0.5}}
        assert not np.array_equal(found.scores["mixed"], found.scores["pretrained"])

    def test_shares_are_checked(self, tmp_path, splits):
        with pytest.raises(ValueError, match="half: real_share must lie above 0 and up to 1.*real_share=2"):
            study.run(splits, [Arm("half", real_share=2)], out=tmp_path, **OPTIONS)
