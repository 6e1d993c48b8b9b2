import keras
import numpy as np
import pytest

from synthkit import classifiers


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
    found = [(type(layer).__name__, layer.output.shape[1:], layer.count_params()) for layer in model.layers[1:]]
    assert found == table
    assert model.count_params() == 108_225


def test_resnet18_is_the_reference():
    # kuangliu/pytorch-cifar's ResNet18, which MedMNIST uses: 11,173,962 trainable parameters at 3 channels, 10 classes.
    model = classifiers.resnet18((32, 32, 3), 10)
    assert sum(np.prod(v.shape) for v in model.trainable_variables) == 11_173_962
    shapes = [layer.output.shape[1:3] for layer in model.layers if isinstance(layer, keras.layers.ReLU)]
    assert [shapes[0], shapes[-1]] == [(32, 32), (4, 4)]
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-5)}


@pytest.mark.parametrize("builder", [classifiers.skin_cnn, classifiers.resnet18])
@pytest.mark.parametrize(("classes", "shape"), [(2, (28, 28, 1)), (5, (32, 40, 3))])
def test_outputs_are_probabilities(builder, classes, shape):
    outputs = np.array(builder(shape, classes)(np.random.default_rng(0).random((3, *shape), "float32")))
    if outputs.shape[1] == 1:
        assert ((outputs > 0) & (outputs < 1)).all()
    else:
        assert outputs.shape == (3, classes)
        assert outputs.sum(1) == pytest.approx(1, abs=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"at least 20×20 pixels. Received: image_shape=\(16, 32, 3\)"):
        classifiers.skin_cnn((16, 32, 3))
    with pytest.raises(ValueError, match="num_classes=1"):
        classifiers.resnet18((28, 28, 1), 1)
