"""A classifier whose network is not trained: ImageNet features, computed once, under a logistic regression.

Kornblith, Shlens and Le, "Do better ImageNet models transfer better?", CVPR 2019, section 3.1: the features of a
network trained on ImageNet, standardised, and a multinomial logistic regression with an L2 penalty, fitted to
convergence. The penalty is the one of the best validation AUC.
"""

import hashlib
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from synthkit.backbones import efficientnet_lite0
from synthkit.imageset import resize_image
from synthkit.pipeline import to_dataset
from synthkit.statistics import auc

PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # scikit-learn's C, the inverse of the penalty
COPIES = 4  # transformed copies of each training image, where an arm augments
BATCH = 64  # images in the network at once


class Frozen:
    """A classifier for `study.run`: frozen features under a logistic regression.

    Args:
        backbone: callable `(image_shape) → keras.Model` from float32 images in [0, 1] to features `(batch, n)`; None
            for `backbones.efficientnet_lite0`.
        image_size: pixels a side at which the network sees the images.
    """

    def __init__(self, backbone=None, image_size=96):
        self.backbone, self.image_size = backbone or efficientnet_lite0, image_size
        self.__name__ = f"frozen {self.backbone.__name__} at {image_size} pixels"

    def __call__(self, image_shape, num_classes):
        """Returns the network, as any classifier does."""
        return self.backbone((self.image_size, self.image_size, image_shape[-1]))

    def trainer(self, image_shape, num_classes, **recipe):
        """Returns what takes the place of `training.Trainer`."""
        return FrozenTrainer(self.backbone, self.image_size, image_shape, num_classes, **recipe)


class FrozenTrainer:
    """A `training.Trainer` for frozen features: the same calls, nothing to be trained in steps.

    Args:
        backbone: callable `(image_shape) → keras.Model` from float32 images in [0, 1] to features `(batch, n)`.
        image_size: pixels a side at which the network sees the images; others are resized.
        image_shape: `(height, width, channels)` of the images.
        num_classes: int.
        copies: transformed copies of each training image in an arm with augmentation.
        recipe: other arguments of `training.Trainer`, which have no meaning here and are ignored.
    """

    def __init__(self, backbone, image_size, image_shape, num_classes, *, copies=COPIES, **recipe):
        import tensorflow as tf

        self.image_size, self.num_classes, self.copies = image_size, num_classes, copies
        self.steps = len(PENALTIES)
        self.model = backbone((image_size, image_size, image_shape[-1]))
        signature = [tf.TensorSpec((None, image_size, image_size, image_shape[-1]), "uint8")]
        self._features = tf.function(
            lambda images: self.model(tf.cast(images, "float32") / 255, training=False), input_signature=signature
        )
        self.known = {}  # features by the digest of the image
        self.head = None

    def features(self, images, *, keep=True):
        """Returns the features of images, computed once for each.

        Args:
            images: uint8 `(n, height, width, channels)`.
            keep: whether to remember them; not for images that are made anew each time.

        Returns:
            float32 `(n, dimensions)`.
        """
        digests = [hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest() for image in images]
        new = {digest: i for i, digest in enumerate(digests) if digest not in self.known}
        places = list(new.values())
        found = {}
        for start in range(0, len(places), BATCH):
            batch = np.stack([self._fitted(images[i]) for i in places[start : start + BATCH]])
            for i, vector in zip(places[start : start + BATCH], self._features(batch).numpy(), strict=True):
                found[digests[i]] = vector
        if keep:
            self.known |= found
        return np.stack([found[d] if d in found else self.known[d] for d in digests])

    def _fitted(self, image):
        resized = resize_image(image, self.image_size)
        return resized if resized.ndim == 3 else resized[..., None]

    def train(self, train, validation=None, *, seed, augment=None, on_step=None, first=None, share=0.5):
        """Fits the regression, once for each penalty; arguments and result as `training.Trainer.train`.

        Args:
            train: ImageSet to learn from; with `augment`, its copies take the place of its images.
            validation: ImageSet whose AUC chooses the penalty; None takes the middle one.
            seed: int, of the copies.
            augment: callable for `pipeline.to_dataset`, or None.
            on_step: callable `()`, called after every fit.
            first, share: must be left out; nothing here is trained in steps.

        Returns:
            dict, the history: `step` counts penalties.

        Raises:
            ValueError: if `first` is given.
        """
        if first is not None:
            raise ValueError("a frozen classifier is not trained in steps, so synthetic images cannot come first")
        began = time.perf_counter()
        if augment is None:
            features, labels = self.features(train.images), train.labels
        else:
            features, labels = self._copies(train, augment, seed)
        heads, losses, aucs, seconds = [], [], [], time.perf_counter() - began
        checked = None if validation is None else self.features(validation.images)
        for penalty in PENALTIES if validation is not None else PENALTIES[2:3]:
            head = make_pipeline(
                StandardScaler(), LogisticRegression(C=penalty, max_iter=1000, class_weight="balanced")
            ).fit(features, labels)
            heads.append(head)
            losses.append(float(-np.mean(head.predict_log_proba(features)[np.arange(len(labels)), labels])))
            if validation is not None:
                aucs.append(float(auc(validation.labels, head.predict_proba(checked))))
            if on_step:
                on_step()
        best = int(np.argmax(aucs)) if aucs else 0
        self.head = heads[best]
        return {
            "step": list(range(1, len(heads) + 1)),
            "loss": losses,
            "val_auc": aucs,
            "best_step": best + 1,
            "penalty": PENALTIES[best],
            "step_seconds": time.perf_counter() - began,
            "scoring_seconds": seconds,
        }

    def _copies(self, train, augment, seed):
        """Returns features and labels of transformed copies, newly drawn for every seed."""
        options = {"shuffle_seed": seed, "augment": augment, "repeat": True}
        batches = to_dataset(train, min(BATCH, len(train)), **options)
        count, features, labels = self.copies * len(train), [], []
        for images, batch_labels in batches:
            images = np.round(images.numpy() * 255).astype("uint8")
            features.append(self.features(images, keep=False))
            labels.append(batch_labels.numpy())
            count -= len(images)
            if count <= 0:
                return np.concatenate(features), np.concatenate(labels)

    def predict(self, images, batch_size=None):
        """Returns float32 probabilities `(n, num_classes)`; arguments as `training.Trainer.predict`."""
        return self.head.predict_proba(self.features(images)).astype("float32")
