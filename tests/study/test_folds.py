import numpy as np
import pytest
from scipy import stats

from synthkit import statistics, study
from synthkit.imageset import Splits
from synthkit.splitting import cross_validation, pool
from synthkit.study import Arm
from synthkit.study.storage import load
from tests.conftest import make_imageset
from tests.study.toy import ARMS, OPTIONS, assert_same, toy_splits


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("folds")
    return out, study.run(toy_splits(), ARMS[:2], out=out, folds=3, **OPTIONS)


def test_every_image_is_a_test_image_once(finished):
    _, results = finished
    images = pool(toy_splits())
    assert len(results.labels) == len(images) == 66
    assert (results.patients == images.patients).all()
    assert results.scores["real"].shape == (2, 66, 2)
    for folds in results.folds["real"]:
        assert (np.bincount(folds) == 22).all()
    assert (results.folds["real"][0] != results.folds["real"][1]).any()
    row = results.trials.iloc[0]
    assert row["n_real"] == pytest.approx(44 * 0.8, abs=1)


def test_a_network_is_scored_on_patients_that_it_was_not_trained_on(tmp_path):
    seen = []

    def recorded(train, labels, seed):
        seen.append(set(train.patients))
        return study.oversample(train, labels, seed)

    sets = [
        make_imageset(len(images), i, patients=np.arange(len(images)) // 4 + 100 * i)
        for i, images in enumerate(toy_splits())
    ]
    results = study.run(Splits(*sets), [Arm("recorded", recorded)], out=tmp_path, folds=3, **OPTIONS | {"seeds": 1})
    assert len(seen) == 3
    for number, trained in enumerate(seen):
        assert not trained & set(results.patients[results.folds["recorded"][0] == number])


def test_metrics_are_of_the_folds(finished):
    _, results = finished
    summary = results.summary().set_index(["arm", "metric"])
    scores, folds = results.scores["real"], results.folds["real"]
    areas = [
        np.mean([statistics.auc(results.labels[f == i], s[f == i]) for i in range(3)])
        for s, f in zip(scores, folds, strict=True)
    ]
    assert summary.loc[("real", "auc"), "mean"] == pytest.approx(np.mean(areas))
    assert results.trials[results.trials["arm"] == "real"]["auc"].tolist() == pytest.approx(areas)
    thresholds = results.thresholds["real"]
    assert all(len(set(cuts[f == i])) == 1 for cuts, f in zip(thresholds, folds, strict=True) for i in range(3))
    positive = results.labels == 0
    expected = np.mean([(s[positive, 0] >= cut[positive]).mean() for s, cut in zip(scores, thresholds, strict=True)])
    assert summary.loc[("real", "sensitivity"), "mean"] == pytest.approx(expected)


def test_it_is_resumed_and_read_again(finished):
    out, results = finished
    removed = out / "trials" / "brighter-1.npz"
    removed.unlink()
    again = study.run(toy_splits(), ARMS[:2], out=out, folds=3, **OPTIONS)
    assert_same(again, results)
    assert (load(out).folds["real"] == results.folds["real"]).all()
    with pytest.raises(ValueError, match="folds"):
        study.run(toy_splits(), ARMS[:2], out=out, folds=4, **OPTIONS)


@pytest.mark.slow
def test_in_processes_the_results_are_the_same(finished, tmp_path):
    _, results = finished
    assert_same(study.run(toy_splits(), ARMS[:2], out=tmp_path, folds=3, n_jobs=2, **OPTIONS), results)


def test_near_duplicates_are_left_out_of_what_is_scored_again(tmp_path):
    splits = toy_splits(400)
    images = splits.test.images.copy()
    images[:3] = splits.train.images[:3] ^ 1
    near = study.run(
        type(splits)(
            splits.train, splits.validation, type(splits.test)(images, splits.test.labels, splits.test.class_names)
        ),
        [Arm("real")],
        out=tmp_path,
        folds=2,
        **OPTIONS,
    )
    assert near.settings["near_duplicates"] == [0, 1, 2, 412, 413, 414]
    rest = near.without_near_duplicates()
    assert rest.scores["real"].shape[1] == rest.folds["real"].shape[1] == rest.thresholds["real"].shape[1] == 436
    assert rest.summary().set_index("metric").loc["auc", "mean"] > 0


def test_more_folds_than_patients():
    with pytest.raises(ValueError, match="folds must be at least 2 and at most the 6 patients of class"):
        cross_validation(make_imageset(12), 7)


def test_the_variance_over_folds_counts_where_it_is_larger():
    values, influences = np.array([0.02, 0.03]), np.tile(np.linspace(-1e-4, 1e-4, 50), (2, 1))
    folds = np.array([[0.2, -0.16], [0.23, -0.17]])
    plain = statistics.estimate(values, influences)
    assert statistics.estimate(values, influences, folds=np.repeat(values[:, None], 2, 1)).error == plain.error
    wide = statistics.estimate(values, influences, folds=folds)
    among = np.mean(np.var(folds, axis=1, ddof=1))
    assert wide.error**2 == pytest.approx(values.var(ddof=1) / 2 + among - 2 * values.var(ddof=1))
    # The degrees of freedom by hand; the part of the folds has S (K - 1) = 2.
    upper, correlated = values.var(ddof=1) / 2 / stats.chi2.ppf(0.1, 1), among - 2 * values.var(ddof=1)
    assert wide.freedom == pytest.approx((upper + correlated) ** 2 / (upper**2 + correlated**2 / 2))
    one = statistics.estimate(values[:1], influences[:1], folds=folds[:1])
    assert one.error**2 == pytest.approx(np.var(folds[0], ddof=1))
