import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from synthkit import fidelity
from synthkit.imageset import ImageSet


def brute_kid(real, synthetic):
    """Bińkowski et al. 2018, section 2.1's unbiased estimate, term by term."""
    d = real.shape[1]

    def mean(a, b, apart):
        terms = [
            (sum(x * y for x, y in zip(u, v, strict=True)) / d + 1) ** 3
            for i, u in enumerate(a)
            for j, v in enumerate(b)
            if not (apart and i == j)
        ]
        return sum(terms) / len(terms)

    return mean(real, real, True) + mean(synthetic, synthetic, True) - 2 * mean(real, synthetic, False)


@pytest.fixture
def two_sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(17, 5)), rng.normal(0.4, 1.3, size=(12, 5))


class TestKid:
    def test_value_agrees_with_the_definition(self, two_sets):
        assert fidelity.kid(*two_sets).value == pytest.approx(brute_kid(*two_sets), rel=1e-12)

    def test_standard_error_is_that_of_the_jackknife(self, two_sets):
        variance = 0
        for place, part in enumerate(two_sets):
            n = len(part)
            without_one = []
            for i in range(n):
                sets = list(two_sets)
                sets[place] = np.delete(part, i, axis=0)
                without_one.append(brute_kid(*sets))
            variance += (n - 1) / n * np.sum((without_one - np.mean(without_one)) ** 2)
        assert fidelity.kid(*two_sets).error == pytest.approx(np.sqrt(variance), rel=1e-9)

    def test_pairs_of_images_of_one_patient_are_left_out(self):
        rng = np.random.default_rng(2)
        patients = np.array([0, 0, 1, 2, 2, 2, 3, 4])
        real, synthetic = rng.normal(size=(8, 3)), rng.normal(size=(6, 3))

        def by_patient(kept):
            pairs = [(i, j) for i in kept for j in kept if patients[i] != patients[j]]
            kernel = (real @ real.T / 3 + 1) ** 3
            within = np.mean([kernel[i, j] for i, j in pairs])
            other = ((synthetic @ synthetic.T / 3 + 1) ** 3)[~np.eye(6, dtype=bool)].mean()
            return within + other - 2 * ((real[kept] @ synthetic.T / 3 + 1) ** 3).mean()

        result = fidelity.kid(real, synthetic, patients=patients)
        assert result.value == pytest.approx(by_patient(np.arange(8)), rel=1e-9)
        without_one = [by_patient(np.flatnonzero(patients != patient)) for patient in range(5)]
        of_synthetic = fidelity.kid(real, synthetic, patients=patients).error ** 2 - 4 * np.var(without_one)
        without_one = [fidelity.kid(real, np.delete(synthetic, i, 0), patients=patients).value for i in range(6)]
        assert of_synthetic == pytest.approx(5 * np.var(without_one), rel=1e-6)
        swapped = fidelity.kid(synthetic, real, synthetic_patients=patients)
        assert swapped == pytest.approx(result, rel=1e-9)

    def test_no_bias_and_an_honest_error_though_patients_have_several_images(self):
        rng, patients, distances, per_image = np.random.default_rng(1), np.repeat(np.arange(10), 4), [], []
        for _ in range(300):
            real = rng.normal(size=(10, 8))[patients] * 0.9**0.5 + rng.normal(size=(40, 8)) * 0.1**0.5
            synthetic = rng.normal(size=(30, 8))
            distances.append(fidelity.kid(real, synthetic, patients=patients))
            per_image.append(fidelity.kid(real, synthetic))
        values, errors = np.transpose(distances)
        assert abs(values.mean()) < 3 * values.std() / np.sqrt(300)
        assert 0.95 < errors.mean() / values.std() < 2
        assert np.mean([distance.value for distance in per_image]) > values.std() / 2

    def test_two_patients_are_refused(self, two_sets):
        with pytest.raises(ValueError, match="at least 3 patients in each set. Received: 2 and 12 patients"):
            fidelity.kid(*two_sets, patients=np.arange(17) % 2)

    def test_the_block_size_changes_nothing(self, two_sets):
        assert fidelity.kid(*two_sets, pairs=500) == pytest.approx(fidelity.kid(*two_sets), rel=1e-12)

    def test_no_bias_between_two_sets_of_one_distribution(self):
        rng = np.random.default_rng(1)
        distances = [fidelity.kid(rng.normal(size=(20, 8)), rng.normal(size=(30, 8))) for _ in range(400)]
        values, errors = np.transpose(distances)
        assert abs(values.mean()) < 3 * values.std() / 20
        assert 0.95 < errors.mean() / values.std() < 1.6  # the jackknife is conservative, but not by more than this

    def test_features_of_different_dimensions_are_refused(self, two_sets):
        with pytest.raises(ValueError, match=r"Received: \(17, 5\) real and \(12, 4\) synthetic"):
            fidelity.kid(two_sets[0], two_sets[1][:, :4])


class TestFid:
    def test_of_two_samples_agrees_with_the_usual_formula(self):
        from scipy import linalg

        rng = np.random.default_rng(0)
        real, synthetic = rng.normal(size=(60, 4)), rng.normal(0.3, 1.5, size=(50, 4)) @ rng.normal(size=(4, 4))
        a, b = np.cov(real.T), np.cov(synthetic.T)
        root = linalg.sqrtm(a @ b).real
        expected = np.sum((real.mean(0) - synthetic.mean(0)) ** 2) + np.trace(a + b - 2 * root)
        assert fidelity.fid(real, synthetic) == pytest.approx(expected, rel=1e-9)

    def test_of_itself_is_zero(self, two_sets):
        many = np.tile(two_sets[0], (3, 1))
        assert fidelity.fid(many, many[::-1]) == pytest.approx(0, abs=1e-6)

    def test_too_few_images_are_refused(self, two_sets):
        with pytest.raises(ValueError, match="FID is not reported: 5 dimensions need at least 50 images"):
            fidelity.fid(*two_sets)


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
        result = fidelity.neighbourhoods(real, np.tile(real[:1], (100, 1)))
        assert result.precision == 1
        assert result.recall == 0
        assert result.coverage < 0.1


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


@pytest.mark.parametrize("metric", [fidelity.neighbourhoods, fidelity.kid])
def test_memory_does_not_grow_with_the_number_of_images(metric):
    peaks = []
    for count in (1000, 4000):
        real, synthetic = np.random.default_rng(0).normal(size=(2, count, 8))
        tracemalloc.start()
        metric(real, synthetic, pairs=1 << 18)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]  # all distances at once would take 16 times as much


def test_measure_reports_every_metric_and_says_why_one_is_missing():
    rng = np.random.default_rng(0)
    real = ImageSet(rng.integers(0, 256, (40, 12, 12, 1)).astype("uint8"), np.arange(40) % 2, ("a", "b"))
    other = ImageSet(rng.integers(0, 256, (30, 12, 12, 1)).astype("uint8"), np.arange(30) % 2, ("a", "b"))
    space = fidelity.pixels(real.images, components=5)
    row = fidelity.measure(space, real, other)
    assert row["space"] == "pixels after PCA to 5 components"
    assert row["kid"] == pytest.approx(fidelity.kid(space(real.images), space(other.images)).value)
    of_two = ImageSet(real.images, real.labels, real.class_names, np.arange(40) // 2)
    by_patient = fidelity.kid(space(real.images), space(other.images), patients=of_two.patients)
    assert fidelity.measure(space, of_two, other)["kid_error"] == pytest.approx(by_patient.error)
    assert np.isnan(row["fid"])
    assert "at least 50 images" in row["fid_note"]
    assert 0 <= row["coverage"] <= 1
