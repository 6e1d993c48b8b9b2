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
        train, _, _ = phantoms
        chosen = np.random.default_rng(0).integers(len(train), size=150)
        result = self.run(phantoms, noisy(train.images[chosen], 1))
        assert result.copies > 0.95 * 150
        assert result.held_out_copies == 0
        assert result.p < 0.001
        assert result.closer > 0.95
        assert len(result.pairs) == result.copies
        assert (result.pairs["training"] == chosen[result.pairs["synthetic"]]).all()
        assert result.pairs["ratio"].is_monotonic_increasing
        assert result.pairs["ratio"].max() <= result.ratio

    def test_a_generator_that_copies_a_few_images_again_and_again_is_caught(self, phantoms):
        train, _, _ = phantoms
        chosen = train.images[np.random.default_rng(2).choice(len(train), 12, replace=False)]
        assert self.run(phantoms, noisy(np.tile(chosen, (10, 1, 1, 1)), 3)).p < 0.01

    def test_fresh_phantoms_are_not_called_copies(self, phantoms):
        train, _, _ = phantoms
        result = self.run(phantoms, fresh(train, 150, seed=5))
        assert result.copies + result.held_out_copies <= 1
        assert result.p > 0.05

    def test_smooth_images_are_not_called_copies(self, phantoms):
        train, _, _ = phantoms
        result = self.run(phantoms, smooth(fresh(train, 150, seed=6)))
        assert result.closer > 0.6  # distances alone would call this copying
        assert result.p > 0.05

    @pytest.mark.parametrize("scale", [1, 0.5])
    def test_a_normal_distribution_fitted_to_100_images_does_not_copy(self, scale):
        rng = np.random.default_rng(0)
        for _ in range(10):
            real = rng.normal(size=(178, 64))
            mean, covariance = real[:100].mean(0), np.cov(real[:100].T)
            synthetic = rng.multivariate_normal(mean, scale**2 * covariance, 545)
            result = fidelity.copy_test(real[:100], real[100:], synthetic)
            assert result.closer > 0.6
            assert result.p > 0.05

    def test_a_copy_in_ten_is_found_with_78_held_out_images(self):
        rng = np.random.default_rng(0)
        for _ in range(5):
            real, synthetic = rng.normal(size=(623, 64)), rng.normal(size=(545, 64))
            synthetic[:54] = real[rng.integers(545, size=54)] + 0.3 * rng.normal(size=(54, 64))
            assert fidelity.copy_test(real[:545], real[545:], synthetic).p < 0.01

    @pytest.mark.parametrize("dimensions", [1, 2, 4])
    def test_a_near_copy_has_the_ratio_that_evenly_spread_images_rarely_have(self, dimensions):
        rng = np.random.default_rng(0)
        real, synthetic = rng.random((4000, dimensions)), rng.random((5000, dimensions))
        result = fidelity.copy_test(real[:3000], real[3000:], synthetic)
        assert np.log(result.ratio) == pytest.approx(np.log(0.02 / 5000) / dimensions, rel=0.1)
        assert result.copies + result.held_out_copies <= 1

    def test_near_duplicates_of_real_images_are_copied_by_chance(self):
        rng = np.random.default_rng(1)
        real = rng.normal(size=(200, 20))
        synthetic = real[rng.integers(200, size=60)] + 1e-3 * rng.normal(size=(60, 20))  # of both sets alike
        result = fidelity.copy_test(real[:100], real[100:], synthetic)
        assert result.copies + result.held_out_copies == 60
        assert result.p == pytest.approx(
            self.exchanged(synthetic, real, np.arange(200), np.arange(200) < 100), abs=0.02
        )
        assert result.p > 0.05

    def test_the_p_value_is_that_of_exchanging_patients_with_the_same_number_of_images(self):
        rng = np.random.default_rng(3)
        patients = np.concatenate([np.repeat(np.arange(20), 2), np.arange(20, 60)])  # 20 with two images, 40 with one
        real = rng.normal(size=(60, 10))[patients] + 0.3 * rng.normal(size=(80, 10))
        of_training = np.isin(patients, [*range(12), *range(20, 40)])
        order = np.argsort(~of_training, kind="stable")
        real, patients, m = real[order], patients[order], of_training.sum()
        copied = np.concatenate([rng.choice(m, 12), rng.choice(np.arange(m, 80), 4)])
        synthetic = real[copied] + 1e-3 * rng.normal(size=(16, 10))
        result = fidelity.copy_test(real[:m], real[m:], synthetic, patients=patients)
        trained = np.isin(np.arange(60), patients[:m])
        assert 0.001 < result.p < 0.5
        assert result.p == pytest.approx(self.exchanged(synthetic, real, patients, trained), abs=0.02)

    def exchanged(self, synthetic, real, patients, trained):
        """Computes the p-value by random exchanges; every synthetic image is taken for a copy."""
        rng, images = np.random.default_rng(0), np.bincount(patients)
        copied = np.unique(patients[fidelity.nearest(synthetic, real)[1]])
        counts = []
        for _ in range(4000):
            permuted = trained.copy()
            for number in np.unique(images):
                permuted[images == number] = rng.permutation(trained[images == number])
            counts.append(permuted[copied].sum())
        return np.mean(np.array(counts) >= trained[copied].sum())

    @pytest.mark.parametrize("thinned", ["neither", "training", "held out"])
    def test_false_alarms_are_controlled_though_patients_have_several_images(self, thinned):
        rng = np.random.default_rng(0)
        p_values = []
        for _ in range(200):
            patients = np.repeat(np.arange(40), 3)
            real = rng.normal(size=(40, 3))[patients] + 0.2 * rng.normal(size=(120, 3))
            training, held_out = np.arange(60), np.arange(60, 120)
            if thinned == "training":
                training = rng.choice(training, 25, replace=False)
            elif thinned == "held out":
                held_out = rng.choice(held_out, 25, replace=False)
            synthetic = real[rng.integers(120, size=20)] + 1e-3 * rng.normal(size=(20, 3))  # all are near copies
            of_images = patients[np.concatenate([training, held_out])]
            p_values.append(fidelity.copy_test(real[training], real[held_out], synthetic, patients=of_images).p)
        assert np.mean(np.array(p_values) <= 0.05) <= stats.binom.ppf(0.999, 200, 0.05) / 200
        assert np.mean(np.array(p_values) <= 0.8) > 0.2  # the p-values are not merely all large

    def test_an_image_that_two_patients_share_cannot_be_copied_from_one(self):
        real = np.random.default_rng(0).normal(size=(30, 4))
        real[1] = real[0]
        assert fidelity.copy_test(real[:20], real[20:], real[:1]).copies == 0
        assert fidelity.copy_test(np.ones((4, 2)), np.ones((4, 2)), np.ones((4, 2))).p == 1

    def test_wrong_patients_are_refused(self):
        real = np.random.default_rng(0).normal(size=(6, 2))
        with pytest.raises(ValueError, match="1 held-out images are of training patients, for example of b; hold out"):
            fidelity.copy_test(real[:3], real[3:], real, patients=list("abcbde"))
        with pytest.raises(ValueError, match=r"patients must be 6 identifiers, one per image. Received: \(5,\)"):
            fidelity.membership(real[:3], real[3:], real, patients=list("abcde"))
        with pytest.raises(ValueError, match="at least 3 patients. Received: 2 patients"):
            fidelity.copy_test(real[:3], real[3:], real, patients=list("aaabbb"))

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


