import numpy as np
import pytest

from synthkit import fidelity


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

    def test_error_is_the_jackknife(self, two_sets):
        variance = 0
        for place, part in enumerate(two_sets):
            n = len(part)
            left_out = []
            for i in range(n):
                sets = list(two_sets)
                sets[place] = np.delete(part, i, axis=0)
                left_out.append(brute_kid(*sets))
            variance += (n - 1) / n * np.sum((left_out - np.mean(left_out)) ** 2)
        assert fidelity.kid(*two_sets).error == pytest.approx(np.sqrt(variance), rel=1e-9)

    def test_strips_change_nothing(self, two_sets):
        assert fidelity.kid(*two_sets, pairs=500) == pytest.approx(fidelity.kid(*two_sets), rel=1e-12)

    def test_no_bias_between_two_sets_of_one_distribution(self):
        rng = np.random.default_rng(1)
        found = [fidelity.kid(rng.normal(size=(20, 8)), rng.normal(size=(30, 8))) for _ in range(400)]
        values = [value for value, _ in found]
        assert abs(np.mean(values)) < 3 * np.std(values) / 20
        # Conservative by theory, but not by more than a half.
        assert 0.95 < np.mean([error for _, error in found]) / np.std(values) < 1.6

    def test_two_spaces_are_refused(self, two_sets):
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

    def test_too_few_images_have_none(self, two_sets):
        with pytest.raises(ValueError, match="FID is not reported: 5 dimensions need at least 50 images"):
            fidelity.fid(*two_sets)
