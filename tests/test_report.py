import dataclasses
import html.parser
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from synthkit import report
from synthkit.imageset import ImageSet
from synthkit.study.results import COLUMNS, Results
from tests.conftest import make_imageset

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture
def results():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    arms = ["real", "dense_cvae", HOSTILE]
    scores = {}
    for i, arm in enumerate(arms):
        one = 1 / (1 + np.exp(-(labels * (1 + i) + rng.normal(size=(3, 40)))))
        scores[arm] = np.stack([1 - one, one], axis=2).astype("float32")
    rows = [
        dict(zip(COLUMNS, [arm, seed, 20, 20, 6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.2, 1.5, "done"], strict=True))
        for seed in range(3)
        for arm in arms
    ]
    rows.append(rows[0] | {"arm": HOSTILE, "seed": 3, "status": f"failed: ValueError: {HOSTILE}"})
    toy = make_imageset(16)
    return Results(
        trials=pd.DataFrame(rows),
        scores=scores,
        seeds=[0, 1, 2],
        labels=labels,
        patients=np.arange(40).astype(str),
        histories={
            (arm, s): {"step": [3, 6], "loss": [1.0, 0.5], "val_auc": [0.5, 0.7]} for arm in arms for s in range(3)
        },
        samples={arm: ImageSet(toy.images, toy.labels, ("malignant", HOSTILE), name=arm) for arm in arms},
        settings={
            "class_names": ["malignant", HOSTILE],
            "positive": "malignant",
            "steps": 7,  # asked for; the trials' checks come every third
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


@pytest.fixture
def page(results, tmp_path):
    return report.write(results, tmp_path / "report.html")


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


def test_says_the_verdicts_and_what_failed(page, results):
    text = page.read_text(encoding="utf-8")
    for row in results.summary().query("metric == 'auc'").to_dict("records"):
        assert f"{row['mean']:.3f}" in text
    assert "every arm with 6 gradient steps of" in text
    assert "1 trial failed" in text
    assert "Forest plot" in text
    assert "counts as a patient of its own" in text
    assert text.count("<img") == 7
    further = results.summary().query("metric == 'brier' and arm == 'cvae'").iloc[0]
    assert f"{further['mean']:.3f}<br><small>{further['difference']:+.3f}<br>".replace("-", "−") in text


def test_controls_speak_up_when_they_fail():
    def says(margin=0.05, **verdicts):
        rows = [{"metric": "auc", "arm": arm, "verdict": verdict} for arm, verdict in verdicts.items()]
        return " ".join(report.controls(pd.DataFrame(rows), margin))

    assert "positive control works" in says(oracle="helps")
    assert "positive control fails" in says(oracle="inconclusive")
    assert "positive control fails" in says(oracle="hurts")
    assert "move the AUC by less than 0.02. The study is precise enough" in says(0.02, oracle="equivalent")
    assert "negative control fails" in says(shuffled="helps")
    assert "negative control works" in says(shuffled="hurts")
    assert says(cvae="helps") == ""


def test_power_names_what_could_be_found_and_what_it_would_take():
    def says(**detectable):
        needed = {"dense_cvae": 12, "gan": np.inf}
        rows = [
            {"arm": a, "metric": "auc", "detectable": d, "seeds_needed": needed[a], "verdict": "inconclusive"}
            for a, d in detectable.items()
        ]
        return " ".join(report.power(pd.DataFrame(rows), margin=0.05))

    assert "80 % chance to find a true difference in AUC of 0.060 to 0.120," in says(cvae=0.06, gan=0.12)
    assert "a difference of 0.05 as surely: cvae 12." in says(cvae=0.06, gan=0.12)
    assert "No number of seeds would do for gan" in says(cvae=0.06, gan=0.12)
    assert "Seeds" not in says(cvae=0.04)


def test_the_margin_stands_on_the_page(results, tmp_path):
    text = report.write(results, tmp_path / "a.html", margin=0.3).read_text(encoding="utf-8")
    assert "differences below the margin of 0.3" in text


def test_counts_stand_in_the_place_of_a_ratio(results, tmp_path):
    arms = {"real": {"ratio": 1.0}, "dense_cgan": {"counts": {"malignant": 250, "benign": 300}}}
    counted = dataclasses.replace(results, settings=results.settings | {"arms": arms})
    assert "real 1.0, cgan (250 malignant, 300 benign)" in report.write(counted, tmp_path / "c.html").read_text()


def test_near_copies_in_the_test_part_are_told(results, tmp_path):
    results.settings["near_duplicates"] = list(range(10))
    text = report.write(results, tmp_path / "near.html").read_text(encoding="utf-8")
    assert "10 of 40 test images look like copies of training or validation images" in text
    apart = results.without_near_duplicates()
    assert len(apart.labels) == len(apart.patients) == 30
    for arm, scores in results.scores.items():
        np.testing.assert_array_equal(apart.scores[arm], scores[:, 10:])
    for row in apart.summary().query("metric == 'auc'").itertuples():
        assert f"{row.mean:.3f} ({row.low:.3f} to {row.high:.3f})" in text
    results.settings["near_duplicates"] = list(range(37))
    assert results.without_near_duplicates() is None
    text = report.write(results, tmp_path / "near.html").read_text(encoding="utf-8")
    assert "37 of 40 test images" in text
    assert "Too few others are left to score." in text


def test_known_patients_need_no_warning(results, tmp_path):
    known = dataclasses.replace(results, patients=np.repeat(np.arange(20), 2).astype(str))
    text = report.write(known, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "counts as a patient of its own" not in text
    assert "40 test images of 20 patients" in text


def test_one_seed_and_one_arm(results, tmp_path):
    one = dataclasses.replace(results, scores={a: s[:1] for a, s in results.scores.items()}, seeds=[0])
    assert "Run at least three" in report.write(one, tmp_path / "a.html").read_text(encoding="utf-8")
    alone = dataclasses.replace(results, scores={"real": results.scores["real"]})
    assert "Forest plot" not in report.write(alone, tmp_path / "b.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [1280, 500])
def test_opens_in_a_browser(page, tmp_path, width):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking".split()
    )
    options += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]
    options += ["--virtual-time-budget=2000", f"--window-size={width},900", "--dump-dom"]
    probe = tmp_path / "probe.html"
    # The page's own policy forbids scripts, so a copy without it measures itself.
    text = re.sub(r"<meta http-equiv.*?>", "", page.read_text(encoding="utf-8"))
    script = (
        "<script>onload = () => { document.title = [document.documentElement.scrollWidth <= innerWidth,"
        " [...document.images].every(i => i.complete && i.naturalWidth > 100)].join(' ') }</script>"
    )
    probe.write_text(text.replace("</body>", script + "</body>"), encoding="utf-8")
    done = subprocess.run([browser, *options, probe.as_uri()], capture_output=True, text=True, timeout=90, check=False)
    assert "<title>true true</title>" in done.stdout, "wider than the window, or an image did not load"


def test_names_with_dollars_are_no_formulas(results, tmp_path):
    names = ["cost $\\foo$", "bösartig"]
    settings = results.settings | {"class_names": names, "positive": names[0]}
    samples = {arm: dataclasses.replace(one, class_names=tuple(names)) for arm, one in results.samples.items()}
    path = report.write(dataclasses.replace(results, settings=settings, samples=samples), tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    assert "\\u00f6" not in text
    assert "bösartig" in text
