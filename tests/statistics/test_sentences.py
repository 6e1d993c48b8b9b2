import numpy as np
import pandas as pd
import pytest

from synthkit import statistics
from synthkit.statistics import notes, sentences


class TestSentences:
    def row(self, **changes):
        row = {"arm": "gan", "metric": "auc", "mean": 0.7, "low": 0.6, "high": 0.8, "difference": -0.02}
        row |= {"difference_low": -0.05, "difference_high": 0.01, "p_holm": 0.3, "p_equivalent": 0.2}
        return row | {"verdict": "inconclusive", "p_gain": 0.01, "patient_share": 0.5, "primary": False} | changes

    def test_inconclusive_is_said_with_what_is_not_ruled_out(self):
        text = statistics.sentence(self.row())
        assert "gan: the result is inconclusive. AUC difference −0.020 (95 % interval −0.050 to +0.010)" in text
        assert text.endswith("what lies within the interval is not ruled out")
        assert sentences.label(self.row()) == "inconclusive"
        assert sentences.label(self.row(p_gain=np.nan)) == "inconclusive (scores do not vary)"
        (power,) = notes.power(pd.DataFrame([self.row()]), margin=0.05)
        assert power.startswith("Inconclusive does not mean no effect: the intervals say")
        (control,) = notes.controls(pd.DataFrame([self.row(arm="shuffled")]))
        assert control.startswith("The negative control is inconclusive")
        for word, start in {"hurts": "works", "equivalent": "works", "helps": "fails"}.items():
            (control,) = notes.controls(pd.DataFrame([self.row(arm="shuffled", verdict=word)]))
            assert control.startswith(f"The negative control {start}")

    def test_the_answer_has_its_number(self):
        rows = [self.row(arm="real", verdict="baseline", difference=np.nan), self.row(arm="gan")]
        assert sentences.answer(pd.DataFrame(rows), ["gan"])[0] == "Not shown to help."
        assert sentences.answer(pd.DataFrame(rows), []) == ("", "")
        for word, start in {"hurts": "Shown to hurt.", "helps": "Shown to help.", "equivalent": "No diff"}.items():
            words, sentence = sentences.answer(pd.DataFrame([rows[0], self.row(arm="gan", verdict=word)]), ["gan"])
            assert words.startswith(start)
            assert "gan" in sentence
        two = [self.row(arm="gan", verdict="helps", difference=0.02), self.row(arm="vae", difference=0.09)]
        assert sentences.answer(pd.DataFrame([rows[0], *two]), ["gan", "vae"])[1].startswith(
            "The best of them, gan, changes the AUC by +0.020"
        )  # the larger difference is not shown to be one
        early = pd.DataFrame([rows[0], self.row(arm="gan", verdict="two seeds: no verdict")])
        assert sentences.answer(early, ["gan"])[0] == "No answer yet."

    def test_other_verdicts(self):
        assert statistics.sentence(self.row(verdict="hurts")).startswith(
            "gan hurts: AUC difference −0.020 (95 % interval −0.050 to +0.010), p = 0.3"
        )
        assert "is equivalent to the baseline" in statistics.sentence(self.row(verdict="equivalent"))
        assert "Run at least three seeds" in statistics.sentence(self.row(verdict="one seed: no verdict"))
        assert statistics.sentence(self.row(verdict="baseline")).endswith(
            "(95 % interval 0.600 to 0.800), the baseline"
        )
        assert sentences.label(self.row(verdict="helps")) == "helps"
        assert sentences.label(self.row(verdict=np.nan)) == "no baseline"

    @pytest.mark.parametrize(
        ("verdict", "sentence"),
        [
            ({"oracle": "helps"}, "positive control works"),
            ({"oracle": "inconclusive"}, "positive control fails"),
            ({"oracle": "hurts"}, "positive control fails"),
            ({"oracle": "equivalent"}, "change the AUC by less than 0.02. A smaller gain is not ruled out"),
            ({"shuffled": "helps"}, "negative control fails"),
            ({"shuffled": "hurts"}, "negative control works"),
        ],
    )
    def test_controls(self, verdict, sentence):
        rows = [self.row(arm=arm, verdict=word) for arm, word in verdict.items()]
        (text,) = notes.controls(pd.DataFrame(rows), margin=0.02)
        assert sentence in text

    def test_controls_do_not_wait_for_the_main_comparison(self):
        row = self.row(arm="more_real", difference=0.09, p=0.001, p_holm=0.086, verdict="not tested")
        (text,) = notes.controls(pd.DataFrame([row]))
        assert text.startswith("The positive control works")

    def test_other_arms_are_no_controls(self):
        assert notes.controls(pd.DataFrame([self.row()])) == []

    def test_power_is_what_was_planned_and_what_many_arms_cost(self):
        rows = [self.row(arm=f"arm {i}") for i in range(10)]
        plan = "156 test images: such a study finds 0.062 with an 80 % chance. To find one of 0.05 takes more seeds"
        before, arms, *others = notes.power(pd.DataFrame(rows), margin=0.05, plan=plan)
        assert before == (
            "Expected before the study, from simulations: 156 test images: such a study finds 0.062 with an 80 % "
            "chance. What it found is in the intervals above."
        )
        assert arms == (  # 2.807 + 0.842, by 1.960 + 0.842
            "For 10 arms instead of one, a difference must be at least 1.3 times as large to be found as often."
        )
        assert others == ["Inconclusive does not mean no effect: the intervals say what is not ruled out."]
        main_and_one = pd.DataFrame([self.row(primary=True), self.row(arm="vae")])
        assert notes.power(main_and_one) == others  # each of them is tested at the whole level
        assert notes.power(pd.DataFrame([self.row(primary=True), *rows])) == others
        one_seed = [self.row(patient_share=np.nan)]
        assert notes.power(pd.DataFrame(one_seed)) == []

    def test_arms_that_were_added_later_do_not_change_the_answer(self):
        real = self.row(arm="real", verdict="baseline", difference=np.nan, exploratory=False)
        planned = self.row(arm="gan", exploratory=False)
        later = self.row(arm="vae", verdict="helps", difference=0.2, exploratory=True)
        before = sentences.answer(pd.DataFrame([real, planned]), ["gan", "vae"])
        words, sentence = sentences.answer(pd.DataFrame([real, planned, later]), ["gan", "vae"])
        assert (words, sentence.split(" Exploratory")[0]) == before
        assert sentence.endswith(" Exploratory, not in the protocol: vae seems to help.")
        assert sentences.next_step(pd.DataFrame([real, planned, later]), ["gan", "vae"]) == sentences.next_step(
            pd.DataFrame([real, planned]), ["gan", "vae"]
        )
        alone = sentences.answer(pd.DataFrame([real, later]), ["gan", "vae"])
        assert alone[0] == "Shown to help."
        assert alone[1].endswith(" Exploratory: this comparison is not in the protocol.")

    def test_the_answer_is_about_the_main_comparison(self):
        real = self.row(arm="real", verdict="baseline", difference=np.nan)
        main = self.row(arm="gan", primary=True)
        other = self.row(arm="vae", verdict="not tested", difference=0.3, difference_high=0.4)
        words, sentence = sentences.answer(pd.DataFrame([real, main, other]), ["gan", "vae"])
        assert words == "Not shown to help."
        assert sentence == (
            "The main comparison, gan, changes the AUC by −0.020 (−0.050 to +0.010) compared with real; a gain of 0.05 "
            "or more is ruled out. Of the others, which are not tested, vae is highest: +0.300 (−0.050 to +0.400)."
        )
        assert sentences.next_step(pd.DataFrame([real, main, other]), ["gan", "vae"]) == (
            "Next: do without the images of gan."
        )
        more = self.row(arm="more_real", difference=0.1, difference_low=0.05, difference_high=0.15, p=0.001)
        assert sentences.next_step(pd.DataFrame([real, main, more]), ["gan"]) == (
            "Next: do without the images of gan. More real images help: more_real +0.100 (+0.050 to +0.150)."
        )
        alike = [self.row(arm="vae augmented", verdict="not tested", difference=-0.1), other]
        main = self.row(arm="gan augmented", primary=True)
        sentence = sentences.answer(pd.DataFrame([real, main, *alike]), ["gan augmented", "vae augmented", "vae"])[1]
        assert "Of the others with augmentation, which are not tested, vae augmented is highest: −0.100" in sentence
        main = self.row(arm="gan", primary=True)
        assert sentences.answer(pd.DataFrame([real, main, other]), ["vae"])[0] == "Not tested."
        assert "--primary" in sentences.next_step(pd.DataFrame([real, main, other]), ["vae"])
        assert sentences.sentence(other).startswith(
            "vae: no verdict, since the main comparison comes first and has not shown a difference. AUC difference +0.3"
        )

    def test_features_cannot_be_looked_at(self):
        real = self.row(arm="real", verdict="baseline", difference=np.nan)
        nearby = {"difference_low": -0.04, "difference_high": 0.04}
        for changed in ({"verdict": "helps"}, {"verdict": "hurts"}, {"learned": False}, nearby):
            rows = pd.DataFrame([real, self.row(arm="smote", **changed)])
            of_images, of_features = (sentences.next_step(rows, ["smote"], features=names) for names in ([], ["smote"]))
            assert "images" in of_images
            assert of_features.startswith("Next: ")
            assert "images" not in of_features

    def test_more_real_images_help_only_where_that_is_shown(self):
        real = self.row(arm="real", verdict="baseline", difference=np.nan)
        for changed in ({"p": 0.06}, {"difference_low": -0.01, "p": 0.03}, {"verdict": "two seeds: no verdict"}):
            more = {"difference": 0.1, "difference_low": 0.05, "difference_high": 0.15, "p": 0.001} | changed
            more = self.row(**{"arm": "more_real", **more})
            assert "More real images" not in sentences.next_step(pd.DataFrame([real, self.row(), more]), ["gan"])

    @pytest.mark.parametrize("verdict", ["helps", "hurts"])
    def test_an_effect_is_said_with_what_it_depends_on(self, verdict):
        real = self.row(arm="real", verdict="baseline", difference=np.nan)
        rows = pd.DataFrame([real, self.row(verdict=verdict)])
        text = " This assumes that every test image is of another patient."
        assert sentences.answer(rows, ["gan"], assumption="every test image is of another patient")[1].endswith(text)
        assert text not in sentences.answer(rows, ["gan"])[1]

    def test_equivalence_is_said_with_what_it_depends_on(self):
        real = self.row(arm="real", verdict="baseline", difference=np.nan)
        rows = pd.DataFrame([real, self.row(verdict="equivalent", difference=-0.0004)])
        words, sentence = sentences.answer(rows, ["gan"], assumption="every test image is of another patient")
        assert words == "No difference that matters."
        assert sentence == (
            "gan changes the AUC by 0.000 (−0.050 to +0.010) compared with real; a difference of 0.05 or more is ruled "
            "out, if every test image is of another patient."
        )

    def test_a_main_comparison_that_hurts_is_not_shown_to_help_because_another_arm_does(self):
        real = self.row(arm="real", verdict="baseline", difference=np.nan)
        main, other = self.row(arm="gan", primary=True, verdict="hurts"), self.row(arm="vae", verdict="helps")
        words, sentence = sentences.answer(pd.DataFrame([real, main, other]), ["gan", "vae"])
        assert words == "Shown to hurt."
        assert sentence.endswith("compared with real. Of the others, vae helps.")
        both = pd.DataFrame([real, self.row(arm="gan", primary=True, verdict="helps"), other])
        assert sentences.answer(both, ["gan", "vae"])[0] == "Shown to help."

    def test_a_difference_that_is_shown_may_be_too_small_to_matter(self):
        real = self.row(arm="real", verdict="baseline", difference=np.nan)
        small = pd.DataFrame([real, self.row(verdict="hurts", difference_low=-0.03, difference_high=-0.01)])
        assert sentences.answer(small, ["gan"])[1].endswith("compared with real, less than the margin of 0.05.")
        assert "less than" not in sentences.answer(small, ["gan"], margin=0.02)[1]

    def test_what_was_not_tested_is_not_the_best_of_what_was(self):
        real = self.row(arm="real", verdict="baseline", difference=np.nan)
        rows = [real, self.row(arm="vae", verdict="equivalent"), self.row(verdict="not tested", difference=0.3)]
        words, sentence = sentences.answer(pd.DataFrame(rows), ["gan", "vae"])
        assert words == "Not shown to help."
        assert sentence.startswith("vae changes the AUC by −0.020")
        assert "Of the others, which are not tested, gan is highest: +0.300" in sentence

    def test_augmentation_that_was_not_tested(self):
        rows = pd.DataFrame([self.row(arm="augmentation", verdict="not tested")])
        assert sentences.augmentation(rows).startswith("Classical augmentation alone is not tested")

    def test_few_patients_are_the_reason_that_a_gain_is_not_ruled_out(self):
        real = self.row(arm="real", verdict="baseline", difference=np.nan)
        rows = pd.DataFrame([real, self.row(p_equivalent=np.nan)])
        assert "with so few test patients a gain of 0.05 is not ruled out" in sentences.answer(rows, ["gan"])[1]
        assert "with so few test patients a gain of 0.05 by gan" in sentences.next_step(rows, ["gan"])

    def test_near_duplicates(self):
        assert notes.near_duplicates(0, 40, 0.9, True) == ""
        text = notes.near_duplicates(10, 40, 0.9, True)
        assert text.startswith("10 of 40 test images look like training or validation images")
        assert text.endswith("Results without these test images:")
        assert notes.near_duplicates(37, 40, 0.9, False).endswith("Too few other test images are left to score.")


