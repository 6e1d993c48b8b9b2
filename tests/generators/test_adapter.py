import subprocess
import sys

import keras
import numpy as np
import pytest

from synthkit import augmentation, catalogue, generators
from synthkit.generators.contract import Generator
from synthkit.generators.medmnist_cvae import dense_cvae
from tests.conftest import make_imageset

LABELS = np.array([0, 1, 1, 0, 1])


@pytest.fixture
def no_fit(monkeypatch):
    def fit(*args, **kwargs):
        raise AssertionError("fitted again")

    return lambda: monkeypatch.setattr(Generator, "fit", fit)


def test_fits_once_for_a_training_set_and_seed():
    starts = []

    def build(image_shape, num_classes):
        starts.append(image_shape)
        return dense_cvae(image_shape, num_classes)

    synthesize = generators.synthesizer(build, epochs=2)
    train, labels = make_imageset(20, 1), np.array([1, 0, 0])
    first = synthesize(train, labels, 1)
    again = synthesize(train, labels, 1)
    assert len(starts) == 1
    assert (first.images == again.images).all()
    assert first.labels.tolist() == [1, 0, 0]
    assert first.class_names == train.class_names
    other = synthesize(train, labels, 2)
    assert len(starts) == 2
    assert (other.images != first.images).any()
    assert (synthesize(train, labels, 1).images == first.images).all()


def test_diverged_training_is_an_error():
    def build(image_shape, num_classes):
        model = dense_cvae(image_shape, num_classes)
        model.optimizer.learning_rate = float("nan")
        return model

    with pytest.raises(FloatingPointError, match="its training diverged"):
        generators.synthesizer(build, epochs=1)(make_imageset(20, 1), np.array([0]), 1)


@pytest.mark.parametrize("name", ["autoencoder", "dcgan", "conv_cgan"])
def test_kept_generator_makes_the_same_images(name, no_fit, tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "GENERATORS", dict.fromkeys(catalogue.GENERATORS, (1, 8)))
    train = make_imageset(24, size=32 if name == "dcgan" else 28)
    before = catalogue.arms([name], keep=tmp_path)[0].synthesizer(train, LABELS, 3)
    no_fit()
    after = catalogue.arms([name], keep=tmp_path)[0].synthesizer(train, LABELS, 3)
    np.testing.assert_array_equal(after.images, before.images)
    assert len(list(tmp_path.iterdir())) == 1


def test_another_process_takes_it_up(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from synthkit import generators\n"
        "from synthkit.generators.vae import dense_cvae\n"
        "from tests.conftest import make_imageset\n"
        "synthesize = generators.synthesizer(dense_cvae, epochs=1, batch_size=8, keep=sys.argv[1])\n"
        "np.save(sys.argv[2], synthesize(make_imageset(24, size=28), np.array([0, 1, 1]), 3).images)\n"
    )
    for name in ("first.npy", "second.npy"):
        subprocess.run([sys.executable, "-c", script, tmp_path / "kept", tmp_path / name], check=True)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    np.testing.assert_array_equal(np.load(tmp_path / "first.npy"), np.load(tmp_path / "second.npy"))


def test_whatever_decides_the_fit_is_told_apart(tmp_path):
    train, options = make_imageset(12), {"epochs": 1, "batch_size": 8, "keep": tmp_path}
    one = generators.synthesizer(dense_cvae, **options)
    one(train, LABELS, 1)
    one(train, LABELS, 2)
    one(train[np.arange(10)], LABELS, 1)
    for other in ({"epochs": 2}, {"batch_size": 12}, {"augment": augmentation.Augmenter()}):
        generators.synthesizer(dense_cvae, **options | other)(train, LABELS, 1)

    def slower(*kind):
        model = dense_cvae(*kind)
        model.compile(keras.optimizers.Adam(1e-4))
        return model

    generators.synthesizer(slower, **options)(train, LABELS, 1)
    assert len(list(tmp_path.glob("*.keras"))) == 7


def test_damaged_file_is_named(tmp_path):
    train = make_imageset(12)
    options = {"epochs": 1, "batch_size": 8, "keep": tmp_path}
    generators.synthesizer(dense_cvae, **options)(train, LABELS, 1)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match=rf"{file.name} holds no generator that can be read .*; delete it to fit anew"):
        generators.synthesizer(dense_cvae, **options)(train, LABELS, 1)


def test_folder_that_cannot_be_written_costs_no_second_fit(no_fit, tmp_path):
    (tmp_path / "file").touch()
    synthesize = generators.synthesizer(dense_cvae, epochs=1, batch_size=8, keep=tmp_path / "file" / "kept")
    with pytest.raises(OSError, match=r"kept.*\.keras cannot be written"):
        synthesize(make_imageset(12), LABELS, 1)
    no_fit()
    assert len(synthesize(make_imageset(12), LABELS, 1)) == len(LABELS)


def test_generator_is_fitted_on_augmented_images():
    train = make_imageset(12)
    plain = generators.synthesizer(dense_cvae, epochs=2, batch_size=8)(train, LABELS, 1)
    turned = generators.synthesizer(dense_cvae, epochs=2, batch_size=8, augment=augmentation.Augmenter())
    assert (turned(train, LABELS, 1).images != plain.images).any()
