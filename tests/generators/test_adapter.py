import dataclasses
import functools
import threading
import time

import keras
import numpy as np
import pytest

from synthkit import augmentation, generators
from synthkit._files import waiting
from synthkit.generators import adapter, bagan, callbacks, conv_cgan
from synthkit.generators.contract import Generator
from synthkit.generators.conv_cvae import conv_cvae
from synthkit.generators.diffusion import diffusion
from synthkit.generators.medmnist_autoencoder import autoencoder
from synthkit.generators.medmnist_cvae import dense_cvae
from synthkit.generators.skin_dcgan import per_class_dcgan
from synthkit.imageset import resize
from tests.conftest import make_imageset
from tests.generators.toy import toy

LABELS = np.array([0, 1, 1, 0, 1])
TRAIN = make_imageset(12)


@pytest.fixture
def no_fit(monkeypatch):
    """Returns a function after whose call every fit is an error."""

    def fit(*args, **kwargs):
        raise AssertionError("fitted again")

    return lambda: monkeypatch.setattr(Generator, "fit", fit)


def test_fits_once_for_a_training_set_and_seed():
    starts = []

    def build(image_shape, num_classes):
        starts.append((image_shape, num_classes))
        return toy(image_shape, num_classes)

    synthesize = generators.synthesizer(build, epochs=2)
    first, again = synthesize(TRAIN, LABELS, 1), synthesize(TRAIN, LABELS, 1)
    assert starts == [((20, 20, 1), 2)]
    assert (first.images == again.images).all()
    assert first.labels.tolist() == LABELS.tolist()
    assert first.class_names == TRAIN.class_names
    other = synthesize(TRAIN, LABELS, 2)
    assert len(starts) == 2
    assert (other.images != first.images).any()
    assert (synthesize(TRAIN, LABELS, 1).images == first.images).all()


def test_diverged_training_is_an_error():
    synthesize = generators.synthesizer(functools.partial(toy, learning_rate=float("nan")), epochs=1)
    with pytest.raises(FloatingPointError, match="toy makes pixels that are NaN or infinite"):
        synthesize(TRAIN, LABELS, 1)


def test_everything_that_determines_a_fit_has_a_file_of_its_own(no_fit, tmp_path):
    options = {"epochs": 1, "batch_size": 8, "keep": tmp_path}
    synthesize = generators.synthesizer(toy, **options)
    synthetic = synthesize(TRAIN, LABELS, 1)
    synthesize(TRAIN, LABELS, 2)
    synthesize(TRAIN[np.arange(10)], LABELS, 1)
    for other in ({"epochs": 2}, {"batch_size": 12}, {"augment": augmentation.Augmenter()}):
        generators.synthesizer(toy, **options | other)(TRAIN, LABELS, 1)
    generators.synthesizer(functools.partial(toy, learning_rate=0.1), **options)(TRAIN, LABELS, 1)
    assert len(list(tmp_path.glob("toy-*.keras"))) == 7
    no_fit()
    again = generators.synthesizer(toy, **options)(TRAIN, LABELS, 1)
    np.testing.assert_array_equal(again.images, synthetic.images)


def test_damaged_file_is_named(tmp_path):
    options = {"epochs": 1, "batch_size": 8, "keep": tmp_path}
    generators.synthesizer(toy, **options)(TRAIN, LABELS, 1)
    (file,) = tmp_path.glob("*.keras")
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ValueError, match=rf"{file.name} is damaged .*; delete it to fit the generator again"):
        generators.synthesizer(toy, **options)(TRAIN, LABELS, 1)


def test_folder_that_cannot_be_written_is_said_before_the_fit(no_fit, tmp_path):
    (tmp_path / "file").touch()
    synthesize = generators.synthesizer(toy, epochs=1, batch_size=8, keep=tmp_path / "file" / "kept")
    no_fit()
    with pytest.raises(OSError, match="kept cannot be written"):
        synthesize(TRAIN, LABELS, 1)


def test_second_process_waits_for_the_fit_of_the_first(no_fit, tmp_path):
    generators.synthesizer(toy, epochs=1, keep=tmp_path)(TRAIN, LABELS, 1)
    (file,) = tmp_path.glob("*.keras")
    no_fit()
    images = []
    reader = threading.Thread(
        target=lambda: images.append(generators.synthesizer(toy, epochs=1, keep=tmp_path)(TRAIN, LABELS, 1))
    )
    with waiting(tmp_path / f".{file.stem}.lock"):  # as if the first were still fitting
        elsewhere = file.rename(tmp_path / "later")
        reader.start()
        time.sleep(1)
        assert not images
        elsewhere.rename(file)
    reader.join()
    assert len(images) == 1


