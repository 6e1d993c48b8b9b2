"""The README and the results page say what `data/results/` holds; their commands are understood."""

import re
import shlex

import pytest

from synthkit import catalogue
from synthkit.__main__ import parser
from tests.conftest import ROOT
from tests.tools import results

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "data/results/README.md")]
PAGES += [ROOT / "notebooks" / "README.md"]
STUDIES = sorted(path.stem.removesuffix("_trials") for path in results.RESULTS.glob("*_trials.csv"))


def unwrapped(text):
    return " ".join(text.split())


def test_the_results_page_is_the_written_one():
    assert results.PAGE.read_text(encoding="utf-8") == results.page(), "run python -m tests.tools.results"


def expected():
    """Yields what the README quotes."""
    table = results.report._table(results.read("default_study"))
    yield from table.splitlines()
    for arm in ("diffusion", "augmentation"):
        percents = [results.percent(f"phantom_{count}", arm) for count in (50, 150)]
        closed = [re.sub(r" % \((.*) to (.*) %\)", r" % (\1 to \2 %)", percent) for percent in percents]
        yield f"{closed[0].replace(' % to', ' to')} and {closed[1].replace(' % to', ' to')}"


@pytest.mark.parametrize("text", list(expected()))
def test_the_readme_quotes_the_results(text):
    assert unwrapped(text).replace(" % to ", " to ") in unwrapped(README), text


def test_no_synthetic_arm_helps_on_real_images():
    for name in STUDIES:
        if name.startswith(("breastmnist", "mass_crops")):
            assert not (results.areas(name)["verdict"] == "helps").any()


@pytest.mark.parametrize("name", [name for name in STUDIES if name.startswith(("breastmnist_skin", "mass", "phantom"))])
def test_the_studies_generators_helped_nowhere(name):
    rows = results.areas(name)
    theirs = rows.index.str.fullmatch(r"(autoencoder|dense_cvae|dense_cgan|mammography_cgan|dcgan)( .*)?")
    assert not (rows.loc[theirs, "verdict"] == "helps").any()


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
    for path in PAGES:
        for command in re.findall(r"python -m synthkit( [^`#\n]+)", path.read_text(encoding="utf-8")):
            if "--help" not in command and "…" not in command:
                yield command


@pytest.mark.parametrize("arguments", sorted(set(commands())))
def test_commands_are_understood(arguments):
    parsed = parser().parse_args(shlex.split(arguments))
    names = getattr(parsed, "arms", None)
    if names:
        catalogue.check([name.strip() for name in names.split(",")])


def test_the_readme_is_short():
    assert len(README.split()) <= 1500


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target
