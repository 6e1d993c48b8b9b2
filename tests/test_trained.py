"""Generators that come trained with the repository."""

import itertools
import json
import types

import keras
import numpy as np
import pytest

from synthkit import catalogue, trained
from synthkit.generators import adapter, callbacks
from synthkit.imageset import Splits
from tests.conftest import make_imageset
from tests.generators.toy import toy_gan
from tests.tools import train_generators

TRAIN = make_imageset(16, size=72)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Returns a fitted GAN and the folder that it is saved in."""
    folder = tmp_path_factory.mktemp("trained")
    keras.utils.set_random_seed(0)
    model = averaged(TRAIN.image_shape, 2)
    adapter.fit(model, TRAIN, 0, epochs=2, batch_size=8)
    trained.save(model, "toy_gan", {"class_names": list(TRAIN.class_names)}, folder)
    return model, folder


def averaged(image_shape, num_classes):
    return toy_gan(image_shape, num_classes, decay=0.9)


@pytest.fixture(autouse=True)
def registered():
    catalogue.register("toy_gan", averaged, "a small GAN")
    yield
    del catalogue.GENERATORS["toy_gan"]


def test_saved_generator_draws_the_same_images(kept):
    model, folder = kept
    again, record = trained.load("toy_gan", folder)
    assert trained.names(folder) == ["toy_gan"]
    assert record["steps"] == 4
    np.testing.assert_allclose(again.sample([0, 1, 1], 3), model.sample([0, 1, 1], 3), atol=2e-3)  # float16


def test_only_what_drawing_needs_is_saved(kept):
    model, _ = kept
    names = {variable.path for variable in model.average.variables}
    drawing = {id(variable) for variable in trained.drawing_variables(model)}
    used = {variable.path for variable in model.variables if id(variable.value) in drawing}
    assert used == names


def test_damaged_missing_and_unfitting_files_are_named(kept, tmp_path):
    _, folder = kept
    with pytest.raises(ValueError, match="other.npz and other.json are not both there. .*: toy_gan"):
        trained.load("other", folder)
    weights, described = (folder / f"toy_gan{ending}" for ending in (".npz", ".json"))
    (tmp_path / "toy_gan.npz").write_bytes(weights.read_bytes()[:-1])
    (tmp_path / "toy_gan.json").write_bytes(described.read_bytes())
    with pytest.raises(ValueError, match=r"toy_gan.npz is damaged"):
        trained.load("toy_gan", tmp_path)
    record = json.loads(described.read_text(encoding="utf-8")) | {"image_shape": [20, 20, 1]}
    (tmp_path / "toy_gan.npz").write_bytes(weights.read_bytes())
    (tmp_path / "toy_gan.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match="does not fit the generator toy_gan of this version"):
        trained.load("toy_gan", tmp_path)


def test_the_repository_has_four():
    assert trained.names() == sorted(train_generators.NAMES)


@pytest.mark.parametrize("name", train_generators.NAMES)
def test_generators_of_the_repository_draw_images_of_both_classes(name):
    model, record = trained.load(name)
    images = model.sample([0, 1] * 8, 0)
    assert images.shape == (16, 64, 64, 1)
    assert images.std(0).mean() > 0.05
    assert record["class_names"] == ["malignant", "benign"]


def test_training_for_minutes_resumes_and_keeps_the_best_weights(tmp_path, monkeypatch):
    kids, clock = itertools.chain([3.0, 1.0], itertools.count(2.0)), itertools.count()

    def measure(model):
        return {"kid": next(kids), "label_auc": 0.5, "diversity": 1.0}

    monkeypatch.setattr(train_generators, "measurement", lambda splits: (measure, {"label_auc": 0.7}))
    monkeypatch.setattr(train_generators, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(callbacks, "PAUSE", 0)
    monkeypatch.setattr(callbacks, "COSTS", 0)
    sets = enumerate(("train", "validation", "test"))
    splits = Splits(*(make_imageset(16, seed, size=16, name=name) for seed, name in sets))
    records = []
    for seconds in (20, 30):  # of this clock, which advances whenever it is read
        train_generators.train("toy_gan", splits, seconds / 60, 4 / 60, tmp_path / "work", tmp_path / "out")
        records.append(trained.load("toy_gan", tmp_path / "out")[1])
    first, more = records
    assert len(first["measured"]) >= 2
    assert more["measured"][: len(first["measured"])] == first["measured"] != more["measured"]
    assert more["epoch"] == first["epoch"] == first["measured"][1]["epoch"]
    assert more["sha256"] == first["sha256"], "the weights are those of the lowest KID"
