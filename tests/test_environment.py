import subprocess
import sys

from synthkit import _environment


def test_tensorflow_is_imported_without_a_word():
    code = "from synthkit import environment; print(_environment.import_tensorflow().__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "tensorflow"
    assert done.stderr == ""


def test_check_says_what_is_there(capsys):
    _environment.check()
    printed = capsys.readouterr().out
    assert f"keras {_environment.versions()['keras']}" in printed
    assert "GPU is there" in printed
