import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from synthkit import classifiers, statistics, training
from synthkit.training import Trainer, cross_validate, scorer, standard_error
from tests.conftest import make_imageset


@pytest.fixture(scope="module")
def trainer():
    return Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=12, batch_size=8, checks=4)


@pytest.fixture(scope="module")
def sets():
    return make_imageset(40, 1, name="train"), make_imageset(20, 2, name="validation")


@pytest.fixture(scope="module")
def noise(sets):
    """A validation set whose labels have nothing to do with the images: its AUC rises and falls during training."""
    validation = sets[1]
    return dataclasses.replace(validation, labels=np.random.default_rng(4).permutation(validation.labels))


def test_same_seed_same_weights_whatever_came_before(trainer, sets):
    first = trainer.train(*sets, seed=1)
    scores = trainer.predict(sets[1].images)
    trainer.train(*sets, seed=2)
    other = trainer.predict(sets[1].images)
    again = trainer.train(*sets, seed=1)
    assert (trainer.predict(sets[1].images) == scores).all()
    assert (other != scores).any()
    assert [first[key] for key in ("loss", "val_auc", "best_step")] == [
        again[key] for key in ("loss", "val_auc", "best_step")
    ]


class Counting(keras.layers.Layer):
    """Counts the calls by Python: one when a network is built, and one for every graph that is traced."""

    calls = 0

    def call(self, x):
        Counting.calls += 1
        return x


def test_no_graph_is_traced_again(sets):
    def builder(image_shape, num_classes):
        inputs = keras.Input(image_shape)
        x = keras.layers.Flatten()(Counting()(inputs))
        return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))

    trainer = Trainer(builder, (20, 20, 1), 2, steps=12, batch_size=8, checks=4)
    counts = []
    for seed, train, augment in [
        (1, sets[0], None),
        (2, make_imageset(64, 5), lambda x, y, _: (x[:, ::-1], y)),
        (3, sets[1], None),
    ]:
        trainer.train(train, sets[1], seed=seed, augment=augment)
        trainer.predict(train.images)
        counts.append(Counting.calls)
    # Built, traced for training and for scoring; then only built, for its new weights.
    assert counts == [3, 4, 5]


def test_budget_is_exact_and_every_check_is_recorded(trainer, sets):
    steps = []
    history = trainer.train(*sets, seed=1, on_step=lambda: steps.append(1))
    assert len(steps) == trainer.steps == 12
    assert history["step"] == [3, 6, 9, 12]
    assert trainer.model.optimizer.iterations.numpy() == 12
    assert Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=7, checks=10).steps == 7


def test_predictions_are_rows_of_probabilities(trainer, sets):
    trainer.train(*sets, seed=1)
    scores = trainer.predict(sets[0].images, batch_size=7)
    assert scores.shape == (40, 2)
    assert scores.sum(1) == pytest.approx(1)
    direct = np.array(trainer.model(sets[0].images.astype("float32") / 255))[:, 0]
    assert scores[:, 1] == pytest.approx(direct, abs=1e-6)


def test_the_first_set_has_its_fraction_of_the_steps(trainer, sets, monkeypatch):
    black = dataclasses.replace(sets[0], images=np.zeros_like(sets[0].images))
    shown = []
    monkeypatch.setattr(
        keras.Model, "fit", lambda self, data, **_: shown.extend(float(x.numpy().max()) for x, _ in data.take(12))
    )
    monkeypatch.setattr(training._BestValidation, "finish", lambda callback: None)
    trainer.train(*sets, seed=0, first=black, share=5 / 12)
    assert [brightest > 0 for brightest in shown] == [False] * 5 + [True] * 7


def test_nan_loss_raises(sets):
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=8, checks=2, learning_rate=float("nan"))
    with pytest.raises(FloatingPointError, match="loss is nan at step 4; try a lower learning rate"):
        trainer.train(*sets, seed=0)


