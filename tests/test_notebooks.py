"""What nbval does not check: that every notebook was executed, is readable, and installs synthkit from a clone.

nbval accepts a notebook without outputs.
"""

import json
import subprocess
import sys
import types

import nbformat
import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_every_code_cell_was_run_in_order_without_errors(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]


def test_cells_are_short_and_lines_fit(notebook):
    for cell in code_cells(notebook):
        lines = cell.source.splitlines()
        assert len(lines) <= 20, lines[0]
        assert max(map(len, lines)) <= 120


def test_one_parameters_cell_with_both_profiles(notebook):
    tagged = [cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert 'PROFILE = "fast"' in tagged[0].source
    assert '"full"' in tagged[0].source


def test_figures_come_with_a_printed_line_to_compare(notebook):
    for cell in code_cells(notebook):
        output_types = {output.output_type for output in cell.outputs}
        figures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert not figures or "stream" in output_types, cell.source


def bootstrap(notebook):
    """Returns the part of the first cell that finds a clone and installs it."""
    return code_cells(notebook)[0].source.partition("import synthkit\n")[0]


@pytest.fixture
def installed(monkeypatch):
    """Imitates Colab and installs nothing. Returns a list of the folders from which the first cell installs."""
    drive = types.SimpleNamespace(mount=lambda folder: None)
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(drive=drive))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    folders = []
    monkeypatch.setattr(subprocess, "run", lambda command, cwd, check: folders.append(cwd))
    return folders


def test_first_cell_installs_from_a_folder_on_drive(notebook, installed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    exec(bootstrap(notebook).replace('DRIVE_FOLDER = ""', f"DRIVE_FOLDER = {str(ROOT)!r}"), {})
    assert installed == [ROOT]


def test_first_cell_finds_the_clone_that_contains_the_notebook(notebook, installed, monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    exec(bootstrap(notebook), {})
    assert installed == [ROOT]


def test_first_cell_finds_a_clone_next_to_the_notebook(notebook, installed, monkeypatch, tmp_path):
    (tmp_path / "synthkit").symlink_to(ROOT)
    monkeypatch.chdir(tmp_path)
    exec(bootstrap(notebook), {})
    assert installed == [tmp_path / "synthkit"]


def test_first_cell_without_a_clone_says_what_to_do(notebook, installed, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError, match="no clone of synthkit found.*DRIVE_FOLDER"):
        exec(bootstrap(notebook), {})


def test_no_path_of_the_machine_that_executed_it(notebook):
    text = json.dumps(notebook)
    assert "/home/" not in text
    assert "/tmp/" not in text
    assert "/root/" not in text
