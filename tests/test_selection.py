import numpy as np
import pytest

from synthkit import selection
from synthkit.imageset import ImageSet
from synthkit.study import arms


def imageset(values, labels, patients=None):
    """Images of 8 × 8 pixels of one grey level each, so that an image is a number."""
    images = np.broadcast_to(np.asarray(values, "uint8")[:, None, None, None], (len(values), 8, 8, 1))
    return ImageSet(np.ascontiguousarray(images), np.asarray(labels), ("dark", "bright"), patients)


def grey(train):
    return lambda images: images[:, 0, 0].astype(float)


TRAIN = imageset([40, 44, 50, 60, 66, 70, 180, 184, 190, 200, 206, 210], np.repeat([0, 1], 6))


def grey_levels(synthetic):
    return synthetic.images[:, 0, 0, 0].tolist()


class TestRules:
    def test_central_allows_the_distance_of_real_images(self):
        # The means of the classes are 55 and 195; the furthest images are 15 away.
        judge = selection.central(grey, share=1.0)(TRAIN, 0)
        assert judge(imageset([55, 70, 71, 195, 55], [0, 0, 0, 1, 1])).tolist() == [True, True, False, True, False]

    def test_dense_counts_the_balls_of_real_images(self):
        # Distances to the second neighbour: 40: 10, 44: 6, 50: 10, 60: 10, 66: 6, 70: 10.
        judge = selection.dense(grey, k=2)(TRAIN, 0)
        assert judge(imageset([31, 30, 55, 79, 80, 55], [0, 0, 0, 0, 0, 1])).tolist() == [
            True, False, True, True, False, False,
        ]  # fmt: skip
        twice = selection.dense(grey, k=2, least=2)(TRAIN, 0)
        assert twice(imageset([31, 55, 42], [0, 0, 0])).tolist() == [False, True, True]

    def test_novel_drops_images_closer_than_real_images_are_to_each_other(self):
        judge = selection.novel(grey, quantile=0.0)(TRAIN, 0)
        # The closest real images, 40 and 44 for example, are 4 apart.
        assert judge(imageset([36, 37, 100, 184, 183], [0, 0, 0, 1, 1])).tolist() == [True, False, True, False, False]

    def test_novel_ignores_images_of_the_same_patient(self):
        train = imageset([40, 41, 42, 60, 100], [0, 0, 0, 1, 1], ["a", "a", "a", "b", "c"])
        judge = selection.novel(grey, quantile=0.0)(train, 0)  # 42 and 60: 18 apart
        assert judge(imageset([80, 77, 23, 22], [0, 0, 0, 0])).tolist() == [True, False, False, True]

    def test_novel_drops_copies_although_two_patients_have_the_same_image(self):
        train = imageset([40, 40, 60, 100], [0, 0, 1, 1])
        judge = selection.novel(grey, quantile=0.0)(train, 0)
        assert judge(imageset([40, 70, 90], [0, 0, 0])).tolist() == [False, False, False]
        assert judge(imageset([80, 20], [0, 0])).tolist() == [True, True]


