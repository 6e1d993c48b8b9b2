import numpy as np
import pytest
import tensorflow as tf

from synthkit import _regression, augmentation, backbones, catalogue, pretrained, selection, study
from synthkit.augmentation import mixing
from synthkit.datasets import phantom
from synthkit.imageset import ImageSet, Splits, concatenate, resize
from synthkit.statistics import auc


@pytest.fixture(scope="module")
def splits():
    return phantom.load(28, train=120, validation=60, test=80)


@pytest.fixture(scope="module")
def frozen():
    return pretrained.Frozen(image_size=32, copies=2)


@pytest.fixture(scope="module")
def trainer(frozen, splits):
    return frozen.trainer(splits.train.image_shape, 2)


class TestFrozen:
    def test_features_are_the_networks(self, trainer, splits):
        network = backbones.efficientnet_lite0((32, 32, 1))
        images = resize(splits.test, 32).images[:5]
        expected = network(images / np.float32(255)).numpy()
        np.testing.assert_allclose(trainer.features(splits.test[np.arange(5)]), expected, atol=2e-4)

    def test_learns(self, trainer, splits):
        history = trainer.train(splits.train, splits.validation, seed=0)
        assert auc(splits.test.labels, trainer.predict(splits.test.images)) > 0.6
        assert history["penalty"] == _regression.PENALTIES[history["best_step"] - 1]
        assert max(history["val_auc"]) == history["val_auc"][history["best_step"] - 1]

    def test_the_loss_is_finite_where_a_probability_is_0(self, trainer, splits, monkeypatch):
        class Certain:
            C = 0.1

            def predict_proba(self, features):
                return np.tile([1.0, 0.0], (len(features), 1))

        monkeypatch.setattr(_regression, "fit", lambda *_: (Certain(), [0.5]))
        history = trainer.train(splits.train, splits.validation, seed=0)
        assert history["loss"] == [pytest.approx(30 * np.log(10) / 2, rel=1e-3)]

    def test_is_the_same_every_time(self, frozen, trainer, splits):
        trainer.train(splits.train, splits.validation, seed=3, augment=augmentation.Augmenter())
        scores = trainer.predict(splits.test.images)
        other = frozen.trainer(splits.train.image_shape, 2)
        other.train(splits.train, splits.validation, seed=3, augment=augmentation.Augmenter())
        np.testing.assert_array_equal(scores, other.predict(splits.test.images))

    def test_copies_depend_on_image_and_seed_alone(self, trainer, splits):
        augment = augmentation.Augmenter()
        features, labels = trainer._copy(splits.train, augment, 7, 0)
        order = np.random.default_rng(0).permutation(len(splits.train))[:40]
        again, _ = trainer._copy(splits.train[order], augment, 7, 0)
        np.testing.assert_allclose(again, features[order], atol=1e-5)
        assert (labels.argmax(1) == splits.train.labels).all()
        other_seed, other_copy = (trainer._copy(splits.train, augment, *key)[0] for key in ((8, 0), (7, 1)))
        for other in (other_seed, other_copy, trainer.features(splits.train)):
            assert np.abs(other - features).max(1).min() > 0.01

    def test_mixed_labels_are_weights(self, trainer, splits):
        trainer.train(splits.train, splits.validation, seed=0, augment=mixing.mixup())
        assert np.isfinite(trainer.predict(splits.test.images)).all()
        _, labels = trainer._copy(splits.train, mixing.mixup(), 0, 0)
        assert ((labels > 0).sum(1) == 2).any()
        np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-5)

    def test_small_validation_set_is_not_used(self, trainer, splits):
        one_each = np.array([np.flatnonzero(splits.validation.labels == label)[0] for label in (0, 1)])
        small = splits.validation[one_each]
        flipped = ImageSet(small.images, 1 - small.labels, small.class_names, small.patients, held_out=True)
        histories = [trainer.train(splits.train, validation, seed=0) for validation in (small, flipped, None)]
        assert histories[0]["val_auc"] == histories[1]["val_auc"] == histories[2]["val_auc"]

    def test_folds_keep_patients_together(self, trainer, splits):
        """Of pairs of one image with two patients' labels at random, nothing can be learned, unless copies leak."""
        rng = np.random.default_rng(0)
        half = splits.train[np.arange(60)]
        noise = ImageSet(half.images, rng.permutation(half.labels), half.class_names, [f"P{i}" for i in range(60)])
        repeated = concatenate([noise] * 4)
        leaky = ImageSet(repeated.images, repeated.labels, repeated.class_names, [f"P{i}" for i in range(240)])
        honest = max(trainer.train(repeated, seed=0)["val_auc"])
        assert honest < 0.75 < 0.9 < max(trainer.train(leaky, seed=0)["val_auc"])

    def test_features_are_kept(self, frozen, trainer, splits, tmp_path, monkeypatch):
        trainer.keep(splits, tmp_path)
        other = frozen.trainer(splits.train.image_shape, 2)

        def forbidden(images):
            raise AssertionError("computed again")

        monkeypatch.setattr(other, "_features", forbidden)
        other.keep(splits, tmp_path)
        np.testing.assert_array_equal(other.features(splits.test), trainer.features(splits.test))

    def test_is_not_trained_in_steps(self, frozen, splits, tmp_path):
        arms = [study.Arm("real"), study.Arm("first", study.oversample, pretrain=0.5)]
        with pytest.raises(
            ValueError, match="the arm first trains on synthetic images first, and the classifier frozen"
        ):
            study.run(splits, arms, out=tmp_path, classifier=frozen)

    def test_three_classes(self, frozen):
        rng = np.random.default_rng(0)
        labels = np.arange(90) % 3
        images = (rng.integers(0, 60, (90, 32, 32, 3)) + 60 * labels[:, None, None, None]).astype("uint8")
        trainer = frozen.trainer((32, 32, 3), 3)
        trainer.train(ImageSet(images[:60], labels[:60], "abc"), seed=0)
        scores = trainer.predict(images[60:])
        assert scores.shape == (30, 3)
        assert (scores.argmax(1) == labels[60:]).mean() > 0.7


