import dataclasses
import html
import html.parser
import re
import shutil
import subprocess
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synthkit import catalogue, report, statistics
from synthkit.imageset import ImageSet
from synthkit.report.page import _glance
from synthkit.statistics import sentences
from synthkit.study.results import Results
from synthkit.study.storage import COLUMNS
from tests.conftest import make_imageset

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    arms = ["real", "dense_cvae", HOSTILE]
    scores = {}
    for i, arm in enumerate(arms):
        positive = 1 / (1 + np.exp(-(labels * (1 + i) + rng.normal(size=(3, 40)))))
        scores[arm] = np.stack([1 - positive, positive], axis=2).astype("float32")
    rows = [
        dict(zip(COLUMNS, [arm, seed, 20, 20, 6, 0.7, 0.9, 0.5, *[0.7] * 7, 0.2, 1.5, "done"], strict=True))
        for seed in range(3)
        for arm in arms
    ]
    rows.append(rows[0] | {"arm": HOSTILE, "seed": 3, "status": f"failed: ValueError: {HOSTILE}"})
    toy = make_imageset(16)
    return Results(
        trials=pd.DataFrame(rows),
        scores=scores,
        seeds={arm: [0, 1, 2] for arm in scores},
        labels=labels,
        patients=np.arange(40).astype(str),
        histories={
            (arm, s): {"step": [3, 6], "loss": [1.0, 0.5], "val_auc": [0.5, 0.7]} for arm in arms for s in range(3)
        },
        samples={arm: ImageSet(toy.images, toy.labels, ("malignant", HOSTILE), name=arm) for arm in arms},
        settings={
            "class_names": ["malignant", HOSTILE],
            "positive": "malignant",
            "operating_point": "youden",
            "steps": 7,  # requested; a multiple of the steps between two checks is run
            "classifier": "skin_cnn",
            "train_per_class": None,
            "data": {HOSTILE: "0123"},
            "arms": {arm: {"ratio": 1.0} for arm in arms},
            "versions": {"keras": "3"},
        },
    )


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]


