"""The notebooks on Colab.

python -m tests.tools.colab PYTHON [NAME …]   runs them as on Colab, with an interpreter such as python3.13
python -m tests.tools.colab address ADDRESS   writes the address of this repository into their first cells, and the
                                              badges that open them in Colab if the address is one of GitHub

As on Colab, each notebook is alone in an empty folder. Its kernel is a new virtual environment with a stand-in for
`google.colab` and the packages of Colab that decide most (`COLAB`; googlecolab/backend-info, August 2026). Its first
cell must get the repository from REPOSITORY, here a clone, and install whatever else it needs.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.conftest import ROOT

NOTEBOOKS = ROOT / "notebooks"
COLAB = ("tensorflow==2.20.*", "keras==3.13.*", "numpy==2.1.*")
HOME = "https://colab.research.google.com/#create=true"


def environment(python, folder):
    """Makes the virtual environment and a kernel named "colab" that uses it, and adds it to Jupyter's path."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    interpreter = folder / "bin" / "python"
    subprocess.run([interpreter, "-m", "pip", "install", "-q", "ipykernel", *COLAB], check=True)
    command = [interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    colab = packages / "google" / "colab"
    colab.mkdir(parents=True)
    (colab / "__init__.py").touch()
    (colab / "drive.py").write_text("def mount(folder):\n    pass\n")
    (packages / "colab.pth").write_text("import google.colab\n")  # imported at the start, as on Colab
    argv = [str(interpreter), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = folder / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "colab", "language": "python"}))
    os.environ["JUPYTER_PATH"] = str(kernel.parent.parent)


def run(notebook, clone, folder):
    """Runs a notebook alone in a folder, with the address of a clone filled in as a reader would."""
    folder.mkdir()
    book = nbformat.read(notebook, as_version=4)
    first = next(cell for cell in book.cells if cell.cell_type == "code")
    first.source = with_address(first.source, str(clone))
    nbformat.write(book, folder / notebook.name)
    NotebookClient(book, kernel_name="colab", timeout=1800, resources={"metadata": {"path": str(folder)}}).execute()


def with_address(source, address):
    """Returns the first cell with an address."""
    changed, count = re.subn(r'REPOSITORY = ".*?"', f"REPOSITORY = {json.dumps(address)}", source)
    assert count == 1, source
    return changed


def write_address(address):
    """Writes the address of the repository into every notebook, and badges that open it in Colab."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        first = next(cell for cell in book.cells if cell.cell_type == "code")
        first.source = with_address(first.source, address)
        github = re.fullmatch(r"https://github\.com/([^/]+/[^/]+?)(\.git)?/?", address)
        link = (
            f"https://colab.research.google.com/github/{github[1]}/blob/main/notebooks/{path.name}" if github else HOME
        )
        book.cells[0].source = re.sub(r"(badge\.svg\)\])\([^)]*\)", rf"\1({link})", book.cells[0].source)
        nbformat.write(book, path)


def main(python, *names):
    if python == "address":
        return write_address(*names)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        clone = folder / "drive" / "synthkit"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        environment(python, folder / "environment")
        for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
            if names and notebook.stem not in names:
                continue
            start = time.monotonic()
            try:
                run(notebook, clone, folder / notebook.stem)
                outcome = "ran to its end"
            except CellExecutionError as error:
                failed, outcome = failed + 1, f"failed: {error}"
            print(f"{notebook.name}: {outcome}, {(time.monotonic() - start) / 60:.1f} min", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