def flat(image_shape, num_classes):
    """Logistic regression on pixels with weights of zero, whose gradients can be written down."""
    inputs = keras.Input(image_shape)
    outputs = keras.layers.Dense(num_classes, activation="softmax", kernel_initializer="zeros")(
        keras.layers.Flatten()(inputs)
    )
    return keras.Model(inputs, outputs)


def one_step(imageset, **options):
    """Returns the weights `(pixels, 2)` after one step of gradient descent with learning rate 1 on the whole set."""
    trainer = Trainer(
        flat, imageset.image_shape, 2, steps=1, batch_size=len(imageset), optimizer="sgd", learning_rate=1.0, **options
    )
    trainer.train(imageset, seed=0)
    return trainer.model.layers[-1].get_weights()[0]


def test_gradients_with_label_smoothing_and_class_weights_by_hand():
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


def test_weights_are_those_of_the_best_validation_auc_and_patience_stops_after_it(sets, noise):
    options = {"steps": 60, "batch_size": 8, "checks": 20}
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, selection="best", **options)
    all_steps = trainer.train(sets[0], noise, seed=0)
    scores = all_steps["val_auc"]
    assert statistics.auc(noise.labels, trainer.predict(noise.images)) == max(scores) > scores[-1]
    assert all_steps["best_step"] == all_steps["step"][int(np.argmax(scores))]
    trainer.patience = 3
    history = trainer.train(sets[0], noise, seed=0)
    best = int(np.argmax(history["val_auc"]))
    assert len(history["val_auc"]) == best + 4 < 20
    assert history["val_auc"] == scores[: best + 4]
    assert statistics.auc(noise.labels, trainer.predict(noise.images)) == max(history["val_auc"])


def test_weights_are_those_of_the_last_check_within_a_standard_error_of_the_highest(sets, noise):
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=60, batch_size=8, checks=20)
    history = trainer.train(sets[0], noise, seed=0)
    counts, chosen = np.bincount(noise.labels), 0
    for i, value in enumerate(history["val_auc"]):
        highest = max(history["val_auc"][: i + 1])
        if value >= highest - np.sqrt(max(highest, 0.5) * (1 - max(highest, 0.5)) / min(counts)):  # of as many patients
            chosen = i
    assert 0 < int(np.argmax(history["val_auc"])) < chosen
    assert history["best_step"] == history["step"][chosen]
    assert statistics.auc(noise.labels, trainer.predict(noise.images)) == history["val_auc"][chosen]
    assert standard_error(1.0, 10) == pytest.approx(np.sqrt(0.95 * 0.05 / 10))  # a perfect AUC is no certainty
    assert standard_error(0.3, 25) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="selection must be one of one_standard_error, best"):
        Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=60, selection="last")


def test_without_a_validation_set_the_last_weights_are_kept(trainer, sets):
    history = trainer.train(sets[0], seed=1)
    assert (history["val_auc"], history["best_step"]) == ([], 0)
    assert trainer.model.optimizer.iterations.numpy() == 12


def test_a_validation_set_without_a_class_is_refused(trainer, sets):
    train, validation = sets
    one_class = validation[np.flatnonzero(validation.labels == 0)]
    with pytest.raises(ValueError, match="of validation, have none of class .*, so there is no AUC to choose"):
        trainer.train(train, one_class, seed=0)


def test_flips_average_over_the_mirror_images(trainer, sets):
    trainer.train(*sets, seed=1)
    images = sets[1].images
    views = [trainer.predict(np.ascontiguousarray(images[:, ::i, ::j])) for i in (1, -1) for j in (1, -1)]
    assert trainer.predict(images, flips=True) == pytest.approx(np.mean(views, axis=0), abs=1e-6)
    assert np.abs(views[0] - views[1]).max() > 1e-4


@pytest.mark.parametrize(("devices", "half"), [([], "bfloat16"), ([SimpleNamespace(device_type="GPU")], "float16")])
def test_mixed_precision_computes_in_half_and_returns_float32(monkeypatch, devices, half):
    # Not trained: on a CPU, a convolution in float16 takes minutes.
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda *kind: devices)
    model = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=4, mixed_precision=True)._start(0)
    assert {layer.compute_dtype for layer in model.layers if "conv" in layer.name} == {half}
    assert model.output.dtype == "float32"
    assert (type(model.optimizer) is keras.optimizers.LossScaleOptimizer) == (half == "float16")
    assert keras.config.dtype_policy().name == "float32"


