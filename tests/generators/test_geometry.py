import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators.geometry import COLUMNS, draw_transformations, transform

IMAGES = np.random.default_rng(0).random((2, 6, 6, 1), "float32")


def transformation(**columns):
    row = [columns.get(name, 0.0) for name in ("flip", "sine", "cosine", "scale", "right", "down")]
    return tf.constant(np.tile(row, (2, 1)), "float32")


def test_each_transformation_by_hand():
    np.testing.assert_array_equal(transform(IMAGES, transformation()), IMAGES)
    np.testing.assert_array_equal(transform(IMAGES, transformation(flip=1)), IMAGES[:, ::-1])
    quarter = transform(IMAGES, transformation(sine=1, cosine=-1))
    np.testing.assert_allclose(quarter, np.rot90(IMAGES, 3, axes=(1, 2)), atol=1e-6)
    right = transform(IMAGES, transformation(right=1 / 6)).numpy()
    np.testing.assert_allclose(right[:, :, 1:], IMAGES[:, :, :-1], atol=1e-5)
    down = transform(IMAGES, transformation(down=1 / 3)).numpy()
    np.testing.assert_allclose(down[:, 2:], IMAGES[:, :-2], atol=1e-5)
    # Twice as large about the centre: the middle of the result is within the four central pixels.
    larger = transform(IMAGES, transformation(scale=1)).numpy()
    weights = np.outer([0.75, 0.25], [0.75, 0.25])
    np.testing.assert_allclose(larger[0, 2, 2, 0], (weights * IMAGES[0, 2:4, 2:4, 0]).sum(), rtol=1e-5)


def test_each_kind_is_drawn_with_its_probability():
    drawn = draw_transformations(20_000, 0.4, keras.random.SeedGenerator(0)).numpy()
    assert drawn.shape == (20_000, len(COLUMNS))
    # Of the images that may be flipped, half come out as they were.
    assert (drawn != 0).mean(0) == pytest.approx([0.2, 0.4, 0.4, 0.4, 0.4, 0.4], abs=0.015)
    changed = drawn[:, 3] != 0
    assert drawn[changed, 3].std() == pytest.approx(0.2, rel=0.05)
    assert drawn[drawn[:, 4] != 0, 4].std() == pytest.approx(0.125, rel=0.05)
    assert (drawn[:, 1] ** 2 + (drawn[:, 2] + 1) ** 2) == pytest.approx(1, abs=1e-5)
    assert (draw_transformations(50, 0.0, keras.random.SeedGenerator(0)).numpy() == 0).all()
