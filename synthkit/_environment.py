"""The machine and the versions that numbers depend on."""

import importlib.metadata
import os
import platform
import sys


def import_tensorflow():
    """Imports TensorFlow without the lines that it writes to stderr before it can be told not to.

    It asks for oneDNN's kernels, which TensorFlow itself leaves off on processors without AVX-512: ResNet-18 trains at
    almost twice the speed with them. TF_ENABLE_ONEDNN_OPTS=0 in the environment turns them off.

    Returns:
        the module.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    return tensorflow


def versions():
    """Returns the versions of Python and of the packages that a study's numbers depend on, by name."""
    packages = ("synthkit", "tensorflow", "keras", "numpy", "pandas")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def check():
    """Prints the versions and whether TensorFlow sees a GPU, and what that means for a notebook's profiles."""
    tensorflow = import_tensorflow()
    print(", ".join(f"{name} {version}" for name, version in versions().items()))
    if tensorflow.config.list_physical_devices("GPU"):
        print("A GPU is there: both profiles run.")
    else:
        print(
            "No GPU is there: the fast profile is made for that, the full one takes hours. "
            "On Colab, choose one at Runtime → Change runtime type."
        )
