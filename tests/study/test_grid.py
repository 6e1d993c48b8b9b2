import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from synthkit import catalogue, study
from synthkit.imageset import Splits
from synthkit.splitting import subsample_rows
from synthkit.study import Arm, grid
from synthkit.study.storage import load
from synthkit.study.trial import seeds_of
from tests.conftest import ROOT, make_imageset
from tests.study.toy import ARMS, OPTIONS, assert_same, brighter, toy_splits


def test_every_trial_is_run_and_stored(finished):
    _, out, results = finished
    assert results.trials.columns.tolist() == (
        "arm seed n_real n_synthetic steps auc train_auc threshold accuracy balanced_accuracy sensitivity specificity "
        "ppv npv f1 brier seconds status".split()
    )
    assert list(zip(results.trials["seed"], results.trials["arm"], strict=True)) == [
        (seed, arm) for seed in (0, 1) for arm in ("real", "brighter", "shuffled")
    ]
    assert results.trials["n_synthetic"].tolist() == [0, 24, 48] * 2
    assert set(results.trials["steps"]) == {6}
    pd.testing.assert_frame_equal(pd.read_csv(out / "trials.csv"), results.trials, rtol=1e-15)
    assert sorted(path.name for path in (out / "trials").iterdir()) == sorted(
        f"{arm.name}-{seed}.npz" for arm in ARMS for seed in (0, 1)
    )


def test_rows_follow_from_the_stored_scores(finished):
    from synthkit.statistics import score

    splits, _, results = finished
    assert (results.labels == splits.test.labels).all()
    assert (results.patients == splits.test.patients).all()
    for arm, seeds in results.scores.items():
        for seed, scores in enumerate(seeds):
            row = results.trials.set_index(["arm", "seed"]).loc[arm, seed]
            expected = score(splits.test.labels, scores, positive=0, threshold=row["threshold"])
            assert row[list(expected)].to_dict() == pytest.approx(expected)


def test_a_finished_study_runs_nothing_again(finished, monkeypatch):
    splits, out, results = finished
    monkeypatch.setattr("synthkit.study.grid.Trials", lambda *_, **__: pytest.fail("ran a finished trial"))
    again = study.run(splits, ARMS, out=out, **OPTIONS)
    pd.testing.assert_frame_equal(again.trials, results.trials, check_exact=True)


def test_sizes_that_do_not_suit_are_said_before_anything_is_trained(tmp_path):
    splits = Splits(*(make_imageset(n, n, size=18, name=f"toy {n}") for n in (24, 12, 30)))
    arms = catalogue.arms(["real", "dense_cvae filtered", "conv_cgan", "conv_cgan x2 augmented"])
    with pytest.raises(ValueError, match="needs") as caught:
        study.run(splits, arms, out=tmp_path / "out", **OPTIONS)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("conv_cgan, conv_cgan x2 augmented: this generator needs square images whose side")
    assert lines[1].startswith("  classifier: skin_cnn needs images of at least 20×20 pixels")
    assert all("works is 20: give --image-size 20, or image_size=20" in line for line in lines)
    assert not (tmp_path / "out").exists()


