import subprocess
import sys

from synthkit import _environment
from tests.conftest import ROOT


def test_tensorflow_is_imported_silently():
    code = "from synthkit import _environment; print(_environment.import_tensorflow().__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "tensorflow"
    assert done.stderr == ""


def test_check_reports_versions_and_gpu(capsys):
    _environment.check()
    printed = capsys.readouterr().out
    assert f"keras {_environment.versions()['keras']}" in printed
    assert ("uses a GPU" in printed) != ("sees no GPU" in printed)
