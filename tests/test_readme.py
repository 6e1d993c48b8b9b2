"""The README and the results page say what `data/results/` holds; their commands are understood and their code runs."""

import re
import shlex

import cv2
import numpy as np
import pytest

from synthkit import catalogue
from synthkit.__main__ import parser
from tests.conftest import ROOT
from tests.tools import results

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "data/results/README.md")]
PAGES += [ROOT / "notebooks" / "README.md"]
STUDIES = sorted(path.stem.removesuffix("_trials") for path in results.RESULTS.glob("*_trials.csv"))
PLANNED = [name for names in results.PLANS.values() for name in names]  # compared with augmentation
ON_REAL_IMAGES = [name for name in STUDIES if name.startswith(("brain", "breastmnist", "mass_crops"))]
ON_REAL_IMAGES = sorted({*ON_REAL_IMAGES} - {*PLANNED})
BESIDE_AUGMENTATION = [name for name in STUDIES if (results.RESULTS / f"{name}_over_augmentation.csv").exists()]
OWN_GENERATORS = r"(autoencoder|dense_cvae|dense_cgan|mammography_cgan|dcgan)( .*)?"  # of the three studies


def unwrapped(text):
    return " ".join(text.split())


def test_the_results_page_is_the_written_one():
    assert results.PAGE.read_text(encoding="utf-8") == results.page(), "run python -m tests.tools.results readme"


def quotations():
    """Yields what the README quotes from the results."""
    default = results.areas("default_study")
    yield results.report.table(results.read("default_study"))
    yield f"from {default.loc['real', 'mean']:.3f} to {default.loc['augmentation', 'mean']:.3f}"
    over = results.over_augmentation("default_study", "dense_cvae augmented")
    assert results.areas("default_study_over_augmentation").loc["dense_cvae augmented", "verdict"] == "hurts"
    yield f"`dense_cvae augmented` hurts: {over}"
    yield " and ".join(results.percent(f"phantom_{count}", "augmentation") for count in (50, 150))
    of_diffusion = [results.percent(f"phantom_{count}", "diffusion") for count in (50, 150)]
    yield f"{of_diffusion[0]} of the gap between `real` and `oracle`; with 150, {of_diffusion[1]}"
    yield f"(150 steps), {results.over_augmentation('breastmnist_resnet18', 'diffusion x1 augmented')}."
    assert not (results.areas("phantom_500")["verdict"] == "helps").any()
    yield "with 500, no arm helps"
    yield f"On top, with 150, diffusion gives {results.over_augmentation('phantom_150', 'diffusion augmented')}"
    yield results.planned_level()
    yield from results.last_planned_rows().split("\n")
    yield f"intervals reach from {results.planned_on_crops()}: inconclusive"
    tuned = "mass_crops_halves_fine_tuned"
    crops = results.read(f"{tuned}_trials").query("arm == 'real'")["n_real"].mean()
    over = results.over_augmentation(tuned, "diffusion x0.47 augmented")
    yield f"{crops:.0f} crops, fine-tuned, diffusion gives {over}"
    seeds = [results.read(f"{name}_trials")["seed"].nunique() for name in PLANNED]
    assert (min(seeds), max(seeds)) == (10, 50)
    yield "ten to fifty seeds"
    p = [
        results.areas("brain_25_swapped").loc["blend x3 augmented", "p_holm"],
        results.p_over_plans("brain_25_swapped"),
    ]
    found = f"{results.difference('brain_25_swapped', 'blend x3 augmented')}, *helps*"
    yield f"`blend x3` gives {found} (p = {p[0]:.3f}; {p[1]:.2f} corrected for all plans)"
    yield f"fine-tuned, five seeds, {results.difference('brain_25_tuned', 'blend x3 augmented')}"
    yield f"at most {results.false_alarms().split(' to ')[1]} % found one"


@pytest.mark.parametrize("text", list(quotations()))
def test_the_readme_quotes_the_results(text):
    assert unwrapped(text) in unwrapped(README), text


