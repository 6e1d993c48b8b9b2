import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators import (
    conv_cgan,
    losses,
    mammography_cgan,
    medmnist_autoencoder,
    medmnist_cgan,
    skin_dcgan,
    synthesizer,
)
from synthkit.generators.layers import DiffAugment, LabelPlanes, doublings
from tests.conftest import ROOT, make_imageset

BUILDERS = {
    "autoencoder": medmnist_autoencoder.autoencoder,
    "dense_cgan": medmnist_cgan.dense_cgan,
    "mammography_cgan": mammography_cgan.mammography_cgan,
    "per_class_dcgan": skin_dcgan.per_class_dcgan,
    "conv_cgan": conv_cgan.conv_cgan,
    "acgan": conv_cgan.acgan,
    "wgan_gp": conv_cgan.wgan_gp,
}


def data(size=20, count=24):
    images = make_imageset(count, 1, size=size)
    return images.images.astype("float32") / 255, images.labels


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


class TestAsReported:
    def test_dcgan_has_the_reports_parameters(self):
        # The skin-lesion study's appendix, "Full structure of GAN".
        assert trainable(skin_dcgan.dcgan_generator()) == 370_624
        assert trainable(skin_dcgan.dcgan_discriminator()) == 167_872
        model = skin_dcgan.dcgan()
        for optimizer in (model.optimizer, model.discriminator_optimizer):
            assert (float(optimizer.learning_rate), optimizer.beta_1) == (pytest.approx(2e-4), 0.5)
        kernels = [w for w in model.generator.trainable_weights if "kernel" in w.path]
        assert [float(np.std(kernel)) for kernel in kernels] == pytest.approx([0.02] * len(kernels), rel=0.1)

    def test_dense_networks_have_three_hidden_layers_each(self):
        model = medmnist_cgan.dense_cgan((28, 28, 1), 2)
        for network in (model.generator, model.discriminator):
            assert sum(isinstance(layer, keras.layers.Dense) for layer in network.layers) == 4
        assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)

    @pytest.mark.parametrize(("size", "blocks"), [(224, 5), (112, 4), (56, 3), (28, 2), (64, 3), (32, 2)])
    def test_mammography_generator_doubles_seven_or_eight_pixels(self, size, blocks):
        network = medmnist_cgan.convolutional_generator((size, size, 3), 2)
        convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
        start = 8 if size in (64, 32) else 7
        reshaped = next(layer for layer in network.layers if isinstance(layer, keras.layers.Reshape))
        assert reshaped.target_shape == (start, start, 128)
        assert len(convolutions) == blocks
        assert network.output_shape == (None, size, size, 3)

    def test_autoencoder_has_four_hidden_layers_each(self):
        model = medmnist_autoencoder.autoencoder((28, 28, 1), 2)
        for network in (model.encoder, model.decoder):
            assert sum(isinstance(layer, keras.layers.Dense) for layer in network.layers) == 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("generators")