def test_file_that_cannot_be_written_costs_no_second_fit(no_fit, tmp_path, monkeypatch):
    def full(path):
        raise OSError("no space left")

    synthesize = generators.synthesizer(toy, epochs=1, batch_size=8, keep=tmp_path)
    monkeypatch.setattr(adapter, "replacing", full)
    with pytest.raises(OSError, match="no space left"):
        synthesize(TRAIN, LABELS, 1)
    no_fit()
    assert len(synthesize(TRAIN, LABELS, 1)) == len(LABELS)


def test_generator_is_fitted_on_augmented_images():
    plain = generators.synthesizer(toy, epochs=1, batch_size=8)(TRAIN, LABELS, 1)
    black = generators.synthesizer(
        toy, epochs=1, batch_size=8, augment=lambda images, labels, seeds: (0 * images, labels)
    )
    assert plain.images.mean() > black(TRAIN, LABELS, 1).images.mean()


def test_progress_bar_names_the_generator(capsys):
    generators.synthesizer(toy, epochs=2, progress=True)(TRAIN, LABELS, 1)
    assert "fitting toy:" in capsys.readouterr().err


@pytest.mark.parametrize("build", [dense_cvae, autoencoder, per_class_dcgan])
def test_killed_fit_resumes_in_the_same_order(build, tmp_path):
    train = make_imageset(19, size=16)

    def images(epochs, *watching):
        keras.utils.set_random_seed(0)
        model = build(train.image_shape, 2)
        adapter.fit(model, train, 0, epochs=epochs, batch_size=4, callbacks=watching)
        return adapter.draw(model, train.class_names, LABELS, 0).images

    class Killed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    checkpoint = callbacks.Checkpoint(tmp_path / "fit.npz")
    with pytest.raises(KeyboardInterrupt):
        images(4, checkpoint, Killed())
    assert checkpoint.path.exists()
    np.testing.assert_array_equal(images(4, checkpoint), images(4))


@pytest.mark.parametrize("killed_in", ["pretraining", "fit"])
def test_killed_synthesizer_resumes(tmp_path, monkeypatch, killed_in):
    begun, kill = [], {"pretraining": [0, 1], "fit": [0, 1, 2, 0, 1]}[killed_in]

    class Killed(callbacks.Checkpoint):
        def on_epoch_end(self, epoch, logs=None):
            begun.append(epoch)
            super().on_epoch_end(epoch, logs)
            if begun == kill:
                raise KeyboardInterrupt

    def images(folder):
        options = {"epochs": 4, "keep": tmp_path / folder, "pretrained_on": others, "pretrain_steps": 300}
        return generators.synthesizer(toy, **options)(TRAIN, LABELS, 1).images

    others, pretrained, pretrain = make_imageset(40, 5), [], adapter.pretrain
    monkeypatch.setattr(adapter, "pretrain", lambda *a, **options: pretrained.append(pretrain(*a, **options)))
    monkeypatch.setattr(callbacks, "PAUSE", 0)
    monkeypatch.setattr(callbacks, "COSTS", 0)
    monkeypatch.setattr(adapter, "Checkpoint", Killed)
    with pytest.raises(KeyboardInterrupt):
        images("killed")
    assert len(list((tmp_path / "killed").glob("[!.]*.checkpoint.npz"))) == 1
    resumed = images("killed")
    assert begun[len(kill) :] == ([2, 0, 1, 2, 3] if killed_in == "pretraining" else [2, 3])
    assert len(pretrained) == 1
    assert [path.suffix for path in (tmp_path / "killed").glob("[!.]*")] == [".keras"] * 2
    monkeypatch.undo()
    np.testing.assert_array_equal(resumed, images("whole"))


def test_generator_works_at_another_size():
    train = make_imageset(12, size=24)
    synthesize = generators.synthesizer(toy, epochs=1, image_size=16)
    synthetic = synthesize(train, LABELS, 0)
    assert synthetic.image_shape == train.image_shape
    small = generators.synthesizer(toy, epochs=1)(resize(train, 16), LABELS, 0)
    np.testing.assert_array_equal(synthetic.images, resize(small, 24).images)
    assert synthesize.identity() != generators.synthesizer(toy, epochs=1).identity()