@pytest.mark.parametrize("name", ON_REAL_IMAGES)
def test_no_arm_helps_on_real_images(name):
    for table in results.RESULTS.glob(f"{name}*.csv"):
        if table.stem in (name, f"{name}_others"):
            rows = results.areas(table.stem)
            without = ~rows.index.str.endswith(" augmented") & (rows.index != "augmentation")
            assert not (rows.loc[without, "verdict"] == "helps").any()


@pytest.mark.parametrize("name", PLANNED)
def test_blends_alone_help_beyond_augmentation_under_a_plan(name):
    rows = results.areas(name)
    assert rows.loc["augmentation", "verdict"] == "baseline"
    helped = rows.index[rows.index.str.endswith(" augmented") & (rows["verdict"] == "helps")]
    assert helped.tolist() == ["blend x3 augmented"] * (name == "brain_25_swapped")


@pytest.mark.parametrize("name", BESIDE_AUGMENTATION)
def test_no_arm_helps_beyond_augmentation(name):
    assert not (results.areas(f"{name}_over_augmentation")["verdict"] == "helps").any()


@pytest.mark.parametrize("name", STUDIES)
def test_the_studies_own_generators_helped_nowhere(name):
    rows = results.areas(name)
    own = rows.index.str.fullmatch(OWN_GENERATORS) & ~rows.index.str.endswith(" augmented")
    assert not (rows.loc[own, "verdict"] == "helps").any()


@pytest.mark.parametrize("name", STUDIES)
def test_means_are_those_of_the_trials(name):
    means = results.read(f"{name}_trials").groupby("arm")["auc"].mean()
    for arm, row in results.areas(name).iterrows():
        assert row["mean"] == pytest.approx(means[arm], abs=1e-12)


def test_every_table_of_results_is_on_the_page():
    template = (ROOT / "tests" / "tools" / "results.md.jinja").read_text(encoding="utf-8")
    program = (ROOT / "tests" / "tools" / "results.py").read_text(encoding="utf-8")
    for path in results.RESULTS.glob("*.csv"):
        name = re.sub(r"_(trials|gap|over_augmentation)$", "", path.stem)
        assert f'"{name}"' in template + program, name


def commands():
    """Yields the arguments of every command in the pages that is given in full."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for command in re.findall(r"python -m synthkit( [^`#\n]+)", text):
            if "--help" not in command and "…" not in command:
                yield command


@pytest.mark.parametrize("arguments", sorted(set(commands())))
def test_commands_are_understood(arguments):
    parsed = parser().parse_args(shlex.split(arguments))
    names = getattr(parsed, "arms", None)
    if names:
        catalogue.check([name.strip() for name in names.split(",")])


def test_the_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("benign", "malignant"):
        (tmp_path / "my_images" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (28, 28), np.uint8)
            cv2.imwrite(str(tmp_path / "my_images" / name / f"{number}.png"), pixels)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    shorter = code.replace("classifier=classifiers.skin_cnn", "classifier=classifiers.skin_cnn, seeds=2, steps=2")
    assert shorter != code
    with pytest.warns(UserWarning, match="no patients are given"):
        exec(shorter, variables := {})
    assert set(variables["results"].scores) == {"real", "mirrored"}


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem[:2])
def test_the_notebooks_times_are_listed(notebook):
    text = notebook.read_text(encoding="utf-8")
    (time,) = re.findall(r"\*\*Time:\*\* ([^;.,]*) on two CPU cores", text)
    assert f"({notebook.name}) | {time} |" in PAGES[-1].read_text(encoding="utf-8")


def test_the_readme_is_short():
    assert len(README.split()) <= 1500


def anchors(page):
    """Returns what links to the headings of a page look like."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(path):
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            file, _, heading = target.partition("#")
            page = path.parent / file if file else path
            assert page.exists(), target
            assert not heading or heading in anchors(page), target
