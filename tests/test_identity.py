import functools
import subprocess
import sys

import numpy as np
import pytest

from synthkit import classifiers, generators, selection, study
from synthkit._identity import describe, digest, network
from synthkit.augmentation import Augmenter
from synthkit.datasets import phantom
from synthkit.generators.medmnist_cvae import dense_cvae
from synthkit.imageset import ImageSet
from tests.conftest import ROOT


def named(text):
    """Defines a function `mine` from its source."""
    space = {"__name__": __name__, "np": np}
    exec(text, space)
    return space["mine"]


def test_changed_code_under_the_same_name_is_another_function():
    first = named("def mine(train, labels, seed): return labels + 1")
    assert digest(first) == digest(
        named("def mine(train, labels, seed):\n    'Explains.'\n    # why\n    return labels + 1")
    )
    for text in ("return labels + 2", "return labels - 1", "return seed + 1"):
        assert digest(first) != digest(named(f"def mine(train, labels, seed): {text}"))


def test_a_helper_that_changes_counts():
    text = "def helper(x): return {}\ndef mine(x): return helper(x)"
    assert digest(named(text.format("x"))) != digest(named(text.format("-x")))


def test_two_functions_of_one_line_differ():
    first, second = (lambda x: x + 1), (lambda x: x + 2)
    assert digest(first) != digest(second)


def test_what_is_closed_over_and_bound_counts():
    def outer(number):
        return lambda x: x * number

    assert digest(outer(1)) == digest(outer(1)) != digest(outer(2))
    assert digest(functools.partial(max, 1)) != digest(functools.partial(max, 2))
    assert digest(outer(np.arange(3))) != digest(outer(np.arange(3) + 1))


class Mine:
    def __init__(self, number):
        self.number = number

    def __call__(self, x):
        return x + self.number


def test_objects_are_described_by_their_attributes():
    assert digest(Mine(1)) == digest(Mine(1)) != digest(Mine(2))
    assert digest(Augmenter()) == digest(Augmenter()) != digest(Augmenter(rotation_range=10))


def test_recursion_ends():
    loop = []
    loop.append(loop)
    assert describe(loop) == ["…"]


def test_synthesizers_differ_by_epochs_batches_and_network():
    def other(image_shape, num_classes):
        return dense_cvae(image_shape, num_classes)

    base = generators.synthesizer(dense_cvae, epochs=3)
    same = generators.synthesizer(dense_cvae, epochs=3, progress=True, keep="elsewhere")
    assert digest(base) == digest(same)
    assert digest(study.shuffled(base)) == digest(study.shuffled(same)) != digest(base)
    for changed in (
        generators.synthesizer(dense_cvae, epochs=4),
        generators.synthesizer(dense_cvae, epochs=3, batch_size=7),
        generators.synthesizer(dense_cvae, epochs=3, augment=Augmenter()),
        generators.synthesizer(other, epochs=3),
    ):
        assert digest(base) != digest(changed)
    filtered = [selection.filtered(base, selection.dense(len, k=k)) for k in (5, 6)]
    assert digest(filtered[0]) != digest(filtered[1])
    assert digest(phantom.oracle(0.9)) != digest(phantom.oracle(0.8))


def test_networks_are_told_apart_by_their_configuration():
    one, again = (network(classifiers.skin_cnn((28, 28, 1), 2)) for _ in range(2))
    assert one == again != network(classifiers.skin_cnn((32, 32, 1), 2))


def test_another_process_says_the_same():
    code = "from synthkit._identity import digest; from tests.test_identity import Mine, named; "
    code += "print(digest(named('def mine(x): return {x: 1}'), Mine(3), {'b', 'a'}))"
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] == f"{digest(named('def mine(x): return {x: 1}'), Mine(3), {'b', 'a'})}\n"


class TestStudy:
    def run(self, splits, out, synthesizer, classifier=classifiers.skin_cnn):
        arms = [study.Arm("real"), study.Arm("mine", synthesizer)]
        return study.run(splits, arms, out=out, classifier=classifier, seeds=1, steps=2, progress=False)

    def test_an_edited_synthesizer_is_refused(self, splits, tmp_path):
        def mine(train, labels, seed):
            return ImageSet(np.zeros((len(labels), 20, 20, 1), "uint8"), labels, train.class_names)

        self.run(splits, tmp_path, mine)
        self.run(splits, tmp_path, mine)

        def mine(train, labels, seed):
            return ImageSet(np.full((len(labels), 20, 20, 1), 9, "uint8"), labels, train.class_names)

        with pytest.raises(ValueError, match="the code of the arm mine has changed since its trials were run"):
            self.run(splits, tmp_path, mine)

    def test_another_network_of_the_same_name_is_refused(self, splits, tmp_path):
        first, second = (lambda s, k, n=n: classifiers.simple_cnn(s, k, filters=(n,)) for n in (2, 3))
        self.run(splits, tmp_path, study.oversample, first)
        with pytest.raises(ValueError, match="network"):
            self.run(splits, tmp_path, study.oversample, second)

    def test_renamed_data_are_the_same_data(self, splits, tmp_path):
        import dataclasses

        self.run(splits, tmp_path, study.oversample)
        renamed = dataclasses.replace(
            splits, **{name: dataclasses.replace(getattr(splits, name), name=name) for name in ("train", "test")}
        )
        assert self.run(renamed, tmp_path, study.oversample).trials["status"].eq("done").all()
