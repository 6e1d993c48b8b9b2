"""What is decided before the first trial, and what is exploratory because it was added later."""

import dataclasses
import json
import re

import numpy as np
import pytest

from synthkit import report, study
from synthkit.study.about import merged
from synthkit.study.storage import load
from tests.study.toy import ARMS, OPTIONS, toy_splits


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """The results of a study of two arms and three seeds, after it, after a third arm, and after a fourth seed."""
    out = tmp_path_factory.mktemp("protocol") / "out"
    first = study.run(toy_splits(), ARMS[:2], out=out, **OPTIONS | {"seeds": 3}, primary="brighter", margin=0.1)
    with_arm = study.run(toy_splits(), ARMS, out=out, **OPTIONS | {"seeds": 3})
    with_seed = study.run(toy_splits(), ARMS, out=out, **OPTIONS | {"seeds": 4})
    return out, first, with_arm, with_seed


def comparable(table, arms):
    return table[table["arm"].isin(arms)].reset_index(drop=True)


def test_it_is_written_before_the_first_trial(tmp_path):
    def interrupted(train, labels, seed):
        written.append(json.loads((tmp_path / "study.json").read_text())["protocol"])
        return study.oversample(train, labels, seed)

    written = []
    study.run(toy_splits(), [study.Arm("real"), study.Arm("copies", interrupted)], out=tmp_path, **OPTIONS)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", written[0].pop("written"))
    plan = {"arms": ["real", "copies"], "seeds": 2, "baseline": "real", "primary": None, "margin": 0.05}
    plan["metric"] = "auc"
    assert written[0] == plan
    assert load(tmp_path).protocol["arms"] == ["real", "copies"]


def test_what_is_added_later_is_exploratory_and_changes_nothing(steps):
    _, first, with_arm, with_seed = steps
    assert first.protocol == with_seed.protocol
    summary = first.summary()
    assert not summary["exploratory"].any()
    for later in (with_arm, with_seed):
        table = later.summary()
        assert set(table["arm"][table["exploratory"]]) == {"shuffled"}
        assert comparable(table, first.scores).equals(summary[table.columns])
    assert with_arm.with_later_seeds() is None
    everything = with_seed.with_later_seeds().summary()
    assert everything["exploratory"].all()
    assert everything["mean"][0] == np.mean(with_seed.column("real", "auc"))
    text = report.text(with_seed, with_seed.summary())
    assert "Exploratory, with all 4 seeds" in text
    assert ", exploratory" in next(line for line in text.splitlines() if line.startswith("shuffled"))


def test_the_plan_is_that_of_the_first_run():
    first, later = {"plan": "5 seeds", "source": "a"}, {"plan": "20 seeds", "source": "a"}
    assert merged({}, first) == first
    assert merged(first, later)["plan"] == "5 seeds"
    assert "plan" not in merged({"source": "a"}, later)


def test_the_page_says_it(steps, tmp_path):
    _, _, _, with_seed = steps
    page = report.write(with_seed, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "before the first trial: the arms real, brighter, 3 seeds, the baseline real" in page
    assert "the main comparison is brighter with real, a margin of 0.1" in page
    assert "Exploratory: not in the protocol" in page
    assert "Exploratory, with all 4 seeds" in page


def test_another_margin_or_baseline_is_exploratory(steps):
    _, first, *_ = steps
    assert first.summary(margin=0.05)["exploratory"].all()
    assert first.summary(baseline="brighter")["exploratory"].all()


def test_a_second_baseline_is_planned_only_without_a_main_comparison(tmp_path):
    arms = [dataclasses.replace(arm, name=name) for arm, name in zip(ARMS, ("real", "augmentation", "copies"))]
    for primary, exploratory in ((None, False), ("copies", True)):
        options = OPTIONS | {"seeds": 3, "primary": primary}
        results = study.run(toy_splits(), arms, out=tmp_path / str(primary), **options)
        assert not results.summary()["exploratory"].any()
        over = results.summary(baseline="augmentation", arms=["augmentation", "copies"])
        assert (over["exploratory"] == exploratory).all()


def test_there_is_no_verdict_before_all_seeds_are_finished(tmp_path):
    study.run(toy_splits(), ARMS[:2], out=tmp_path, **OPTIONS | {"seeds": 4})
    for seed in (1, 3):
        (tmp_path / "trials" / f"brighter-{seed}.npz").unlink()
    verdicts = load(tmp_path).summary().dropna(subset="difference")["verdict"]
    assert set(verdicts) == {"two seeds: no verdict"}
    (tmp_path / "trials" / "brighter-2.npz").unlink()
    study.run(toy_splits(), ARMS[:2], out=tmp_path, **OPTIONS | {"seeds": 3})
    text = report.text(load(tmp_path), load(tmp_path).summary())
    assert "3 of 4 seeds: no verdict yet" in text


def test_a_later_arm_that_is_not_finished_takes_no_seeds(steps):
    out, *_ = steps
    removed = (out / "trials" / "shuffled-1.npz").read_bytes()
    (out / "trials" / "shuffled-1.npz").unlink()
    results = load(out)
    (out / "trials" / "shuffled-1.npz").write_bytes(removed)
    assert list(results.scores) == ["real", "brighter"]
    assert results.all_seeds == [0, 1, 2, 3]


def test_a_main_comparison_that_there_is_not(tmp_path):
    with pytest.raises(ValueError, match="primary must be one of the arms besides the baseline. Received: 'real'"):
        study.run(toy_splits(), ARMS[:2], out=tmp_path, primary="real", **OPTIONS)


def test_the_main_metric_is_the_one_that_was_planned(tmp_path):
    results = study.run(toy_splits(), ARMS, out=tmp_path, metric="sensitivity", **OPTIONS | {"seeds": 3})
    summary = results.summary()
    assert summary["metric"].iloc[0] == "sensitivity"
    text = " ".join(report.text(results, summary).split())
    assert "changes the sensitivity by" in text
    assert "below which a change is considered too small" in text
    page = report.write(results, tmp_path / "report.html", summary).read_text("utf-8")
    assert "The verdict is about the sensitivity." in page
    with pytest.raises(ValueError, match="metric must be one of auc, accuracy"):
        study.run(toy_splits(), ARMS, out=tmp_path / "other", metric="AUC", **OPTIONS)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    out = tmp_path_factory.mktemp("planned")
    return study.run(toy_splits(), ARMS, out=out, primary="brighter", **OPTIONS | {"seeds": 3})


def test_some_arms_of_the_protocol_alone_are_exploratory(planned):
    assert not planned.summary()["exploratory"].any()
    assert planned.summary(arms=["real", "shuffled"])["exploratory"].all()


def test_lost_arms_count_in_the_correction_and_keep_the_gate_closed(planned):
    kept = [arm for arm in planned.scores if arm != "brighter"]
    changes = {name: {arm: getattr(planned, name)[arm] for arm in kept} for name in ("scores", "seeds")}
    closed = dataclasses.replace(planned, **changes).summary()
    (row,) = closed.query("arm == 'shuffled' and metric == 'auc'").itertuples()
    assert row.p_holm == 1
    settings = planned.settings | {"protocol": planned.protocol | {"primary": None}}
    lost = dataclasses.replace(planned, settings=settings, **changes).summary()
    (row,) = lost.query("arm == 'shuffled' and metric == 'auc'").itertuples()
    assert row.p_holm == pytest.approx(min(1, 2 * row.p))
