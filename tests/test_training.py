import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from synthkit import classifiers, statistics, training
from synthkit.training import Trainer
from tests.conftest import make_imageset


@pytest.fixture(scope="module")
def trainer():
    return Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=12, batch_size=8, checks=4)


@pytest.fixture(scope="module")
def parts():
    return make_imageset(40, 1, name="train"), make_imageset(20, 2, name="validation")


def test_same_seed_same_weights_whatever_came_before(trainer, parts):
    first = trainer.train(*parts, seed=1)
    scores = trainer.predict(parts[1].images)
    trainer.train(*parts, seed=2)
    other = trainer.predict(parts[1].images)
    again = trainer.train(*parts, seed=1)
    assert (trainer.predict(parts[1].images) == scores).all()
    assert (other != scores).any()
    assert [first[key] for key in ("loss", "val_auc", "best_step")] == [
        again[key] for key in ("loss", "val_auc", "best_step")
    ]


class Counting(keras.layers.Layer):
    """Counts how often Python runs its call: once when a network is built and once for every graph traced."""

    calls = 0

    def call(self, x):
        Counting.calls += 1
        return x


def test_no_graph_is_traced_again(parts):
    def builder(image_shape, num_classes):
        inputs = keras.Input(image_shape)
        x = keras.layers.Flatten()(Counting()(inputs))
        return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))

    trainer = Trainer(builder, (20, 20, 1), 2, steps=12, batch_size=8, checks=4)
    counts = []
    for seed, train, augment in [
        (1, parts[0], None),
        (2, make_imageset(64, 5), lambda x, y, _: (x[:, ::-1], y)),
        (3, parts[1], None),
    ]:
        trainer.train(train, parts[1], seed=seed, augment=augment)
        trainer.predict(train.images)
        counts.append(Counting.calls)
    # Built, traced for training and for scoring; from then on only built, for its fresh weights.
    assert counts == [3, 4, 5]


def test_budget_is_exact_and_every_check_is_recorded(trainer, parts):
    steps = []
    history = trainer.train(*parts, seed=1, on_step=lambda: steps.append(1))
    assert len(steps) == trainer.steps == 12
    assert history["step"] == [3, 6, 9, 12]
    assert trainer.model.optimizer.iterations.numpy() == 12
    assert Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=7, checks=10).steps == 7


def test_weights_are_those_of_the_best_validation_auc(parts):
    train, validation = parts
    # Validation labels that have nothing to do with the images: the AUC goes up and down as training goes on.
    labels = np.random.default_rng(4).permutation(validation.labels)
    noise = dataclasses.replace(validation, labels=labels)
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=60, batch_size=8, checks=10)
    history = trainer.train(train, noise, seed=0)
    assert statistics.auc(labels, trainer.predict(noise.images)) == max(history["val_auc"]) > history["val_auc"][-1]
    assert history["best_step"] == history["step"][int(np.argmax(history["val_auc"]))]


def test_predictions_are_rows_of_probabilities(trainer, parts):
    trainer.train(*parts, seed=1)
    scores = trainer.predict(parts[0].images, batch_size=7)
    assert scores.shape == (40, 2)
    assert scores.sum(1) == pytest.approx(1)
    direct = np.array(trainer.model(parts[0].images.astype("float32") / 255))[:, 0]
    assert scores[:, 1] == pytest.approx(direct, abs=1e-6)


def test_learns_what_can_be_learnt(parts):
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=60, batch_size=16, checks=3)
    trainer.train(*parts, seed=0)
    test = make_imageset(60, 9)
    assert statistics.auc(test.labels, trainer.predict(test.images)) > 0.95


def test_what_comes_first_takes_its_share_of_the_steps(trainer, parts, monkeypatch):
    black = dataclasses.replace(parts[0], images=np.zeros_like(parts[0].images))
    shown = []
    monkeypatch.setattr(
        keras.Model, "fit", lambda self, data, **_: shown.extend(float(x.numpy().max()) for x, _ in data.take(12))
    )
    monkeypatch.setattr(training._BestValidation, "finish", lambda watch: None)
    trainer.train(*parts, seed=0, first=black, share=5 / 12)
    assert [brightest > 0 for brightest in shown] == [False] * 5 + [True] * 7


def test_loss_that_is_no_number_raises(parts):
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=8, checks=2, learning_rate=float("nan"))
    with pytest.raises(FloatingPointError, match="loss is nan at step 4"):
        trainer.train(*parts, seed=0)