def test_a_class_smaller_than_what_is_drawn_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"draw 13 .* has 12 of bright, 12 of dark. Draw 12 or fewer .--per-class"):
        study.run(toy_splits(), ARMS[:1], out=tmp_path / "out", train_per_class=13, **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_near_duplicates_of_images_that_some_trial_draws(tmp_path):
    splits = toy_splits(400)
    images = splits.test.images.copy()
    images[:6] = splits.train.images[:6] ^ 1
    images[6] = splits.validation.images[3] ^ 1
    splits = Splits(splits.train, splits.validation, dataclasses.replace(splits.test, images=images))
    options = {"train_per_class": 4, "out": tmp_path, **OPTIONS}

    def near(seeds):
        study.run(splits, ARMS[:1], **options | {"seeds": seeds})
        settings = load(tmp_path).settings
        assert settings["near_duplicates_above"] == 0.97
        return settings["near_duplicates"]

    drawn = [subsample_rows(splits.train, 4, seed=seeds_of(seed)[0]) for seed in range(40)]
    assert near(1) == [*(row for row in range(6) if row in drawn[0]), 6]
    first = next(seed for seed in range(40) if set(range(6)) & set(drawn[seed]))
    assert first < 6
    assert near(first + 1) == [*(row for row in range(6) if row in np.concatenate(drawn[: first + 1])), 6]
    table = pd.read_csv(tmp_path / "near_duplicates.csv").set_index("test")
    assert table.loc[6, ["other", "row", "other_patient"]].tolist() == ["validation", 3, "toy 1-3"]
    assert (table.drop(6)["row"] == table.drop(6).index).all()
    assert (tmp_path / "near_duplicates.png").stat().st_size > 5000
    state = next(
        n for n in range(1, 40) if set(range(6)) & set(subsample_rows(splits.train, 4, seed=seeds_of(0, n)[0]))
    )
    study.run(splits, ARMS[:1], **options | {"seeds": 1, "random_state": state, "out": tmp_path / "other"})
    others = subsample_rows(splits.train, 4, seed=seeds_of(0, state)[0])
    assert load(tmp_path / "other").settings["near_duplicates"] == [*(row for row in range(6) if row in others), 6]


def test_missing_trials_are_run_and_come_out_the_same(copied):
    splits, out, results = copied
    (out / "trials" / "brighter-0.npz").unlink()
    (out / "trials" / "real-1.npz").unlink()
    assert_same(study.run(splits, ARMS, out=out, **OPTIONS), results)


def test_trials_that_share_a_fit_are_run_apart():
    def other(*arguments):
        raise NotImplementedError

    arms = [Arm("real"), Arm("brighter", brighter), Arm("brighter x2", brighter, ratio=2.0), Arm("other", other)]
    order = [(arm.name, seed) for arm, seed in grid.apart([(arm, seed) for seed in range(2) for arm in arms])]
    assert sorted(order) == sorted((arm.name, seed) for arm in arms for seed in range(2))
    assert order[:3] == [("real", 0), ("brighter", 0), ("other", 0)]
    assert order[3:] == [("real", 1), ("brighter", 1), ("other", 1), ("brighter x2", 0), ("brighter x2", 1)]


@pytest.mark.parametrize("design", [{}, {"train_per_class": 4}, {"folds": 2}])
def test_another_random_state_makes_all_seeds_others(tmp_path, design):
    splits, options = toy_splits(40), OPTIONS | {"seeds": 2} | design
    runs = [study.run(splits, ARMS[:1], out=tmp_path / str(i), random_state=i, **options) for i in range(2)]
    first, second = (results.scores["real"] for results in runs)
    assert not any(np.allclose(a, b, atol=1e-4) for a in first for b in second)
    drawn = [seeds_of(seed, state) for seed in range(50) for state in range(4)]
    assert len({number for numbers in drawn for number in numbers}) == 600


def test_arms_and_seeds_can_be_added(finished, tmp_path):
    splits, _, results = finished
    study.run(splits, ARMS[:1], out=tmp_path, **(OPTIONS | {"seeds": 1}))
    assert_same(study.run(splits, ARMS, out=tmp_path, **OPTIONS), results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"random_state": 1}, "random_state is None, here it is 1"),
        ({"steps": 8}, "belongs to a job with other settings: steps is 6, here it is 8"),
        ({"settings": {"epochs": 3}}, "epochs is None, here it is 3"),
        ({"label_smoothing": 0.1}, "label_smoothing is None, here it is 0.1"),
        ({"arms": [Arm("brighter", brighter, ratio=3.0)]}, "ratio of brighter is 1.0, here it is 3.0"),
        ({"splits": True}, "holds trials on other images"),
    ],
)
def test_the_folder_of_another_study_is_refused(finished, change, message):
    splits, out, _ = finished
    if change.pop("splits", False):
        splits = dataclasses.replace(splits, test=splits.test[:-1])
    with pytest.raises(ValueError, match=message):
        study.run(splits, change.pop("arms", ARMS), out=out, **(OPTIONS | change))


def test_a_setting_that_is_left_out_makes_another_study(copied):
    import json

    splits, out, _ = copied
    settings = json.loads((out / "study.json").read_text())
    (out / "study.json").write_text(json.dumps(settings | {"label_smoothing": 0.1}))
    with pytest.raises(ValueError, match="label_smoothing is 0.1, here it is None"):
        study.run(splits, ARMS, out=out, **OPTIONS)


def test_trials_without_settings_are_refused(copied):
    splits, out, _ = copied
    (out / "study.json").unlink()
    with pytest.raises(ValueError, match="there is no study.json in it"):
        study.run(splits, ARMS, out=out, **OPTIONS)


