"""What holds for the package as a whole."""

import ast
import re
import subprocess
import sys
from importlib import metadata

import pytest

from tests.conftest import ROOT

# What each module may import, in the order in which data flow: every import points to a line above.
MAY_IMPORT = {
    "_arm_names": set(),
    "_quiet": set(),
    "_sides": set(),
    "_sizes": set(),
    "_environment": set(),
    "_files": set(),
    "_class_folders": {"_files"},
    "_identity": set(),
    "_reusable": set(),
    "_workers": set(),
    "imageset": {"_class_folders"},
    "_alike": {"imageset"},
    "statistics": set(),
    "splitting": {"_alike", "imageset", "statistics"},
    "pipeline": set(),
    "datasets": {"_files", "_workers", "imageset", "splitting"},
    "augmentation": set(),
    "generators": {"_environment", "_files", "_identity", "_reusable", "_sides", "_sizes", "imageset", "pipeline"},
    "fidelity": set(),
    "classifiers": {"_sizes"},
    "backbones": set(),
    "training": {"_reusable", "pipeline", "splitting", "statistics"},
    "_regression": {"statistics"},
    "pretrained": {"_files", "_identity", "_regression", "_reusable", "backbones", "imageset", "training"},
    "selection": {"imageset", "statistics"},
    "rivals": set(),
    "study": {
        *("_alike", "_environment", "_files", "_identity", "_reusable", "_workers"),
        *("datasets", "fidelity", "imageset", "pipeline", "splitting", "statistics", "training"),
    },
    "catalogue": {
        *("_arm_names", "augmentation", "classifiers", "datasets", "fidelity", "generators", "pretrained", "selection"),
        *("rivals", "study", "training"),
    },
    "trained": {"_files", "catalogue", "datasets", "generators"},
    "_augment_option": {"augmentation"},
    "_option_types": {"catalogue", "statistics"},
    "_options": {"_augment_option", "_option_types", "catalogue"},
    "_meaning": {"_arm_names", "_identity", "_options", "_sides", "catalogue", "datasets", "imageset", "study"},
    "_option_checks": {"_arm_names", "catalogue", "study"},
    "plots": {"catalogue", "statistics"},
    "_card": {"_class_folders", "_files", "fidelity", "imageset", "plots", "splitting"},
    "generate": {
        *("_class_folders", "_environment", "_files", "_identity", "_reusable"),
        *("_card", "catalogue", "datasets", "generators", "imageset", "splitting"),
    },
    "plan": {"imageset", "pipeline", "splitting", "statistics", "study"},
    "calibration": set(),
    "report": {"_arm_names", "_files", "calibration", "catalogue", "imageset", "plots", "statistics"},
    "_study_command": {
        *("_arm_names", "_environment", "_files", "_meaning", "_option_checks", "_options", "catalogue"),
        *("datasets", "plan", "report", "splitting", "study"),
    },
    "tuning": {"_files", "classifiers", "training"},
    "explain": set(),
    "published": set(),
    "claims": {"datasets", "published", "statistics"},
    "notebook": {
        "_files",
        "_identity",
        "datasets",
        "generators",
        "plots",
        "splitting",
        "statistics",
        "study",
        "trained",
    },
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
    order = list(MAY_IMPORT)
    for module, others in MAY_IMPORT.items():
        assert all(order.index(other) < order.index(module) for other in others), module
    package = ROOT / "synthkit"
    sources = {path: path.relative_to(package).with_suffix("").parts[0] for path in package.rglob("*.py")}
    assert len(sources) > 10
    for path, module in sources.items():
        if module in ("__init__", "__main__"):
            continue  # the front door: nothing imports it
        assert module in MAY_IMPORT, f"{path}: say in MAY_IMPORT what it may import"
        extra = siblings(path) - {module, "__version__"} - MAY_IMPORT[module]
        assert not extra, f"{path} imports {extra}"


def test_import_loads_no_heavy_module():
    code = (
        "import sys, synthkit; before = set(sys.modules); synthkit.imageset; synthkit.catalogue.texts(); "
        "print(sorted({'tensorflow', 'keras', 'pandas', 'matplotlib', 'sklearn', 'numpy'} & before), "
        "'numpy' in sys.modules, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True False"


def test_submodules_are_listed_and_load():
    import synthkit

    for name in synthkit.__all__:
        assert getattr(synthkit, name).__doc__
    assert set(synthkit.__all__) - {"check", "load"} == {name for name in MAY_IMPORT if not name.startswith("_")}
    assert all(f"`{name}`" in synthkit.__doc__ for name in synthkit.__all__ if name != "check")
    with pytest.raises(AttributeError, match="nothing"):
        _ = synthkit.nothing


def requirements(extra=None):
    """Returns the requirements of the installed package, or those of one of its extras."""
    marker = f'; extra == "{extra}"'
    listed = [requirement.replace("'", '"') for requirement in metadata.requires("synthkit")]
    if extra is None:
        return [requirement for requirement in listed if "extra ==" not in requirement]
    return [requirement.removesuffix(marker) for requirement in listed if requirement.endswith(marker)]


def test_requirements_have_lower_bounds_and_leave_jupyter_out():
    assert all(re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", requirement) for requirement in requirements())
    names = {re.split(r"\W", requirement.replace("-", "_"))[0] for requirement in requirements()}
    assert not names & {"jupyter", "notebook", "ipykernel", "nbval", "pytest", "distributed"}
    assert {"jupyter>=1.0"} <= set(requirements("notebooks"))


def test_the_package_imports_what_it_requires():
    modules = {"sklearn": "scikit-learn", "cv2": "opencv-python", "PIL": "pillow", "keras_tuner": "keras-tuner"}
    names = {requirement.split(">=")[0] for requirement in requirements()}
    optional = {"distributed", "ray", "IPython"}  # the last only in notebooks
    for path in (ROOT / "synthkit").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in (name.split(".")[0] for name in imported):
                if module not in sys.stdlib_module_names and module not in {"synthkit", *optional}:
                    assert modules.get(module, module) in names, f"{path} imports {module}"


def test_requirements_txt_installs_every_extra_but_the_decoders():
    (line,) = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    extras = set(metadata.metadata("synthkit").get_all("Provides-Extra")) - {"jpeg"}
    assert line.startswith("-e .[")
    assert set(line[len("-e .[") : -1].split(",")) == extras