def flat(image_shape, num_classes):
    """Logistic regression on pixels, its weights at zero: every gradient can be written down."""
    inputs = keras.Input(image_shape)
    outputs = keras.layers.Dense(num_classes, activation="softmax", kernel_initializer="zeros")(
        keras.layers.Flatten()(inputs)
    )
    return keras.Model(inputs, outputs)


def one_step(imageset, **options):
    """The weights `(pixels, 2)` after one step of plain gradient descent at rate 1 over the whole set."""
    trainer = Trainer(
        flat, imageset.image_shape, 2, steps=1, batch_size=len(imageset), optimizer="sgd", learning_rate=1.0, **options
    )
    trainer.train(imageset, seed=0)
    return trainer.model.layers[-1].get_weights()[0]


def test_label_smoothing_and_class_weights_change_the_gradient_as_they_say():
    balanced = make_imageset(12, 1)
    imageset = balanced[np.flatnonzero((balanced.labels == 0) | (np.arange(12) < 6))]
    images = imageset.images.reshape(len(imageset), -1) / 255
    targets = np.eye(2)[imageset.labels]
    counts = np.bincount(imageset.labels)
    assert counts[0] != counts[1]
    weights = (len(imageset) / (2 * counts))[imageset.labels]
    assert one_step(imageset) == pytest.approx(images.T @ (targets - 0.5) / len(images), abs=1e-5)
    smooth = 0.8 * targets + 0.1
    assert one_step(imageset, label_smoothing=0.2) == pytest.approx(images.T @ (smooth - 0.5) / len(images), abs=1e-5)
    weighted = images.T @ (weights[:, None] * (targets - 0.5)) / len(images)
    assert one_step(imageset, class_weights=True) == pytest.approx(weighted, abs=1e-5)


def test_patience_stops_and_keeps_the_best_weights(parts):
    train, validation = parts
    labels = np.random.default_rng(4).permutation(validation.labels)
    noise = dataclasses.replace(validation, labels=labels)
    options = {"steps": 60, "batch_size": 8, "checks": 20}
    whole = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, **options).train(train, noise, seed=0)["val_auc"]
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, **options, patience=3)
    history = trainer.train(train, noise, seed=0)
    best = int(np.argmax(history["val_auc"]))
    assert len(history["val_auc"]) == best + 4 < 20
    assert history["val_auc"] == whole[: best + 4]
    assert statistics.auc(labels, trainer.predict(noise.images)) == max(history["val_auc"])


def test_without_a_validation_part_the_last_weights_stay(trainer, parts):
    history = trainer.train(parts[0], seed=1)
    assert (history["val_auc"], history["best_step"]) == ([], 0)
    assert trainer.model.optimizer.iterations.numpy() == 12


def test_flips_average_over_the_mirror_images(trainer, parts):
    trainer.train(*parts, seed=1)
    images = parts[1].images
    alone = [trainer.predict(np.ascontiguousarray(images[:, ::i, ::j])) for i in (1, -1) for j in (1, -1)]
    assert trainer.predict(images, flips=True) == pytest.approx(np.mean(alone, axis=0), abs=1e-6)
    assert np.abs(alone[0] - alone[1]).max() > 1e-4


@pytest.mark.parametrize(("devices", "half"), [([], "bfloat16"), ([SimpleNamespace(device_type="GPU")], "float16")])
def test_mixed_precision_computes_in_half_and_answers_in_float32(monkeypatch, devices, half):
    # Built only: a CPU takes minutes over a convolution in float16.
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *kind: devices)
    model = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=4, mixed_precision=True)._fresh(0)
    assert {layer.compute_dtype for layer in model.layers if "conv" in layer.name} == {half}
    assert model.output.dtype == "float32"
    assert (type(model.optimizer) is keras.optimizers.LossScaleOptimizer) == (half == "float16")
    assert keras.config.dtype_policy().name == "float32"


def test_mixed_precision_learns(parts):
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=30, mixed_precision=True)
    history = trainer.train(*parts, seed=0)
    assert history["loss"][-1] < history["loss"][0] / 2
    assert max(history["val_auc"]) > 0.9


def test_scores_of_a_network_that_answers_in_half_precision_are_float32():
    def builder(image_shape, num_classes):
        return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)])

    trainer = Trainer(builder, (20, 20, 1), 2, steps=1, mixed_precision=True)
    trainer.model = trainer._fresh(0)
    assert trainer.model.compute_dtype in ("bfloat16", "float16")
    assert trainer.predict(make_imageset(4, 0).images).dtype == np.float32
