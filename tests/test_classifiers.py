import functools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit import classifiers
from synthkit.training import Trainer
from tests.conftest import ROOT, make_imageset

MODULES = {
    "VGG16": keras.applications.vgg16,
    "InceptionResNetV2": keras.applications.inception_resnet_v2,
    "DenseNet169": keras.applications.densenet,
    "EfficientNetV2B0": keras.applications.efficientnet_v2,
}
PUBLISHED = {
    # Keras's table of its applications (https://keras.io/api/applications/) and the sizes of their ImageNet heads.
    "VGG16": 138_357_544 - (512 * 7 * 7 + 1) * 4096 - (4096 + 1) * 4096 - (4096 + 1) * 1000,
    "InceptionResNetV2": 55_873_736 - (1536 + 1) * 1000,
    "DenseNet169": 14_307_880 - (1664 + 1) * 1000,
    "EfficientNetV2B0": 7_200_312 - (1280 + 1) * 1000,
}


def test_skin_cnn_is_the_reports():
    # The skin-lesion study's appendix: output shape and parameters of every layer, 108,225 in all.
    table = [
        ("Conv2D", (32, 32, 32), 896),
        ("MaxPooling2D", (16, 16, 32), 0),
        ("Dropout", (16, 16, 32), 0),
        ("Conv2D", (15, 15, 64), 8256),
        ("MaxPooling2D", (8, 8, 64), 0),
        ("Dropout", (8, 8, 64), 0),
        ("Conv2D", (7, 7, 128), 32896),
        ("MaxPooling2D", (3, 3, 128), 0),
        ("Dropout", (3, 3, 128), 0),
        ("Conv2D", (2, 2, 128), 65664),
        ("Dropout", (2, 2, 128), 0),
        ("Flatten", (512,), 0),
        ("Dense", (1,), 513),
    ]
    model = classifiers.skin_cnn()
    assert [(type(layer).__name__, layer.output.shape[1:], layer.count_params()) for layer in model.layers[1:]] == table
    assert model.count_params() == 108_225


def test_resnet18_is_the_reference():
    # kuangliu/pytorch-cifar's ResNet18, which MedMNIST uses: 11,173,962 trainable parameters at 3 channels, 10 classes.
    model = classifiers.resnet18((32, 32, 3), 10)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == 11_173_962
    shapes = [layer.output.shape[1:3] for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    assert [shapes[0], shapes[-1]] == [(32, 32), (4, 4)]
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-5)}


def test_resnet18_with_the_large_stem_is_the_papers():
    # torchvision's resnet18: 11,689,512 parameters at 3 channels and 1,000 classes; He et al., table 1: 56, 28, 14, 7.
    model = classifiers.resnet18((224, 224, 3), 1000)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == 11_689_512
    sizes = [layer.output.shape[1] for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert sizes == [56, 56, 28, 28, 14, 14, 7, 7]
    # torchvision starts from variance 2 / fan out; with 512 filters of 3×3 that is known to a tenth of a per cent.
    assert model.layers[-6].kernel.numpy().std() == pytest.approx(np.sqrt(2 / (9 * 512)), rel=0.01)
    first = [classifiers.resnet18((size, size, 1), stem=stem).layers[2] for size, stem in [(63, None), (28, "large")]]
    assert isinstance(first[0], keras.layers.Conv2D)
    assert isinstance(first[1], keras.layers.ZeroPadding2D)


def test_simple_cnn_has_the_layers_it_is_asked_for():
    model = classifiers.simple_cnn((20, 24, 1), 2, filters=(4, 6), dense_units=5, dropout=0.3)
    weights = (9 * 4 + 4) + (9 * 4 * 6 + 6) + (5 * 6 * 6 * 5 + 5) + (5 * 2 + 2)
    assert model.count_params() == weights
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    assert kinds == ["Conv2D", "MaxPooling2D"] * 2 + ["Flatten", "Dense", "Dropout", "Dense"]
    assert model.layers[-2].rate == 0.3


def test_fused_batch_normalization_is_that_of_keras():
    def without_fusing(layer):
        kind = keras.layers.BatchNormalization if "normalization" in layer.name else type(layer)
        return kind.from_config(layer.get_config())

    inputs = keras.Input((6, 6, 3))
    ours = keras.Model(inputs, classifiers._convolution_norm(inputs, 4, 3, 1, classifiers._he_fan_out))
    plain = keras.models.clone_model(ours, clone_function=without_fusing)
    assert [type(model.layers[-1]).__name__ for model in (ours, plain)] == [
        "FusedBatchNormalization",
        "BatchNormalization",
    ]
    plain.set_weights(ours.get_weights())
    images = tf.constant(np.random.default_rng(0).random((8, 6, 6, 3), "float32"))
    gradients = []
    for model in (ours, plain):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(3 * model(images, training=True)))
        gradients.append(tape.gradient(loss, model.trainable_variables))
    for one, other in zip(*gradients, strict=True):
        assert one.numpy() == pytest.approx(other.numpy(), abs=1e-3)
    *_, mean, variance = zip(ours.get_weights(), plain.get_weights(), strict=True)
    assert mean[0] == pytest.approx(mean[1], abs=1e-6)
    # PyTorch keeps the variance of a sample, Keras's layer that of a population: here of 8 × 36 pixels.
    assert variance[0] - 0.9 == pytest.approx((variance[1] - 0.9) * 288 / 287, abs=1e-6)
    assert np.array(ours(images)) == pytest.approx(np.array(plain(images)), abs=1e-3)


