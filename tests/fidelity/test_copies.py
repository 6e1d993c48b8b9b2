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
        found = self.run(phantoms, copies)
        assert found.share > 0.95 > found.expected
        assert found.p < 0.001
        assert found.closer > 0.95
        attack = fidelity.membership(space(train.images), space(held_out.images), space(copies))
        assert attack.auc > 0.6
        assert attack.p < 0.001

    def test_one_that_copies_a_few_images_over_and_over_is_caught(self, phantoms):
        train, _, _ = phantoms
        chosen = train.images[np.random.default_rng(2).choice(len(train), 12, replace=False)]
        assert self.run(phantoms, noisy(np.tile(chosen, (10, 1, 1, 1)), 3)).p < 0.01

    def test_fresh_phantoms_are_not_called_copies(self, phantoms):
        train, held_out, space = phantoms
        made = fresh(train, 150, seed=5)
        found = self.run(phantoms, made)
        assert found.p > 0.05
        assert found.share == pytest.approx(found.expected, abs=0.1)
        assert fidelity.membership(space(train.images), space(held_out.images), space(made)).p > 0.05

    def test_smooth_images_are_not_called_copies(self, phantoms):
        train, _, _ = phantoms
        found = self.run(phantoms, smooth(fresh(train, 150, seed=6)))
        assert found.closer > 0.6  # which distances alone would have called copying
        assert found.p > 0.05

    def test_false_alarms_are_controlled(self):
        rng = np.random.default_rng(0)
        p_values = []
        for _ in range(300):
            patients = np.repeat(np.arange(30), 2)
            # Images of a patient are alike, and synthetic images crowd in a few places.
            real = rng.normal(size=(30, 3))[patients] + 0.2 * rng.normal(size=(60, 3))
            made = rng.normal(size=(4, 3))[rng.integers(4, size=40)] + 0.1 * rng.normal(size=(40, 3))
            found = fidelity.copy_test(real[:40], real[40:], made, patients=patients, permutations=199, seed=rng)
            p_values.append(found.p)
        assert np.mean(np.array(p_values) <= 0.05) <= stats.binom.ppf(0.999, 300, 0.05) / 300
        assert np.mean(np.array(p_values) <= 0.5) > 0.35  # and not for want of any power

    @pytest.mark.parametrize("thinned", ["training", "held out"])
    def test_false_alarms_are_controlled_though_one_part_has_fewer_images_of_a_patient(self, thinned):
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
            made = rng.normal(size=(40, 3))
            whose = patients[np.concatenate([training, held_out])]
            found = fidelity.copy_test(real[training], real[held_out], made, patients=whose, permutations=199)
            p_values.append(found.p)
        assert np.mean(np.array(p_values) <= 0.05) <= stats.binom.ppf(0.999, 300, 0.05) / 300

    def run(self, phantoms, made):
        train, held_out, space = phantoms
        patients = np.concatenate([train.patients, held_out.patients])
        return fidelity.copy_test(space(train.images), space(held_out.images), space(made), patients=patients)


def test_closest_pairs_are_the_smallest_distances():
    rng = np.random.default_rng(0)
    training, held_out, made = rng.normal(size=(20, 2)), rng.normal(size=(10, 2)), rng.normal(size=(15, 2))
    made[7] = training[3] + 1e-3
    pairs = fidelity.closest_pairs(training, held_out, made, count=4)
    distances = np.linalg.norm(made[:, None] - training, axis=2)
    assert pairs.loc[0, ["synthetic", "training", "quantile"]].tolist() == [7, 3, 0]
    assert pairs["distance"].tolist() == pytest.approx(np.sort(distances.min(1))[:4])
    fresh_distances = np.linalg.norm(held_out[:, None] - training, axis=2).min(1)
    assert pairs["quantile"].iloc[3] == np.mean(fresh_distances <= pairs["distance"].iloc[3])


def test_membership_is_the_auc_of_nearness():
    rng = np.random.default_rng(1)
    training, held_out, made = rng.normal(size=(20, 2)), rng.normal(size=(30, 2)), rng.normal(size=(15, 2))
    real = np.concatenate([training, held_out])
    nearness = -np.linalg.norm(real[:, None] - made, axis=2).min(1)
    expected = roc_auc_score(np.arange(50) < 20, nearness)
    assert fidelity.membership(training, held_out, made).auc == pytest.approx(expected)
