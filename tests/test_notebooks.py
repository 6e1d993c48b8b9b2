"""What nbval does not check: that every notebook was executed, is readable, and installs synthkit from a clone.

nbval accepts a notebook without outputs.
"""

import json
import re
import shutil
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


def test_one_parameters_cell_with_three_profiles(notebook):
    tagged = [cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert 'PROFILE = "fast"' in tagged[0].source
    values = {}
    exec(tagged[0].source, values)
    for name, of_profile in values["PROFILES"].items():
        assert list(of_profile) == ["fast", "colab", "full"], name


def test_one_source_and_one_folder(notebook):
    text = "\n".join(cell.source for cell in code_cells(notebook))
    assert text.count("\nSOURCE = ") == text.count("\nOPTIONS = ") == text.count("\nout = notebook.folder(") == 1
    assert "tempfile" not in text


def test_all_imports_are_in_one_cell(notebook):
    importing = [
        cell for cell in code_cells(notebook)[1:] if re.search(r"^ *(import|from) ", cell.source, re.MULTILINE)
    ]
    assert len(importing) == 1


def test_teaching_habits(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    wanted = "**You will learn**", "**The result first:**", "**Time:**", "**Data:**", "## Limits", "## Exercises"
    assert all(words in text for words in (*wanted, "## Your own images"))
    title = notebook.cells[0].source.partition("\n")[0].removeprefix("# ")
    anchor = re.sub(r"[^\w -]", "", title.lower()).replace("  ", " ").replace(" ", "-")
    assert f"(answers.md#{anchor})" in text
    answers = (ROOT / "notebooks" / "answers.md").read_text()
    section = answers.partition(f"## {title.replace(' ·', '')}\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^\d\. ", section, re.MULTILINE)) == 3


def test_figures_come_with_a_printed_line_to_compare(notebook):
    for cell in code_cells(notebook):
        output_types = {output.output_type for output in cell.outputs}
        figures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert not figures or "stream" in output_types, cell.source


@pytest.fixture
def colab(monkeypatch, tmp_path):
    """Imitates Colab in an empty folder; what would be run is listed, and only `git clone` and `unzip` are run."""
    drive = types.SimpleNamespace(mount=lambda folder: commands.append(["mount", folder]))
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(drive=drive))
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source" / "synthkit").mkdir(parents=True)
    (tmp_path / "source" / "synthkit" / "__init__.py").touch()
    commands, run = [], subprocess.run

    def imitate(command, check):
        commands.append([str(word) for word in command])
        if command[0] == "git":
            shutil.copytree(command[3], command[4])
        elif command[0] == "unzip":
            shutil.unpack_archive(command[2], command[4])

    monkeypatch.setattr(subprocess, "run", imitate)
    yield lambda notebook, repository: _first(notebook, repository, commands)
    monkeypatch.setattr(subprocess, "run", run)


def _first(notebook, repository, commands):
    """Runs the first cell with an address. Returns the folder that was installed, as it was written."""
    commands.clear()
    source = code_cells(notebook)[0].source
    assert 'REPOSITORY = ""' in source
    exec(source.replace('REPOSITORY = ""', f"REPOSITORY = {repository!r}"), {})
    assert commands[-1][1:6] == ["-m", "pip", "install", "-q", "-e"]
    return commands[-1][6]


def test_first_cell_clones_an_address(notebook, colab, tmp_path):
    assert colab(notebook, str(tmp_path / "source")) == "synthkit"
    assert colab(notebook, str(tmp_path / "source")) == "synthkit"  # again, without a second clone


def test_first_cell_unpacks_an_uploaded_zip(notebook, colab, tmp_path):
    (tmp_path / "inside").mkdir()
    shutil.copytree(tmp_path / "source", tmp_path / "inside" / "synthkit-main")  # as GitHub packs it
    shutil.make_archive("uploaded", "zip", tmp_path / "inside")
    assert colab(notebook, "uploaded.zip") == "synthkit/synthkit-main"


def test_first_cell_installs_from_a_folder_on_drive(notebook, colab, tmp_path):
    shutil.copytree(tmp_path / "source", tmp_path / "drive" / "MyDrive" / "synthkit")
    assert colab(notebook, "MyDrive/synthkit") == "drive/MyDrive/synthkit"


def test_first_cell_without_an_address_names_the_three_ways(notebook, colab):
    with pytest.raises(AssertionError, match="set REPOSITORY: an address to clone, a folder on Drive .*uploaded zip"):
        colab(notebook, "")


def test_no_path_of_the_machine_that_executed_it(notebook):
    text = json.dumps(notebook)
    assert "/home/" not in text
    assert "/tmp/" not in text
    assert "/root/" not in text


def test_the_address_is_written_into_first_cell_and_badge(notebook, tmp_path, monkeypatch):
    from tests.tools import colab as tool

    monkeypatch.setattr(tool, "NOTEBOOKS", tmp_path)
    nbformat.write(notebook, tmp_path / "05_does_it_help.ipynb")
    tool.main("address", "https://github.com/some/where")
    changed = nbformat.read(tmp_path / "05_does_it_help.ipynb", as_version=4)
    assert 'REPOSITORY = "https://github.com/some/where"' in code_cells(changed)[0].source
    badge = "https://colab.research.google.com/github/some/where/blob/main/notebooks/05_does_it_help.ipynb"
    assert f"]({badge})" in changed.cells[0].source
