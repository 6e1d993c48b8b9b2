"""TensorFlow without the lines that it writes to the terminal while it is imported."""

import contextlib
import importlib.abc
import importlib.util
import os
import sys


def hush():
    """Makes the first import of TensorFlow silent, whoever imports it, unless it is imported already.

    oneDNN's kernels are turned on, which TensorFlow itself does not use on processors without AVX-512: ResNet-18 trains
    almost twice as fast with them. In the environment, TF_ENABLE_ONEDNN_OPTS=0 turns them off, and
    TF_CPP_MIN_LOG_LEVEL=0 brings the lines back.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0":
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow where the other finders do, and imports it with standard error closed."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                with _no_stderr():
                    run(module)

            spec.loader.exec_module = exec_module
        return spec


@contextlib.contextmanager
def _no_stderr():
    """Discards what C++ writes to standard error; Python's exceptions are not affected."""
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (AttributeError, OSError):  # there is none
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