class TestContract:
    @pytest.mark.parametrize("name", BUILDERS)
    def test_fits_and_samples(self, name, folder):
        size = 20
        images, labels = data(size)
        keras.utils.set_random_seed(0)
        model = BUILDERS[name]((size, size, 1), 2)
        with pytest.raises(RuntimeError, match="was not fitted"):
            model.sample([0], 0)
        history = model.fit(images, labels, epochs=2, batch_size=8, verbose=0).history
        assert all(np.isfinite(values).all() and len(values) == 2 for values in history.values())
        assert set(history) == {tracker.name for tracker in model.trackers}
        asked = [0, 1, 1, 0, 1]
        made = model.sample(asked, 3)
        assert (made.dtype, made.shape) == ("float32", (5, size, size, 1))
        assert made.min() >= 0
        assert made.max() <= 1
        np.testing.assert_array_equal(made, model.sample(asked, 3))
        assert (made != model.sample(asked, 4)).any()
        model.save(folder / f"{name}.keras")
        np.save(folder / f"{name}.npy", made)

    def test_comes_back_from_a_file_in_a_fresh_process(self, folder):
        code = (
            "import sys, keras, numpy as np\n"
            "from pathlib import Path\n"
            "from synthkit.generators import autoencoder, conv_gan, cgan, dcgan\n"
            "for path in sorted(Path(sys.argv[1]).glob('*.keras')):\n"
            "    made = keras.saving.load_model(path).sample([0, 1, 1, 0, 1], 3)\n"
            "    assert np.array_equal(made, np.load(path.with_suffix('.npy'))), path\n"
            "    print(path.stem)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert set(done.stdout.split()) == set(BUILDERS)

    def test_wrong_sizes_are_named(self):
        for build in (conv_cgan.conv_cgan, mammography_cgan.mammography_cgan, skin_dcgan.per_class_dcgan):
            with pytest.raises(ValueError, match="square images of .* pixels a side. Received: 30×28"):
                build((30, 28, 1), 2)
        assert doublings((224, 224, 3), 5) == (7, 5)

    def test_an_arm_of_a_study(self):
        train = make_imageset(24, 1, size=20)
        made = synthesizer(conv_cgan.conv_cgan, epochs=2, batch_size=8)(train, np.array([0, 1, 1]), 0)
        assert made.images.shape == (3, 20, 20, 1)
        assert made.labels.tolist() == [0, 1, 1]


def changed(before, model):
    return [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]


@pytest.mark.parametrize("name", ["dense_cgan", "conv_cgan", "acgan", "wgan_gp", "dcgan"])
def test_either_update_moves_its_own_network_only(name):
    images, labels = data()
    model = skin_dcgan.dcgan((20, 20, 1)) if name == "dcgan" else BUILDERS[name]((20, 20, 1), 2)
    label = tf.one_hot(labels[:8], 2)
    before = model.generator.get_weights(), model.discriminator.get_weights()
    model._update_discriminator(tf.constant(images[:8]), model._generate(label), label)
    after = model.discriminator.get_weights()
    trained = len(model.generator.trainable_weights)
    moved = changed(before[0], model.generator)
    paths = [weight.path for weight in model.generator.weights]
    # Generating a batch moves BatchNormalization's statistics and nothing else.
    assert all("moving" in path for path, flag in zip(paths, moved, strict=True) if flag)
    assert trained == sum("moving" not in path for path in paths)
    still = [flag for flag in changed(before[1], model.discriminator) if not flag]
    # Wasserstein's loss is the difference of two means of scores: their common bias changes nothing.
    assert len(still) == (name == "wgan_gp")
    model._update_discriminator = lambda *_: {"discriminator_loss": 0.0, "class_loss": 0.0}
    model.update(tf.constant(images[:8]), tf.constant(labels[:8]))
    assert not any(changed(after, model.discriminator))
    assert all(changed(before[0], model.generator))


def test_the_average_follows_the_generator():
    images, labels = data()
    model = conv_cgan.conv_cgan((20, 20, 1), 2)
    start = [weight.numpy() for weight in model.generator.weights]
    model.steps.assign(10**6)
    model.update(tf.constant(images[:8]), tf.constant(labels[:8]))
    for mean, first, weight in zip(model.average.weights, start, model.generator.weights, strict=True):
        np.testing.assert_allclose(mean, 0.998 * first + 0.002 * weight.numpy(), atol=1e-6)
    assert not model.average.trainable_weights


class TestLosses:
    real, fake = np.array([[2.0], [-0.5]], "float32"), np.array([[-3.0], [0.25]], "float32")

    def test_by_hand(self):
        softplus = lambda x: np.log1p(np.exp(x))  # noqa: E731
        expected = softplus(-self.real).mean() + softplus(self.fake).mean()
        assert float(losses.cross_entropy_discriminator(self.real, self.fake)) == pytest.approx(expected, rel=1e-6)
        assert float(losses.cross_entropy_generator(self.fake)) == pytest.approx(softplus(-self.fake).mean())
        assert float(losses.hinge_discriminator(self.real, self.fake)) == (0 + 1.5) / 2 + (0 + 1.25) / 2
        assert float(losses.wasserstein_discriminator(self.real, self.fake)) == (-3 + 0.25) / 2 - (2 - 0.5) / 2
        assert float(losses.raise_scores(self.fake)) == (3 - 0.25) / 2

    def test_slopes_of_a_plane_and_of_a_bowl(self):
        seed = keras.random.SeedGenerator(0)
        x = tf.constant(np.random.default_rng(0).random((3, 2, 2, 1), "float32"))
        plane = tf.constant([[1.0], [2.0], [-2.0], [4.0]])  # of length 5

        def flat(images):
            return tf.reshape(images, (-1, 4)) @ plane

        def bowl(images):
            return tf.reduce_sum(images**2, (1, 2, 3))[:, None]

        assert float(losses.r1(flat, x, x, seed)) == pytest.approx(25)
        assert float(losses.gradient_penalty(flat, x, 0 * x, seed)) == pytest.approx(16)
        squares = (4 * x.numpy() ** 2).sum((1, 2, 3))
        assert float(losses.r1(bowl, x, 0 * x, seed)) == pytest.approx(squares.mean(), rel=1e-5)
        assert float(losses.gradient_penalty(bowl, x, x, seed)) == pytest.approx(
            ((np.sqrt(squares) - 1) ** 2).mean(), rel=1e-4
        )


def test_label_planes_are_planes():
    planes = LabelPlanes(4, 5)(tf.constant([[1.0, 0.0, 0.5], [0.0, 1.0, 0.25]])).numpy()
    assert planes.shape == (2, 4, 5, 3)
    assert (planes == planes[:, :1, :1]).all()
    assert planes[:, 0, 0].tolist() == [[1.0, 0.0, 0.5], [0.0, 1.0, 0.25]]


class TestDiffAugment:
    layer = DiffAugment(seed=0)

    @staticmethod
    def drawn(**values):
        usual = {"brightness": 0, "saturation": 1, "contrast": 1, "down": 0, "right": 0, "top": 99, "left": 99}
        return {name: tf.constant([float(value)]) for name, value in (usual | values).items()}

    def test_each_change_by_hand(self):
        images = np.random.default_rng(0).random((1, 8, 6, 3), "float32")
        same = self.layer.apply(images, self.drawn()).numpy()
        np.testing.assert_allclose(same, images, atol=1e-6)
        brighter = self.layer.apply(images, self.drawn(brightness=0.2)).numpy()
        np.testing.assert_allclose(brighter, images + 0.2, atol=1e-6)
        grey = self.layer.apply(images, self.drawn(saturation=0)).numpy()
        np.testing.assert_allclose(grey, np.repeat(images.mean(-1, keepdims=True), 3, -1), atol=1e-6)
        flat = self.layer.apply(images, self.drawn(contrast=0)).numpy()
        np.testing.assert_allclose(flat, np.full_like(images, images.mean()), atol=1e-6)
        moved = self.layer.apply(images, self.drawn(down=2, right=-1)).numpy()
        np.testing.assert_allclose(moved[:, 2:, :-1], images[:, :-2, 1:], atol=1e-6)
        assert (moved[:, :2] == 0.5).all()
        assert (moved[:, :, -1] == 0.5).all()
        cut = self.layer.apply(images, self.drawn(top=1, left=-1)).numpy()
        assert (cut[:, 1:5, :2] == 0.5).all()
        np.testing.assert_allclose(cut[:, 5:], images[:, 5:], atol=1e-6)

    def test_draws_within_the_papers_ranges(self):
        drawn = {name: value.numpy() for name, value in self.layer.draw(2000, 16, 16).items()}
        for name, low, high in [
            ("brightness", -0.25, 0.25),
            ("saturation", 0, 2),
            ("contrast", 0.5, 1.5),
            ("down", -2, 2),
            ("right", -2, 2),
            ("top", -4, 12),
            ("left", -4, 12),
        ]:
            assert (drawn[name].min(), drawn[name].max()) == pytest.approx((low, high), abs=0.02 * (high - low)), name
            assert drawn[name].mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low)), name

    def test_gradients_pass(self):
        images = tf.constant(np.random.default_rng(0).random((4, 16, 16, 1), "float32"))
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(self.layer(images))
        gradient = tape.gradient(total, images).numpy()
        assert np.isfinite(gradient).all()
        assert (gradient != 0).any((1, 2, 3)).all()


