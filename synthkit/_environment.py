"""The machine and the package versions that results depend on."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

# What Keras must be set to.
NEEDED = {"backend": "tensorflow", "image_data_format": "channels_last", "floatx": "float32"}


def import_tensorflow():
    """Imports TensorFlow, silently (`_quiet`).

    Returns:
        the module.

    Raises:
        ValueError: if TensorFlow is not installed, or Keras uses another backend, data format or float type.
    """
    check_keras()
    try:
        import tensorflow
    except ImportError as error:
        raise ValueError(f"synthkit needs TensorFlow ({error}); run pip install tensorflow") from error
    return tensorflow


def check_keras():
    """Raises ValueError if Keras is set to something that synthkit does not work with; says how to change it."""
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        settings = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        settings = {}
    settings = {name: settings.get(name, needed) for name, needed in NEEDED.items()}
    settings["backend"] = os.environ.get("KERAS_BACKEND") or settings["backend"]
    if "keras" in sys.modules:
        config = sys.modules["keras"].config
        settings = {name: getattr(config, name)() for name in NEEDED}
    wrong = {name: value for name, value in settings.items() if value != NEEDED[name]}
    if wrong:
        received = ", ".join(f"{name} {value!r}" for name, value in wrong.items())
        needed = ", ".join(f"{name} {NEEDED[name]!r}" for name in wrong)
        raise ValueError(
            f"synthkit works with Keras's {needed}. Received: {received}; change it in {file}"
            + (" or set KERAS_BACKEND=tensorflow" if "backend" in wrong else "")
        )


def versions():
    """Returns the versions of Python and of the packages that results depend on, as a dict from their names."""
    packages = ("synthkit", "tensorflow", "keras", "numpy", "pandas")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def commit():
    """Returns the git commit of synthkit's code, with "+" if files have changed since; None if it is no checkout."""
    root = Path(__file__).parent.parent
    if not (root / ".git").exists():
        return None

    def git(*words):
        options = {"capture_output": True, "text": True, "timeout": 10, "check": True}
        return subprocess.run(["git", "-C", str(root), *words], **options).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or one that does not trust this folder


def check():
    """Prints the versions, whether TensorFlow sees a GPU, and what that means for a notebook's profiles."""
    tensorflow = import_tensorflow()
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    if tensorflow.config.list_physical_devices("GPU"):
        print("TensorFlow uses a GPU: both profiles are practical.")
    else:
        print(
            "TensorFlow sees no GPU: use the fast profile; the full one takes hours. "
            "On Colab, choose a GPU at Runtime → Change runtime type."
        )
