"""Classifiers that have learned from ImageNet's photographs: frozen features, and the same network fine-tuned.

For a study both take the place of a network that is trained from scratch. They see the images at `image_size` pixels,
whatever the size of the images in the study.
"""

import hashlib
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from synthkit import _regression
from synthkit._files import replacing
from synthkit._identity import digest
from synthkit._reusable import ProcessCache
from synthkit.backbones import efficientnet_lite0
from synthkit.imageset import resize
from synthkit.training import Trainer

FEW = 20  # validation images of a class below which the penalty is cross-validated on the training set
REMEMBERED = 20_000  # features that a scorer keeps: 100 MB
BATCH = 64  # images in the network at once
TINY = 1e-30  # probability below which the loss takes one for this


class Frozen:
    """A classifier for `study.run` whose network is not trained: its features under a logistic regression.

    The features of a network trained on ImageNet, standardised, and a multinomial logistic regression with an L2
    penalty, fitted to convergence (Kornblith, Shlens and Le, "Do better ImageNet models transfer better?", CVPR 2019,
    section 3.1). The penalty is the one with the best validation AUC, or, where the validation set has fewer than 20
    images of a class, with the best AUC in five folds of the training set, by patient. Classes weigh the same.

    In these folds synthetic images and features count as patients of their own, although they may resemble the real
    images of another fold: their AUC is then too high, and the penalty may be too small. The test set is not concerned.

    Args:
        backbone: callable `(image_shape) → keras.Model` from float32 images in [0, 1] to features `(batch, n)`; None
            for `backbones.efficientnet_lite0`.
        image_size: pixels a side at which the network sees the images.
        copies: in an arm with augmentation, the number of transformed copies of each training image, which the
            regression is fitted on in addition to the image itself.
    """

    has_steps = False
    has_features = True  # whether its trainer takes features instead of images (`rivals`)

    def __init__(self, backbone=None, image_size=96, copies=4):
        self.backbone, self.image_size, self.copies = backbone or efficientnet_lite0, image_size, copies
        self.__name__ = f"frozen {self.backbone.__name__}, {image_size} pixels"

    @property
    def settings(self):
        """What else determines the results of a study, as a dict."""
        return {"penalties": list(_regression.PENALTIES)}

    def at(self, image_size):
        """Returns the same classifier with a network that sees the images at another size."""
        options = {name: value for name, value in vars(self).items() if name != "__name__"}
        return type(self)(**options | {"image_size": image_size})

    def __call__(self, image_shape, num_classes):
        """Returns the network without a head."""
        return self.backbone((self.image_size, self.image_size, image_shape[-1]))

    def trainer(self, image_shape, num_classes, **recipe):
        """Returns a `FrozenTrainer`; the recipe for training in steps has no meaning for it."""
        return FrozenTrainer(self._inference, self.image_size, image_shape[-1], self.copies)

    def _inference(self, image_shape):
        """Returns the network for features only."""
        return self.backbone(image_shape, **({"fold": True} if self.backbone is efficientnet_lite0 else {}))


class FineTuned(Frozen):
    """A classifier for `study.run`: the network of `Frozen`, whose last layers are trained as well.

    Its head begins as the regression of `Frozen`. Then the head and the last layers are trained, with batch
    normalisation in inference mode and classes weighted equally. The weights with the best validation AUC are used, and
    those of the beginning are among them.

    Args:
        backbone, image_size, copies: as in `Frozen`.
        trained: fraction of the layers, the last ones, that are trained.
    """

    has_steps, has_features = True, False

    def __init__(self, backbone=None, image_size=96, copies=4, trained=0.55):
        super().__init__(backbone, image_size, copies)
        self.trained = trained
        self.__name__ = f"fine-tuned {self.backbone.__name__}, {image_size} pixels"

    def __call__(self, image_shape, num_classes):
        """Returns the network with a softmax over the classes."""
        base = super().__call__(image_shape, num_classes)
        first = round((1 - self.trained) * len(base.layers))
        for i, layer in enumerate(base.layers):
            layer.trainable = i >= first and not isinstance(layer, layers.BatchNormalization)
        outputs = layers.Dense(num_classes, activation="softmax", dtype="float32", name="probabilities")(base.output)
        return keras.Model(base.input, outputs, name=f"fine_tuned_{base.name}")

    def trainer(self, image_shape, num_classes, **recipe):
        """Returns a `FineTunedTrainer`; the recipe is that of `training.Trainer`."""
        return FineTunedTrainer(self, image_shape, num_classes, **recipe)


