"""The notebooks as on Colab: `python -m tests.tools.colab PYTHON [NAME …]` runs them with an interpreter such as python3.12.

Each notebook lies alone in an empty folder. Its kernel is a new virtual environment with nothing but ipykernel and a
stand-in for `google.colab`; whatever else it needs, its first cell must install, from a clone in another folder that
stands for one on Drive.
"""

import json
import os
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


def environment(python, folder):
    """Makes the virtual environment, a kernel named "colab" of it, and has Jupyter find that."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    inside = folder / "bin" / "python"
    subprocess.run([inside, "-m", "pip", "install", "-q", "ipykernel"], check=True)
    where = [inside, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    colab = packages / "google" / "colab"
    colab.mkdir(parents=True)
    (colab / "__init__.py").touch()
    (colab / "drive.py").write_text("def mount(folder):\n    pass\n")
    (packages / "colab.pth").write_text("import google.colab\n")  # there from the start, as on Colab
    argv = [str(inside), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = folder / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "colab", "language": "python"}))
    os.environ["JUPYTER_PATH"] = str(kernel.parent.parent)


def run(notebook, clone, folder):
    """Runs a notebook alone in a folder, with the clone named as the reader is asked to."""
    folder.mkdir()
    book = nbformat.read(notebook, as_version=4)
    first = next(cell for cell in book.cells if cell.cell_type == "code")
    assert 'DRIVE_FOLDER = ""' in first.source
    first.source = first.source.replace('DRIVE_FOLDER = ""', f"DRIVE_FOLDER = {str(clone)!r}")
    nbformat.write(book, folder / notebook.name)
    NotebookClient(book, kernel_name="colab", timeout=1800, resources={"metadata": {"path": str(folder)}}).execute()


def main(python, *names):
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        clone = folder / "drive" / "synthkit"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        environment(python, folder / "environment")
        for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
            if names and notebook.stem not in names:
                continue
            began = time.monotonic()
            try:
                run(notebook, clone, folder / notebook.stem)
                said = "ran to its end"
            except CellExecutionError as error:
                failed, said = failed + 1, f"failed: {error}"
            print(f"{notebook.name}: {said}, {(time.monotonic() - began) / 60:.1f} min", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
