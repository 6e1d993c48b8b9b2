import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from synthkit import classifiers
from synthkit.explain import grad_cam

WEIGHTS = np.array([[2.0, -1.0], [-1.0, 3.0], [0.5, 0.5]], "float32")  # of three maps for two classes


def pooled(units=2, *, nested=False, stride=1):
    """A network whose feature maps are the colours, so that its heat is known: convolution, mean, one dense layer."""
    inputs = x = keras.Input((6, 6, 3))
    x = layers.Conv2D(3, 1, strides=stride, use_bias=False, name="maps")(x)
    x = layers.GlobalAveragePooling2D()(x)
    if nested:
        x = keras.Model(inputs, x, name="inner")(layers.Dropout(0.5)(inputs))
    activation = "softmax" if units == 2 else "sigmoid"
    model = keras.Model(inputs, layers.Dense(units, activation=activation, use_bias=False, name="head")(x))
    kernel = WEIGHTS if units == 2 else WEIGHTS[:, 1:] - WEIGHTS[:, :1]
    model.set_weights([np.eye(3, dtype="float32")[None, None], kernel])
    return model


def colours(n=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3)).astype("uint8")


def class_activation(images, weights):
    heat = np.maximum(0, images @ weights)
    return heat / heat.max((1, 2), keepdims=True)


@pytest.mark.parametrize("nested", [False, True])
def test_global_pooling_gives_class_activation_mapping(nested):
    images = colours()
    for label in (0, 1):
        heat = grad_cam(pooled(nested=nested), images, label)
        assert heat.dtype == "float32"
        assert heat == pytest.approx(class_activation(images, WEIGHTS[:, label]), abs=1e-6)
    each = grad_cam(pooled(nested=nested), images, [1, 0])
    assert each[0] == pytest.approx(class_activation(images[:1], WEIGHTS[:, 1])[0], abs=1e-6)
    assert each[1] == pytest.approx(class_activation(images[1:], WEIGHTS[:, 0])[0], abs=1e-6)


def test_one_sigmoid_unit_is_the_score_of_class_1_and_its_negative_that_of_class_0():
    images, weights = colours(), WEIGHTS[:, 1] - WEIGHTS[:, 0]
    assert grad_cam(pooled(1), images, 1) == pytest.approx(class_activation(images, weights), abs=1e-6)
    assert grad_cam(pooled(1), images, 0) == pytest.approx(class_activation(images, -weights), abs=1e-6)


def test_predicted_class_is_the_default():
    images = np.zeros((2, 6, 6, 3), "uint8")
    images[0, ..., 0] = images[1, ..., 1] = np.arange(36).reshape(6, 6)
    assert pooled()(images / 255.0).numpy().argmax(1).tolist() == [0, 1]
    assert (grad_cam(pooled(), images) == grad_cam(pooled(), images, [0, 1])).all()


def test_map_is_zero_where_no_region_raises_the_score():
    images = np.zeros((1, 6, 6, 3), "uint8")
    images[..., 1] = 200
    assert (grad_cam(pooled(), images, 0) == 0).all()
    assert (grad_cam(pooled(), images, 1) == 1).all()


def test_coarse_maps_are_resized_to_the_image():
    images = colours()
    heat = np.maximum(0, images[:, ::2, ::2] @ WEIGHTS[:, 0])
    large = np.stack([cv2.resize(coarse, (6, 6), interpolation=cv2.INTER_LINEAR) for coarse in heat])
    expected = large / large.max((1, 2), keepdims=True)
    assert grad_cam(pooled(stride=2), images, 0) == pytest.approx(expected, abs=1e-6)


def reference(model, name, images, label):
    """Grad-CAM as the Keras example of that name computes it, on a model without its softmax."""
    maps_and_scores = keras.Model(model.inputs[0], [model.get_layer(name).output, model.outputs[0]])
    with tf.GradientTape() as tape:
        maps, scores = maps_and_scores(images / np.float32(255))
        score = scores[:, label]
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2))
    return np.maximum(0, np.einsum("nijk,nk->nij", maps, weights))


