import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from synthkit import __main__, augmentation, catalogue, pretrained, rivals, study
from synthkit.datasets import phantom
from synthkit.imageset import ImageSet
from tests.conftest import make_imageset
from tests.study.toy import OPTIONS, toy_splits

SPREAD = np.array([3.0, 2.0, 1.0, 1.0, 0.5, 0.5])
FEATURES = np.random.default_rng(0).standard_normal((40, 6)) * SPREAD + np.repeat([[0.0], [8.0]], 20, axis=0)
LABELS = np.repeat([0, 1], 20)


class TestSmote:
    def test_is_between_an_image_and_one_of_its_five_nearest(self):
        synthetic, soft = rivals.smote(FEATURES, LABELS, np.repeat([1, 0], [30, 70]), seed=3)
        assert soft.tolist() == [[0, 1]] * 30 + [[1, 0]] * 70
        for point, label in zip(synthetic, [1] * 30 + [0] * 70, strict=True):
            real = FEATURES[label == LABELS]
            distances = np.linalg.norm(real[:, None] - real, axis=2)
            pairs = [(i, j) for i in range(20) for j in np.argsort(distances[i])[1:6]]
            # On the line between the two, the distances to both add up to theirs.
            to = np.linalg.norm(point - real, axis=1)
            assert min(to[i] + to[j] - distances[i, j] for i, j in pairs) < 1e-9

    def test_one_image_of_a_class_is_repeated(self):
        synthetic, _ = rivals.smote(np.eye(3), np.array([0, 0, 1]), np.array([1, 1]), seed=0)
        np.testing.assert_array_equal(synthetic, np.eye(3)[[2, 2]])


class TestGaussian:
    def test_has_the_mean_and_the_covariance_of_scikit_learn(self):
        synthetic, soft = rivals.gaussian(FEATURES, LABELS, np.ones(200_000, int), seed=0)
        peer = LedoitWolf().fit(FEATURES[LABELS == 1])
        assert 0.05 < peer.shrinkage_ < 0.95
        np.testing.assert_allclose(synthetic.mean(0), peer.location_, atol=0.03)
        np.testing.assert_allclose(np.cov(synthetic.T), peer.covariance_, atol=0.1)
        assert (soft == [0, 1]).all()


class TestMixup:
    def test_features_and_labels_are_mixed_alike(self):
        one_hot = np.eye(2)[LABELS]
        mixed, soft = rivals.mixup(one_hot, LABELS, np.repeat([0, 1], 500), seed=0)
        np.testing.assert_allclose(mixed, soft, atol=1e-12)
        # Half of the partners are of the same class; the others' weight is uniform.
        assert soft[:500, 0].mean() == pytest.approx(0.75, abs=0.04)
        assert soft[500:, 1].mean() == pytest.approx(0.75, abs=0.04)


class TestBlend:
    def test_pixels_are_between_two_images_of_the_class(self):
        train = make_imageset(20, 1)
        grey = np.broadcast_to(np.where(train.labels == 0, 200, 50)[:, None, None, None], train.images.shape)
        black_white = ImageSet(grey.astype("uint8"), train.labels, train.class_names)
        labels = np.array([1, 0, 0, 1])
        assert rivals.blend(black_white, labels, 0).images[:, 5, 5, 0].tolist() == [50, 200, 200, 50]
        blended = rivals.blend(train, labels, 4)
        assert blended.labels.tolist() == labels.tolist()
        for image, label in zip(blended.images, labels, strict=True):
            real = train.images[train.labels == label].astype(int)
            low, high = np.minimum(real[:, None], real), np.maximum(real[:, None], real)
            inside = ((low <= image) & (image <= high)).all((2, 3, 4))
            assert inside[~np.eye(len(real), dtype=bool)].any()

    def test_one_image_is_left_as_it_is(self):
        train = make_imageset(2, 1)
        assert (rivals.blend(train, np.array([1, 0]), 0).images == train.images[[1, 0]]).all()


class TestArms:
    NAMES = ("real", "feature_smote", "feature_gaussian x0.5 augmented", "feature_mixup x1", "blend x1 augmented")

    def test_they_run_with_frozen_features(self, tmp_path):
        splits = phantom.load(28, train=40, validation=20, test=40)
        arms = catalogue.arms(self.NAMES, ratio=2.0)
        options = {"seeds": 1, "fixed_training_set": True, "progress": False}
        classifier = pretrained.Frozen(image_size=32, copies=1)
        results = study.run(splits, arms, out=tmp_path, classifier=classifier, **options)
        assert results.trials["status"].tolist() == ["done"] * 5
        assert results.trials["n_synthetic"].tolist() == [0, 80, 20, 40, 40]
        scores = [results.scores[name] for name in self.NAMES]
        assert all((score != scores[0]).any() for score in scores[1:])

    def test_features_of_the_training_set_and_of_its_copies_are_joined_by_more(self):
        train, calls = make_imageset(12, 1), []
        trainer = pretrained.Frozen(image_size=32, copies=2).trainer(train.image_shape, 2)

        def more(features, labels):
            calls.append((features, labels))
            return np.full((4, 1280), 100.0), np.array([[1, 0], [0, 1], [0.5, 0.5], [0.25, 0.75]])

        trainer.train(train, seed=0, augment=augmentation.Augmenter(), more=more)
        assert [labels.tolist() for _, labels in calls] == [train.labels.tolist()] * 3
        everything = np.concatenate([features for features, _ in calls])
        np.testing.assert_allclose(everything.mean(0), 0, atol=1e-4)  # standardised together

    def test_other_classifiers_are_refused_before_the_first_trial(self, tmp_path, capsys):
        arms = catalogue.arms(["real", "feature_smote x1"])
        with pytest.raises(ValueError, match="feature_smote x1 makes features of a frozen network, not images"):
            study.run(toy_splits(), arms, out=tmp_path, **OPTIONS)
        for options in ([], ["--classifier", "skin_cnn"], ["--classifier", "fine_tuned"]):
            command = ["study", "--arms", "real,feature_gaussian", "--out", str(tmp_path / "out"), *options]
            assert __main__.main(command) == 2
            message = "the arm feature_gaussian makes features of a frozen network, not images: add --classifier frozen"
            assert message in capsys.readouterr().err
