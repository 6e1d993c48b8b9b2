"""The machine and the package versions that results depend on."""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

# What Keras must be set to.
NEEDED = {"backend": "tensorflow", "image_data_format": "channels_last", "floatx": "float32"}


def import_tensorflow():
    """Imports TensorFlow, silently (`_quiet`), so that it takes a GPU's memory as it needs it.

    Returns:
        the module.

    Raises:
        ValueError: if TensorFlow is not installed, or Keras uses another backend, data format or float type.
    """
    check_keras()
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else the first process takes all of it
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


def make_deterministic(wanted):
    """Switches on TensorFlow's deterministic operations, if they are wanted and there is a GPU."""
    import tensorflow as tf

    if wanted and tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def check():
    """Prints the versions, whether TensorFlow sees a GPU, how fast this machine is, and which profile suits it."""
    tensorflow = import_tensorflow()
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    gpus = tensorflow.config.list_physical_devices("GPU")
    if gpus:
        print(f'{len(gpus)} GPU: PROFILE = "colab" is practical, "full" takes hours.')
        return
    cores, ratio = os.cpu_count(), _milliseconds() / REFERENCE
    print(
        f"No GPU, {cores} CPU cores: a notebook takes about {ratio:.1f} times its stated time at the moment. "
        'PROFILE "colab" and "full" need a GPU (on Colab: Runtime → Change runtime type).'
    )


REFERENCE = 7.0  # milliseconds of `_milliseconds` on the two quiet CPU cores for which the notebooks' times are given


def _milliseconds():
    """Returns how long a convolution and its gradient take, the median of nine."""
    import numpy as np
    import tensorflow as tf

    images, kernel = tf.zeros((32, 32, 32, 32)), tf.Variable(tf.zeros((3, 3, 32, 64)))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME"))
        return tape.gradient(loss, kernel)

    step()
    times = []
    for _ in range(9):
        began = time.perf_counter()
        step().numpy()
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times))
