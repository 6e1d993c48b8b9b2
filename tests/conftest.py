"""What several test files need."""

import os
from pathlib import Path

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.pop("MPLBACKEND", None)  # notebooks' kernels would inherit it and show no figures

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scipy.linalg  # noqa: F401  these two bring libraries with threads of their own, which are limited below
import sklearn.neighbors  # noqa: F401
from threadpoolctl import threadpool_limits

from synthkit.imageset import ImageSet, Splits

matplotlib.use("agg")
if "PYTEST_XDIST_WORKER" in os.environ:
    threadpool_limits(1)  # threads of several processes on the same cores wait for each other

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def real_data():
    """Returns a function from a name below `data/` to a real file or folder there, or skips with a reason."""

    def find(name):
        for folder in (ROOT / "data", ROOT.parent / "shared" / "data"):
            if (folder / name).exists():
                return folder / name
        pytest.skip(f"{name} is not in data/; data/README.md says where to get it")

    return find


def make_imageset(count, seed=0, *, size=20, name="toy", patients=None):
    """Images of two classes that a network tells apart after a few steps: "bright" ones and "dark" ones."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = rng.integers(0, 120, (count, size, size, 1)) + 60 * (1 - labels)[:, None, None, None]
    return ImageSet(images.astype("uint8"), labels, ("bright", "dark"), patients, name)


@pytest.fixture
def splits():
    return Splits(
        make_imageset(24, 1, name="toy train"),
        make_imageset(12, 2, name="toy validation"),
        make_imageset(30, 3, name="toy test", patients=[f"P{i // 3}" for i in range(30)]),
    )
