"""What holds for the package as a whole."""

import ast
import re
import subprocess
import sys
from importlib import metadata

import pytest

from tests.conftest import ROOT

# Every module may import those above it that are named here, and no others.
LEAVES = {
    "calibration",
    "classifiers",
    "environment",
    "explain",
    "fidelity",
    "files",
    "mixing",
    "plots",
    "recipes",
    "reusable",
    "scratch",
    "selection",
    "statistics",
    "workers",
}
MAY_IMPORT = {
    **{leaf: set() for leaf in LEAVES},
    "imageset": set(),
    "dicom": {"scratch"},
    "preprocessing": {"scratch"},
    "warping": {"scratch"},
    "augmentation": {"scratch", "warping"},
    "leaks": {"imageset"},
    "training": {"files", "imageset", "reusable", "statistics"},
    "scorers": {"imageset", "reusable", "training"},
    "tuning": {"classifiers", "files", "training"},
    "datasets": {"imageset", "dicom", "files", "preprocessing", "workers"},
    "generators": {"environment", "files", "imageset", "reusable"},
    "claims": {"statistics"},
    "results": {"files", "imageset", "statistics"},
    "trial": {"environment", "imageset", "training", "statistics", "results"},
    "study": {"environment", "files", "leaks", "results", "trial", "workers"},
    "arms": {
        *("augmentation", "classifiers", "datasets", "fidelity", "generators"),
        *("mixing", "scorers", "selection", "study"),
    },
    "options": {"arms"},
    "sweeps": {"study"},
    "charts": {"plots"},
    "diagnostics": {"plots"},
    "report": {"leaks", "statistics", "plots"},
}


def siblings(path):
    """Returns the submodules of synthkit that a source file imports, wherever in the file, but its own."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("synthkit.")}
    return found


def test_data_flow_down_and_never_back():
    package = ROOT / "synthkit"
    sources = {path: path.relative_to(package).with_suffix("").parts[0] for path in package.rglob("*.py")}
    assert len(sources) > 10
    for path, module in sources.items():
        if module in ("__init__", "__main__"):
            continue
        assert module in MAY_IMPORT, f"{path}: say in MAY_IMPORT what it may import"
        extra = siblings(path) - {module, "__version__"} - MAY_IMPORT[module]
        assert not extra, f"{path} imports {extra}"


def test_import_loads_no_heavy_module():
    code = (
        "import sys, synthkit; before = set(sys.modules); synthkit.imageset; "
        "print(sorted({'tensorflow', 'keras', 'pandas', 'matplotlib', 'sklearn', 'numpy'} & before), "
        "'numpy' in sys.modules, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True False"


def test_submodules_are_listed_and_load():
    import synthkit

    for name in synthkit.__all__:
        assert getattr(synthkit, name).__doc__
    assert set(synthkit.__all__) == set(MAY_IMPORT)
    with pytest.raises(AttributeError, match="nothing"):
        _ = synthkit.nothing


def test_requirements_are_the_one_list():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    listed = {line for line in lines if line and not line.startswith(("#", "-"))}
    assert "-e ." in lines
    assert all(re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", line) for line in listed), "every requirement has a lower bound"
    installed = {re.sub(r"\s", "", requirement) for requirement in metadata.requires("synthkit")}
    assert {requirement for requirement in installed if "extra==" not in requirement} == listed
