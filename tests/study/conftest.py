import pytest

from synthkit import study
from tests.study.toy import ARMS, OPTIONS, toy_splits


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished study that tests must not change: its splits, its folder and its results."""
    splits, out = toy_splits(), tmp_path_factory.mktemp("study")
    return splits, out, study.run(splits, ARMS, out=out, **OPTIONS)


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished study, which tests may change."""
    import shutil

    splits, out, results = finished
    shutil.copytree(out, tmp_path / "copy")
    return splits, tmp_path / "copy", results
