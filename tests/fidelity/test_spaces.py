import keras
import numpy as np
import pytest

from synthkit import fidelity


class TestSpaces:
    def test_pixels_keep_the_distances_between_images(self):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (12, 6, 6, 1)).astype("uint8")
        space = fidelity.pixels(images, components=100)
        assert space.name == "pixels after PCA to 11 components"
        features = space(images)
        flat = images.reshape(12, -1) / 255
        ratio = [np.linalg.norm(features[i] - features[0]) / np.linalg.norm(flat[i] - flat[0]) for i in range(1, 12)]
        assert np.ptp(ratio) < 1e-4
        assert features.var(0, ddof=1).mean() == pytest.approx(1, abs=1e-4)

    def test_penultimate_features_determine_the_output(self):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6, 6, 1))
        hidden = keras.layers.Dense(4, activation="relu")(keras.layers.Flatten()(inputs))
        model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden), name="small")
        images = np.random.default_rng(0).integers(0, 256, (300, 6, 6, 1)).astype("uint8")
        space = fidelity.penultimate(model)
        features = space(images)
        logits = features @ model.layers[-1].kernel.numpy() + model.layers[-1].bias.numpy()
        expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert model(images.astype("float32") / 255).numpy() == pytest.approx(expected, abs=1e-6)
        assert space.name == "small before its last layer"
        assert features.shape == (300, 4)

    def test_pixels_of_many_images_are_fitted_on_a_subset(self, monkeypatch):
        images = np.random.default_rng(0).integers(0, 256, (60, 6, 6, 1)).astype("uint8")
        whole = fidelity.pixels(images, 3)(images)
        monkeypatch.setattr(fidelity.spaces, "PIXELS", 40 * 36)
        subset = fidelity.pixels(images, 3)(images)
        assert subset.shape == whole.shape
        assert not np.allclose(np.abs(subset), np.abs(whole), atol=0.1)
        assert (fidelity.pixels(images, 3)(images) == subset).all()

    def test_inception_takes_grey_images(self):
        keras.utils.set_random_seed(0)
        images = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 1)).astype("uint8")
        features = fidelity.inception(weights=None)(images)
        assert features.shape == (2, 2048)
        assert np.ptp(features, axis=0).max() > 0
