import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from synthkit.datasets import phantom


class TestMalignancy:
    @pytest.mark.parametrize("best_auc", [0.7, 0.9, 0.97])
    def test_scores_have_the_given_auc(self, best_auc):
        labels = np.arange(40000) % 2
        scores = phantom.draw_malignancy(labels, best_auc=best_auc, seed=1)
        assert roc_auc_score(labels == 0, scores) == pytest.approx(best_auc, abs=0.006)

    def test_scores_of_one_patient_are_correlated_and_the_auc_is_the_same(self):
        patients = np.repeat(np.arange(10000), 2)
        scores = phantom.draw_malignancy(patients % 2, patients, seed=2)
        pairs = scores.reshape(-1, 2)
        within = pairs[::2]  # patients of one class
        assert np.corrcoef(within.T)[0, 1] == pytest.approx(phantom.PATIENT_SHARE, abs=0.03)
        assert roc_auc_score(patients % 2 == 0, scores) == pytest.approx(0.9, abs=0.01)

    def test_auc_of_one_half_is_refused(self):
        with pytest.raises(ValueError, match=r"best_auc must be above 0.5 and below 1. Received: best_auc=0.5"):
            phantom.draw_malignancy([0, 1], best_auc=0.5)


class TestRender:
    def test_background_has_the_power_law_of_mammograms(self):
        size = 128
        fields = phantom.background(60, size, np.random.default_rng(0))
        window = np.hanning(size)[:, None] * np.hanning(size)
        power = (np.abs(np.fft.fft2(fields * window)) ** 2).mean(0)
        radius = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(size) * size]))
        bands = np.arange(4, 48)
        mean = [power[(radius >= r - 0.5) & (radius < r + 0.5)].mean() for r in bands]
        slope = np.polyfit(np.log(bands), np.log(mean), 1)[0]
        assert slope == pytest.approx(-3, abs=0.25)

    def test_an_image_depends_on_its_score_and_seed_alone(self):
        scores = np.linspace(-1, 3, 6)
        first = phantom.render(scores, 24, seed=1)
        assert first.shape == (6, 24, 24, 1)
        assert (first == phantom.render(scores, 24, seed=1)).all()
        assert (first != phantom.render(scores, 24, seed=2)).any()

    def test_malignancy_is_visible(self):
        # Benign masses have sharp edges and malignant ones blurred and wide ones, so mean profiles differ.
        low, high = (phantom.render(np.full(200, score), 32, seed=5)[..., 0].mean(0) for score in (-1.0, 3.0))
        ring = np.hypot(*np.meshgrid(*2 * [np.linspace(-1, 1, 32)]))
        contrast = [image[ring < 0.3].mean() - image[(ring > 0.7) & (ring < 0.95)].mean() for image in (low, high)]
        assert contrast[0] > contrast[1] + 10

    def test_smallest_size(self):
        assert phantom.render([0.0], 100).shape == (1, 100, 100, 1)
        with pytest.raises(ValueError, match="image_size=4"):
            phantom.render([0.0], 4)


class TestLoad:
    def test_splits_and_patients(self):
        splits = phantom.load(16, train=200, validation=60, test=80, seed=3)
        assert [len(images) for images in splits] == [200, 60, 80]
        _, counts = np.unique(splits.train.patients, return_counts=True)
        assert counts.min() >= 1
        assert counts.max() == 4
        assert splits.train.class_names == ("malignant", "benign")
        assert abs(splits.train.labels.mean() - 0.5) < 0.1

    def test_seed_decides(self):
        sizes = {"train": 20, "validation": 20, "test": 20}
        first, again, other = (phantom.load(16, seed=seed, **sizes) for seed in (1, 1, 2))
        assert first.test.fingerprint() == again.test.fingerprint() != other.test.fingerprint()

    def test_another_processor_draws_the_same_set(self, monkeypatch):
        sizes = {"train": 20, "validation": 20, "test": 20}
        first = phantom.load(16, **sizes)
        render = phantom.render
        monkeypatch.setattr(phantom, "render", lambda *arguments, **options: render(*arguments, **options) ^ 1)
        again = phantom.load(16, **sizes)
        assert (first.train.images != again.train.images).all()
        assert [part.fingerprint() for part in first] == [part.fingerprint() for part in again]

    def test_version_names_the_images(self):
        drawn = phantom.simulate(300, 16, seed=5).images  # more than are rendered at a time
        assert phantom.VERSION == 1
        assert drawn.mean() == pytest.approx(111.293, abs=0.01), "the images have changed: give them another VERSION"

    def test_images_depend_on_all_labels_of_a_set(self):
        few, many = (phantom.simulate(count, 16, seed=5) for count in (300, 400))
        assert few[:100].fingerprint() == few[np.arange(100)].fingerprint() != many[:100].fingerprint()
        assert few[np.arange(300)].fingerprint() == few.fingerprint()

    def test_oracle_draws_new_patients(self):
        splits = phantom.load(16, train=40, validation=20, test=20)
        images = phantom.oracle()(splits.train, np.array([0, 1, 1]), seed=4)
        assert images.labels.tolist() == [0, 1, 1]
        assert images.image_shape == splits.train.image_shape
        assert not set(images.patients) & set(splits.train.patients)