def test_agrees_with_the_keras_example():
    keras.utils.set_random_seed(0)
    model = classifiers.simple_cnn((16, 16, 1), filters=(4, 8), dense_units=8)
    images = colours(3)[:, :, :, :1].repeat(3, 1)[:, :16].repeat(3, 2)[:, :, :16]
    ours = grad_cam(model, images, 1, batch_size=2)
    linear = keras.models.clone_model(model)
    linear.set_weights(model.get_weights())
    linear.layers[-1].activation = keras.activations.linear
    convolutions = [layer.name for layer in linear.layers if isinstance(layer, layers.Conv2D)]
    heat = reference(linear, convolutions[-1], images, 1)
    heat = np.stack([cv2.resize(coarse, (16, 16)) for coarse in heat])
    assert ours == pytest.approx(heat / heat.max((1, 2), keepdims=True), abs=1e-5)
    first = grad_cam(model, images, 1, layer=model.layers[1].name)
    assert np.abs(first - ours).max() > 0.1


@pytest.mark.parametrize(
    "build",
    [
        lambda: classifiers.simple_cnn((32, 32, 3)),
        lambda: classifiers.skin_cnn((32, 32, 3)),
        lambda: classifiers.resnet18((32, 32, 3)),
        lambda: classifiers.transfer("VGG16", (32, 32, 3), weights=None),
    ],
    ids=["simple_cnn", "skin_cnn", "resnet18", "VGG16"],
)
def test_every_classifier_is_explained_and_stays_as_it_is(build):
    keras.utils.set_random_seed(0)
    model = build()
    model.compile("adam", lambda labels, scores: keras.losses.categorical_crossentropy(labels, scores))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    before, config = model(images / np.float32(255)).numpy(), model.get_config()
    heat = grad_cam(model, images, [0, 1])
    assert heat.shape == (2, 32, 32)
    assert heat.dtype == "float32"
    assert 0 <= heat.min() <= heat.max() <= 1
    assert (heat.max((1, 2)) > 0).any()
    assert (grad_cam(model, images, [0, 1]) == heat).all()
    assert (model(images / np.float32(255)).numpy() == before).all()
    assert model.get_config() == config


def test_frozen_layers_give_the_same_map():
    keras.utils.set_random_seed(0)
    model = classifiers.transfer("VGG16", (32, 32, 3), weights=None)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    heat = grad_cam(model, images, 1)
    for layer in model.layers[:-1]:
        layer.trainable = False
    assert (grad_cam(model, images, 1) == heat).all()


@pytest.mark.parametrize("inner", [keras.Sequential, None], ids=["sequential", "functional"])
def test_models_of_models_give_the_maps_of_their_layers(inner):
    images = colours()
    weights = [np.eye(3, dtype="float32")[None, None], WEIGHTS]
    features = [layers.Conv2D(3, 1, use_bias=False, name="maps"), layers.GlobalAveragePooling2D()]
    head = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax", use_bias=False)])
    if inner:
        model = keras.Sequential([keras.Input((6, 6, 3)), keras.Sequential([keras.Input((6, 6, 3)), *features]), head])
    else:
        inputs = keras.Input((6, 6, 3))
        middle = keras.Model(inputs, features[1](features[0](inputs)))
        outer = keras.Model(inputs, middle(layers.Identity()(inputs)))
        model = keras.Model(inputs, head(outer(inputs)))
    model.set_weights(weights)
    for name in (None, "maps"):
        heat = grad_cam(model, images, 0, layer=name)
        assert heat == pytest.approx(class_activation(images, WEIGHTS[:, 0]), abs=1e-6)


def test_activation_layer_at_the_end_is_left_out():
    model = pooled()
    logits = layers.Dense(2, use_bias=False)
    x = logits(model.layers[-1].input)
    activated = keras.Model(model.input, layers.Activation("softmax")(x))
    logits.set_weights([WEIGHTS])
    assert (grad_cam(activated, colours(), 1) == grad_cam(model, colours(), 1)).all()


def test_errors_say_what_was_received():
    with pytest.raises(ValueError, match=r"images must be uint8 of shape .* Received: float64 \(2, 6, 6, 3\)"):
        grad_cam(pooled(), colours() / 255)
    with pytest.raises(ValueError, match="layer must be the name of a layer of .* Received: layer='conv9'"):
        grad_cam(pooled(), colours(), layer="conv9")
    flat = keras.Sequential([keras.Input((6, 6, 3)), layers.Flatten(), layers.Dense(2, activation="softmax")])
    with pytest.raises(ValueError, match="no layer of .* has height and width, which Grad-CAM needs"):
        grad_cam(flat, colours())