@pytest.fixture(scope="module")
def page(results, tmp_path_factory):
    return report.write(results, tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Returns a function that returns the page's text; its figures are drawn but not embedded, which takes longest."""
    monkeypatch.setattr(report.figures, "embed", lambda figure, **__: plt.close(figure) or "data:,")
    return lambda results, **options: report.write(results, tmp_path / "a.html", **options).read_text("utf-8")


def test_is_self_contained(page):
    parsed = Page(page.read_text(encoding="utf-8"))
    assert parsed.links
    assert all(link.startswith("data:") for link in parsed.links)
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    assert not re.search(r"https?://(?!www\.w3\.org)", page.read_text(encoding="utf-8"))


def test_names_from_files_are_escaped(page):
    text = page.read_text(encoding="utf-8")
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") > 5


def test_reports_verdicts_and_failed_trials(page, results):
    text, summary = page.read_text(encoding="utf-8"), results.summary()
    for row in summary.query("metric == 'auc'").to_dict("records"):
        assert f"{row['mean']:.3f}" in text
        assert sentences.sentence(row).replace(" %", "\N{NO-BREAK SPACE}%") in html.unescape(text)
    assert "Every trial trains the classifier\n  skin_cnn for 6 gradient steps" in text
    assert "1 trial failed</b> and is left out of all results" in text
    assert "Forest plot" in text
    assert "counts as a separate patient" in text
    # Two strips for 3 arms and 2 classes, 4 at a glance; 2 forest plots; 2 of the training; 5 kinds of an arm.
    assert text.count("<img") == 2 * 3 * 2 + 4 + 2 + 2 + 5 * 3
    brier = summary.query("metric == 'brier' and arm == 'dense_cvae'").iloc[0]
    assert f"{brier['mean']:.3f} <small>{brier['difference']:+.3f} <br>".replace("-", "−") in text


def test_says_what_every_arm_is(write, results):
    arms = {"real": {"ratio": 1.0}, "dense_cvae filtered x2": {"ratio": 2.0, "epochs": 9}, "mine": {"counts": {"a": 1}}}
    trials = results.trials.replace({"arm": {"dense_cvae": "dense_cvae filtered x2"}, "n_synthetic": {20: 40}})
    scores = {"dense_cvae filtered x2" if arm == "dense_cvae" else arm: s for arm, s in results.scores.items()}
    changes = {"trials": trials, "scores": scores, "seeds": {arm: [0, 1, 2] for arm in scores}}
    text = write(dataclasses.replace(results, settings=results.settings | {"arms": arms}, **changes))
    rows = dict(
        re.findall(r'<tr><td>([^<]+)</td><td class="text long">([^<]*)</td><td[^>]*>20</td><td[^>]*>40</td></tr>', text)
    )
    assert html.unescape(rows["real"]) == catalogue.texts()["real"]
    assert html.unescape(rows["dense_cvae filtered x2"]) == (
        f"{catalogue.texts()['dense_cvae']}; {catalogue.ENDINGS['filtered']}"
    )
    assert re.search(r'<td>mine</td><td class="text long"></td><td data-name="real"></td><td [^>]*></td>', text)
    assert '<td>arm dense_cvae filtered x2</td><td class="text long">epochs 9</td>' in text
    assert '<td>arm mine</td><td class="text long">counts {&#39;a&#39;: 1}</td>' in text


def test_the_margin_is_on_the_page(write, results):
    assert "differences below the margin of 0.3" in write(results, margin=0.3)


def about(results, **entries):
    return dataclasses.replace(results, settings=results.settings | {"about": entries})


def cells(text, start):
    """Returns the rows of the table after a heading: a list of the texts of their cells, without tags."""
    table = text[text.index(start) :]
    rows = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")], re.S)
    return [
        [html.unescape(re.sub("<[^>]*>", "", cell)).strip() for cell in re.findall("<td.*?</td>", row)] for row in rows
    ]


class TestClinicalFigures:
    def test_table_has_what_the_statistics_say(self, write, results):
        text = write(results)
        rows = {row[0]: row[1:] for row in cells(text, "<h2>Calibration and net benefit</h2>") if row}
        assert list(rows) == list(results.scores)
        slopes = [statistics.calibration_slope(results.labels, s, 0)[0] for s in results.scores["dense_cvae"]]
        benefits = [statistics.net_benefit(0.5)(results.labels, s, 0)[0] for s in results.scores["dense_cvae"]]
        assert rows["dense_cvae"][2].startswith(f"{np.mean(slopes):.2f} (")
        assert rows["dense_cvae"][4].startswith(f"{np.mean(benefits):.3f} (".replace("-", "−"))
        assert "at a prevalence of 0.5 (that of the test set) and a threshold probability of 0.5" in text
        assert text.count("Decision curve of the arm") == text.count("Reliability diagram of the arm") == 3

    def test_a_given_prevalence(self, write, results):
        text = write(about(results, prevalence=0.01, threshold_probability=0.02))
        rows = {row[0]: row[1:] for row in cells(text, "<h2>Calibration and net benefit</h2>") if row}
        benefit = statistics.net_benefit(0.02, 0.01)
        benefits = [benefit(results.labels, s, 0)[0] for s in results.scores["real"]]
        assert rows["real"][4].startswith(f"{np.mean(benefits):.3f}".replace("-", "−"))
        assert "at a prevalence of 0.01 (given) and a threshold probability of 0.02" in text
        assert "Treating everybody has a net benefit of −0.010" in text

    def test_more_than_two_classes_have_recalls_instead(self, write, results):
        rng = np.random.default_rng(1)
        scores = {arm: rng.dirichlet(np.ones(3), (3, 40)).astype("float32") for arm in results.scores}
        names = ["a", "b", "c"]
        settings = results.settings | {"class_names": names, "positive": None}
        labels = np.arange(40) % 3
        samples = {arm: dataclasses.replace(one, class_names=tuple(names)) for arm, one in results.samples.items()}
        changed = {"labels": labels, "scores": scores, "settings": settings, "samples": samples}
        changed["trials"] = results.trials.assign(threshold=np.nan)
        text = write(dataclasses.replace(results, **changed))
        assert "Calibration and net benefit</h2>" not in text
        rows = {row[0]: row[1:] for row in cells(text, "<h2>Recall of every class</h2>") if row}
        recalls = [np.mean(s.argmax(1)[labels == 2] == 2) for s in scores["real"]]
        assert rows["real"][2].startswith(f"{np.mean(recalls):.3f} (")


def test_subgroups_are_scored_apart(write, results):
    labels = np.tile([0, 0, 1, 1], 30)
    scores = {arm: np.tile(s, (1, 3, 1)) for arm, s in results.scores.items()}
    groups = ["left"] * 80 + ["right"] * 30 + [HOSTILE] * 10
    larger = dataclasses.replace(results, labels=labels, scores=scores, patients=np.arange(120).astype(str))
    text = write(about(larger, groups=groups, group_column="side"))
    assert "<h2>Subgroups by side</h2>" in text
    assert "80 test images; patients: 40 malignant, 40 &lt;script" in text
    rows = {row[0]: row[1:] for row in cells(text, "<h3>left</h3>") if row}
    areas = [statistics.auc(labels[:80], s[:80]) for s in scores["dense_cvae"]]
    assert rows["dense_cvae"][0].startswith(f"{np.mean(areas):.3f} (")
    small = html.unescape(text[text.index("Too small, with fewer than 20 patients of a class") :])
    assert "right (16 malignant, 14 <script>" in small
    assert "<h3>right</h3>" not in text
    assert "<h2>Subgroups" not in write(results)


KNOWN = {
    "sets": {
        "training": {"malignant": [9, 8], HOSTILE: [7, 6]},
        "validation": {"malignant": [4, 4], HOSTILE: [3, 3]},
        "test": {"malignant": [20, 20], HOSTILE: [20, 20]},
    },
    "patients": {"training": 13, "validation": 7, "test": 40},
    "image_shape": [28, 28, 1],
    "notes": [f"3 images were left out {HOSTILE}"],
    "commands": ["python -m synthkit study --seeds 3"],
    "commits": ["abc123"],
    "source": "my_images",
    "split": "Split by patient.",
    "classifier": "the skin-lesion study's small network",
}


class TestWhatTheStudyKnows:
    def test_data(self, write, results):
        text = write(about(results, **KNOWN))
        assert cells(text, "<h3>How many</h3>")[1:] == [
            ["training set", "9 (8)", "7 (6)", "16 (13)"],
            ["validation set", "4 (4)", "3 (3)", "7 (7)"],
            ["test set", "20 (20)", "20 (20)", "40 (40)"],
        ]
        facts = dict(cells(text[text.index("in brackets their patients") :], "<table"))
        assert facts["size"] == "28×28 pixels, grey (1 channel)"
        assert facts["left out, and other notes"] == f"3 images were left out {HOSTILE}"
        assert facts["prevalence in the test set"].startswith("malignant 50.0%")
        assert "python -m synthkit study --seeds 3" in text
        assert "Commit of synthkit: abc123" in text
        older = cells(write(results), "<h3>How many</h3>")
        assert older[1] == ["test set", "20 (20)", "20 (20)", "40 (40)"]

    def test_cross_validation_has_one_set(self, write, results):
        folds = {arm: np.array([np.arange(40) // 2 % 4] * 3) for arm in results.scores}
        cuts = {arm: np.full((3, 40), 0.5) for arm in results.scores}
        changed = about(dataclasses.replace(results, folds=folds, fold_thresholds=cuts), **KNOWN)
        text = write(dataclasses.replace(changed, settings=changed.settings | {"folds": 4}))
        assert cells(text, "<h3>How many</h3>")[1:] == [["all images", "20 (20)", "20 (20)", "40 (40)"]]
        assert "There are 40 images of 40 patients." in text
        assert "4 folds by patient, other ones for every seed" in text

    def test_generators(self, write, results):
        histories = {key: history | {"synthesis_seconds": 60.0} for key, history in results.histories.items()}
        arms = results.settings["arms"] | {"dense_cvae": {"ratio": 1.0, "epochs": 9}}
        changed = dataclasses.replace(results, histories=histories, settings=results.settings | {"arms": arms})
        (_, card) = cells(write(changed), "<h3>The generators</h3>")
        batches = f"batches of {catalogue.GENERATORS['dense_cvae'].batch_size}"
        assert card == ["dense_cvae", catalogue.GENERATORS["dense_cvae"].text, f"9 epochs, {batches}", "20", "1.0"]

    def test_methods(self, write, results):
        text = html.unescape(re.sub("<[^>]*>", "", write(about(results, **KNOWN))))
        for part in (
            "The images of my_images are of the classes malignant and ",
            "The training set has 16 images of 13 patients, the validation set 7 of 7, and the test set 40 of 40.",
            "Split by patient. No two sets share a patient or an image.",
            "skin_cnn (the skin-lesion study's small network), trained for 6 gradient steps",
            "with 3 seeds",
            "Software. keras 3; commit abc123.",
        ):
            assert part in text
        assert "None" not in text[text.index("Data. The images") : text.index("Software. keras")]

    def test_patients_are_unknown_where_images_count_as_patients(self, results):
        alone = {
            "sets": {"training": {"a": [16, 16]}, "test": {"a": [40, 40]}},
            "patients": {"training": 16, "test": 40},
        }
        siblings = alone | {"patients": {"training": 9, "test": 40}}
        for known, unknown in (
            (alone, True),
            (siblings, False),
            (alone | {"patients_given": True}, False),
            (siblings | {"grouped": True}, True),
        ):
            assert report.answers.patients_unknown(about(results, **known)) == unknown

    def test_groups_of_images_that_look_alike_are_not_called_patients(self, write, results):
        patients = np.repeat(np.arange(20), 2).astype(str)
        grouped = about(dataclasses.replace(results, patients=patients), grouped=True)
        grouped = dataclasses.replace(grouped, settings=grouped.settings | {"folds": 5})
        text = html.unescape(write(grouped))
        assert "Every image, or group of images that look alike, counts as a separate patient" in text
        assert "40 images; patients are not known, and every image, or group of images that look alike," in text
        assert "Image: patients are not known" in text
        assert "40 test images of 20 look-alike groups" in text
        assert "Images, and in brackets their look-alike groups." in text
        assert "5 folds by look-alike group," in text
        assert "20 patients" not in text
        summary = grouped.summary().assign(verdict=lambda rows: rows["verdict"].replace("inconclusive", "helps"))
        assert "assumes that images that do not look alike are of different patients" in html.unescape(
            write(grouped, summary=summary)
        )

    def test_half_of_the_look_alike_groups_are_drawn(self, write, results):
        known = about(results, grouped=True, split="Split by look-alike group.")
        text = html.unescape(write(dataclasses.replace(known, settings=known.settings | {"overlap": 0.5})))
        assert "half of the training look-alike groups of each class" in text
        assert "of half of the look-alike groups of each class" in text
        assert "(as many as images, because no two look alike)" in text

    def test_scope_has_generators_only_where_an_arm_has(self, results):
        text = "This is about the classifier skin_cnn, trained on 20 real images, with generators at 64×64 pixels."
        sized = about(results, generator_size=64)
        trials = sized.trials.assign(n_real=20)
        sized = dataclasses.replace(sized, trials=trials)
        assert report.answers.scope(sized, "real") == text
        without = {arm: scores for arm, scores in sized.scores.items() if arm == "real"}
        assert report.answers.scope(dataclasses.replace(sized, scores=without), "real").endswith("real images.")

    def test_methods_count_no_patients_who_are_not_known(self, write, results):
        known = KNOWN | {"patients": {"training": 16, "validation": 7, "test": 40}}
        text = html.unescape(write(about(results, **known)))
        assert (
            "The training set has 16 images, the validation set 7, and the test set 40; patients are not known" in text
        )

    def test_checklists(self, results):
        lists = report.methods.checklists(report.methods.known(about(results, **KNOWN)))
        assert [item["item"] for item in lists["CLAIM 2024"]] == [str(number) for number in range(1, 45)]
        numbers = [int(re.match(r"\d+", item["item"])[0]) for item in lists["TRIPOD+AI 2024"]]
        assert sorted(set(numbers)) == list(range(1, 28))
        texts = {item["item"]: item["text"] for item in lists["CLAIM 2024"]}
        assert texts["7"] == "my_images"
        assert texts["44"] == ""
        assert not any("{" in item["text"] for items in lists.values() for item in items)
        assert report.methods.checklists(report.methods.known(results))["CLAIM 2024"][6]["text"] == ""


def test_near_duplicates_are_shown(write, results, tmp_path):
    assert "Pairs of a test image" not in write(near(results, 10))
    Image.fromarray(np.zeros((20, 20), "uint8")).save(tmp_path / "near_duplicates.png")
    assert "Pairs of a test image" in write(near(results, 10))
    assert "Pairs of a test image" not in write(results)
    (tmp_path / "near_duplicates.png").write_bytes(b"no picture")
    assert "Pairs of a test image" not in write(near(results, 10))


def test_words_are_explained_before_they_are_used(write, results):
    for text in (report.text(results, results.summary()), write(results)):
        for word in ("AUC: the probability", "Margin: the difference", "Holm's correction: p-values"):
            assert word in " ".join(html.unescape(text).split())


def near(results, number):
    return dataclasses.replace(results, settings=results.settings | {"near_duplicates": list(range(number))})


def test_near_duplicates_in_the_test_set_are_reported(write, results):
    text = write(near(results, 10))
    assert "10 of 40 test images look like training or validation images" in text
    summary = near(results, 10).without_near_duplicates().summary().query("metric == 'auc'")
    for row in summary.to_dict("records"):
        assert f"{row['mean']:.3f} ({row['low']:.3f} to {row['high']:.3f})" in text
        assert f">{sentences.label(row)}</td>" in text
    text = write(near(results, 37))
    assert "37 of 40 test images" in text
    assert "Too few other test images are left to score." in text


def test_known_patients_need_no_warning(write, results):
    text = write(dataclasses.replace(results, patients=np.repeat(np.arange(20), 2).astype(str)))
    assert "counts as a separate patient" not in text
    assert "40 test images of 20 patients" in text


def test_one_seed_and_one_arm(write, results):
    one = dataclasses.replace(
        results, scores={a: s[:1] for a, s in results.scores.items()}, seeds={a: [0] for a in results.scores}
    )
    assert "Run at least three seeds" in write(one)
    alone = dataclasses.replace(results, scores={"real": results.scores["real"]})
    assert "Forest plot" not in write(alone)


class TestText:
    def test_long_names_keep_the_columns_aligned(self):
        row = {"metric": "auc", "mean": 0.75, "low": 0.7, "high": 0.8, "difference": 0.01, "difference_low": 0.0}
        row |= {"difference_high": 0.02, "p_holm": 0.5, "verdict": "inconclusive", "p_gain": 0.1}
        names = ["real", "diffusion filtered x2 augmented"]
        head, *lines = report.table(pd.DataFrame([{"arm": name} | row for name in names])).splitlines()
        columns = {head.index("AUC"), *(line.index("0.750") for line in lines)}
        assert columns == {len(names[1]) + 4, len(names[1]) + 2}

    def test_verdicts_power_and_near_duplicates(self, results):
        summary = results.summary()
        text = report.text(near(results, 10), summary)
        lines = text.splitlines()
        for row in summary.query("metric == 'auc'").to_dict("records"):
            assert any(line.startswith(row["arm"]) and line.endswith(sentences.label(row)) for line in lines)
        assert "a difference must be" in " ".join(text.split())
        assert text.count("  baseline") == 4  # of AUC, sensitivity, the gap, and AUC without near-duplicates
        at = "Sensitivity (malignant) at a threshold chosen on the validation set by Youden's index"
        assert f"{at}. Sensitivity and specificity are hardly known here, as s" in " ".join(lines)
        wide = summary["metric"].isin(["sensitivity", "specificity"])
        narrow = summary.assign(low=summary["low"].where(~wide, 0.5), high=summary["high"].where(~wide, 0.6))
        assert f"{at}:" in report.text(results, narrow)
        assert max(map(len, lines)) <= 140
        assert "look like training" not in report.text(results, summary)


@pytest.fixture
def browse(tmp_path):
    """Runs Chromium with these options on a file."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    usual = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
    )
    usual += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]

    def run(path, *options):
        command = [browser, *usual, *options, path.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)

    return run


@pytest.mark.parametrize("width", [1280, 900, 420])
def test_opens_in_a_browser(page, tmp_path, browse, width):
    probe = tmp_path / "probe.html"
    # The page's own policy forbids scripts, so a copy without it measures itself.
    text = re.sub(r"<meta http-equiv.*?>", "", page.read_text(encoding="utf-8"))
    script = (
        "<script>onload = () => { document.title = [document.documentElement.scrollWidth <= innerWidth,"
        " [...document.images].every(i => i.complete && i.naturalWidth > 100)].join(' ') }</script>"
    )
    probe.write_text(text.replace("</body>", script + "</body>"), encoding="utf-8")
    done = browse(probe, "--virtual-time-budget=2000", f"--window-size={width},900", "--dump-dom")
    assert "<title>true true</title>" in done.stdout, "wider than the window, or an image did not load"


def test_is_printed(page, tmp_path, browse):
    browse(page, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}")
    pdf = (tmp_path / "page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type /Page\b(?!s)", pdf)) <= 20


def test_names_with_dollars_are_not_formulas(results, tmp_path):
    names = ["cost $\\foo$", "bösartig"]
    settings = results.settings | {"class_names": names, "positive": names[0]}
    samples = {arm: dataclasses.replace(one, class_names=tuple(names)) for arm, one in results.samples.items()}
    path = report.write(dataclasses.replace(results, settings=settings, samples=samples), tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert "\\u00f6" not in text
    assert "bösartig" in text


def test_arms_whose_last_check_is_their_best(results):
    (sentence,) = report.undertrained(results)
    assert "3 of 3 trials of real, 3 of 3 trials of dense_cvae" in sentence
    earlier = {key: history | {"val_auc": [0.8, 0.7]} for key, history in results.histories.items()}
    assert report.undertrained(dataclasses.replace(results, histories=earlier)) == []
    frozen = dataclasses.replace(results, trials=results.trials.assign(steps=0))
    assert report.undertrained(frozen) == []


def test_what_a_study_cannot_show_is_said_before_its_answer(results, write):
    rng = np.random.default_rng(0)
    guesses = rng.random((3, 40)).astype("float32")
    scores = {arm: np.stack([1 - guesses, guesses], axis=2) for arm in results.scores}
    guessing = dataclasses.replace(results, scores=scores)
    for text in (report.text(guessing, guessing.summary()), write(guessing)):
        text = " ".join(text.split())
        assert 0 < text.index("is not shown to have learned anything") < text.index("Not shown to help.")
        assert "not shown to have learned anything, so this rules nothing out" in text
        assert "is ruled out" not in text
        assert "do without these images" not in text
        assert "Next: a classifier that learns" in text


def test_copies_are_shown_in_pairs(write, results):
    found = {seed: {"copies": 3, "held_out_copies": 0, "p": 0.01, "images": 20} for seed in range(3)}
    images = np.arange(2 * 2 * 16 * 16, dtype="int").reshape(2, 2, 16, 16, 1).astype("uint8")
    names = ("dense_cvae", "dense_cvae augmented", "oversample")
    changed = dataclasses.replace(results, copies=dict.fromkeys(names, found), pairs=dict.fromkeys(names, images))
    text = write(changed)
    assert text.count("9 of 60 synthetic images are near copies of training images") == 1  # not for each augmentation
    assert text.count("A synthetic image and its nearest training image") == 2


def test_images_beside_the_answer_are_of_a_generator_even_if_all_are_augmented():
    def glance(arms, primary=None):
        summary = pd.DataFrame({"arm": arms, "metric": "auc", "difference": range(len(arms))})
        return _glance(SimpleNamespace(samples=dict.fromkeys(arms), protocol={"primary": primary}), summary)

    assert glance(["real", "augmentation", "diffusion augmented", "blend"]) == ["real", "diffusion augmented"]
    assert glance(["real", "diffusion", "conv_cgan augmented"]) == ["real", "diffusion"]
    assert glance(["real", "diffusion", "blend augmented"], "blend augmented") == ["real", "blend augmented"]
    assert glance(["real", "diffusion", "feature_mixup augmented"], "feature_mixup augmented") == ["real"]
