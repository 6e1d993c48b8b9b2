import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators import conv_cgan, mammography_cgan, skin_dcgan
from synthkit.generators.layers import DiffAugment, LabelPlanes, doublings, follow, halvings, mirror, moving_average


def test_label_planes_are_planes():
    planes = LabelPlanes(4, 5)(tf.constant([[1.0, 0.0, 0.5], [0.0, 1.0, 0.25]])).numpy()
    assert planes.shape == (2, 4, 5, 3)
    assert (planes == planes[:, :1, :1]).all()
    assert planes[:, 0, 0].tolist() == [[1.0, 0.0, 0.5], [0.0, 1.0, 0.25]]


class TestDiffAugment:
    layer = DiffAugment(seed=0)

    @staticmethod
    def transformation(**values):
        none = {"brightness": 0, "saturation": 1, "contrast": 1, "down": 0, "right": 0, "top": 99, "left": 99}
        return {name: tf.constant([float(value)]) for name, value in (none | values).items()}

    def test_each_change_by_hand(self):
        images = np.random.default_rng(0).random((1, 8, 6, 3), "float32")
        same = self.layer.apply(images, self.transformation()).numpy()
        np.testing.assert_allclose(same, images, atol=1e-6)
        brighter = self.layer.apply(images, self.transformation(brightness=0.2)).numpy()
        np.testing.assert_allclose(brighter, images + 0.2, atol=1e-6)
        grey = self.layer.apply(images, self.transformation(saturation=0)).numpy()
        np.testing.assert_allclose(grey, np.repeat(images.mean(-1, keepdims=True), 3, -1), atol=1e-6)
        flat = self.layer.apply(images, self.transformation(contrast=0)).numpy()
        np.testing.assert_allclose(flat, np.full_like(images, images.mean()), atol=1e-6)
        moved = self.layer.apply(images, self.transformation(down=2, right=-1)).numpy()
        np.testing.assert_allclose(moved[:, 2:, :-1], images[:, :-2, 1:], atol=1e-6)
        assert (moved[:, :2] == 0.5).all()
        assert (moved[:, :, -1] == 0.5).all()
        cut = self.layer.apply(images, self.transformation(top=1, left=-1)).numpy()
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


class TestSizes:
    @pytest.mark.parametrize(
        ("shape", "smallest", "count"),
        [
            ((28, 28, 1), 5, 2),
            ((32, 32, 3), 5, 2),
            ((32, 32, 3), 4, 3),
            ((64, 64, 3), 5, 3),
            ((224, 224, 3), 5, 5),
            ((8, 8, 1), 5, 0),
            ((20, 40, 1), 5, 2),
            ((9, 31, 1), 5, 0),
        ],
    )
    def test_halvings_by_hand(self, shape, smallest, count):
        assert halvings(shape, smallest) == count

    def test_doublings_by_hand(self):
        assert doublings((224, 224, 3), 5) == (7, 5)
        assert doublings((32, 32, 3), 4) == (4, 3)

    @pytest.mark.parametrize(
        "build", [conv_cgan.conv_cgan, mammography_cgan.mammography_cgan, skin_dcgan.per_class_dcgan]
    )
    def test_sizes_that_cannot_be_doubled_to_are_named(self, build):
        with pytest.raises(ValueError, match="square images whose side is .* Received: 30×28 .* 28 and 32: .*-size 28"):
            build((30, 28, 1), 2)

    @pytest.mark.parametrize(("side", "nearest"), [(30, "28 and 32"), (50, "48 and 56"), (21, "20 and 24")])
    def test_sizes_that_do_not_halve_are_refused(self, side, nearest):
        with pytest.raises(ValueError, match=f"halved down to 5 to 9 pixels. Received: {side}×20 .* are {nearest}"):
            halvings((side, 20, 1))


class TestMovingAverage:
    def network(self):
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    @pytest.mark.parametrize(("steps", "decay"), [(0, 0.1), (8, 0.5), (10**6, 0.9)])
    def test_follows_faster_at_first(self, steps, decay):
        network = self.network()
        average, before = moving_average(network), network.get_weights()
        network.set_weights([weight + 1 for weight in before])
        follow(average, network, tf.constant(steps, "int64"), 0.9)
        for mean, weight in zip(average.get_weights(), before, strict=True):
            np.testing.assert_allclose(mean, decay * weight + (1 - decay) * (weight + 1), atol=1e-6)
        assert not average.trainable_weights


def test_mirror_flips_half_of_the_allowed_classes():
    images = tf.constant(np.tile(np.arange(4, dtype="float32"), (400, 1)).reshape(400, 1, 4, 1))
    labels = tf.constant(np.arange(400) % 2)
    for classes, fractions in ((None, (0.5, 0.5)), ((1,), (0, 0.5)), ((), (0, 0))):
        flipped = mirror(images, labels, classes, keras.random.SeedGenerator(0)).numpy()[:, 0, :, 0]
        assert ((flipped == [0, 1, 2, 3]).all(1) | (flipped == [3, 2, 1, 0]).all(1)).all()
        for label, fraction in enumerate(fractions):
            observed = (flipped[labels == label, 0] == 3).mean()
            assert observed == pytest.approx(fraction, abs=0.1 if fraction else 0)
