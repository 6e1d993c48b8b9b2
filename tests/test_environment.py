import os
import re
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
    no_gpu = re.search(r"No GPU, \d+ CPU cores: .* about \d+\.\d times its stated time", printed)
    assert ("1 GPU" in printed) != bool(no_gpu)


def test_tensorflow_takes_gpu_memory_as_it_needs_it():
    code = "from synthkit import _environment; _environment.import_tensorflow(); import os; "
    assert run(code + "print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])").stdout == "true\n"


def test_deterministic_operations_are_a_choice(monkeypatch):
    import tensorflow as tf

    switched = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: switched.append(True))
    _environment.make_deterministic(True)
    assert not switched  # there is no GPU
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    _environment.make_deterministic(False)
    assert not switched
    _environment.make_deterministic(True)
    assert switched


def test_the_commit_of_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(_environment, "__file__", str(tmp_path / "synthkit" / "_environment.py"))
    assert _environment.commit() is None
    options = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    subprocess.run(["git", "init", "-q"], **options)
    assert _environment.commit() is None  # nothing is committed yet
    (tmp_path / "a.py").write_text("1")
    name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "add", "a.py"], **options)
    subprocess.run(["git", *name, "commit", "-qm", "a"], **options)
    known = subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout.strip()
    assert _environment.commit() == known[:12]
    (tmp_path / "a.py").write_text("2")
    assert _environment.commit() == known[:12] + "+"
