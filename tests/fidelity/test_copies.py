import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from synthkit import fidelity
from synthkit.datasets import phantom


@pytest.fixture(scope="module")
def phantoms():
    splits = phantom.load(20, train=240, validation=160, test=16)
    space = fidelity.pixels(np.concatenate([splits.train.images, splits.validation.images]), components=40)
    return splits.train, splits.validation, space


def noisy(images, seed, deviation=12):
    noise = np.random.default_rng(seed).normal(0, deviation, images.shape)
    return np.clip(images + noise, 0, 255).astype("uint8")


def smooth(images):
    from scipy import ndimage

    return ndimage.gaussian_filter(images, (0, 1.5, 1.5, 0))


def fresh(train, count, seed):
    return phantom.draw(np.arange(count) % 2, train.image_shape[0], seed=seed).images


class TestCopyTest:
    def test_a_generator_that_copies_with_a_little_noise_is_caught(self, phantoms):
        train, held_out, space = phantoms
        copies = noisy(train.images[np.random.default_rng(0).integers(len(train), size=150)], 1)
        result = self.run(phantoms, copies)
        assert result.share > 0.95 > result.expected
        assert result.p < 0.001
        assert result.closer > 0.95
        attack = fidelity.membership(space(train.images), space(held_out.images), space(copies))
        assert attack.auc > 0.6
        assert attack.p < 0.001

    def test_a_generator_that_copies_a_few_images_again_and_again_is_caught(self, phantoms):
        train, _, _ = phantoms
        chosen = train.images[np.random.default_rng(2).choice(len(train), 12, replace=False)]
        assert self.run(phantoms, noisy(np.tile(chosen, (10, 1, 1, 1)), 3)).p < 0.01

    def test_fresh_phantoms_are_not_called_copies(self, phantoms):
        train, held_out, space = phantoms
        images = fresh(train, 150, seed=5)
        result = self.run(phantoms, images)
        assert result.p > 0.05
        assert result.share == pytest.approx(result.expected, abs=0.1)
        assert fidelity.membership(space(train.images), space(held_out.images), space(images)).p > 0.05

    def test_smooth_images_are_not_called_copies(self, phantoms):
        train, _, _ = phantoms
        result = self.run(phantoms, smooth(fresh(train, 150, seed=6)))
        assert result.closer > 0.6  # distances alone would call this copying
        assert result.p > 0.05

    def test_false_alarms_are_controlled(self):
        rng = np.random.default_rng(0)
        p_values = []
        for _ in range(300):
            patients = np.repeat(np.arange(30), 2)
            # The images of a patient are similar, and synthetic images cluster in a few places.
            real = rng.normal(size=(30, 3))[patients] + 0.2 * rng.normal(size=(60, 3))
            synthetic = rng.normal(size=(4, 3))[rng.integers(4, size=40)] + 0.1 * rng.normal(size=(40, 3))
            result = fidelity.copy_test(real[:40], real[40:], synthetic, patients=patients, permutations=199, seed=rng)
            p_values.append(result.p)
        assert np.mean(np.array(p_values) <= 0.05) <= stats.binom.ppf(0.999, 300, 0.05) / 300
        assert np.mean(np.array(p_values) <= 0.5) > 0.35  # the p-values are not merely all large

    @pytest.mark.parametrize("thinned", ["training", "held out"])
    def test_false_alarms_are_controlled_though_one_set_has_fewer_images_of_each_patient(self, thinned):
        rng = np.random.default_rng(0)
        p_values = []
        for _ in range(300):
            patients = np.repeat(np.arange(40), 3)
            real = rng.normal(size=(40, 3))[patients] + 0.2 * rng.normal(size=(120, 3))
            training, held_out = np.arange(60), np.arange(60, 120)
            if thinned == "training":
                training = rng.choice(training, 25, replace=False)
            else:
                held_out = rng.choice(held_out, 25, replace=False)
            synthetic = rng.normal(size=(40, 3))
            of_images = patients[np.concatenate([training, held_out])]
            result = fidelity.copy_test(real[training], real[held_out], synthetic, patients=of_images, permutations=199)
            p_values.append(result.p)
        assert np.mean(np.array(p_values) <= 0.05) <= stats.binom.ppf(0.999, 300, 0.05) / 300

    def run(self, phantoms, images):
        train, held_out, space = phantoms
        patients = np.concatenate([train.patients, held_out.patients])
        return fidelity.copy_test(space(train.images), space(held_out.images), space(images), patients=patients)


def test_closest_pairs_are_the_smallest_distances():
    rng = np.random.default_rng(0)
    training, held_out, synthetic = rng.normal(size=(20, 2)), rng.normal(size=(10, 2)), rng.normal(size=(15, 2))
    synthetic[7] = training[3] + 1e-3
    pairs = fidelity.closest_pairs(training, held_out, synthetic, count=4)
    distances = np.linalg.norm(synthetic[:, None] - training, axis=2)
    assert pairs.loc[0, ["synthetic", "training", "quantile"]].tolist() == [7, 3, 0]
    assert pairs["distance"].tolist() == pytest.approx(np.sort(distances.min(1))[:4])
    fresh_distances = np.linalg.norm(held_out[:, None] - training, axis=2).min(1)
    assert pairs["quantile"].iloc[3] == np.mean(fresh_distances <= pairs["distance"].iloc[3])


def test_membership_is_the_auc_of_nearness():
    rng = np.random.default_rng(1)
    training, held_out, synthetic = rng.normal(size=(20, 2)), rng.normal(size=(30, 2)), rng.normal(size=(15, 2))
    real = np.concatenate([training, held_out])
    nearness = -np.linalg.norm(real[:, None] - synthetic, axis=2).min(1)
    expected = roc_auc_score(np.arange(50) < 20, nearness)
    assert fidelity.membership(training, held_out, synthetic).auc == pytest.approx(expected)