@pytest.mark.parametrize("builder", [classifiers.simple_cnn, classifiers.skin_cnn, classifiers.resnet18])
@pytest.mark.parametrize(("classes", "shape"), [(2, (28, 28, 1)), (5, (32, 40, 3))])
def test_outputs_are_probabilities(builder, classes, shape):
    outputs = np.array(builder(shape, classes)(np.random.default_rng(0).random((3, *shape), "float32")))
    if outputs.shape[1] == 1:
        assert ((outputs > 0) & (outputs < 1)).all()
    else:
        assert outputs.shape == (3, classes)
        assert outputs.sum(1) == pytest.approx(1, abs=1e-5)


def test_bad_arguments():
    with pytest.raises(
        ValueError, match="skin_cnn needs images of at least 20×20 pixels. Received: 16×32 .* works is 32:"
    ):
        classifiers.skin_cnn((16, 32, 3))
    with pytest.raises(ValueError, match="num_classes=1"):
        classifiers.resnet18((28, 28, 1), 1)
    with pytest.raises(ValueError, match=r"least 32×32 pixels, or fewer filters: it halves images 5 times .*: 28×28"):
        classifiers.simple_cnn((28, 28, 1), filters=(1,) * 5)
    with pytest.raises(ValueError, match="stem must be 'small', 'large' or None. Received: stem='medium'"):
        classifiers.resnet18(stem="medium")
    with pytest.raises(ValueError, match="one of ConvNeXtBase, .*, Xception. Received: name='VGG99'"):
        classifiers.transfer("VGG99")
    with pytest.raises(ValueError, match="1 or 3 channels"):
        classifiers.transfer("VGG16", (64, 64, 4))
    with pytest.raises(FileNotFoundError, match="there is no file mine.h5; weights must be 'imagenet', a file of"):
        classifiers.transfer("VGG16", weights="mine.h5")
    with pytest.raises(ValueError, match="after must be the name of a layer of simple_cnn. Received: after=None"):
        classifiers.fine_tune(classifiers.simple_cnn((8, 8, 1)))


@functools.cache
def pretrained(name):
    """A model of `transfer` whose ImageNet weights are random ones, and the files that Keras wanted to download."""
    files = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras.src.utils.file_utils.get_file", lambda name, *_, **__: files.append(name))
        patch.setattr(keras.Model, "load_weights", lambda model, path: None)
        return classifiers.transfer(name, (96, 96, 3)), files


@pytest.mark.parametrize("name", PUBLISHED)
def test_transferred_networks_are_the_published_ones(name):
    model, files = pretrained(name)
    assert files == [classifiers.BACKBONES[name][0]]
    assert len(model.trainable_variables) == 2
    features = model.layers[-1].kernel.shape[0]
    assert model.count_params() - (features + 1) * 2 == PUBLISHED[name]
    # The input of the network itself is what its own preprocess_input makes of grey levels.
    network_input = model.layers[[layer.name for layer in model.layers].index("imagenet_input") + 1].input
    images = np.random.default_rng(0).random((2, 96, 96, 3), "float32")
    expected = MODULES[name].preprocess_input(255 * images)
    assert np.array(keras.Model(model.input, network_input)(images)) == pytest.approx(np.array(expected), abs=1e-3)


