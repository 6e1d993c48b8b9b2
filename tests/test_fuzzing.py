import subprocess
import sys

from tests.conftest import ROOT


def test_mutated_files_load_or_are_refused_with_a_sentence():
    """A few of every kind, in a process of their own; `python -m tests.tools.fuzzing 10000` runs more."""
    command = [sys.executable, "-m", "tests.tools.fuzzing", "240", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for kind in ("dicom", "table", "image", "npz", "patients", "prepared", "study", "generator"):
        assert f"{kind} loaded" in done.stdout
        assert f"{kind} refused" in done.stdout
