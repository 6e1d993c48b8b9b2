"""Would synthetic images help a medical image classifier, and how sure are we?

The vocabulary, used everywhere:

- **ImageSet**: uint8 images with labels, class names and patients.
- **Splits**: its training, validation and test sets, which share no patient and no image.
- **generator**: a `keras.Model` that is fitted on images and labels and draws new images.
- **synthesizer**: any `callable(train, labels, seed) → ImageSet`; `generators.synthesizer` turns a generator into one,
  and any other tool can be one.
- **arm**: one way to make the training set: real images only, augmented, with synthetic images added.
- **trial**: one arm, one seed: train, then score the test set once.
- **study**: the trials of all arms over all seeds, and the **verdict** on each arm.
- **phantom**: a simulated image whose class, and whose best possible classifier, are known.

What there is, in the order in which data flow:

- `datasets`: `load`, and a module for each source: phantoms, MedMNIST, folders, CBIS-DDSM.
- `imageset`: ImageSet and Splits.
- `splitting`: splits and folds by patient, subsets, near-duplicates.
- `pipeline`: the tf.data pipeline that feeds a network.
- `augmentation`: classical augmentation, mixup, cutmix, RandAugment.
- `generators`: autoencoder, VAEs, GANs, diffusion.
- `classifiers`: the studies' networks, and transfer learning.
- `backbones`: a network that learned ImageNet and comes with pip.
- `training`: a network, trained as often as asked with the same budget.
- `pretrained`: classifiers made of a network that learned ImageNet: frozen features, and fine-tuned.
- `selection`: which synthetic images to keep.
- `rivals`: more training examples without a generator: blends of images, SMOTE and others of features.
- `study`: arms, trials, results.
- `statistics`: metrics, intervals, verdicts, and studies whose truth is known.
- `fidelity`: how real synthetic images look, and whether they are copies.
- `generate`: a folder of synthetic images, with a card that describes it.
- `plan`: what a study could find with the images that there are, before it is run.
- `calibration`: what a classifier's probabilities are worth.
- `plots`, `report`: figures and the report page.
- `catalogue`: what the names on the command line stand for; `register` adds a generator of your own.
- `trained`: generators that come trained with the repository.
- `tuning`, `explain`: hyperparameters, Grad-CAM.
- `published`, `claims`: what was published, re-read with intervals and tests.
- `notebook`: what the notebooks share.

`load(source)` is `datasets.load`. Submodules load on first use; `import synthkit` does not load TensorFlow.
"""

import importlib

from synthkit import _quiet

__version__ = "0.1.0"

__all__ = [
    "datasets",
    "imageset",
    "splitting",
    "pipeline",
    "augmentation",
    "generators",
    "classifiers",
    "backbones",
    "training",
    "pretrained",
    "selection",
    "rivals",
    "study",
    "statistics",
    "fidelity",
    "generate",
    "plan",
    "calibration",
    "plots",
    "report",
    "catalogue",
    "trained",
    "tuning",
    "explain",
    "published",
    "claims",
    "notebook",
    "check",
    "load",
]

_quiet.hush()


def load(source, image_size=None, **options):
    """Loads a data set, split into a training, a validation and a test set: `datasets.load`, which says more.

    Example:

    >>> import synthkit
    >>> synthkit.load("phantom", 20, train=30).train
    ImageSet(30 images of 20×20×1, 14 patients, malignant 15, benign 15)

    Args:
        source: what `--data` takes: "phantom", the name of a MedMNIST set, an npz file, a folder of class folders, or a
            folder that `prepare` wrote.
        image_size: pixels a side.
        options: further arguments of `datasets.load`.

    Returns:
        Splits.

    Raises:
        ValueError: if there is no such source, or it cannot be used; names the file.
    """
    from synthkit import datasets

    return datasets.load(source, image_size, **options)


def check():
    """Prints the versions, whether TensorFlow sees a GPU, how fast this machine is, and which profile suits it."""
    from synthkit import _environment

    _environment.check()


def __getattr__(name):
    if name in __all__:
        return importlib.import_module(f"synthkit.{name}")
    if name == "dicom":  # its address before this layout, until version 0.2
        return importlib.import_module("synthkit.datasets.dicom")
    raise AttributeError(f"module 'synthkit' has no attribute {name!r}")


def __dir__():
    return sorted([*__all__, "__version__"])
