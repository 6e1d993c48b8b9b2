import subprocess
import sys

from tests.conftest import ROOT


def test_mutated_files_load_or_are_refused_with_a_sentence():
    """A few hundred, in a process of their own; `python -m tests.fuzzing 2000` runs more."""
    command = [sys.executable, "-m", "tests.fuzzing", "300", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    for outcome in ("DICOM loaded", "DICOM refused", "table loaded", "table refused"):
        assert outcome in done.stdout