class TestMembership:
    def test_is_the_auc_of_nearness(self):
        rng = np.random.default_rng(1)
        training, held_out, synthetic = rng.normal(size=(20, 2)), rng.normal(size=(30, 2)), rng.normal(size=(15, 2))
        real = np.concatenate([training, held_out])
        nearness = -np.linalg.norm(real[:, None] - synthetic, axis=2).min(1)
        result = fidelity.membership(training, held_out, synthetic)
        assert result.auc == pytest.approx(roc_auc_score(np.arange(50) < 20, nearness))
        p = stats.mannwhitneyu(nearness[:20], nearness[20:], alternative="greater").pvalue
        assert result.p == pytest.approx(p, abs=0.04)  # as every image has a patient of its own

    def test_of_copies_and_of_new_images(self, phantoms):
        train, held_out, space = phantoms
        features, patients = space(train.images), np.concatenate([train.patients, held_out.patients])
        copies = space(noisy(train.images[np.random.default_rng(0).integers(len(train), size=150)], 1))
        attack = fidelity.membership(features, space(held_out.images), copies, patients=patients)
        assert attack.auc > 0.6
        assert attack.p < 0.001
        new = space(fresh(train, 150, seed=5))
        assert fidelity.membership(features, space(held_out.images), new, patients=patients).p > 0.05

    def test_false_alarms_are_controlled_though_patients_have_several_images(self):
        rng = np.random.default_rng(0)
        p_values = []
        for _ in range(200):
            patients = np.repeat(np.arange(30), 4)
            real = rng.normal(size=(30, 3))[patients] + 0.2 * rng.normal(size=(120, 3))
            synthetic = rng.normal(size=(10, 3))
            result = fidelity.membership(real[:60], real[60:], synthetic, patients=patients, permutations=199, seed=rng)
            p_values.append(result.p)
        assert np.mean(np.array(p_values) <= 0.05) <= stats.binom.ppf(0.999, 200, 0.05) / 200
        assert np.mean(np.array(p_values) <= 0.5) > 0.35  # the p-values are not merely all large


def test_classes_that_are_mixed_otherwise_are_not_copied():
    rng, found = np.random.default_rng(0), []
    for labels in (None, np.r_[np.repeat([0, 1], 50), np.repeat([0, 1], (146, 54))]):
        real = rng.normal(size=(300, 16))
        positive = np.r_[np.arange(50, 100), np.arange(246, 300)]
        real[positive] = real[rng.choice(positive, len(positive))] + 0.01 * rng.normal(size=(len(positive), 16))
        synthetic = real[rng.choice(positive, 100)] + 0.01 * rng.normal(size=(100, 16))
        found.append(fidelity.copy_test(real[:100], real[100:], synthetic, labels=labels).p)
    assert found[1] > found[0]