def test_images_of_classes_that_differ_by_side_are_not_mirrored():
    names = ("kidney-left", "kidney-right", "liver")
    for build in (conv_cgan.conv_cgan, conv_cgan.acgan, conv_cgan.wgan_gp, bagan.bagan, conv_cvae, diffusion):
        assert tuple(adapter.build_for(build, (20, 20, 1), names).flips) == (2,), build
        assert adapter.build_for(build, (20, 20, 1), ("malignant", "benign")).flips is None
    assert adapter.build_for(dense_cvae, (20, 20, 1), names).num_classes == 3


class TestPretraining:
    def test_other_images_come_first_without_their_labels(self, monkeypatch):
        fits, others = [], make_imageset(40, 5, size=32)
        real_fit = adapter.fit

        def fit(model, train, seed, **options):
            fits.append((train, int(model.steps.numpy())))
            real_fit(model, train, seed, **options)

        monkeypatch.setattr(adapter, "fit", fit)
        options, slow = {"epochs": 3, "batch_size": 4}, functools.partial(toy, learning_rate=0.01)
        pretrained = generators.synthesizer(slow, pretrained_on=others, pretrain_steps=7, **options)(TRAIN, LABELS, 1)
        (first, before), (second, between) = fits
        assert second is TRAIN
        assert (before, between) == (0, 7)
        np.testing.assert_array_equal(first.images, resize(others, 20).images)
        assert first.class_counts() == {"bright": 20, "dark": 20}
        assert 10 < (first.labels != others.labels).sum() < 30
        plain = generators.synthesizer(slow, **options)(TRAIN, LABELS, 1)
        assert (pretrained.images != plain.images).any()

    def test_it_is_done_once_for_all_seeds(self, tmp_path, monkeypatch):
        done, pretrain, others = [], adapter.pretrain, make_imageset(40, 5)
        monkeypatch.setattr(adapter, "pretrain", lambda *a, **options: done.append(pretrain(*a, **options)))
        options = {"epochs": 2, "batch_size": 4, "pretrained_on": others, "pretrain_steps": 7}
        memory, folder = (generators.synthesizer(dense_cvae, keep=keep, **options) for keep in (None, tmp_path))
        first, alone = memory(TRAIN, LABELS, 0).images, generators.synthesizer(dense_cvae, **options)
        second = memory(TRAIN, LABELS, 1).images
        assert len(done) == 1
        assert (first != second).any()
        np.testing.assert_array_equal(alone(TRAIN, LABELS, 1).images, second)
        folder(TRAIN, LABELS, 0)
        again = generators.synthesizer(dense_cvae, keep=tmp_path, **options)
        np.testing.assert_array_equal(again(TRAIN, LABELS, 1).images, second)
        assert len(done) == 3
        other = generators.synthesizer(dense_cvae, keep=tmp_path, pretrain_seed=1, **options)
        assert (other(TRAIN, LABELS, 1).images != second).any()
        assert len(done) == 4

    def test_it_helps_with_few_steps(self):
        """Of 60 images from elsewhere a VAE learns what the images of a short fit lack."""
        others, train = make_imageset(60, 5), make_imageset(8, 1)
        distances = []
        for pretrained_on in (None, others):
            synthesize = generators.synthesizer(
                dense_cvae, epochs=25, batch_size=8, pretrained_on=pretrained_on, pretrain_steps=25
            )
            images = synthesize(train, np.arange(40) % 2, 0).images.astype(float)
            means = [images[label::2].mean() - train.images[train.labels == label].mean() for label in (0, 1)]
            distances.append(np.abs(means).sum())
        assert distances[1] < distances[0]

    def test_fits_are_told_apart_by_it(self, tmp_path):
        identities = []
        for others in (None, make_imageset(40, 5), make_imageset(40, 6)):
            synthesize = generators.synthesizer(toy, epochs=1, pretrained_on=others, pretrain_steps=2, keep=tmp_path)
            synthesize(TRAIN, LABELS, 1)
            identities.append(str(synthesize.identity()))
        assert len(list(tmp_path.glob("toy-[!p]*.keras"))) == len(set(identities)) == 3
        assert len(list(tmp_path.glob("toy-pretrained-*.keras"))) == 2

    def test_other_channels_are_refused_before_the_study(self):
        colour = dataclasses.replace(TRAIN, images=np.repeat(TRAIN.images, 3, -1), name="skin")
        synthesize = generators.synthesizer(toy, pretrained_on=colour)
        with pytest.raises(
            ValueError, match="images of 1 channels, as those of toy have .* Received: skin, 3 channels"
        ):
            synthesize.check(TRAIN, {})
