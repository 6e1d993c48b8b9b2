"""Every seed draws its own training set, the same for all arms."""

import numpy as np
import pytest

from synthkit import study
from synthkit.study import Arm
from tests.study.toy import OPTIONS, toy_splits

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
