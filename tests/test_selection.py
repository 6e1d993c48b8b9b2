import numpy as np
import pytest

from synthkit import selection
from synthkit.imageset import ImageSet


def imageset(values, labels, patients=None):
    """Images of one grey level each, 8 × 8: what they show is one number."""
    images = np.broadcast_to(np.asarray(values, "uint8")[:, None, None, None], (len(values), 8, 8, 1))
    return ImageSet(np.ascontiguousarray(images), np.asarray(labels), ("dark", "bright"), patients)


def grey(train):
    return lambda images: images[:, 0, 0].astype(float)


TRAIN = imageset([40, 44, 50, 60, 66, 70, 180, 184, 190, 200, 206, 210], np.repeat([0, 1], 6))


def grey_levels(made):
    return made.images[:, 0, 0, 0].tolist()


class TestRules:
    def test_confident_keeps_the_surest_of_each_class(self):
        def fit(train, seed):
            assert (train is TRAIN, seed) == (True, 3)
            # A classifier that calls everything bright, some images less so.
            bright = lambda images: 0.6 + 0.4 * images[:, 0, 0, 0] / 255  # noqa: E731
            return lambda images: np.stack([1 - bright(images), bright(images)], axis=1)

        judge = selection.confident(fit, share=0.5)(TRAIN, 3)
        made = imageset([10, 20, 30, 40, 10, 20, 30, 40], np.repeat([0, 1], 4))
        assert judge(made).tolist() == [True, True, False, False, False, False, True, True]

    def test_central_allows_the_distance_of_real_images(self):
        # The classes' centres are 55 and 195, their furthest images 15 away.
        judge = selection.central(grey, share=1.0)(TRAIN, 0)
        assert judge(imageset([55, 70, 71, 195, 55], [0, 0, 0, 1, 1])).tolist() == [True, True, False, True, False]

    def test_dense_counts_real_images_that_reach(self):
        # Reaches to the second neighbour: 40: 10, 44: 6, 50: 10, 60: 10, 66: 6, 70: 10.
        judge = selection.dense(grey, k=2)(TRAIN, 0)
        assert judge(imageset([31, 30, 55, 79, 80, 55], [0, 0, 0, 0, 0, 1])).tolist() == [
            True, False, True, True, False, False,
        ]  # fmt: skip
        twice = selection.dense(grey, k=2, least=2)(TRAIN, 0)
        assert twice(imageset([31, 55, 42], [0, 0, 0])).tolist() == [False, True, True]

    def test_novel_drops_what_is_nearer_than_real_images_are_to_each_other(self):
        judge = selection.novel(grey, quantile=0.0)(TRAIN, 0)
        # The nearest two real images, 40 and 44 and others, are 4 apart.
        assert judge(imageset([36, 37, 100, 184, 183], [0, 0, 0, 1, 1])).tolist() == [True, False, True, False, False]

    def test_novel_looks_past_a_patients_own_images(self):
        train = imageset([40, 41, 42, 60, 100], [0, 0, 0, 1, 1], ["a", "a", "a", "b", "c"])
        judge = selection.novel(grey, quantile=0.0)(train, 0)  # 42 and 60: 18 apart
        assert judge(imageset([80, 77, 23, 22], [0, 0, 0, 0])).tolist() == [True, False, False, True]


class TestFiltered:
    def test_keeps_asking_until_enough_are_kept(self):
        asked = []

        def synthesizer(train, labels, seed):
            asked.append((len(labels), seed))
            # Every fourth image is dark enough.
            return imageset(np.where(np.arange(len(labels)) % 4 == 0, 50, 150), labels)

        bright = lambda train, seed: lambda made: made.images[:, 0, 0, 0] < 100  # noqa: E731
        made = selection.filtered(synthesizer, bright)(TRAIN, np.array([1, 0, 0, 1, 0]), 7)
        assert asked == [(5, 7), (10, 7), (20, 7)]
        assert made.labels.tolist() == [1, 0, 0, 1, 0]
        assert grey_levels(made) == [50] * 5

    def test_says_so_if_there_are_never_enough(self):
        def synthesizer(train, labels, seed):
            return imageset(np.full(len(labels), 50), labels)

        rules = selection.central(grey), selection.novel(grey)
        with pytest.raises(ValueError, match=r"of 16 .* 0 of 2 dark, 0 of 2 bright: central keeps 50%, novel keeps 0%"):
            selection.filtered(synthesizer, *rules, most=4)(TRAIN, np.array([0, 0, 1, 1]), 0)

    def test_every_rule_must_agree(self):
        def synthesizer(train, labels, seed):
            return imageset(np.tile([55, 57, 66, 120], len(labels))[: len(labels)], labels)

        rules = selection.central(grey), selection.novel(grey, quantile=0.0)
        made = selection.filtered(synthesizer, *rules, most=8)(TRAIN, np.zeros(4, int), 0)
        # 55 is 5 from a real image; 57 is 3 from one, 66 is one, 120 is far from its class.
        assert grey_levels(made) == [55] * 4
