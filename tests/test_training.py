import dataclasses

import keras
import numpy as np
import pytest

from synthkit import classifiers, statistics
from synthkit.training import Trainer, reusable, scorer
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
    trainer.train(*parts, seed=0, first=black, share=0.25)
    assert [brightest > 0 for brightest in shown] == [False] * 3 + [True] * 9


def test_scorer_fits_on_patients_and_judges_by_others():
    seen = []

    def builder(image_shape, num_classes):
        seen.append(image_shape)
        return classifiers.skin_cnn(image_shape, num_classes)

    fit = scorer(builder, steps=60, batch_size=16, checks=3)
    images = make_imageset(80, 1, patients=[f"P{i // 4}" for i in range(80)])
    predict = fit(images, 0)
    test = make_imageset(60, 9)
    assert statistics.auc(test.labels, predict(test.images)) > 0.95
    other = dataclasses.replace(images, labels=1 - images.labels)
    assert statistics.auc(test.labels, fit(other, 0)(test.images)) < 0.05
    assert set(seen) == {(20, 20, 1)}


def test_loss_that_is_no_number_raises(parts):
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=8, checks=2, learning_rate=float("nan"))
    with pytest.raises(FloatingPointError, match="loss is nan at step 4"):
        trainer.train(*parts, seed=0)


def test_reusable_restores_weights_optimizer_and_random_state():
    def build():
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        )
        model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        return model

    fresh = reusable(build)
    data = np.random.default_rng(0).random((16, 4), "float32"), np.ones((16, 1), "float32")

    def run(seed):
        model = fresh(seed)
        model.fit(*data, epochs=3, batch_size=8, verbose=0, shuffle=False)
        return model, [v.numpy() for v in model.variables + model.optimizer.variables]

    first, before = run(1)
    run(2)
    second, after = run(1)
    assert first is second
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