class TestFineTuned:
    def test_begins_as_the_frozen_one_and_is_trained(self, splits):
        classifier = pretrained.FineTuned(image_size=32)
        tuner = classifier.trainer(splits.train.image_shape, 2, steps=12, checks=2, learning_rate=1e-3)
        original, beginnings = tuner.trainer.train, []

        def train(*args, begin, **options):
            def recorded(model):
                begin(model)
                beginnings.append(tuner.trainer.predict(resize(splits.test, 32).images))

            return original(*args, begin=recorded, **options)

        tuner.trainer.train = train
        history = tuner.train(splits.train, splits.validation, seed=0)
        frozen = pretrained.Frozen(image_size=32).trainer(splits.train.image_shape, 2)
        frozen.train(splits.train, splits.validation, seed=0)
        np.testing.assert_allclose(beginnings[0], frozen.predict(splits.test.images), atol=2e-3)
        assert history["step"] == [0, 6, 12]
        assert history["loss"][2] < history["loss"][1]

    def test_last_layers_are_trained(self):
        model = pretrained.FineTuned(image_size=32)((28, 28, 1), 2)
        trained = [layer.name for layer in model.layers if layer.trainable_weights]
        assert "probabilities" in trained
        assert "stage7_block1_project" in trained
        assert "stem" not in trained
        assert not [name for name in trained if "norm" in name]


def test_keras_applications_are_backbones(splits):
    row = catalogue.classifier("mobilenetv3small", weights=None)
    assert row.builder((32, 32, 1), 2).output_shape == (None, 2)
    with pytest.raises(FileNotFoundError, match=r"there is no file nowhere\.h5"):
        catalogue.classifier("VGG16", "nowhere.h5")
    with pytest.raises(ValueError, match=r"there is no classifier 'resnet5' \(did you mean 'ResNet50'\?\)"):
        catalogue.classifier("resnet5")
    assert catalogue.classifier("fine_tuned:VGG16").builder.has_steps
    assert not catalogue.classifier("VGG16").builder.has_steps


def test_a_file_of_weights_is_used(tmp_path, splits):
    import keras

    keras.utils.set_random_seed(0)
    source = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, pooling="avg", input_shape=(32, 32, 3)
    )
    source.save_weights(tmp_path / "mobile.weights.h5")
    row = catalogue.classifier("MobileNetV3Small", str(tmp_path / "mobile.weights.h5"))
    network = row.builder((28, 28, 1), 2)
    assert any(np.array_equal(weights, source.get_weights()[0]) for weights in network.get_weights())


