"""Grad-CAM: which regions of an image a classifier's decision is based on.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV 2017. The
feature maps of the last convolution are summed, each weighted by the mean gradient of the class's score:

    weight of map k = mean over all positions of d(score) / d(map k),    heat = max(0, sum over k of weight k · map k)

The score is the logit of the class. In a network that ends in global average pooling and one dense layer, the weights
are those of that layer divided by the number of positions: class activation mapping (Zhou et al., CVPR 2016).
"""

import cv2
import keras
import numpy as np
import tensorflow as tf

# They only make feature maps coarser, so Grad-CAM uses the maps before them.
POOLINGS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)


def grad_cam(model, images, labels=None, *, layer=None, batch_size=32):
    """Computes heat maps of the regions that raise the score of a class.

    Args:
        model: functional or sequential keras.Model from float32 `[0, 1]` images to probabilities, `(n, classes)` or
            `(n, 1)`. Its last layer is a Dense or Activation layer. It may contain other models.
        images: uint8 `(n, height, width, channels)`.
        labels: int, or int `(n,)`, the class; None uses the predicted one.
        layer: name of the layer whose feature maps are used; None uses the last one whose output has height and width,
            poolings excepted.
        batch_size: images computed at a time; limits the memory.

    Returns:
        float32 `(n, height, width)` in [0, 1]. The largest value of each map is 1, or 0 if no region raises the score.

    Raises:
        ValueError: if the images are not uint8, if there is no such layer, or if no layer has height and width.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(
            f"images must be uint8 of shape (n, height, width, channels). Received: {images.dtype} {images.shape}"
        )
    scores_and_maps = _opened(model, _find(model, layer))
    if labels is not None:
        labels = np.broadcast_to(labels, len(images))
    batches = [slice(i, i + batch_size) for i in range(0, len(images), batch_size)]
    heats = [_heat(scores_and_maps, images[rows], None if labels is None else labels[rows]) for rows in batches]
    return np.concatenate(heats)


def _heat(scores_and_maps, images, labels):
    with tf.GradientTape() as tape:
        inputs = tf.cast(images, "float32") / 255
        tape.watch(inputs)
        scores, maps = scores_and_maps(inputs, training=False)
        scores = tf.cast(scores, "float32")
        if scores.shape[1] == 1:  # the logit of one sigmoid unit is the score of class 1, its negative that of class 0
            scores = tf.concat([-scores, scores], axis=1)
        labels = tf.argmax(scores, axis=1) if labels is None else labels
        score = tf.gather(scores, labels, axis=1, batch_dims=1)
    weights = tf.reduce_mean(tf.cast(tape.gradient(score, maps), "float32"), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, "float32"), axis=-1)).numpy()
    height, width = images.shape[1:3]
    heat = np.stack([cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) for coarse in heat])
    highest = heat.max((1, 2), keepdims=True)
    return np.divide(heat, highest, out=np.zeros_like(heat), where=highest > 0)


def _find(model, name):
    """Returns the layer of this name, or for None the last one with feature maps."""
    candidates = list(_layers(model))
    if name is not None:
        named = [layer for layer in candidates if layer.name == name]
        if not named:
            raise ValueError(f"layer must be the name of a layer of {model.name}. Received: layer={name!r}")
        return named[0]
    skip = (keras.layers.InputLayer, *POOLINGS)
    maps = [layer for layer in candidates if not isinstance(layer, skip) and len(layer.output.shape) == 4]
    if not maps:
        raise ValueError(f"no layer of {model.name} has height and width, which Grad-CAM needs")
    return maps[-1]


def _layers(model):
    """Yields a model's layers in order, with those of nested models in place of these."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _opened(model, target):
    """Returns a model of the same layers with two outputs: scores before the last activation, and the target's maps."""
    *_, last = _layers(model)

    def opened(model):
        maps = []

        def call(layer, *args, **kwargs):
            if isinstance(layer, keras.Model):
                outputs, *inner_maps = opened(layer)(*args, **kwargs)
                maps.extend(inner_maps)
            else:
                outputs = (_linear(layer) if layer is last else layer)(*args, **kwargs)
            if layer is target:
                maps.append(outputs)
            return outputs

        # The same graph without optimizer and loss, which clone_model would copy, and functional if it is Sequential.
        inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
        graph = keras.Model(inputs, model.outputs[0])
        again = keras.models.clone_model(graph, clone_function=lambda layer: layer, call_function=call)
        return keras.Model(again.input, [again.output, *maps])

    return opened(model)


def _linear(layer):
    """Returns a copy of a layer without its activation."""
    copy = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    copy.build(layer.input.shape)
    copy.set_weights(layer.get_weights())
    return copy