class FrozenTrainer:
    """Fits and applies the regression of `Frozen`, with the methods of `training.Trainer`.

    Features of untransformed images are computed once, and kept by the digest of the image.

    Args:
        backbone, image_size, copies: as in `Frozen`.
        channels: of the images, 1 or 3.
    """

    steps = 0

    def __init__(self, backbone, image_size, channels, copies=4):
        self.image_size, self.copies = image_size, copies
        self.model = backbone((image_size, image_size, channels))
        self._identity = digest(self.model, self.model.get_weights())
        signature = [tf.TensorSpec((None, image_size, image_size, channels))]
        self._features = tf.function(lambda images: self.model(images, training=False), input_signature=signature)
        self._known = {}  # features by the digest of the image, or by digest, seed, augmentation and number of the copy
        self._head = None

    def keep(self, imagesets, folder):
        """Computes the features of sets in advance, or reads them from a folder.

        Args:
            imagesets: ImageSets.
            folder: for one file for each set, named by the content of the images and the network; made if missing.
        """
        for imageset in imagesets:
            path = Path(folder) / f"{digest(self._identity, self.image_size, imageset.images)}.npy"
            digests = _digests(imageset.images)
            if path.exists():
                self._known |= zip(digests, np.load(path, allow_pickle=False), strict=True)
                continue
            features = self.features(imageset)
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, open(temporary, "wb") as file:
                np.save(file, features)

    def features(self, imageset):
        """Returns the features of images, float32 `(n, dimensions)`."""
        keys = _digests(imageset.images)
        return self._look_up(keys, imageset, lambda images, rows: images)

    def _look_up(self, keys, imageset, transform):
        """Returns the features with these keys, after computing those that are not known."""
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        rows = np.array(list(new.values()), int)
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            images = resize(imageset[batch], self.image_size).images.astype("float32") / 255
            images = np.asarray(transform(images, batch))
            # In a batch of another size the last bits of a feature may differ.
            full = np.concatenate([images, np.zeros((BATCH - len(images), *images.shape[1:]), "float32")])
            vectors = self._features(full).numpy()[: len(batch)]
            self._known |= {keys[row]: vector for row, vector in zip(batch, vectors, strict=True)}
        return np.stack([self._known[key] for key in keys])

    def train(self, train, validation=None, *, seed, augment=None, on_step=None, first=None, share=0.5, more=None):
        """Fits the regression, once for each penalty.

        Args:
            train: ImageSet, the training set.
            validation: ImageSet whose AUC chooses the penalty; None cross-validates.
            seed: int, of the transformed copies.
            augment: callable for `pipeline.to_dataset`, or None.
            on_step: not called.
            first, share: not supported.
            more: callable `(features (n, d), labels (n,)) → (features (m, d), labels (m, classes))`, which makes more
                features (`rivals`) of the standardised ones of `train`, and of those of each transformed copy of it;
                None for none.

        Returns:
            dict, the history, as `training.Trainer.train` returns it, with a "step" for each penalty.

        Raises:
            ValueError: if `first` is given.
        """
        if first is not None:
            raise ValueError("a frozen network is not trained in steps, so it cannot train on synthetic images first")
        began = time.perf_counter()
        features, labels, weights = self.features(train), train.labels, np.ones(len(train))
        groups = np.unique(train.patients, return_inverse=True)[1]
        if augment is not None:
            copies = [self._copy(train, augment, seed, number) for number in range(self.copies)]
            features = np.concatenate([features, *(copy[0] for copy in copies)])
            # An augmentation may mix two images and their labels: a row for each of the two, weighted.
            soft = np.concatenate([np.eye(len(train.class_names))[labels], *(copy[1] for copy in copies)])
            rows, labels = np.nonzero(soft)
            features, weights = features[rows], soft[rows, labels]
            groups = np.tile(groups, 1 + self.copies)[rows]
        mean, deviation = features.mean(0), features.std(0) + 1e-6
        scaled = (features - mean) / deviation
        for part in np.split(np.arange(len(scaled)), 1 + self.copies * (augment is not None)) if more else ():
            made, soft = more(scaled[part], labels[part])
            rows, of_class = np.nonzero(soft)
            scaled, labels = np.concatenate([scaled, made[rows]]), np.concatenate([labels, of_class])
            weights = np.concatenate([weights, soft[rows, of_class]])
            groups = np.concatenate([groups, groups.max() + 1 + rows])
        counts = np.bincount(labels, weights)
        weights = (weights * (weights.sum() / (np.count_nonzero(counts) * counts))[labels]).astype("float32")
        seconds = time.perf_counter() - began
        checked = None
        if validation is not None and min(validation.class_counts().values()) >= FEW:
            checked = (self.features(validation) - mean) / deviation, validation.labels
        head, aucs = _regression.fit(scaled, labels, weights, groups, checked)
        self._head = mean, deviation, head
        probabilities = head.predict_proba(scaled)[np.arange(len(labels)), labels]
        loss = float(-np.average(np.log(np.maximum(probabilities, TINY)), weights=weights))
        return {
            "step": list(range(1, len(aucs) + 1)),
            "loss": [loss] * len(aucs),
            "val_auc": aucs,
            "best_step": int(np.argmax(aucs)) + 1,
            "penalty": head.C,
            "step_seconds": time.perf_counter() - began,
            "scoring_seconds": seconds,
        }

    def _copy(self, train, augment, seed, number):
        """Returns features and labels (one-hot, or mixed) of one transformed copy of every image.

        A copy depends on the image, the seed and its number alone, so that arms share the copies of real images.
        """
        digests = _digests(train.images)
        name = digest(augment)
        keys = [(key, seed, name, number) for key in digests]
        labels = np.eye(len(train.class_names), dtype="float32")[train.labels]

        def transform(images, rows):
            positions = [number * 2**32 + int.from_bytes(digests[row][:4], "big") for row in rows]
            seeds = np.stack([np.full(len(rows), seed), positions], axis=1).astype("int64")
            images = np.round(images * 255).astype("uint8")
            images, mixed = augment(tf.constant(images), tf.constant(labels[rows]), tf.constant(seeds))
            labels[rows] = mixed
            return tf.cast(images, "float32") / 255 if images.dtype == "uint8" else images

        if all(key in self._known for key in keys):
            return self._look_up(keys, train, transform), labels
        features = self._look_up(keys, train, transform)
        if not (labels.max(1) == 1).all():  # mixed with other images of the batch, so it is not a copy of one image
            for key in keys:
                self._known.pop(key, None)
        return features, labels

    def predict(self, images, batch_size=None):
        """Scores images.

        Args:
            images: uint8 `(n, height, width, channels)`.
            batch_size: not used.

        Returns:
            float32 `(n, num_classes)`, probabilities.
        """
        from synthkit.imageset import ImageSet

        mean, deviation, head = self._head
        unlabelled = ImageSet(images, np.zeros(len(images), int), ("",))
        return head.predict_proba((self.features(unlabelled) - mean) / deviation).astype("float32")

    def dense_weights(self):
        """Returns the regression as weights `[(dimensions, num_classes), (num_classes,)]` of a softmax layer."""
        mean, deviation, head = self._head
        kernel, bias = head.coef_.T / deviation[:, None], head.intercept_ - head.coef_ @ (mean / deviation)
        if kernel.shape[1] == 1:  # of two classes scikit-learn keeps one
            kernel, bias = np.hstack([0 * kernel, kernel]), np.concatenate([0 * bias, bias])
        return [kernel.astype("float32"), bias.astype("float32")]


