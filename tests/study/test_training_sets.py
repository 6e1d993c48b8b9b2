"""Every seed draws its own training set, the same for all arms."""

import numpy as np
import pytest

from synthkit import study
from synthkit.splitting import subsample_rows
from synthkit.study import Arm, training_sets
from tests.study.toy import OPTIONS, toy_splits
from tests.test_splitting import make_imageset, numbered

VARYING = OPTIONS | {"fixed_training_set": False, "steps": 2}


def recorder(sets):
    def record(train, labels, seed):
        sets.append(train)
        return train[np.concatenate([np.flatnonzero(train.labels == label)[:1] for label in labels])]

    return record


def test_seeds_have_other_training_sets_and_arms_the_same(tmp_path):
    sets = []
    arms = [Arm("real"), Arm("first", recorder(sets)), Arm("second", recorder(sets))]
    results = study.run(toy_splits(), arms, out=tmp_path, **VARYING)
    assert results.trials["n_real"].eq(12).all()
    assert results.overlap == 0.5
    prints = [train.fingerprint() for train in sets]
    assert prints[0] == prints[1] != prints[2] == prints[3]


def test_intervals_are_wider_than_with_one_training_set(tmp_path):
    results = study.run(toy_splits(), [Arm("real"), Arm("again")], out=tmp_path, **VARYING | {"seeds": 3})
    row = results.summary().query("arm == 'again' and metric == 'auc'").iloc[0]
    settings = results.settings | {"overlap": 1.0}
    fixed = study.Results(**vars(results) | {"settings": settings}).summary()
    other = fixed.query("arm == 'again' and metric == 'auc'").iloc[0]
    assert row["difference"] == other["difference"]
    assert row["difference_high"] - row["difference_low"] >= other["difference_high"] - other["difference_low"]


def test_the_positive_control_gets_the_real_images_that_were_not_drawn(tmp_path):
    arms = [Arm("real"), Arm("more_real", more_real=True)]
    results = study.run(toy_splits(), arms, out=tmp_path, **VARYING)
    counts = results.trials.set_index("arm")
    assert counts.loc["real", "n_real"].tolist() == [12, 12]
    assert counts.loc["more_real", "n_real"].tolist() == [24, 24]
    with pytest.raises(ValueError, match="every seed draws all of them; remove the arm, --fixed-training-set or"):
        study.run(toy_splits(), arms, out=tmp_path / "fixed", **OPTIONS)


class TestDraw:
    def test_a_seed_draws_half_of_the_patients_of_each_class(self):
        train = numbered(120, patients=np.arange(120) // 4)  # 30 patients
        rows = training_sets.rows(train, seed=3)
        patients = np.unique(train.patients[rows])
        assert len(patients) == 15
        assert len(rows) == 60  # all images of a patient, or none
        assert (rows == training_sets.rows(train, seed=3)).all()
        assert not np.array_equal(rows, training_sets.rows(train, seed=4))

    def test_two_seeds_share_the_fraction_that_is_said(self):
        train = numbered(120, patients=np.arange(120) // 4)
        drawn = [set(training_sets.rows(train, seed=seed)) for seed in range(40)]
        shared = [len(first & second) / len(first) for first in drawn for second in drawn if first is not second]
        assert np.mean(shared) == pytest.approx(training_sets.overlap(train), abs=0.02)
        drawn = [set(training_sets.rows(train, per_class=15, seed=seed)) for seed in range(40)]
        shared = [len(first & second) / len(first) for first in drawn for second in drawn if first is not second]
        assert np.mean(shared) == pytest.approx(training_sets.overlap(train, per_class=15), abs=0.02)

    def test_the_class_that_seeds_share_most_counts(self):
        train = make_imageset(80)
        labels = train.labels
        rows = np.r_[np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:10]]
        assert training_sets.overlap(train[rows], per_class=8) == pytest.approx(0.8)
        assert training_sets.drawn_whole(train[rows], per_class=8) == []
        assert training_sets.overlap(train[rows], per_class=10) == pytest.approx(10 / 40)
        assert training_sets.drawn_whole(train[rows], per_class=10) == [train.class_names[1]]
        assert training_sets.overlap(train[rows], per_class=40) == 1

    def test_a_fixed_set_is_the_set_itself(self):
        train = numbered(12)
        assert training_sets.draw(train, fixed=True) is train
        assert training_sets.overlap(train, fixed=True) == 1
        assert len(training_sets.draw(train, per_class=2, fixed=True)) == 4

    def test_classes_of_few_patients_keep_two(self):
        train = make_imageset(40)
        rows = np.r_[np.flatnonzero(train.labels == 0), np.flatnonzero(train.labels == 1)[:2]]
        assert training_sets.draw(train[rows]).class_counts() == {"bright": 10, "dark": 2}

    def test_so_many_of_each_class(self):
        train = numbered(60)
        assert (training_sets.rows(train, per_class=9, seed=2) == subsample_rows(train, 9, seed=2)).all()
        assert len(training_sets.rows(train, per_class=100)) == 60
