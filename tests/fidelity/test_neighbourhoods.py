import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from synthkit import fidelity
from synthkit.imageset import ImageSet


class TestNeighbourhoods:
    @pytest.mark.parametrize(
        ("k", "theirs"),
        [
            # The authors' package, prdc 0.2, compute_prdc(real, fake, nearest_k=k) on the same arrays.
            (3, (0.8222222222222222, 0.8666666666666667, 0.9407407407407408, 0.5833333333333334)),
            (5, (0.8888888888888888, 0.8833333333333333, 0.8577777777777778, 0.8166666666666667)),
        ],
    )
    def test_agree_with_the_authors_package(self, k, theirs):
        rng = np.random.default_rng(7)
        real, synthetic = rng.normal(size=(60, 4)), rng.normal(0.5, 0.8, size=(45, 4))
        assert fidelity.neighbourhoods(real, synthetic, k) == pytest.approx(theirs, abs=1e-12)
        assert fidelity.neighbourhoods(real, synthetic, k, pairs=7 * len(real)) == pytest.approx(theirs, abs=1e-12)

    def test_one_repeated_image_is_precise_and_covers_nothing(self):
        real = np.random.default_rng(0).normal(size=(200, 3))
        found = fidelity.neighbourhoods(real, np.tile(real[:1], (100, 1)))
        assert found.precision == 1
        assert found.recall == 0
        assert found.coverage < 0.1

    @pytest.mark.parametrize("figure", [fidelity.neighbourhoods, fidelity.kid])
    def test_memory_stays_while_images_become_more(self, figure):
        peaks = []
        for count in (1000, 4000):
            real, synthetic = np.random.default_rng(0).normal(size=(2, count, 8))
            tracemalloc.start()
            figure(real, synthetic, pairs=1 << 18)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.5 * peaks[0]  # with the square it would be 16 times


class TestSimilarity:
    def test_large_images_get_tensorflows_five_scales(self):
        images = np.random.default_rng(0).integers(0, 256, (2, 180, 180, 1)).astype("uint8")
        images[1] = images[0] // 2 + 20
        expected = tf.image.ssim_multiscale(images[:1], images[1:], 255).numpy()[0]
        assert fidelity.similarity(images, pairs=5) == pytest.approx(expected, abs=1e-4)

    def test_the_same_image_again_is_one(self):
        image = np.random.default_rng(0).integers(0, 256, (1, 28, 28, 1)).astype("uint8")
        assert fidelity.similarity(np.tile(image, (4, 1, 1, 1)), pairs=6) == pytest.approx(1)

    def test_a_generator_without_variety_shows(self):
        rng = np.random.default_rng(1)
        varied = rng.integers(0, 256, (30, 28, 28, 1)).astype("uint8")
        dull = (varied[:1] * 0.8 + rng.integers(0, 50, (30, 28, 28, 1))).astype("uint8")
        assert fidelity.similarity(dull) > fidelity.similarity(varied) + 0.5


def test_a_row_holds_every_figure_and_says_why_one_is_missing():
    rng = np.random.default_rng(0)
    real = ImageSet(rng.integers(0, 256, (40, 12, 12, 1)).astype("uint8"), np.arange(40) % 2, ("a", "b"))
    other = ImageSet(rng.integers(0, 256, (30, 12, 12, 1)).astype("uint8"), np.arange(30) % 2, ("a", "b"))
    space = fidelity.pixels(real.images, components=5)
    row = fidelity.measure(space, real, other)
    assert row["space"] == "pixels after PCA to 5 components"
    assert row["kid"] == fidelity.kid(space(real.images), space(other.images)).value
    assert np.isnan(row["fid"])
    assert "at least 50 images" in row["fid_note"]
    assert 0 <= row["coverage"] <= 1
