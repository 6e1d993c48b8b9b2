"""The notebooks as on Colab: `python -m tests.tools.colab PYTHON [NAME …]`, with an interpreter such as python3.12.

Each notebook is alone in an empty folder. Its kernel is a new virtual environment with only ipykernel and a stand-in
for `google.colab`. Its first cell must install everything else from a clone in another folder, which stands for Drive.
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
    """Makes the virtual environment and a kernel named "colab" that uses it, and adds it to Jupyter's path."""
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    interpreter = folder / "bin" / "python"
    subprocess.run([interpreter, "-m", "pip", "install", "-q", "ipykernel"], check=True)
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
    """Runs a notebook alone in a folder, with the clone's folder filled in as a reader would."""
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
