"""What a classifier looked at: Grad-CAM.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017. The
feature maps of the last convolution are added up, each weighted by how much the score of a class grows with it:

    weight of map k = mean over all places of d(score) / d(map k),    heat = max(0, sum over k of weight k · map k)

where the score is what goes into the softmax. For a network that ends in a global average pooling and one dense layer
these weights are that layer's, divided by the number of places: class activation mapping (Zhou et al., CVPR 2016).
"""

import cv2
import keras
import numpy as np
import tensorflow as tf

# They make maps coarser without finding anything new, so the maps before them are the ones to look at.
POOLINGS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


def grad_cam(model, images, labels=None, *, layer=None, batch_size=32):
    """Computes heat maps: where an image speaks for a class.

    Args:
        model: keras.Model from float32 `[0, 1]` images to probabilities, `(n, classes)` or `(n, 1)`, its last layer a
            Dense or Activation layer. Networks inside it are looked into.
        images: uint8 `(n, height, width, channels)`.
        labels: int, or int `(n,)`, the class to speak for; None takes what the model predicts.
        layer: name of the layer whose maps are taken; None takes the last that has a height and a width and is no
            pooling.
        batch_size: images at once.

    Returns:
        float32 `(n, height, width)` in [0, 1], the largest value of each map 1, or all 0 where nothing in the image
        speaks for the class.

    Raises:
        ValueError: if the images are not uint8, the layer is not there, or the model has none with height and width.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(
            f"images must be uint8 of shape (n, height, width, channels). Received: {images.dtype} {images.shape}"
        )
    maps_and_scores = _opened(model, _find(model, layer))
    if labels is not None:
        labels = np.broadcast_to(labels, len(images))
    blocks = [slice(i, i + batch_size) for i in range(0, len(images), batch_size)]
    heats = [_heat(maps_and_scores, images[rows], None if labels is None else labels[rows]) for rows in blocks]
    return np.concatenate(heats)


def _heat(maps_and_scores, images, labels):
    with tf.GradientTape() as tape:
        inputs = tf.cast(images, "float32") / 255
        tape.watch(inputs)
        maps, scores = maps_and_scores(inputs, training=False)
        scores = tf.cast(scores, "float32")
        if scores.shape[1] == 1:  # one sigmoid unit stands for class 1, its negative for class 0
            scores = tf.concat([-scores, scores], axis=1)
        labels = tf.argmax(scores, axis=1) if labels is None else labels
        score = tf.gather(scores, labels, axis=1, batch_dims=1)
    weights = tf.reduce_mean(tf.cast(tape.gradient(score, maps), "float32"), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, "float32"), axis=-1)).numpy()
    height, width = images.shape[1:3]
    heat = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in heat])
    highest = heat.max((1, 2), keepdims=True)
    return np.divide(heat, highest, out=np.zeros_like(heat), where=highest > 0)


def _find(model, name):
    """Returns the layer of this name, or the last one with feature maps to look at."""
    candidates = list(_layers(model))
    if name is not None:
        named = [layer for layer in candidates if layer.name == name]
        if not named:
            raise ValueError(f"{model.name} has no layer of this name. Received: layer={name!r}")
        return named[0]
    skip = (keras.layers.InputLayer, *POOLINGS)
    maps = [layer for layer in candidates if not isinstance(layer, skip) and len(layer.output.shape) == 4]
    if not maps:
        raise ValueError(f"{model.name} has no layer with height and width, so there is nothing to look at")
    return maps[-1]


def _layers(model):
    """Yields a model's layers in their order, and those of models inside it in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _opened(model, target):
    """Returns a model of the same layers that returns the target's feature maps, and scores before the last activation.

    The layers are called again on a new input, those of models inside the model one by one, so that what the target
    returns is part of one graph wherever it is.
    """
    *_, last = _layers(model)
    maps = []

    def call(layer, *args, **kwargs):
        if isinstance(layer, keras.Model):
            return again(layer, args[0]).output
        outputs = (_linear(layer) if layer is last else layer)(*args, **kwargs)
        if layer is target:
            maps.append(outputs)
        return outputs

    def again(part, inputs):
        return keras.models.clone_model(
            part, input_tensors=inputs, clone_function=lambda layer: layer, call_function=call
        )

    inputs = keras.Input(model.inputs[0].shape[1:])
    scores = again(model, inputs).output
    return keras.Model(inputs, [maps[0], scores])


def _linear(layer):
    """Returns a copy of a layer without its activation."""
    copy = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    copy.build(layer.input.shape)
    copy.set_weights(layer.get_weights())
    return copy
