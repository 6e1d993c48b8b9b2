import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators import conv_cgan, losses, medmnist_cgan, skin_dcgan
from synthkit.generators.layers import DiffAugment
from tests.conftest import make_imageset
from tests.generators.toy import toy_gan

TRAIN = make_imageset(8, 1, size=20)
IMAGES, LABELS = tf.constant(TRAIN.images.astype("float32") / 255), tf.constant(TRAIN.labels)
BUILDERS = {
    "dense_cgan": medmnist_cgan.dense_cgan,
    "conv_cgan": conv_cgan.conv_cgan,
    "acgan": conv_cgan.acgan,
    "wgan_gp": conv_cgan.wgan_gp,
    "dcgan": lambda image_shape, num_classes: skin_dcgan.dcgan(image_shape),
}


def changed(before, model):
    return [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]


@pytest.mark.parametrize("name", BUILDERS)
def test_each_update_changes_its_own_network_only(name):
    model = BUILDERS[name]((20, 20, 1), 2)
    label = tf.one_hot(LABELS, 2)
    before = model.generator.get_weights(), model.discriminator.get_weights()
    model._update_discriminator(IMAGES, model._generate(label), label)
    after = model.discriminator.get_weights()
    moved = changed(before[0], model.generator)
    paths = [weight.path for weight in model.generator.weights]
    # Generating a batch updates the moving statistics of BatchNormalization and nothing else.
    assert all("moving" in path for path, flag in zip(paths, moved, strict=True) if flag)
    assert len(model.generator.trainable_weights) == sum("moving" not in path for path in paths)
    still = [flag for flag in changed(before[1], model.discriminator) if not flag]
    # The Wasserstein loss is the difference of two mean scores: their common bias has no gradient.
    assert len(still) == (name == "wgan_gp")
    model._update_discriminator = lambda *_: {"discriminator_loss": 0.0, "class_loss": 0.0}
    model.update(IMAGES, LABELS)
    assert not any(changed(after, model.discriminator))
    assert all(changed(before[0], model.generator))


def test_average_follows_the_generator():
    model = conv_cgan.conv_cgan((20, 20, 1), 2)
    start = [weight.numpy() for weight in model.generator.weights]
    model.steps.assign(10**6)
    model.update(IMAGES, LABELS)
    for mean, first, weight in zip(model.average.weights, start, model.generator.weights, strict=True):
        np.testing.assert_allclose(mean, 0.998 * first + 0.002 * weight.numpy(), atol=1e-6)
    assert not model.average.trainable_weights


OPTIONS = {
    "wasserstein": {
        "generator_loss": losses.raise_scores,
        "discriminator_loss": losses.wasserstein_discriminator,
        "penalty": losses.gradient_penalty,
        "penalty_weight": 10.0,
        "critic_steps": 3,
    },
    "r1": {"penalty": losses.r1, "penalty_every": 2, "augment": DiffAugment(), "decay": 0.9, "flips": None},
    "auxiliary": {"auxiliary": True, "flips": (1,)},
    "mismatched": {"mismatched": 1.0},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_trains_in_a_graph_and_is_saved(name, tmp_path):
    model = toy_gan((20, 20, 1), **OPTIONS[name])
    history = model.fit(IMAGES.numpy(), TRAIN.labels, batch_size=4, epochs=2, verbose=0).history
    assert set(history) == {"generator_loss", "discriminator_loss"} | ({"class_loss"} if name == "auxiliary" else set())
    assert np.isfinite(list(history.values())).all()
    assert int(model.discriminator_optimizer.iterations) == 4 * OPTIONS[name].get("critic_steps", 1)
    model.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert (loaded.sample([0, 1], 0) == model.sample([0, 1], 0)).all()
    for key in ("penalty_every", "critic_steps", "mismatched", "decay"):
        assert getattr(loaded, key) == getattr(model, key)
    assert loaded.flips == (None if model.flips is None else list(model.flips))


class TestMismatched:
    def test_wrong_labels_are_all_others(self):
        model = toy_gan((20, 20, 1), 3)
        label = tf.one_hot(tf.constant([0, 1, 2] * 40, "int64"), 3)
        wrong = np.argmax(model._wrong(label), axis=1).reshape(-1, 3)
        assert [set(column) for column in wrong.T.tolist()] == [{1, 2}, {0, 2}, {0, 1}]

    def test_real_images_with_a_wrong_label_are_rejected_like_generated_ones(self):
        """Scores by the label alone: with the right one 2, with the wrong one -1."""
        model = toy_gan((20, 20, 1), mismatched=1.0)
        right = tf.one_hot(LABELS, 2)
        model._judge = lambda images, label: (3 * tf.reduce_sum(right * label, 1, keepdims=True) - 1, None)
        fake = tf.zeros_like(IMAGES)
        model.discriminator_optimizer.apply = lambda gradients, of: None
        loss = float(model._update_discriminator(IMAGES, fake, right)["discriminator_loss"])
        real, generated, wrong = np.log1p(np.exp([-2.0, 2.0, -1.0]))  # softplus of the score, negative if it is real
        assert loss == pytest.approx(real + (generated + wrong) / 2)

    def test_without_labels_it_is_refused(self):
        with pytest.raises(
            ValueError, match="mismatched= takes two classes and a discriminator that is given the label"
        ):
            toy_gan((20, 20, 1), auxiliary=True, mismatched=1.0)
        assert "mismatched" not in toy_gan((20, 20, 1)).get_config()
