import keras
import numpy as np
import pytest

from synthkit.generators.unet import _from_patches, _to_patches, unet


@pytest.mark.parametrize("size", [28, 32, 64])
def test_network_goes_down_to_about_seven_pixels(size):
    network = unet((size, size, 1), 3, 8)
    lowest = next(layer for layer in network.layers if isinstance(layer, keras.layers.MultiHeadAttention)).output
    assert lowest.shape[1] in (49, 64)
    assert network.output_shape == (None, size, size, 1)


class TestPatches:
    def test_they_are_squares_of_pixels_and_come_back(self):
        images = np.arange(2 * 4 * 6 * 3, dtype="float32").reshape(2, 4, 6, 3)
        patches = keras.ops.convert_to_numpy(_to_patches(images, 2))
        assert patches.shape == (2, 2, 3, 12)
        np.testing.assert_array_equal(patches[1, 1, 2], images[1, 2:4, 4:6].ravel())
        np.testing.assert_array_equal(_from_patches(patches, 2), images)

    @pytest.mark.parametrize(("side", "first"), [(40, 40), (48, 24), (64, 32)])
    def test_large_images_are_worked_on_at_half_their_size(self, side, first):
        network = unet((side, side, 1), 3, 16)
        assert network.output_shape == (None, side, side, 1)
        convolution = next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
        assert convolution.output.shape[1:] == (first, first, 16 * side // first)
