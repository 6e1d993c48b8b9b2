"""The catalogue: one row for each generator, augmentation, classifier and recipe, and the arms that they make.

`--help`, the names of arms, epochs, colours, the report page and the tables of the notebooks come from these rows. To
add a generator of your own, `register` it:

>>> from synthkit import catalogue
>>> def tiny_gan(image_shape, num_classes): ...
>>> catalogue.register("tiny_gan", tiny_gan, "images of a very small GAN", epochs=50)
>>> [arm.name for arm in catalogue.arms(["real", "tiny_gan", "tiny_gan x2 augmented"])]
['real', 'tiny_gan', 'tiny_gan x2 augmented']
>>> del catalogue.GENERATORS["tiny_gan"]

- `rows`: the rows themselves.
- `named_arms`: `arms`, which makes arms from their names.
- `named_classifiers`: classifiers and published recipes, by name.
"""

from synthkit.catalogue.named_arms import arms, check, current, is_pretrained, makes_features
from synthkit.catalogue.named_classifiers import classifier, is_application, recipe
from synthkit.catalogue.rows import (
    AUGMENTATIONS,
    AUTO,
    BASELINE_COLOR,
    CLASSIFIERS,
    COLORS,
    CONTROLS,
    DEFAULT_ARMS,
    ENDINGS,
    FOLDER,
    GENERATORS,
    PRETRAIN_STEPS,
    RECIPES,
    RENAMED,
    RIVALS,
    Classifier,
    Generator,
    build,
    colors,
    register,
    texts,
)

__all__ = [
    "AUGMENTATIONS",
    "AUTO",
    "BASELINE_COLOR",
    "CLASSIFIERS",
    "COLORS",
    "CONTROLS",
    "Classifier",
    "DEFAULT_ARMS",
    "ENDINGS",
    "FOLDER",
    "GENERATORS",
    "Generator",
    "PRETRAIN_STEPS",
    "RECIPES",
    "RENAMED",
    "RIVALS",
    "arms",
    "build",
    "check",
    "classifier",
    "colors",
    "current",
    "is_application",
    "is_pretrained",
    "makes_features",
    "recipe",
    "register",
    "texts",
]
