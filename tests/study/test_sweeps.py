import numpy as np
import pytest

from synthkit import study
from synthkit.study import sweeps
from tests.study.toy import OPTIONS, brighter, toy_splits


def test_every_fraction_has_a_baseline_and_every_ratio():
    arms = sweeps.arms("gan", brighter, ratios=(0.5, 2.0), real_shares=(0.25, 1.0))
    assert [(arm.name, arm.ratio, arm.real_share) for arm in arms if arm.synthesizer] == [
        ("gan ×0.5 on 25%", 0.5, 0.25),
        ("gan ×2 on 25%", 2.0, 0.25),
        ("gan ×0.5", 0.5, 1.0),
        ("gan ×2", 2.0, 1.0),
    ]
    assert [arm.name for arm in arms if arm.synthesizer is None] == ["real on 25%", "real"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    arms = sweeps.arms("gan", brighter, ratios=(0.5, 2.0), real_shares=(0.5, 1.0))
    return study.run(toy_splits(train=40), arms, out=tmp_path_factory.mktemp("sweep"), **OPTIONS)


def test_arms_get_their_fraction_of_the_real_images(results):
    counts = results.trials.set_index("arm")[["n_real", "n_synthetic"]].drop_duplicates()
    assert counts.loc["real on 50%"].tolist() == [20, 0]
    assert counts.loc["gan ×0.5 on 50%"].tolist() == [20, 10]
    assert counts.loc["gan ×2"].tolist() == [40, 80]


def test_table_compares_arms_with_the_same_real_images(results):
    table = sweeps.table(results).query("metric == 'auc'").set_index("arm")
    assert table.loc["real on 50%", ["ratio", "real_share"]].tolist() == [0, 0.5]
    for arm, baseline in (("gan ×2 on 50%", "real on 50%"), ("gan ×2", "real")):
        difference = table.loc[arm, "mean"] - table.loc[baseline, "mean"]
        assert table.loc[arm, "difference"] == pytest.approx(difference)
    assert np.isnan(table.loc["real", "difference"])
    assert len(table) == 6
