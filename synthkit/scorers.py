"""Classifiers trained to score images that they have not seen: fold by fold, or to judge synthetic images by."""

import numpy as np

from synthkit.imageset import fold, partition
from synthkit.reusable import Kept
from synthkit.training import Trainer


def cross_validate(trainer, imageset, folds=5, *, seed=0, augment=None):
    """Scores every image by a network that has seen no image of its patient.

    The skin-lesion study validates on folds of its training part (its section 3.1). Nothing is chosen on a fold: the
    weights are the last ones.

    Args:
        trainer: Trainer.
        imageset: ImageSet, a training part.
        folds: int, parts of whole patients, classes spread evenly.
        seed: int, of the folds and of every training.
        augment: as in `Trainer.train`.

    Returns:
        float32 `(n, num_classes)`.
    """
    number = fold(imageset, folds, seed=seed)
    scores = np.empty((len(imageset), len(imageset.class_names)), "float32")
    for i in range(folds):
        trainer.train(imageset[np.flatnonzero(number != i)], seed=seed, augment=augment)
        scores[number == i] = trainer.predict(imageset.images[number == i])
    return scores


def scorer(builder, *, steps, held_back=0.25, augment=(None,), **recipe):
    """Makes a callable that fits a classifier on one set of images, for judging others by.

    Args:
        builder: as in `Trainer`.
        steps: gradient steps.
        held_back: share of the images, by patient, whose AUC chooses the weights.
        augment: callables for `Trainer.train`, None for no augmentation. With each one network is trained, and the one
            of the best AUC on the images held back is kept.
        recipe: further arguments of `Trainer`.

    Returns:
        callable `(images: ImageSet, seed) → callable (uint8 images) → float32 probabilities (n, num_classes)`. The
        network is built once; fitting anew changes what an earlier result predicts.
    """
    started = Kept()

    def fit(images, seed=0):
        kind = (images.image_shape, len(images.class_names))
        if kind not in started:
            started[kind] = Trainer(builder, *kind, steps=steps, **recipe)
        trainer = started[kind]
        train, validation = partition(images, [held_back], seed=seed)
        fitted = []
        for way in augment:
            history = trainer.train(train, validation, seed=seed, augment=way)
            fitted.append((max(history["val_auc"]), trainer.model.get_weights()))
        trainer.model.set_weights(max(fitted, key=lambda pair: pair[0])[1])
        return trainer.predict

    return fit
