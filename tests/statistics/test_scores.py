import numpy as np
import pytest
from sklearn import metrics

from synthkit import statistics
from synthkit.statistics import (
    Validation,
    describe,
    influence,
    operating_point,
    score,
    simulate_study,
    summarize,
)
from synthkit.statistics import scores as module
from synthkit.statistics.scores import OF_PREDICTIONS, at_thresholds, predict


def two_columns(scores):
    scores = 1 / (1 + np.exp(-scores))
    return np.stack([1 - scores, scores], axis=1)


class TestScores:
    def test_auc_agrees_with_scikit_learn_with_ties(self):
        rng = np.random.default_rng(0)
        labels, scores = rng.integers(0, 2, 200), rng.integers(0, 12, 200) / 12
        ours = statistics.auc(labels, np.stack([1 - scores, scores], 1))
        assert ours == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)

    def test_multiclass_auc_agrees_with_scikit_learn(self):
        rng = np.random.default_rng(2)
        labels, scores = rng.integers(0, 4, 300), rng.dirichlet(np.ones(4), 300)
        theirs = metrics.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
        assert statistics.auc(labels, scores) == pytest.approx(theirs, abs=1e-12)

    def test_auc_without_a_class_is_nan(self):
        assert np.isnan(statistics.auc([1, 1], np.array([[0.5, 0.5]] * 2)))

    def test_skin_study_table_2(self):
        # The skin-lesion study's confusion matrix (Table 2), whose text has sensitivity and specificity swapped:
        # 288 of 300 malignant and 238 of 360 benign images are predicted correctly.
        labels = np.repeat([0, 0, 1, 1], [288, 12, 122, 238])
        predicted = np.repeat([0, 1, 0, 1], [288, 12, 122, 238])
        values = statistics.score(labels, np.eye(2)[predicted], positive=0)
        assert values["accuracy"] == pytest.approx(526 / 660)
        assert values["sensitivity"] == pytest.approx(0.96)
        assert values["specificity"] == pytest.approx(238 / 360)
        assert round(values["f1"], 2) == 0.81

    def test_scores_over_all_classes_agree_with_scikit_learn(self):
        rng = np.random.default_rng(3)
        labels, scores = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), 90)
        values = statistics.score(labels, scores)
        assert values["f1"] == pytest.approx(metrics.f1_score(labels, scores.argmax(1), average="macro"))
        assert values["sensitivity"] == pytest.approx(metrics.recall_score(labels, scores.argmax(1), average="macro"))

    @pytest.mark.parametrize("classes", [2, 4])
    @pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "sensitivity", "f1", "brier"])
    def test_metrics_agree_with_scikit_learn(self, name, classes):
        rng = np.random.default_rng(4)
        labels, scores = rng.integers(0, classes, 50), rng.dirichlet(np.ones(classes), 50)
        theirs = {
            "accuracy": lambda y, s: metrics.accuracy_score(y, s.argmax(1)),
            "balanced_accuracy": lambda y, s: metrics.balanced_accuracy_score(y, s.argmax(1)),
            "sensitivity": lambda y, s: metrics.recall_score(y, s.argmax(1), average="macro"),
            "f1": lambda y, s: metrics.f1_score(y, s.argmax(1), average="macro"),
            "brier": lambda y, s: np.mean(np.sum((np.eye(classes)[y] - s) ** 2, axis=1)) / 2,
        }[name]
        assert getattr(module, name)(labels, scores) == pytest.approx(theirs(labels, scores), abs=1e-12)

    @pytest.mark.parametrize("positive", [None, 1])
    @pytest.mark.parametrize("name", list(module.MEASURES))
    def test_influence_is_the_change_with_more_of_an_image(self, name, positive):
        """With 40 copies of all images, one more copy of one of them changes the metric by its influence."""
        rng = np.random.default_rng(5)
        labels, scores = rng.integers(0, 2, 30), rng.dirichlet(np.ones(2), 30)
        value, influences = statistics.influence(name, labels, scores, positive, 0.4)
        assert value == pytest.approx(module.MEASURES[name](labels, scores, positive, 0.4), abs=1e-12)
        assert influences.sum() == pytest.approx(0, abs=1e-12)
        copies = 2000
        for image in range(6):
            rows = np.append(np.repeat(np.arange(30), copies), np.full(copies // 10, image))
            changed = module.MEASURES[name](labels[rows], scores[rows], positive, 0.4)
            assert (changed - value) / 0.1 == pytest.approx(influences[image], rel=0.05, abs=1e-6)

    def test_influences_give_the_bootstraps_standard_error(self):
        rng = np.random.default_rng(6)
        labels, scores = rng.integers(0, 3, 120), rng.dirichlet(np.ones(3), 120)
        for name in ("auc", "f1"):
            _, influences = statistics.influence(name, labels, scores)
            drawn = rng.integers(120, size=(600, 120))
            values = [module.MEASURES[name](labels[rows], scores[rows]) for rows in drawn]
            assert np.sqrt(np.sum(influences**2)) == pytest.approx(np.std(values), rel=0.1)

    def test_two_class_brier_agrees_with_scikit_learn(self):
        rng = np.random.default_rng(5)
        labels, scores = rng.integers(0, 2, 80), two_columns(rng.normal(size=80))
        assert module.brier(labels, scores) == pytest.approx(metrics.brier_score_loss(labels, scores[:, 1]), abs=1e-12)

    def test_specificity_is_the_other_class_sensitivity(self):
        rng = np.random.default_rng(6)
        labels, scores = rng.integers(0, 2, 80), two_columns(rng.normal(size=80))
        assert module.specificity(labels, scores, positive=0) == module.sensitivity(labels, scores, positive=1)


class TestOperatingPoint:
    LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    SCORES = np.array([0.1, 0.2, 0.3, 0.6, 0.25, 0.4, 0.5, 0.7, 0.8, 0.9])

    def test_youden_by_hand(self):
        # Above 0.35, five of six cases and three of four controls are right: 5/6 + 3/4 is the largest sum.
        assert operating_point(self.LABELS, self.SCORES) == pytest.approx(0.35)

    def test_least_sensitivity_and_specificity(self):
        assert operating_point(self.LABELS, self.SCORES, "sensitivity=0.9") == pytest.approx(0.225)
        assert operating_point(self.LABELS, self.SCORES, "specificity=0.9") == pytest.approx(0.65)

    def test_scores_that_do_not_vary(self):
        assert np.isfinite(operating_point([0, 1, 1], [0.5, 0.5, 0.5]))

    @pytest.mark.parametrize(
        "rule", ["", "youden=0.9", "sensitivity", "sensitivity=1", "specificity=x", "accuracy=0.9"]
    )
    def test_other_rules(self, rule):
        with pytest.raises(ValueError, match="an operating point is youden, sensitivity=0.9 or specificity=0.9"):
            operating_point([0, 1], [0, 1], rule)

    def test_one_class(self):
        with pytest.raises(ValueError, match="positive and negative images"):
            operating_point([1, 1], [0, 1])

    def test_metrics_at_a_threshold(self):
        scores = np.stack([1 - self.SCORES, self.SCORES], axis=1)
        metrics = score(self.LABELS, scores, positive=1, threshold=0.35)
        truth = {"sensitivity": 5 / 6, "specificity": 3 / 4, "ppv": 5 / 6, "npv": 3 / 4, "accuracy": 0.8, "f1": 5 / 6}
        truth |= {"balanced_accuracy": (5 / 6 + 3 / 4) / 2}
        assert {name: metrics[name] for name in truth} == pytest.approx(truth)
        swapped = score(self.LABELS, scores, positive=0, threshold=0.65)
        assert swapped["sensitivity"] == 3 / 4  # controls whose score for class 0 is at least 0.65
        with pytest.raises(ValueError, match="a threshold is for two classes"):
            score(self.LABELS, np.column_stack([scores, scores[:, 0]]), threshold=0.5)

    def test_undefined_metrics_are_nan(self):
        scores = np.stack([1 - self.SCORES, self.SCORES], axis=1)
        assert np.isnan(score(self.LABELS, scores, positive=1, threshold=2.0)["ppv"])


class TestChoiceOfTheOperatingPoint:
    """`Validation` holds a bootstrap against the plain way: sample patients, choose, predict, score."""

    def test_thresholds_are_those_of_resampled_images(self):
        rng = np.random.default_rng(0)
        labels, scores = np.arange(30) % 2, rng.random((1, 30, 2)).round(1).astype("float32")
        for rule in ("youden", "sensitivity=0.8", "specificity=0.8"):
            validation = Validation(labels, np.arange(30), {"real": scores}, rule)
            found = validation.thresholds["real"][0]
            for weights, threshold in zip(validation._weights[:20].astype(int), found[:20], strict=True):
                assert weights[labels == 1].sum() == 15
                rows = np.repeat(np.arange(30), weights)
                plain = operating_point(labels[rows], scores[0, rows, 1], rule)
                # Equally good ones may differ, where an image that is not in the sample lies between them.
                sample = labels[rows], scores[0, rows]
                best = {"y": "balanced_accuracy", "se": "specificity", "sp": "sensitivity"}
                name = next(name for start, name in best.items() if rule.startswith(start))
                levels = [influence(name, *sample, 1, t)[0] for t in (threshold, plain)]
                assert levels[0] == pytest.approx(levels[1])

    def test_patients_are_drawn_whole(self):
        patients = np.repeat(np.arange(10), 3)
        weights = Validation(patients % 2, patients, {})._weights.reshape(-1, 10, 3)
        assert (weights == weights[:, :, :1]).all()
        assert weights.std(0).min() > 0.5

    @pytest.mark.parametrize("positive", [0, 1, None])
    @pytest.mark.parametrize("name", OF_PREDICTIONS)
    def test_metrics_at_thresholds_are_those_of_each(self, name, positive):
        rng = np.random.default_rng(1)
        labels, scores = rng.integers(0, 2, 50), rng.random((50, 2))
        thresholds = np.array([-0.1, 0.2, 0.5, 0.9])
        expected = [influence(name, labels, scores, positive, threshold)[0] for threshold in thresholds]
        assert at_thresholds(name, labels, scores, positive, thresholds) == pytest.approx(expected, nan_ok=True)

    def test_intervals_cover_the_choice(self):
        scores, labels, patients = simulate_study(156, 1, 5, seed=0)
        cut = {"positive": 1, "metrics": ("auc", "sensitivity"), "thresholds": {arm: [0.5] * 5 for arm in scores}}
        validation = Validation(labels[:40], patients[:40], {arm: s[:, :40] for arm, s in scores.items()})
        with_it, without = (summarize(scores, labels, patients, **cut, validation=v) for v in (validation, None))
        wider = with_it["high"] - with_it["low"] > without["high"] - without["low"] + 0.02
        assert wider.tolist() == [False, False, True, True]
        wider = with_it["difference_high"] - without["difference_high"] > 0.01
        assert wider.tolist() == [False, False, False, True]
        table = describe(scores, labels, patients, {"sensitivity": "sensitivity"}, positive=1, validation=validation)
        assert table["low"].tolist() == with_it["low"][2:].tolist()

    def test_the_variance_over_samples_is_that_over_validation_sets(self):
        scores, labels, patients = simulate_study(40 * 100 + 200, 0, 3, seed=3)
        test, chosen, estimated = slice(40 * 100, None), [], []
        for rows in (slice(40 * i, 40 * (i + 1)) for i in range(100)):
            validation = Validation(labels[rows], patients[rows], {"real": scores["real"][:, rows]})
            cuts = [operating_point(labels[rows], s[rows, 1]) for s in scores["real"]]
            pairs = zip(scores["real"][:, test], cuts, strict=True)
            chosen.append(np.mean([influence("sensitivity", labels[test], s, 1, cut)[0] for s, cut in pairs]))
            of_samples = validation.choices("sensitivity", labels[test], scores["real"][:, test], "real")
            estimated.append(of_samples.mean(0).std())
        assert np.mean(estimated) == pytest.approx(np.std(chosen), rel=0.3)


def test_a_threshold_between_two_scores_of_float32_is_none_of_them():
    scores = np.array([0.9, 0.1], "float32")
    above = float(np.nextafter(np.float64(scores[0]), np.inf))
    assert predict(np.stack([1 - scores, scores], 1), 1, above).tolist() == [0, 0]