def test_a_failing_synthesizer_fails_its_trials_only_and_can_be_repaired(finished, tmp_path):
    def broken(train, labels, seed):
        raise RuntimeError("no images today")

    splits, _, results = finished
    failed = study.run(splits, [Arm("real"), Arm("brighter", broken)], out=tmp_path, **OPTIONS)
    assert failed.trials["status"].tolist() == ["done", "failed: RuntimeError: no images today"] * 2
    assert list(failed.scores) == ["real"]
    assert (failed.scores["real"] == results.scores["real"]).all()
    assert_same(study.run(splits, ARMS, out=tmp_path, **OPTIONS), results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"random_state": -1}, "random_state must be an integer of at least 0. Received: random_state=-1"),
        ({"seeds": 0}, "seeds must be an integer of at least 1. Received: seeds=0"),
        ({"positive": "grey"}, "positive must be one of bright, dark. Received: 'grey'"),
        ({"arms": []}, "Received: none"),
        ({"arms": [Arm("real"), Arm("real")]}, "all arms need different names"),
        ({"arms": [Arm("../up")]}, "becomes a file name"),
        ({"arms": [Arm("half", real_share=2)]}, "half: real_share must be above 0 and at most 1.*real_share=2"),
        ({"arms": [Arm("gan", brighter, counts={"grey": 1})]}, r"gan: the keys of counts must be among bright, dark"),
    ],
)
def test_invalid_arguments(finished, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        study.run(finished[0], change.pop("arms", ARMS), out=tmp_path, **(OPTIONS | change))


def test_too_few_images(finished, tmp_path):
    splits = dataclasses.replace(finished[0], test=make_imageset(30, 7, name="toy x")[:3])
    with pytest.raises(ValueError, match="toy x has too few images, 1 of dark"):
        study.run(splits, ARMS, out=tmp_path, **OPTIONS)


SCRIPT = """
import sys
from synthkit import study
from tests.study.toy import ARMS, OPTIONS, toy_splits
study.run(toy_splits(), ARMS, out=sys.argv[1], **(OPTIONS | {"progress": True}))
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_killed_study_resumes_and_ends_with_the_same_results(finished, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "trials").glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 1 <= len(list((tmp_path / "trials").glob("*.npz"))) < 6
    assert_same(study.run(finished[0], ARMS, out=tmp_path, **OPTIONS), finished[2])


def test_what_a_kill_leaves_behind_is_neither_a_trial_nor_in_the_way(finished, copied, capsys):
    """A process that is killed while it writes a file leaves a `.part-…` folder with a part of it."""
    splits, out, results = copied
    written = (out / "trials" / "real-0.npz").read_bytes()
    (out / "trials" / "real-0.npz").unlink()
    for folder in (out, out / "trials"):
        (folder / ".part-a1b2").mkdir()
        (folder / ".part-a1b2" / "real-0.npz").write_bytes(written[: len(written) // 2])
    assert len(load(out).trials) == 5
    assert_same(study.run(splits, ARMS, out=out, **(OPTIONS | {"progress": True})), results)
    assert "5 of 6 trials were finished before" in capsys.readouterr().err


def test_more_processes_than_gpus_are_refused(tmp_path, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    with pytest.raises(ValueError, match=r"1 GPU cannot run 2 trials at a time \(--jobs, n_jobs\): use --jobs 1"):
        study.run(toy_splits(), ARMS, out=tmp_path, n_jobs=2, **OPTIONS)


def test_a_study_keeps_whether_it_is_deterministic(finished, tmp_path, monkeypatch):
    splits, out, results = finished
    assert "deterministic" not in results.settings
    with pytest.raises(ValueError, match="deterministic"):
        study.run(splits, ARMS, out=out, deterministic=False, **OPTIONS)
    called = []
    monkeypatch.setattr("synthkit._environment.make_deterministic", called.append)
    options = OPTIONS | {"seeds": 1}
    assert study.run(splits, ARMS[:1], out=tmp_path, deterministic=False, **options).settings["deterministic"] is False
    assert called == [False]


def test_progress_may_be_a_callable(tmp_path):
    said = []
    study.run(toy_splits(), ARMS[:2], out=tmp_path, **OPTIONS | {"seeds": 1, "progress": said.append})
    assert said[0] == "trial 1 of 2, real, seed 0: training"
    assert said[-1] == "2 of 2 trials"
