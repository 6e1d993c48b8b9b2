"""Classifiers and published recipes, by name."""

import difflib
import importlib
import math
import sys

from synthkit.catalogue.rows import CLASSIFIERS, RECIPES, Classifier


def classifier(name, weights="imagenet"):
    """Finds a classifier.

    Args:
        name: one of `CLASSIFIERS`; a Keras application, such as "VGG16" (in any case), whose frozen features go into a
            logistic regression, or "fine_tuned:VGG16"; or "module:function" of a builder of your own.
        weights: of a Keras application: "imagenet", the path of a file, or None to train it from random weights.

    Returns:
        Classifier.

    Raises:
        ValueError: for an unknown name.
        FileNotFoundError: if the file of weights does not exist.
    """
    if name in CLASSIFIERS:
        return CLASSIFIERS[name]
    kind, application = _kind(name)
    if ":" in application:
        return Classifier(_imported(name), "a classifier of your own", {"fast": 300, "full": 1500})
    from synthkit import classifiers, pretrained

    known = {name.lower(): name for name in classifiers.APPLICATIONS}
    application = known.get(application.lower())
    if application is None:
        close = difflib.get_close_matches(name.lower(), [*CLASSIFIERS, *known], 1)
        hint = f" (did you mean {known.get(close[0], close[0])!r}?)" if close else ""
        raise ValueError(
            f"there is no classifier {name!r}{hint}; expected auto, {', '.join(CLASSIFIERS)}, a Keras application such "
            "as VGG16, or module:function of your own"
        )
    text = f"{application} of Keras"
    if weights is None:

        def build(image_shape, num_classes):
            return classifiers.transfer(application, image_shape, num_classes, weights=None)

        build.__name__ = application
        return Classifier(build, f"{text}, from random weights", {"fast": 300, "full": 1500}, image_size=96)
    backbone = classifiers.application(application, weights)
    if kind == "fine_tuned":
        return CLASSIFIERS[kind]._replace(builder=pretrained.FineTuned(backbone), text=f"{text}, fine-tuned")
    return CLASSIFIERS["frozen"]._replace(builder=pretrained.Frozen(backbone), text=f"frozen features of {text}")


def _kind(name):
    """Splits "fine_tuned:VGG16" into how the network is used and its name; others are "" and the name."""
    kind, _, rest = name.partition(":")
    return (kind, rest) if kind in ("frozen", "fine_tuned") and rest else ("", name)


def is_application(name):
    """Returns whether a classifier's name is that of a Keras application, alone or as in "fine_tuned:VGG16"."""
    from synthkit import classifiers

    return _kind(name)[1].lower() in map(str.lower, classifiers.APPLICATIONS)


def _imported(name):
    """Returns the function "module:function", from the current folder or an installed package."""
    module, _, function = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"--classifier {name}: {error}. Expected module:function of a builder (image_shape, num_classes) → "
            "keras.Model, in the current folder or an installed package"
        ) from error
    if not callable(found):
        raise ValueError(f"--classifier {name}: {function} is not a function. Received: {type(found).__name__}")
    return found


def recipe(name, images):
    """Returns a published recipe as arguments of `training.Trainer`.

    The mammography study and the skin-lesion study name neither optimizer, learning rate nor epochs of their
    classifiers, so there are no recipes of theirs.

    Args:
        name: "medmnist" (the benchmark's: Adam at 1e-3, divided by 10 after half and after three quarters of the steps,
            batches of 128, 100 epochs, weights with the best validation AUC) or "medmnist_study" (stochastic gradient
            descent at 1e-3, no drops, otherwise the same).
        images: int, size of the real training set. It determines the steps, whatever an arm adds to the set.

    Returns:
        dict.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}. Received: {name!r}")
    settings = RECIPES[name]._asdict()
    epochs, _ = settings.pop("epochs"), settings.pop("text")
    steps = math.ceil(epochs * images / settings["batch_size"])
    return settings | {"steps": steps, "checks": epochs, "selection": "best"}
