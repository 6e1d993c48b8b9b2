import subprocess
import sys

import pytest

from tests.conftest import ROOT

KINDS = "dicom bare table image folder known tree npz labels patients prepared study generator".split()


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_files_load_or_raise_an_error_that_names_them(count):
    """In a process of its own, whose memory is limited; `python -m tests.tools.fuzzing 10000` tries more."""
    command = [sys.executable, "-m", "tests.tools.fuzzing", str(count), "7"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert process.returncode == 0, process.stderr[-2000:]
    for kind in KINDS:
        assert f"{kind} loaded" in process.stdout
        assert f"{kind} refused" in process.stdout
