"""Would synthetic images help a medical image classifier, and how sure are we?

The words, used alike everywhere:

- **ImageSet**: uint8 images with labels, class names and patients (`synthkit.imageset`).
- **Splits**: its training, validation and test parts, which share no patient and no image.
- **generator**: a `keras.Model` that is fitted on images and labels and draws new ones
  (`synthkit.generators`).
- **synthesizer**: any `callable(train, labels, seed) → ImageSet`; a generator becomes one through
  `synthkit.generators.synthesizer`, and so does any other tool's.
- **arm**: one way to make the training set: real images only, augmented, with synthetic images added.
- **trial**: one arm, one seed: train, then score the test part once.
- **study**: the trials of all arms over all seeds, and the **verdict** on each arm (`synthkit.study`,
  `synthkit.statistics`, `synthkit.report`).
- **phantom**: a simulated image whose class, and whose best possible classifier, are known
  (`synthkit.datasets.phantom`).

Submodules load on first use; `import synthkit` does not load TensorFlow.
"""

import importlib

__version__ = "0.1.0"

__all__ = [
    "arms",
    "augmentation",
    "calibration",
    "charts",
    "claims",
    "classifiers",
    "datasets",
    "diagnostics",
    "dicom",
    "environment",
    "explain",
    "fidelity",
    "files",
    "generators",
    "imageset",
    "leaks",
    "mixing",
    "options",
    "plots",
    "preprocessing",
    "recipes",
    "report",
    "results",
    "reusable",
    "scorers",
    "scratch",
    "selection",
    "statistics",
    "study",
    "sweeps",
    "training",
    "trial",
    "tuning",
    "warping",
    "workers",
]


def __getattr__(name):
    if name in __all__:
        return importlib.import_module(f"synthkit.{name}")
    raise AttributeError(f"module 'synthkit' has no attribute {name!r}")


def __dir__():
    return sorted([*__all__, "__version__"])