def test_ones_own_builder(tmp_path, monkeypatch):
    (tmp_path / "my_networks.py").write_text(
        "def small(image_shape, num_classes):\n    return 'network'\n\nnothing = 1\n"
    )
    monkeypatch.chdir(tmp_path)
    assert catalogue.classifier("my_networks:small").builder((8, 8, 1), 2) == "network"
    with pytest.raises(ValueError, match="--classifier my_networks:large: .*has no attribute 'large'"):
        catalogue.classifier("my_networks:large")
    with pytest.raises(ValueError, match="--classifier no_such_module:small: No module named"):
        catalogue.classifier("no_such_module:small")
    with pytest.raises(ValueError, match="nothing is not a function"):
        catalogue.classifier("my_networks:nothing")


class TestChoice:
    def test_the_better_one_is_chosen_and_kept(self, splits, tmp_path, frozen, monkeypatch):
        blind = pretrained.Frozen(
            lambda shape: tf.keras.Sequential([tf.keras.Input(shape), _Constant()]), image_size=32
        )
        candidates = {"blind": (blind, {}), "frozen": (frozen, {})}
        choice = study.choose(splits, candidates, out=tmp_path, progress=False)
        assert choice["chosen"] == "frozen"
        assert choice["auc"]["blind"]["real"] == 0.5
        monkeypatch.setattr(pretrained.FrozenTrainer, "train", None)
        assert study.choose(splits, candidates, out=tmp_path, progress=False) == choice

    def test_folds_where_the_validation_set_is_small(self, splits, tmp_path, frozen):
        few = Splits(splits.train, splits.validation[np.arange(20)], splits.test)
        choice = study.choose(few, {"frozen": (frozen, {})}, out=tmp_path, progress=False)
        assert choice["scored_on"] == "3 folds of the training images"

    def test_too_few_patients_for_folds_are_refused(self, splits, tmp_path, frozen):
        patients = np.where(splits.train.labels == 0, "only", splits.train.patients)
        train = ImageSet(splits.train.images, splits.train.labels, splits.train.class_names, patients, "set")
        few = Splits(train, splits.validation[np.arange(20)], splits.test)
        with pytest.raises(ValueError, match="at most the 1 patients of class malignant.* name one instead"):
            study.choose(few, {"frozen": (frozen, {})}, out=tmp_path, fixed_training_set=True, progress=False)

    def test_test_images_are_not_used(self, splits, tmp_path, frozen):
        flipped = ImageSet(
            splits.test.images, 1 - splits.test.labels, splits.test.class_names, splits.test.patients, held_out=True
        )
        choices = [
            study.choose(part, {"frozen": (frozen, {})}, out=tmp_path / name, progress=False)["auc"]
            for name, part in (("a", splits), ("b", Splits(splits.train, splits.validation, flipped)))
            if (tmp_path / name).mkdir() is None
        ]
        assert choices[0] == choices[1]


class _Constant(tf.keras.layers.Layer):
    def call(self, images):
        return tf.zeros((tf.shape(images)[0], 4))


def test_a_set_that_is_too_small_is_refused_before_the_choice(splits, tmp_path, frozen):
    rows = [*np.flatnonzero(splits.validation.labels == 0)[:3], np.flatnonzero(splits.validation.labels == 1)[0]]
    one = Splits(splits.train, splits.validation[rows], splits.test)
    with pytest.raises(ValueError, match="has too few images, 1 of benign; a study needs at least 2"):
        study.choose(one, {"frozen": (frozen, {})}, out=tmp_path, progress=False)


def test_scorer_tells_classes_apart_and_knows_its_images_only(splits):
    fit = pretrained.scorer(pretrained.Frozen(image_size=32, copies=1), augmentation.Augmenter())
    assert auc(splits.test.labels, fit(splits.train, 0)(splits.test.images)) > 0.6
    swapped = ImageSet(splits.train.images, 1 - splits.train.labels, splits.train.class_names, splits.train.patients)
    assert auc(splits.test.labels, fit(swapped, 0)(splits.test.images)) < 0.4


def test_filtered_arms_choose_their_fraction_on_the_validation_set(splits, tmp_path):
    fit = pretrained.scorer(pretrained.Frozen(image_size=32))
    arms = [study.Arm("real"), study.Arm("chosen", selection.Selected(study.oversample, fit))]
    options = {"seeds": 1, "fixed_training_set": True, "progress": False}
    results = study.run(splits, arms, out=tmp_path, classifier=pretrained.Frozen(image_size=32), **options)
    assert results.trials["status"].tolist() == ["done", "done"]
    assert results.histories["chosen", 0]["kept_share"] in (1.0, 0.5, 0.25)