class TestFiltered:
    def test_it_is_known_whose_images_they_are(self):
        synthesizer = lambda train, labels, seed: None  # noqa: E731
        assert arms.origin(selection.filtered(synthesizer, selection.novel(grey))) is synthesizer

    def test_draws_until_enough_images_are_kept(self):
        requests = []

        def synthesizer(train, labels, seed):
            requests.append((len(labels), seed))
            # Every fourth image is dark.
            return imageset(np.where(np.arange(len(labels)) % 4 == 0, 50, 150), labels)

        dark = lambda train, seed: lambda synthetic: synthetic.images[:, 0, 0, 0] < 100  # noqa: E731
        synthetic = selection.filtered(synthesizer, dark)(TRAIN, np.array([1, 0, 0, 1, 0]), 7)
        assert requests == [(5, 7), (10, 7), (20, 7)]
        assert synthetic.labels.tolist() == [1, 0, 0, 1, 0]
        assert grey_levels(synthetic) == [50] * 5

    def test_too_few_images_are_an_error(self):
        def synthesizer(train, labels, seed):
            return imageset(np.full(len(labels), 50), labels)

        rules = selection.central(grey), selection.novel(grey)
        with pytest.raises(
            ValueError, match=r"too few of 16 .* 0 of 2 dark, 0 of 2 bright \(central keeps 50%, novel .* 0%\)"
        ):
            selection.filtered(synthesizer, *rules, most=4)(TRAIN, np.array([0, 0, 1, 1]), 0)

    def test_every_rule_must_agree(self):
        def synthesizer(train, labels, seed):
            return imageset(np.tile([55, 57, 66, 120], len(labels))[: len(labels)], labels)

        rules = selection.central(grey), selection.novel(grey, quantile=0.0)
        synthetic = selection.filtered(synthesizer, *rules, most=8)(TRAIN, np.zeros(4, int), 0)
        # 55 is 5 from the closest real image, 57 is 3 from it, 66 is a real image, and 120 is far from its class.
        assert grey_levels(synthetic) == [55] * 4


class TestSelected:
    """A generator of grey levels in turn; the probability of bright that the judge gives is the grey level."""

    @staticmethod
    def synthesizer(train, labels, seed):
        return imageset((np.arange(len(labels)) * 7) % 256, labels)

    def fit(self, aucs):
        fits = []

        def fit(train, seed):
            fits.append(train)
            if len(fits) == 1:
                return lambda images: np.stack([1 - images[:, 0, 0, 0] / 255, images[:, 0, 0, 0] / 255], axis=1)
            # Scores that give the AUC which the test wants for the fraction that this is.
            right = aucs[len(fits) - 2]
            return lambda images: np.eye(2)[
                np.where(np.arange(len(images)) % 10 < 10 * right, images[:, 0, 0, 0] > 100, 0)
            ]

        fit.fits = fits
        return fit

    def test_keeps_the_most_confident_of_as_many_as_the_fraction_says(self):
        labels = np.repeat([0, 1], 5)
        for best, share in enumerate((1.0, 0.5, 0.25)):
            aucs = [0.5, 0.5, 0.5]
            aucs[best] = 1.0
            fit = self.fit(aucs)
            selected = selection.Selected(self.synthesizer, fit).validated(TRAIN)
            images = selected(TRAIN, labels, 3)
            assert selected.share == share
            assert images.labels.tolist() == labels.tolist()
            assert [len(part) for part in fit.fits] == [12, 22, 22, 22]  # the training set, then with what is kept
            drawn = self.synthesizer(TRAIN, np.tile(labels, 4), 3)
            for label, sign in ((0, 1), (1, -1)):
                grey = drawn.images[drawn.labels == label][: int(5 / share), 0, 0, 0].astype(int)
                assert (
                    sorted(sign * images.images[images.labels == label][:, 0, 0, 0].astype(int))
                    == (sorted(sign * grey)[:5])
                )

    def test_of_equals_the_largest_fraction_is_kept(self):
        selected = selection.Selected(self.synthesizer, self.fit([0.7, 0.7, 0.7])).validated(TRAIN)
        selected(TRAIN, np.array([0, 1]), 0)
        assert selected.share == 1.0

    def test_rules_come_first(self):
        dark = lambda train, seed: lambda synthetic: synthetic.images[:, 0, 0, 0] < 100  # noqa: E731
        selected = selection.Selected(self.synthesizer, self.fit([0.5] * 3), dark).validated(TRAIN)
        assert max(grey_levels(selected(TRAIN, np.tile([0, 1], 10), 0))) < 100
        none = lambda train, seed: lambda synthetic: np.zeros(len(synthetic), bool)  # noqa: E731
        with pytest.raises(ValueError, match=r"too few of 16 .* 0 of 2 dark, 0 of 2 bright \(<lambda> keeps 0%\)"):
            selection.Selected(self.synthesizer, self.fit([]), none)(TRAIN, np.array([0, 0, 1, 1]), 0)
