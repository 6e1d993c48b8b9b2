import dataclasses
import json

import numpy as np
import pytest

from synthkit import statistics, study
from synthkit.report import answers
from synthkit.study.storage import load, save
from synthkit.study.trial import failure
from tests.study.toy import ARMS, OPTIONS, toy_splits

SETS = {name: {"bright": 3} for name in ("training", "validation", "test")}


def test_a_study_that_has_not_begun_is_no_study(tmp_path):
    with pytest.raises(ValueError, match="holds no study: there is no study.json in it"):
        load(tmp_path)


def test_only_seeds_that_are_finished_in_every_arm_are_compared(copied):
    _, out, results = copied
    (out / "trials" / "shuffled-1.npz").unlink()
    partial = load(out)
    assert partial.all_seeds == [0]
    assert len(partial.trials) == 5
    assert (partial.scores["real"] == results.scores["real"][:1]).all()
    (out / "trials" / "real-0.npz").unlink()
    partial = load(out)
    assert (partial.seeds, partial.scores) == ({}, {})
    with pytest.raises(ValueError, match="an arm has no finished seed"):
        partial.summary()


def fail(out, arm, seed):
    np.savez(out / "trials" / f"{arm}-{seed}.npz", **failure(arm, seed, "out of memory"))


def test_a_failed_trial_takes_no_seed_from_other_arms(tmp_path):
    results = study.run(toy_splits(), ARMS, out=tmp_path, **OPTIONS | {"seeds": 3})
    before = results.summary().query("metric == 'auc'").set_index("arm")
    fail(tmp_path, "brighter", 1)
    results = load(tmp_path)
    assert results.seeds == {"real": [0, 1, 2], "brighter": [0, 2], "shuffled": [0, 1, 2]}
    after = results.summary().query("metric == 'auc'").set_index("arm")
    same = ["mean", "difference"]
    assert (after.loc["shuffled", same] == before.loc["shuffled", same]).all()
    pairs = results.scores["brighter"], results.scores["real"][[0, 2]]
    areas = [[statistics.auc(results.labels, scores) for scores in arm] for arm in pairs]
    assert after.loc["brighter", "difference"] == pytest.approx(np.mean(areas[0]) - np.mean(areas[1]))
    assert after.loc["brighter", "verdict"] == "two seeds: no verdict"
    worst = results.worst_case().summary().query("metric == 'auc'").set_index("arm")
    assert worst.loc["brighter", "mean"] == pytest.approx((sum(areas[0]) + 0.5) / 3)
    (text,) = answers.failures(results, 0.05)
    assert text.startswith("1 trial of brighter failed, and its results are of the other seeds. If the lost networks")


def test_a_seed_with_which_the_baseline_failed_is_no_worst_case_of_others(tmp_path):
    study.run(toy_splits(), ARMS, out=tmp_path, **OPTIONS | {"seeds": 4})
    fail(tmp_path, "real", 1)
    assert load(tmp_path).worst_case() is None
    assert answers.failures(load(tmp_path), 0.05) == ["1 trial of real failed, and its results are of the other seeds."]
    fail(tmp_path, "shuffled", 2)
    worst = load(tmp_path).worst_case()
    assert worst.seeds == {arm: [0, 2, 3] for arm in ("real", "brighter", "shuffled")}
    assert worst.scores["shuffled"][1] == pytest.approx(0.5)
    assert worst.validation.scores["shuffled"][1] == pytest.approx(0.5)
    assert worst.scores["real"][1] != pytest.approx(0.5)


def test_saved_scores_are_those_of_the_study(copied):
    _, out, results = copied
    save(results, results.summary(), out)
    with np.load(out / "scores.npz", allow_pickle=False) as file:
        assert (file["scores/shuffled"] == results.scores["shuffled"]).all()
        assert file["labels"].tolist() == results.labels.tolist()
    assert (out / "summary.csv").read_text().startswith("arm,metric,mean,low,high,difference")


