import os
import subprocess
import sys

from synthkit import _environment
from tests.conftest import ROOT

CODE = """
import synthkit, keras, numpy as np
model = keras.Sequential([keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(np.zeros((4, 2)), np.zeros((4, 1)), verbose=0)
"""


def run(code, **environment):
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=plain | environment
    )


def test_tensorflow_is_imported_silently():
    done = run(CODE)
    assert (done.stdout, done.stderr) == ("", "")


def test_its_messages_can_be_turned_on():
    done = run(CODE, TF_CPP_MIN_LOG_LEVEL="0")
    assert "oneDNN" in done.stderr


def test_check_reports_versions_and_gpu(capsys):
    _environment.check()
    printed = capsys.readouterr().out
    assert f"keras {_environment.versions()['keras']}" in printed
    assert ("uses a GPU" in printed) != ("sees no GPU" in printed)