def test_mixed_precision_learns(sets):
    trainer = Trainer(classifiers.skin_cnn, (20, 20, 1), 2, steps=30, mixed_precision=True)
    history = trainer.train(*sets, seed=0)
    assert history["loss"][-1] < history["loss"][0] / 2
    assert max(history["val_auc"]) > 0.9


def test_scores_of_a_network_with_outputs_in_half_precision_are_float32():
    def builder(image_shape, num_classes):
        return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)])

    trainer = Trainer(builder, (20, 20, 1), 2, steps=1, mixed_precision=True)
    trainer.model = trainer._start(0)
    assert trainer.model.compute_dtype in ("bfloat16", "float16")
    assert trainer.predict(make_imageset(4, 0).images).dtype == np.float32


class TestScorer:
    def test_fits_on_patients_and_scores_other_images(self):
        shapes = []

        def builder(image_shape, num_classes):
            shapes.append(image_shape)
            return classifiers.skin_cnn(image_shape, num_classes)

        fit = scorer(builder, steps=60, batch_size=16, checks=3)
        images = make_imageset(80, 1, patients=[f"P{i // 4}" for i in range(80)])
        predict = fit(images, 0)
        test = make_imageset(60, 9)
        assert statistics.auc(test.labels, predict(test.images)) > 0.95
        other = dataclasses.replace(images, labels=1 - images.labels)
        assert statistics.auc(test.labels, fit(other, 0)(test.images)) < 0.05
        assert set(shapes) == {(20, 20, 1)}

    @pytest.mark.parametrize("order", [0, 1])
    def test_uses_the_better_augmentation(self, order, monkeypatch):
        def blank(images, labels, seeds):
            return images * 0, labels

        used = []

        def train(trainer, train, validation, *, seed, augment):
            trainer.model = trainer._start(seed)
            trainer.model.layers[-1].bias.assign([0.25 if augment else 0.75])
            used.append(augment)
            return {"val_auc": [0.4, 0.6 if augment else 0.8]}

        monkeypatch.setattr(Trainer, "train", train)
        augmentations = ((blank, None), (None, blank))[order]
        predict = scorer(classifiers.skin_cnn, steps=1, augment=augmentations)(make_imageset(80, 1))
        assert used == list(augmentations)
        assert predict.__self__.model.layers[-1].bias.numpy() == [0.75]


def test_cross_validation_scores_every_patient_with_a_network_that_was_not_trained_on_it():
    whole = make_imageset(60, 3)
    whole = dataclasses.replace(whole, patients=[f"P{i // 2}" for i in range(60)])
    trained, scored = [], []

    class Spy:
        def train(self, train, seed, augment):
            trained.append(set(train.patients))

        def predict(self, images):
            rows = [np.flatnonzero((whole.images == image).all((1, 2, 3)))[0] for image in images]
            scored.append({whole.patients[row] for row in rows})
            return np.full((len(images), 2), len(scored), "float32")

    scores = cross_validate(Spy(), whole, 5)
    assert set(scores[:, 0]) == {1, 2, 3, 4, 5}
    assert all(train.isdisjoint(fold) for train, fold in zip(trained, scored, strict=True))
    assert set.union(*scored) == set(whole.patients)
    with pytest.raises(ValueError, match="folds must be at least 2 and at most the .* patients of class"):
        cross_validate(Spy(), whole, 50)


def test_fewer_large_images_are_scored_at_a_time():
    trainer, sizes = object.__new__(training.Trainer), []
    trainer._scores = lambda images: sizes.append(len(images)) or np.full((len(images), 2), 0.5, "float32")
    for side in (224, 28):
        assert len(trainer.predict(np.zeros((300, side, side, 1), "uint8"))) == 300
    assert sizes == [47] * 6 + [18] + [256, 44]