def rewrite(path, **changes):
    """Changes members of a trial's file; dicts are merged into its JSON, None removes a member."""
    with np.load(path, allow_pickle=False) as file:
        members = dict(file)
    for name, change in changes.items():
        if isinstance(change, dict):
            members[name] = json.dumps(json.loads(str(members[name])) | change)
        elif change is None:
            del members[name]
        else:
            members[name] = change(members[name])
    np.savez(path, **members)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": {"auc": "x"}}, "its auc is 'x'"),
        ({"row": {"seed": "0"}}, "its seed is '0'"),
        ({"row": {"status": 1}}, "its status is 1"),
        ({"row": {"arm": "brighter"}}, "it is the trial of brighter, seed 0"),
        ({"history": {"loss": ["x"]}}, "history|inhomogeneous"),
        ({"history": {"loss": [["a", "b"]]}}, "history|inhomogeneous"),
        ({"history": None}, "'step'"),
        (
            {"scores": lambda scores: scores * np.float32(np.nan)},
            "its scores are not a float32 matrix of finite numbers",
        ),
        ({"scores": lambda scores: scores.astype(str)}, "its scores are not a float32 matrix of finite numbers"),
        ({"scores": lambda scores: scores[:-1]}, "its scores: labels must be 29 integers"),
        ({"labels": lambda labels: labels + 7}, "its scores: labels must"),
        ({"patients": lambda patients: patients[:-1]}, "its scores: patients must"),
        ({"samples": lambda samples: samples / 2}, "its samples: images must be uint8"),
        ({"samples": None}, "samples"),
    ],
)
def test_a_damaged_trial_is_named(copied, changes, message):
    path = copied[1] / "trials" / "real-0.npz"
    rewrite(path, **changes)
    with pytest.raises(ValueError, match=rf"real-0.npz cannot be read as a trial \(.*({message}).*delete it to run"):
        load(copied[1])


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive", None])
def test_a_file_that_is_no_trial_is_named(copied, content):
    path = copied[1] / "trials" / "real-0.npz"
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(ValueError, match=r"real-0.npz cannot be read as a trial .*delete it to run that trial again"):
        load(copied[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": lambda labels: 1 - labels},
        {"patients": lambda patients: patients[::-1]},
        {"scores": lambda scores: np.hstack([scores, scores])},
        {"validation_labels": lambda labels: 1 - labels},
        {"validation_patients": lambda patients: patients[::-1]},
        {"validation_scores": lambda scores: np.hstack([scores, scores])},
    ],
)
def test_trials_on_other_images_are_named(copied, changes):
    rewrite(copied[1] / "trials" / "shuffled-1.npz", **changes)
    with pytest.raises(ValueError, match=r"shuffled-1.npz has scores of other images or classes than the other trials"):
        load(copied[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ["real"]}, "arms must be objects by name"),
        ({"arms": {"real": 1}}, "arms must be objects by name"),
        ({"class_names": "bright"}, "class_names must be a list of strings"),
        ({"positive": "grey"}, "positive must be one of"),
        ({"near_duplicates": [0.5]}, "near_duplicates must be a list of row numbers"),
        ({"about": []}, "about must be an object"),
        ({"about": {"notes": "<b>"}}, "notes must be a list of strings"),
        ({"about": {"source": 1}}, "source must be a string"),
        ({"about": {"prevalence": 2.0}}, "prevalence must be above 0 and below 1"),
        ({"about": {"image_shape": [28, 28]}}, "image_shape must be three numbers"),
        ({"about": {"sets": {"test": {"bright": [3, 3]}}}}, "sets and patients must be objects of the same names"),
        ({"about": {"sets": {"test": {}}, "patients": {"test": 1}}}, "sets must be objects by the names training, val"),
        ({"about": {"sets": SETS, "patients": dict.fromkeys(SETS, 1)}}, "sets must hold pairs of numbers"),
    ],
)
def test_damaged_settings_are_named(copied, changes, message):
    path = copied[1] / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=rf"study.json is damaged \({message}"):
        load(copied[1])


@pytest.mark.parametrize("content", ["", "[1]", '{"arms": '])
def test_settings_that_are_no_json_object_are_named(copied, content):
    (copied[1] / "study.json").write_text(content)
    with pytest.raises(ValueError, match=r"study.json is damaged \("):
        load(copied[1])


def test_what_a_study_says_about_itself(copied):
    splits, out, _ = copied
    about = load(out).settings["about"]
    assert about["sets"]["test"] == {"bright": [15, 15], "dark": [15, 15]}
    assert about["patients"] == {"training": 24, "validation": 12, "test": 30}
    assert about["image_shape"] == [20, 20, 1]
    groups = ["left", "right"] * 15
    grouped = dataclasses.replace(splits, test=dataclasses.replace(splits.test, groups=groups))
    for command in ("first", "second", "first"):
        study.run(grouped, ARMS, out=out, about={"commands": [command], "prevalence": 0.1}, **OPTIONS)
    results = study.run(grouped, ARMS, out=out, about={"commands": ["third"]}, **OPTIONS)
    assert results.groups.tolist() == groups
    assert results.settings["about"]["commands"] == ["first", "second", "third"]
    assert "prevalence" not in results.settings["about"]
    about["groups"] = groups[1:]
    path = out / "study.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"about": about}))
    with pytest.raises(ValueError, match="30 test images and 29 groups of them"):
        load(out)


def test_described_arms_have_the_means_of_the_summary(finished):
    results = finished[2]
    table, summary = results.describe({"AUC": "auc"}), results.summary().query("metric == 'auc'")
    assert table["mean"].tolist() == summary["mean"].tolist()
    assert table["low"].tolist() == summary["low"].tolist()
    few = results.describe({"AUC": "auc"}, np.arange(10))
    one = statistics.auc(results.labels[:10], results.scores["real"][0][:10])
    other = statistics.auc(results.labels[:10], results.scores["real"][1][:10])
    assert few["mean"][0] == pytest.approx((one + other) / 2)


def test_trials_of_an_unknown_arm_are_named(copied):
    path = copied[1] / "study.json"
    settings = json.loads(path.read_text())
    del settings["arms"]["shuffled"]
    path.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"holds trials of shuffled, which are not among the arms in its study.json"):
        load(copied[1])


def test_near_duplicates_are_left_out(finished):
    results = finished[2]

    def without(near):
        settings = results.settings | {"near_duplicates": near}
        return dataclasses.replace(results, settings=settings).without_near_duplicates()

    rest = without(list(range(10)))
    assert len(rest.labels) == len(rest.patients) == 20
    for arm, scores in results.scores.items():
        np.testing.assert_array_equal(rest.scores[arm], scores[:, 10:])
    assert without(list(range(27))) is None
    assert without([]) is None