class FineTunedTrainer:
    """Trains and applies the network of `FineTuned`, with the methods of `training.Trainer`.

    Args:
        classifier: FineTuned.
        image_shape: `(height, width, channels)` of the images.
        num_classes: int.
        recipe: arguments of `training.Trainer`.
    """

    def __init__(self, classifier, image_shape, num_classes, **recipe):
        self.image_size = classifier.image_size
        shape = (self.image_size, self.image_size, image_shape[-1])
        recipe = {"class_weights": True, "selection": "best"} | recipe
        self.trainer = Trainer(classifier, shape, num_classes, **recipe)
        self.frozen = FrozenTrainer(classifier._inference, self.image_size, image_shape[-1], classifier.copies)
        self.steps, self.keep = self.trainer.steps, self.frozen.keep

    def train(self, train, validation=None, *, seed, augment=None, on_step=None, first=None, share=0.5):
        """Fits the regression, then trains; arguments and result as `training.Trainer.train`."""
        began = time.perf_counter()
        train, validation, first = (s and resize(s, self.image_size) for s in (train, validation, first))
        self.frozen.train(train, validation, seed=seed, augment=augment)
        head, seconds = self.frozen.dense_weights(), time.perf_counter() - began
        options = {"augment": augment, "on_step": on_step, "first": first, "share": share}
        history = self.trainer.train(
            train, validation, seed=seed, begin=lambda model: model.layers[-1].set_weights(head), **options
        )
        history["step_seconds"] += seconds
        return history

    def predict(self, images, batch_size=None):
        """Scores images; arguments and result as `training.Trainer.predict`."""
        from synthkit.imageset import ImageSet

        unlabelled = ImageSet(images, np.zeros(len(images), int), ("",))
        return self.trainer.predict(resize(unlabelled, self.image_size).images, batch_size)


def scorer(classifier=None, augment=None):
    """Makes a callable that fits the regression of `Frozen` to some images, to score other images with.

    The penalty is chosen in folds of these images, by patient, so that no others are needed.

    Args:
        classifier: Frozen; None for the one of this module.
        augment: callable for `pipeline.to_dataset`, or None.

    Returns:
        callable `(images: ImageSet, seed) → callable (uint8 images) → float32 probabilities (n, num_classes)`. A second
        fit also changes what the callable of the first one predicts.
    """
    trainers = ProcessCache()

    def fit(images, seed=0):
        kind = (images.image_shape, len(images.class_names))
        if kind not in trainers:
            trainers[kind] = (classifier or frozen).trainer(*kind)
        trainer = trainers[kind]
        if len(trainer._known) > REMEMBERED:
            trainer._known.clear()
        trainer.train(images, seed=seed, augment=augment)
        return trainer.predict

    fit.check = lambda images, counts: (classifier or frozen)(images.image_shape, len(images.class_names))
    return fit


def _digests(images):
    return [hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest() for image in images]


frozen, fine_tuned = Frozen(), FineTuned()