def test_autoencoder_can_be_asked_while_it_is_trained():
    images, labels = data()
    model, shapes = medmnist_autoencoder.autoencoder((20, 20, 1), 2), []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: shapes.append(model.sample([0, 1], 0).shape))
    model.fit(images, labels, epochs=2, verbose=0, callbacks=[look])
    assert shapes == [(2, 20, 20, 1)] * 2


def test_autoencoder_reconstructs_images_of_the_class_without_repeats():
    images, labels = data(count=20)
    model = medmnist_autoencoder.autoencoder((20, 20, 1), 2)
    model.fit(images, labels, epochs=1, verbose=0)
    own = images[labels == 1]
    made = model.sample([1] * len(own), 0)
    expected = model(np.round(own * 255) / 255).numpy()
    order = [int(np.abs(expected - image).mean((1, 2, 3)).argmin()) for image in made]
    assert sorted(order) == list(range(len(own)))
    np.testing.assert_allclose(made, expected[order], atol=1e-5)


def test_per_class_networks_see_their_class_alone():
    images, labels = data(count=32)
    images = np.where(labels[:, None, None, None] == 1, 1.0, 0.0).astype("float32") * np.ones_like(images)
    seen = []
    model = skin_dcgan.per_class_dcgan((20, 20, 1), 2)
    for label, network in enumerate(model.networks):
        original = network.update

        def update(images, zeros, original=original, label=label):
            tf.py_function(lambda x: seen.append((label, x.numpy().min(), x.numpy().max())), [images], [])
            return original(images, zeros)

        network.update = update
    model.fit(images, labels, epochs=1, batch_size=8, verbose=0)
    assert {label for label, _, _ in seen} == {0, 1}
    assert all(low == high == label for label, low, high in seen)