def test_fine_tuning_unfreezes_the_last_block_without_batch_normalization():
    model = classifiers.fine_tune(pretrained("DenseNet169")[0])
    unfrozen = {layer.name for layer in model.layers if layer.trainable_variables}
    assert {"conv5_block1_1_conv", "conv5_block32_2_conv", model.layers[-1].name} < unfrozen
    assert not [name for name in unfrozen if name.startswith("conv4") or name.endswith("bn")]
    norm = model.get_layer("conv5_block32_1_bn")
    norm(np.random.default_rng(0).random((4, 1, 1, 128), "float32"), training=True)
    assert (norm.moving_mean.numpy() == 0).all()


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """A file of weights from elsewhere: VGG16 from Keras itself, without its head."""
    path = tmp_path_factory.mktemp("weights") / "vgg16.weights.h5"
    keras.utils.set_random_seed(7)
    network = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    network.save_weights(path)
    return path, network


def test_weights_from_a_file_and_grey_images(weights_file):
    path, network = weights_file
    model = classifiers.transfer("VGG16", (32, 32, 1), weights=path)
    images = np.random.default_rng(0).random((2, 32, 32, 1), "float32")
    expected = network(keras.applications.vgg16.preprocess_input(255 * np.repeat(images, 3, axis=-1)))
    pooled = keras.Model(model.input, model.layers[-3].output)
    assert np.array(pooled(images)) == pytest.approx(np.array(expected), abs=1e-5)


def changed_layers(model, before):
    """Returns the names of the layers whose weights are no longer those before."""
    pairs = zip(model.layers, before, strict=True)
    return {
        layer.name
        for layer, weights in pairs
        if any((a != b).any() for a, b in zip(layer.get_weights(), weights, strict=True))
    }


def test_frozen_layers_are_not_trained(weights_file):
    sets = make_imageset(16, 1, size=32), make_imageset(8, 2, size=32, name="validation")
    build = functools.partial(classifiers.transfer, "VGG16", weights=weights_file[0])
    head = Trainer(build, (32, 32, 1), 2, steps=2, batch_size=8, checks=1)
    before = [layer.get_weights() for layer in build((32, 32, 1), 2).layers]
    head.train(*sets, seed=0)
    assert changed_layers(head.model, before) == {head.model.layers[-1].name}
    before = [layer.get_weights() for layer in head.model.layers]
    tuner = Trainer(lambda *_: classifiers.fine_tune(head.model), (32, 32, 1), 2, steps=2, batch_size=8, checks=1)
    tuner.train(*sets, seed=0)
    assert changed_layers(tuner.model, before) == {f"block5_conv{i}" for i in (1, 2, 3)} | {head.model.layers[-1].name}


LOAD = """
import sys
import keras
import numpy as np
import synthkit.classifiers
np.save(sys.argv[3], keras.models.load_model(sys.argv[1])(np.load(sys.argv[2])))
"""


def test_saved_models_give_the_same_scores(tmp_path, weights_file):
    images = np.random.default_rng(0).random((3, 32, 32, 1), "float32")
    transferred = classifiers.transfer("VGG16", (32, 32, 1), weights=weights_file[0])
    resnet = classifiers.resnet18((32, 32, 1), stem="large")
    for model in (transferred, resnet):
        model.save(tmp_path / f"{model.name}.keras")
    loaded = keras.models.load_model(tmp_path / "vgg16.keras")
    assert np.array(loaded(images)) == pytest.approx(np.array(transferred(images)), abs=1e-6)
    # In a new process, since the layers of this network are registered when synthkit.classifiers is imported.
    np.save(tmp_path / "images.npy", images)
    files = [tmp_path / name for name in ("resnet18.keras", "images.npy", "scores.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True, capture_output=True, cwd=ROOT)
    assert np.load(tmp_path / "scores.npy") == pytest.approx(np.array(resnet(images)), abs=1e-6)


def test_missing_imagenet_file_is_named(monkeypatch):
    def unreachable(*arguments, **options):
        raise Exception("URL fetch failure on https://host/file.h5: None -- no route")

    monkeypatch.setattr(keras.applications, "EfficientNetV2B0", unreachable)
    with pytest.raises(
        OSError, match=r"no route.*download efficientnetv2-b0_notop.h5 on another machine and copy it to ~/.keras/mod"
    ):
        classifiers.transfer("EfficientNetV2B0")
