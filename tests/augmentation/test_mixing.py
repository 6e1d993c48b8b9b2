import os

import keras
import numpy as np
import pytest

from synthkit.augmentation import Augmenter, mixing
from synthkit.imageset import ImageSet
from synthkit.pipeline import to_dataset
from synthkit.training import Trainer, cross_entropy

MAKERS = {"mixup": mixing.mixup, "cutmix": mixing.cutmix, "randaugment": mixing.randaugment}


def black_and_white(count=64, channels=1):
    """Images of class 0 are black and of class 1 white, so that pixels show the correct label."""
    labels = np.arange(count) % 2
    images = np.broadcast_to(255 * labels[:, None, None, None], (count, 20, 20, channels)).astype("uint8")
    return ImageSet(images, labels, ("black", "white"))


def textured(count=32, channels=1):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 20, 20, 1), "uint8").repeat(channels, -1)
    return ImageSet(images, np.arange(count) % 2, ("a", "b"))


def batches(imageset, augment, number=4, threads=2, monkeypatch=None, seed=1):
    if monkeypatch:
        monkeypatch.setattr(os, "cpu_count", lambda: threads)
    data = to_dataset(imageset, 16, shuffle_seed=seed, augment=augment, one_hot=True, repeat=True)
    return [(images.numpy(), labels.numpy()) for images, labels in data.take(number)]


@pytest.mark.parametrize(("name", "tolerance"), [("mixup", 1e-5), ("cutmix", 0.1)])
def test_labels_are_mixed_like_pixels(name, tolerance):
    mixed = 0
    for images, labels in batches(black_and_white(), MAKERS[name](), 12):
        assert labels.sum(1) == pytest.approx(1)
        assert images.mean((1, 2, 3)) == pytest.approx(labels[:, 1], abs=tolerance)
        mixed += np.sum((labels > 0.01) & (labels < 0.99)) / 2
    assert mixed > 30


def test_mixup_blends_and_cutmix_pastes():
    blended, _ = batches(black_and_white(), mixing.mixup(1.0))[0]
    pasted, _ = batches(black_and_white(), mixing.cutmix())[0]
    assert np.ptp(blended, axis=(1, 2)).max() < 1e-6
    assert set(np.unique(pasted)) == {0, 1}
    assert (np.ptp(pasted, axis=(1, 2)) == 1).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_changes_images_but_not_labels(channels):
    imageset = textured(channels=channels)
    plain = batches(imageset, None)
    changed = batches(imageset, mixing.randaugment())
    assert all((labels == before).all() for (_, labels), (_, before) in zip(changed, plain, strict=True))
    images = np.concatenate([images for images, _ in changed])
    assert images.shape == (64, 20, 20, channels)
    assert images.min() >= 0
    assert images.max() <= 1
    assert (images != np.concatenate([images for images, _ in plain])).any((1, 2, 3)).mean() > 0.4


@pytest.mark.parametrize("name", MAKERS)
def test_images_depend_on_the_seed_but_not_on_parallelism(name, monkeypatch):
    imageset, augment = textured(), MAKERS[name]()
    first = batches(imageset, augment, 3, 1, monkeypatch)
    again = batches(imageset, MAKERS[name](), 3, 3, monkeypatch)
    for (images, labels), (images_again, labels_again) in zip(first, again, strict=True):
        assert (images == images_again).all()
        assert (labels == labels_again).all()
    assert any((a != b).any() for (a, _), (b, _) in zip(first, batches(imageset, augment, 3, seed=2), strict=True))
    # New random numbers for every batch: the second epoch has none of the first epoch's images.
    assert {image.tobytes() for image in first[0][0]}.isdisjoint(image.tobytes() for image in first[2][0])


def test_composes_with_an_augmenter():
    augmenter, mixed = Augmenter(), mixing.mixup(1.0)

    def both(images, labels, seeds):
        return mixed(*augmenter(images, labels, seeds), seeds)

    (images, labels), *_ = batches(textured(), both)
    assert images.shape == (16, 20, 20, 1)
    assert ((labels > 0.05) & (labels < 0.95)).any()


def test_integer_labels_cannot_be_mixed():
    for make in (mixing.mixup, mixing.cutmix):
        with pytest.raises(ValueError, match="call to_dataset with one_hot=True"):
            to_dataset(textured(), shuffle_seed=0, augment=make())


@pytest.mark.parametrize(
    ("maker", "arguments"),
    [("mixup", {"alpha": 0}), ("randaugment", {"strength": 1.5}), ("randaugment", {"operations": 0})],
)
def test_invalid_arguments_are_named(maker, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"{name} must .* Received: {name}="):
        MAKERS[maker](**arguments)


class Counting(keras.layers.Layer):
    """Counts the Python calls of a layer: one when a network is built, and one for every graph that is traced."""

    calls = 0

    def call(self, x):
        Counting.calls += 1
        return x


def test_all_arms_are_trained_with_one_graph():
    def builder(image_shape, num_classes):
        inputs = keras.Input(image_shape)
        x = keras.layers.Flatten()(Counting()(inputs))
        return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))

    imageset = textured()
    trainer = Trainer(builder, (20, 20, 1), 2, steps=4, batch_size=8, checks=2)
    counts = []
    for augment in (None, Augmenter(), mixing.mixup(), mixing.cutmix()):
        assert np.isfinite(trainer.train(imageset, imageset, seed=0, augment=augment)["loss"]).all()
        counts.append(Counting.calls)
    # Built, traced for training and for scoring; after that only built, for new initial weights.
    assert counts == [3, 4, 5, 6]


def test_loss_is_that_of_keras_and_linear_in_mixed_labels():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(3), 5).astype("float32")
    hard = rng.integers(0, 3, 5)
    expected = keras.losses.sparse_categorical_crossentropy(hard, scores)
    assert np.array(cross_entropy(np.eye(3, dtype="float32")[hard], scores)) == pytest.approx(
        np.array(expected), rel=1e-5
    )
    one = scores[:, :1]
    binary = -0.3 * np.log(one[:, 0]) - 0.7 * np.log(1 - one[:, 0])
    soft = np.tile(np.array([0.7, 0.3], "float32"), (5, 1))
    assert np.array(cross_entropy(soft, one)) == pytest.approx(binary, rel=1e-4)
