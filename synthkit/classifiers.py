"""The studies' classifiers: functions that return a named functional `keras.Model`.

Every network takes float32 images `(batch, height, width, channels)` in [0, 1]. With two classes a network may end in
one sigmoid unit, the probability of class 1, or in a softmax over both; `synthkit.training` accepts both.
"""

import hashlib
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

from synthkit._sizes import check_size

# For each network: Keras's file of ImageNet weights without the head, and the last layer before its last block.
BACKBONES = {
    "VGG16": ("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "block4_pool"),
    "InceptionResNetV2": ("inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "mixed_7a"),
    "DenseNet169": ("densenet169_weights_tf_dim_ordering_tf_kernels_notop.h5", "pool4_pool"),
    "EfficientNetV2B0": ("efficientnetv2-b0_notop.h5", "block5e_add"),
}


LEAST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}  # pixels a side; 32 for the others
APPLICATIONS = tuple(name for name in dir(keras.applications) if name[0].isupper())


@keras.saving.register_keras_serializable("synthkit")
class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation that is trained by TensorFlow's one operation for it instead of Keras's dozen.

    As in PyTorch, the moving variance is that of a sample; Keras's is that of a population.
    """

    # A training step of ResNet-18 takes a tenth less processor time than with Keras's layer (1.10 × at 28×28 in batches
    # of 128, 1.08 × at 64×64 and 1.10 × at 128×128 in batches of 32, on two cores). That alone would be too little; the
    # tables in data/results were made with it, and other rounding would change them.

    def call(self, x, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(x, training=training, mask=mask)
        scale, offset = (tf.cast(weight, "float32") for weight in (self.gamma, self.beta))
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(x, scale, offset, epsilon=self.epsilon)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs


def simple_cnn(image_shape=(224, 224, 3), num_classes=2, *, filters=(32, 64, 128), dense_units=128, dropout=0.5):
    """Builds the mammography study's basic convolutional network, with the tuned hyperparameters as arguments.

    The slides ("Base Model with Convolution Neural Network") name the hyperparameters: number of convolutional layers,
    filters of each, dense units, dropout. They give neither kernel sizes nor pooling. Here every convolution is 3×3
    with a ReLU and is followed by a 2×2 max pooling; the default values are ours.

    Args:
        image_shape: `(height, width, channels)`, at least 2 to the power of `len(filters)` pixels a side.
        num_classes: int, size of the softmax.
        filters: ints, one for each convolutional layer.
        dense_units: int, units of the dense layer before the last.
        dropout: fraction of these units that is dropped in training.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to probabilities `(batch, num_classes)`.

    Raises:
        ValueError: if the image is too small for one pooling per layer.
    """
    why = f", or fewer filters: it halves images {len(filters)} times (filters={filters})"
    _check_least("simple_cnn", image_shape, 2 ** len(filters), why)
    inputs = x = keras.Input(image_shape, name="image")
    for count in filters:
        x = layers.Conv2D(count, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(dense_units, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, _head(x, num_classes, binary_units=2), name="simple_cnn")


def skin_cnn(image_shape=(32, 32, 3), num_classes=2):
    """Builds the skin-lesion study's convolutional network (its appendix, "Full structure of CNN").

    Four convolutions, three poolings, dropout after each block and one dense layer: 108,225 parameters with the default
    arguments. The report gives neither the activations nor the dropout rate; here they are ReLU and 0.1. With a rate of
    0.25, 300 steps were too few to learn from 600 phantoms (test AUC 0.75 instead of 0.78).

    Args:
        image_shape: `(height, width, channels)`, at least 20 pixels a side.
        num_classes: int; two classes give one sigmoid unit, as in the report, more give a softmax.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to probabilities `(batch, 1)` or
        `(batch, num_classes)`.

    Raises:
        ValueError: if the image is too small for three poolings.
    """
    _check_least("skin_cnn", image_shape, 20)
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


def resnet18(image_shape=(28, 28, 1), num_classes=2, *, stem=None):
    """Builds ResNet-18: for small images as in MedMNIST's benchmark, for larger ones as first published.

    He et al., "Deep Residual Learning for Image Recognition", 2016. The "small" stem is a 3×3 convolution of stride 1
    (Yang et al., "MedMNIST v2", 2023, at 28×28). The "large" stem is a 7×7 convolution and a max pooling, both of
    stride 2 (the paper's, and MedMNIST's at 224×224); the network is then 13 times as fast. Initial weights and
    BatchNormalization (momentum 0.9 in Keras's terms, epsilon 1e-5) are those of the reference implementations in
    PyTorch. With Keras's default momentum of 0.99, the moving statistics would still be far off after the few hundred
    steps of training on a small data set.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int, size of the softmax.
        stem: "small" or "large"; None uses the large one for images of at least 64 pixels a side.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to probabilities `(batch, num_classes)`.

    Raises:
        ValueError: for an unknown stem.
    """
    stem = stem or ("large" if min(image_shape[:2]) >= 64 else "small")
    if stem not in ("small", "large"):
        raise ValueError(f"stem must be 'small', 'large' or None. Received: stem={stem!r}")
    # kuangliu/pytorch-cifar, MedMNIST's source of the small stem, keeps PyTorch's default; torchvision does not.
    initializer = _pytorch_uniform if stem == "small" else _he_fan_out
    inputs = keras.Input(image_shape, name="image")
    x = layers.Rescaling(2.0, offset=-1.0)(inputs)
    x = _convolution_norm(x, 64, *((3, 1) if stem == "small" else (7, 2)), initializer)
    x = layers.ReLU()(x)
    if stem == "large":
        # After a ReLU, padding with 0 gives the same maxima as PyTorch's padding with minus infinity.
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    for filters, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        x = _residual_block(x, filters, stride, initializer)
        x = _residual_block(x, filters, 1, initializer)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, _head(x, num_classes, binary_units=2), name="resnet18")


def transfer(name, image_shape=(224, 224, 3), num_classes=2, *, weights="imagenet", dropout=0.2):
    """Builds a frozen, pretrained network with a new head: the first stage of transfer learning.

    The networks are those of `application`. The head is dropout and a softmax over the pooled features. `fine_tune`
    makes the model of the second stage.

    Args:
        name, weights: as in `application`; without weights nothing is frozen.
        image_shape: `(height, width, channels)`, 1 or 3 channels, at least 32 pixels a side, 75 for InceptionResNetV2.
        num_classes: int, size of the softmax.
        dropout: fraction of the pooled features that is dropped in training.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to probabilities `(batch, num_classes)`.

    Raises:
        ValueError, OSError: as in `application`.
    """
    base = application(name, weights)(image_shape)
    for layer in base.layers:
        layer.trainable = weights is None
        if weights is None and isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9  # as in resnet18, for the same reason
    outputs = _head(layers.Dropout(dropout)(base.output), num_classes, binary_units=2)
    return keras.Model(base.input, outputs, name=name.lower())


def application(name, weights="imagenet"):
    """Makes a builder of one of Keras's applications, without its head, for `transfer` and `pretrained`.

    Among them are the mammography study's VGG16 and InceptionResNetV2, the DenseNet169 that its slides cite, and
    EfficientNetV2B0, a small recent one (Tan and Le, 2021). The model includes the network's own input preprocessing;
    grey images are repeated to three channels.

    Args:
        name: name of the function in `keras.applications`.
        weights: "imagenet"; the path of a file with the weights of the network without its head; or None for random
            weights.

    Returns:
        callable `(image_shape) → keras.Model` from float32 `(batch, *image_shape)` in [0, 1] to features `(batch, n)`.
        It raises ValueError for another number of channels or images that are too small, and OSError if the ImageNet
        weights cannot be downloaded.

    Raises:
        ValueError: for an unknown name.
        FileNotFoundError: if the file of weights does not exist.
    """
    if name not in APPLICATIONS:
        raise ValueError(f"name must be one of {', '.join(APPLICATIONS)}. Received: name={name!r}")
    if weights not in ("imagenet", None) and not Path(weights).is_file():
        raise FileNotFoundError(f"there is no file {weights}; weights must be 'imagenet', a file of weights or None")

    def build(image_shape):
        if image_shape[-1] not in (1, 3):
            raise ValueError(f"{name} takes images of 1 or 3 channels. Received: image_shape={image_shape}")
        _check_least(name, image_shape, LEAST.get(name, 32))
        inputs = x = keras.Input(image_shape, name="image")
        if image_shape[-1] == 1:
            x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
        x = _imagenet_input(name, x)
        options = {"include_top": False, "weights": None if weights is None else str(weights), "pooling": "avg"}
        try:
            base = getattr(keras.applications, name)(input_tensor=x, input_shape=(*image_shape[:2], 3), **options)
        except Exception as error:
            if type(error) is not Exception:  # exactly this class is what Keras raises when a download fails
                raise
            file = BACKBONES[name][0] if name in BACKBONES else "the file"
            raise OSError(
                f"the ImageNet weights of {name} could not be downloaded ({error}); download {file} on another machine "
                f"and copy it to ~/.keras/models/, or give its path (weights, --weights)"
            ) from error
        return keras.Model(inputs, base.output, name=name.lower())

    # Studies save this name, so that a folder's trials are never mixed with those of other weights.
    own = weights not in ("imagenet", None)
    build.__name__ = f"{name} {hashlib.sha256(Path(weights).read_bytes()).hexdigest()[:8]}" if own else name
    return build


def _check_least(network, image_shape, least, why=""):
    """Raises ValueError if a side of the images has fewer than `least` pixels."""
    needs = f"images of at least {least}×{least} pixels{why}"
    check_size(network, image_shape, lambda *sides: min(sides) >= least, needs)


def _imagenet_input(name, x):
    """Scales RGB in [0, 1] as the network expects (`preprocess_input` of its module in Keras)."""
    if name == "VGG16":
        scale, offset = (
            [255.0] * 3,
            [-123.68, -116.779, -103.939],
        )  # Keras 3.11 takes the number of channels from `scale`
        x = layers.Rescaling(scale, offset, name="imagenet_input")(x)
        return keras.ops.flip(x, axis=-1)
    if name == "InceptionResNetV2":
        return layers.Rescaling(2.0, offset=-1.0, name="imagenet_input")(x)
    if name == "DenseNet169":
        mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        scale, offset = [1 / d for d in deviation], [-m / d for m, d in zip(mean, deviation, strict=True)]
        return layers.Rescaling(scale, offset, name="imagenet_input")(x)
    x = layers.Rescaling(255.0, name="imagenet_input")(x)
    return _module_of(name).preprocess_input(x)  # which EfficientNet, MobileNetV3 and ConvNeXt do themselves


def _module_of(name):
    """Returns the module of `keras.applications` that holds a network."""
    modules = [getattr(keras.applications, module) for module in dir(keras.applications) if module[0].islower()]
    if name.startswith("MobileNetV3"):  # which its public module does not list
        return keras.applications.mobilenet_v3
    return next(module for module in modules if hasattr(module, name))


def fine_tune(model, after=None):
    """Copies a model of `transfer` with its last block unfrozen: the second stage, at a hundredth of the learning rate.

    BatchNormalization stays in inference mode, so that small batches do not overwrite the statistics of ImageNet.

    Example, after `head`, a `training.Trainer`, has trained the head of a frozen network:

        tuner = training.Trainer(lambda *_: classifiers.fine_tune(head.model), shape, 2, steps=200, learning_rate=1e-5)

    Args:
        model: trained keras.Model of `transfer`.
        after: name of the layer after which all layers are trained; None stands for the one in `BACKBONES`.

    Returns:
        keras.Model.

    Raises:
        ValueError: if there is no such layer, or `after` is None for a model that `transfer` did not build.
    """
    after = after or {name.lower(): layer for name, (_, layer) in BACKBONES.items()}.get(model.name)
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    names = [layer.name for layer in copy.layers]
    if after not in names:
        raise ValueError(f"after must be the name of a layer of {model.name}. Received: after={after!r}")
    for i, layer in enumerate(copy.layers):
        layer.trainable = i > names.index(after) and not isinstance(layer, layers.BatchNormalization)
    return copy


def _residual_block(x, filters, stride, initializer):
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = _convolution_norm(x, filters, 1, stride, initializer)
    x = _convolution_norm(x, filters, 3, stride, initializer)
    x = layers.ReLU()(x)
    x = _convolution_norm(x, filters, 3, 1, initializer)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _convolution_norm(x, filters, size, stride, initializer):
    # PyTorch pads both sides; Keras's "same" pads a convolution of stride 2 on the right and at the bottom only.
    if size > 1 and stride > 1:
        x = layers.ZeroPadding2D(size // 2)(x)
    padding = "same" if stride == 1 else "valid"
    x = layers.Conv2D(filters, size, stride, padding, use_bias=False, kernel_initializer=initializer())(x)
    return FusedBatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _pytorch_uniform():
    """PyTorch's default initialisation: uniform within ±1 / sqrt(fan in)."""
    return keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


def _he_fan_out():
    """torchvision's initialisation of ResNet: normal with variance 2 / fan out."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def _head(x, num_classes, binary_units):
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2. Received: num_classes={num_classes}")
    if num_classes == 2 and binary_units == 1:
        return layers.Dense(1, activation="sigmoid", dtype="float32")(x)
    return layers.Dense(num_classes, activation="softmax", dtype="float32")(x)