def test_a_study_that_could_not_find_anything_says_so_first():
    study = statistics.simulate_study(12, 2, 3, auc=0.9, images_per_patient=1, seed=3)
    summary = statistics.summarize(*study, metrics=("auc",))
    assert "could not have found any improvement" in notes.too_small(summary)[0]
    assert any("No arm can be called equivalent" in text for text in notes.power(summary))
    assert summary["p_equivalent"].isna().all()
    large = statistics.summarize(*statistics.simulate_study(400, 2, 5, auc=0.7, seed=3), metrics=("auc",))
    assert notes.too_small(large) == []


def test_which_training_sets_the_intervals_are_about():
    assert "share up to 10 % of the images of a class" in notes.population(0.1)
    assert "same real images" in notes.population(1)
    assert "4 of 5 folds" in notes.population(1, 5)


def test_without_a_verdict_nothing_is_said_about_controls_and_augmentation():
    study = statistics.simulate_study(400, 3, 2, seed=1)  # two seeds
    names = dict(zip(study[0], ("real", "augmentation", "oracle", "shuffled"), strict=True))
    scores = {names[arm]: of_arm for arm, of_arm in study[0].items()}
    summary = statistics.summarize(scores, *study[1:], metrics=("auc",))
    assert notes.controls(summary) == []
    assert sentences.augmentation(summary) == ""
    summary.loc[summary["arm"] != "real", "verdict"] = "inconclusive"
    assert len(notes.controls(summary)) == 2
    assert "is not shown to help" in sentences.augmentation(summary)
