"""The studies' classifiers: functions that return a named functional `keras.Model`.

Every network takes float32 images `(batch, height, width, channels)` in [0, 1]. With two classes a network may end in
one sigmoid unit, the probability of class 1, or in a softmax over both; `synthkit.training` understands either.
"""

import keras
from keras import layers


def skin_cnn(image_shape=(32, 32, 3), num_classes=2):
    """Builds the skin-lesion study's convolutional network (its appendix, "Full structure of CNN").

    Four convolutions, three poolings, dropout after each block, one dense layer: 108,225 parameters as called without
    arguments. The report gives neither the activations nor the dropout rate; here they are ReLU and 0.1. With 0.25
    after every block, 300 steps were too few to learn from 600 phantoms (test AUC 0.75 against 0.78).

    Args:
        image_shape: `(height, width, channels)`, at least 20 pixels a side.
        num_classes: int; two classes give one sigmoid unit, as in the report, more a softmax.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to probabilities `(batch, 1)` or
        `(batch, num_classes)`.

    Raises:
        ValueError: if the image is too small for three poolings.
    """
    if min(image_shape[:2]) < 20:
        raise ValueError(f"skin_cnn needs images of at least 20×20 pixels. Received: image_shape={image_shape}")
    inputs = keras.Input(image_shape, name="image")
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Conv2D(64, 2, activation="relu")(x)
    x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Conv2D(128, 2, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Conv2D(128, 2, activation="relu")(x)
    x = layers.Dropout(0.1)(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, _head(x, num_classes, binary_units=1), name="skin_cnn")


def resnet18(image_shape=(28, 28, 1), num_classes=2):
    """Builds ResNet-18 as MedMNIST uses it at 28×28: a 3×3 stem of stride 1 and no max-pooling before the blocks.

    He et al., "Deep Residual Learning for Image Recognition", 2016, with the stem of Yang et al., "MedMNIST v2",
    2023. Initial weights and BatchNormalization (momentum 0.9 in Keras's terms, epsilon 1e-5) are those of the
    reference implementation in PyTorch; Keras's own momentum of 0.99 leaves the moving statistics stale after the few
    hundred steps that a small data set gives.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int, size of the softmax.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to probabilities `(batch, num_classes)`.
    """
    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(2.0, offset=-1.0)(inputs)
    x = _convolution_norm(x, 64, 3, 1)
    x = layers.ReLU()(x)
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        x = _residual_block(x, filters, stride)
        x = _residual_block(x, filters, 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, _head(x, num_classes, binary_units=2), name="resnet18")


def _residual_block(x, filters, stride):
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = _convolution_norm(x, filters, 1, stride)
    x = _convolution_norm(x, filters, 3, stride)
    x = layers.ReLU()(x)
    x = _convolution_norm(x, filters, 3, 1)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _convolution_norm(x, filters, size, stride):
    # PyTorch pads both sides alike; Keras's "same" pads a stride-2 convolution on the far side only.
    if size > 1 and stride > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
    padding = "same" if stride == 1 else "valid"
    x = layers.Conv2D(filters, size, stride, padding, use_bias=False, kernel_initializer=_pytorch_uniform())(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _pytorch_uniform():
    """PyTorch's default initialisation: uniform within ±1 / sqrt(fan in)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def _head(x, num_classes, binary_units):
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    if num_classes == 2 and binary_units == 1:
        return layers.Dense(1, activation="sigmoid", dtype="float32")(x)
    return layers.Dense(num_classes, activation="softmax", dtype="float32")(x)
