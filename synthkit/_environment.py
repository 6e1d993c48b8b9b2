"""The machine and the package versions that results depend on."""

import importlib.metadata
import os
import platform
import sys


def import_tensorflow():
    """Imports TensorFlow without the lines that it writes to stderr while it is imported.

    oneDNN's kernels are turned on, which TensorFlow itself does not use on processors without AVX-512: ResNet-18 trains
    almost twice as fast with them. TF_ENABLE_ONEDNN_OPTS=0 in the environment turns them off.

    Returns:
        the module.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as devnull:
        os.dup2(devnull.fileno(), 2)
        try:
            import tensorflow
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    return tensorflow


def versions():
    """Returns the versions of Python and of the packages that results depend on, as a dict from their names."""
    packages = ("synthkit", "tensorflow", "keras", "numpy", "pandas")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


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
