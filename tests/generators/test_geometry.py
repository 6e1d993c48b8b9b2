import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators.geometry import PARAMETERS, GeometricAugment

IMAGES = cv2.GaussianBlur(np.random.default_rng(0).random((24, 24, 2), "float32"), (5, 5), 0)[None]
MIRRORED, UPSIDE_DOWN, SCALE, COSINE, SINE, STRETCH_X, STRETCH_Y, RIGHT, DOWN = range(PARAMETERS)


def transformed(images=IMAGES, **changes):
    parameters = np.zeros((len(images), PARAMETERS), "float32")
    for name, value in changes.items():
        parameters[:, globals()[name]] = value
    return GeometricAugment().apply(tf.constant(images), tf.constant(parameters)).numpy()


def by_opencv(matrix):
    """Returns the image warped by OpenCV, with a 2×3 matrix about the middle that maps old to new positions."""
    matrix = np.array(matrix, float)
    middle = np.array([11.5, 11.5])
    matrix[:, 2] += middle - matrix[:, :2] @ middle
    return cv2.warpAffine(IMAGES[0], matrix, (24, 24), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)[None]


class TestApply:
    def test_zeros_change_nothing(self):
        np.testing.assert_array_equal(transformed(), IMAGES)

    def test_flips(self):
        np.testing.assert_allclose(transformed(MIRRORED=1), IMAGES[:, :, ::-1], atol=1e-5)
        np.testing.assert_allclose(transformed(UPSIDE_DOWN=1), IMAGES[:, ::-1], atol=1e-5)

    def test_a_quarter_turn_is_clockwise(self):
        turned = transformed(COSINE=-1, SINE=1)
        np.testing.assert_allclose(turned, np.rot90(IMAGES, -1, (1, 2)), atol=1e-5)

    def test_shifts_are_eighths_of_the_side(self):
        np.testing.assert_allclose(transformed(RIGHT=1)[:, :, 3:], IMAGES[:, :, :-3], atol=1e-5)
        np.testing.assert_allclose(transformed(DOWN=-2)[:, :-6], IMAGES[:, 6:], atol=1e-5)

    # OpenCV rounds positions to 1/32 of a pixel.
    def test_scaling_agrees_with_opencv(self):
        factor = 2 ** (0.2 * 1.5)
        np.testing.assert_allclose(transformed(SCALE=1.5), by_opencv([[factor, 0, 0], [0, factor, 0]]), atol=0.02)

    def test_stretching_agrees_with_opencv(self):
        angle, length = 0.7, 1.2
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[c, -s], [s, c]])
        matrix = turn @ np.diag([2 ** (0.2 * length), 2 ** (-0.2 * length)]) @ turn.T
        for sign in (1, -1):  # along a line, so that its direction does not matter
            changed = transformed(STRETCH_X=sign * length * c, STRETCH_Y=sign * length * s)
            np.testing.assert_allclose(changed, by_opencv(np.hstack([matrix, [[0], [0]]])), atol=0.02)

    def test_they_are_combined_in_the_papers_order(self):
        angle, factor = 0.4, 2**0.2
        turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.hstack([turn @ np.diag([-1, 1]), [[3], [-6]]])  # mirror, scale, rotate, then shift
        changed = transformed(MIRRORED=1, SCALE=1, COSINE=np.cos(angle) - 1, SINE=np.sin(angle), RIGHT=1, DOWN=-2)
        np.testing.assert_allclose(changed, by_opencv(matrix), atol=0.02)


class TestDraw:
    def test_every_transformation_has_the_probability(self):
        parameters = GeometricAugment(0.3, seed=0).draw(20_000).numpy()
        groups = [[MIRRORED], [UPSIDE_DOWN], [SCALE], [COSINE, SINE], [STRETCH_X, STRETCH_Y], [RIGHT, DOWN]]
        for group in groups:
            on = (parameters[:, group] != 0).all(1)
            assert on.mean() == pytest.approx(0.3, abs=0.015)
            assert ((parameters[:, group] != 0).any(1) == on).all()
        assert set(np.unique(parameters[:, :2])) == {0, 1}
        np.testing.assert_allclose((1 + parameters[:, COSINE]) ** 2 + parameters[:, SINE] ** 2, 1, atol=1e-5)
        drawn = parameters[parameters[:, SCALE] != 0, SCALE]
        assert (drawn.mean(), drawn.std()) == pytest.approx((0, 1), abs=0.05)

    def test_none_leaves_images_as_they_are(self):
        images, parameters = GeometricAugment(0.0)(tf.constant(IMAGES))
        np.testing.assert_array_equal(images, IMAGES)
        assert not parameters.numpy().any()

    def test_comes_back_from_its_configuration(self):
        layer = keras.layers.deserialize(keras.layers.serialize(GeometricAugment(0.4)))
        assert layer.probability == 0.4
