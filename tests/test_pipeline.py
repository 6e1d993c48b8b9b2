import numpy as np
import pytest
import tensorflow as tf

from synthkit.imageset import ImageSet, Splits, concatenate
from synthkit.pipeline import to_dataset
from tests.conftest import make_imageset
from tests.test_imageset import numbered


def unchanged(images, labels, seeds):
    return images, labels


def read(dataset, count=None):
    """Returns the numbers of the images in `count` batches, or in all."""
    batches = dataset.take(count) if count else dataset
    return np.concatenate([np.round(images[:, 0, 0, 0] * 255) for images, _ in batches]).astype(int).tolist()


def test_order_and_range():
    dataset = to_dataset(numbered(10), 4)
    assert read(dataset) == list(range(10))
    images, labels = next(iter(dataset))
    assert images.dtype == "float32"
    assert labels.numpy().tolist() == [0, 1, 0, 1]
    white = next(iter(to_dataset(ImageSet(np.full((1, 8, 8, 1), 255, "uint8"), [0], ("a", "b")))))
    assert white[0].numpy().max() == 1.0


def test_shuffling_depends_on_the_seed_and_every_epoch_has_all_images():
    first, again, other = (read(to_dataset(numbered(10), 5, shuffle_seed=seed, repeat=True), 4) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(first[:10]) == sorted(first[10:]) == list(range(10))
    assert first[:10] != first[10:]


def test_cardinality():
    assert to_dataset(numbered(10), 4, shuffle_seed=0).cardinality() == 3
    assert to_dataset(numbered(10), 4, shuffle_seed=0, repeat=True).cardinality() == tf.data.INFINITE_CARDINALITY


def test_repeated_order_does_not_depend_on_earlier_iterators():
    data = to_dataset(numbered(10), 5, shuffle_seed=1, repeat=True)
    first = read(data, 6)
    read(data, 1)
    assert read(data, 6) == first


def test_repeated_batches_are_full():
    batches = to_dataset(numbered(10), 4, shuffle_seed=0, repeat=True).take(7)
    assert {len(labels) for _, labels in batches} == {4}


def test_reads_a_memory_map(tmp_path):
    np.save(tmp_path / "images.npy", numbered(6).images)
    mapped = ImageSet(np.load(tmp_path / "images.npy", mmap_mode="r"), [0, 1] * 3, ("a", "b"))
    assert read(to_dataset(mapped, 4)) == list(range(6))


def test_one_hot_labels():
    labels = next(iter(to_dataset(numbered(10), 10, one_hot=True)))[1].numpy()
    assert labels.dtype == "float32"
    assert labels.tolist() == [[1, 0], [0, 1]] * 5


class TestAugment:
    def test_is_for_training_only(self):
        with pytest.raises(ValueError, match="augment is for training, which shuffles: give shuffle_seed"):
            to_dataset(numbered(4), augment=unchanged)

    def test_is_refused_for_validation_and_test_sets(self):
        splits = Splits(*(make_imageset(8, seed, name=f"toy {seed}") for seed in range(3)))
        assert list(to_dataset(splits.train, shuffle_seed=0, augment=unchanged))
        held_out = [splits.validation, splits.test, splits.test[:4], concatenate([splits.train, splits.test])]
        for images in held_out:
            with pytest.raises(ValueError, match="augment is for training sets"):
                to_dataset(images, shuffle_seed=0, augment=unchanged)
        # The role of a set is its role in the splits that it was last made a part of.
        assert not Splits(splits.test, splits.validation, splits.train).train.held_out

    def test_results_are_checked(self):
        def shrink(images, labels, seeds):
            return images[:, :4], labels

        def brighten(images, labels, seeds):
            return tf.cast(images, "float32") + 2, labels

        with pytest.raises(ValueError, match="augment must return uint8 or float32 images of shape"):
            to_dataset(numbered(10), shuffle_seed=0, augment=shrink)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"augment must return float32 images in \[0, 1\]"):
            list(to_dataset(numbered(10), shuffle_seed=0, augment=brighten))
