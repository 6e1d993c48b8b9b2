"""How fast the studies' GANs train, compared with the same work elsewhere: `python -m tests.benchmarks.generators`.

What is compared with PyTorch needs it installed by hand, and is left out without it. PyTorch's networks are the same
layer by layer, in channels-last layout. The GANs' step is that of its own DCGAN tutorial, which generates one batch per
step, too; the diffusion model's is our own. `cgan_training_vs_train_on_batch` compares with the loop of most
Keras tutorials: frozen discriminator, combined model, three calls of `train_on_batch` and one of `predict` per batch.
"""

import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command line does

import keras
import numpy as np
import tensorflow as tf

from synthkit.generators import diffusion, mammography_cgan, medmnist_cgan, skin_dcgan

BATCH = 128
ROUNDS = 5


def measure(name, contestants, steps):
    """Prints the images per second of contestants that take turns, and returns their ratio.

    Args:
        name: of what is trained.
        contestants: dict from a name to a callable `(steps)` that trains for that many steps.
        steps: of one turn.

    Returns:
        the first's median over the second's, or None with one contestant.
    """
    for train in contestants.values():
        train(2)
    speeds = {label: [] for label in contestants}
    for _ in range(ROUNDS):
        for label, train in contestants.items():
            began = time.perf_counter()
            train(steps)
            speeds[label].append(steps * BATCH / (time.perf_counter() - began))
    medians = [statistics.median(values) for values in speeds.values()]
    for label, median in zip(speeds, medians, strict=True):
        print(f"{name}, {label}: {median:.0f} images/s, of {', '.join(f'{v:.0f}' for v in speeds[label])}", flush=True)
    return medians[0] / medians[1] if len(medians) > 1 else None


def batch(image_shape):
    rng = np.random.default_rng(0)
    return rng.random((BATCH, *image_shape), "float32"), np.arange(BATCH) % 2


def with_fit(model):
    """Returns a callable that trains with Keras's `fit`, without the checks of the data."""
    images, labels = batch(model.image_shape)
    labels = labels % model.num_classes
    data = tf.data.Dataset.from_tensors((images, labels)).repeat()
    options = tf.data.Options()
    options.autotune.enabled = False  # as in `pipeline.to_dataset`: its thread keeps every iterator open for seconds
    data = data.with_options(options)

    def train(steps):
        keras.Model.fit(model, data, steps_per_epoch=steps, verbose=0, shuffle=False)

    return train


def with_train_on_batch(model):
    """Returns a callable that trains the same networks with the usual loop."""
    generator, critic = (keras.models.clone_model(part) for part in (model.generator, model.discriminator))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    images, labels = batch(model.image_shape)
    onehot = np.eye(2, dtype="float32")[labels]
    ones, zeros = np.ones((BATCH, 1), "float32"), np.zeros((BATCH, 1), "float32")
    critic.compile(keras.optimizers.Adam(1e-4), loss, jit_compile=False)
    # Traced before it is frozen, or it would never be trained: Keras 3 fixes what is trainable when it traces.
    critic.train_on_batch([images, onehot], ones)
    critic.trainable = False
    noise, label = (keras.Input(part.shape[1:]) for part in generator.inputs)
    combined = keras.Model([noise, label], critic([generator([noise, label]), label]))
    combined.compile(keras.optimizers.Adam(1e-4), loss, jit_compile=False)

    def train(steps):
        for _ in range(steps):
            values = np.random.standard_normal((BATCH, noise.shape[1]))  # noqa: NPY002 as the tutorials do
            critic.train_on_batch([images, onehot], ones)
            critic.train_on_batch([generator.predict([values, onehot], BATCH, verbose=0), onehot], zeros)
            combined.train_on_batch([values, onehot], ones)

    return train


def with_pytorch(model):
    """Returns a callable that trains the same networks in PyTorch, in another process, which waits between turns."""
    plan = {
        "generator": torch_table(model.generator),
        "discriminator": torch_table(model.discriminator),
        "noise_size": model.noise_shape[0],
        "image_shape": model.image_shape,
        "classes": model.num_classes if len(model.generator.inputs) == 2 else 0,
        "batch_size": BATCH,
    }
    return peer("torch_gan", plan, [weights(model.generator), weights(model.discriminator)])


def with_pytorch_unet(model):
    """As `with_pytorch`, for the diffusion model."""
    widths = [layer.output.shape[-1] for layer in model.network.layers if getattr(layer, "strides", None) == (2, 2)]
    plan = {"image_shape": model.image_shape, "classes": model.num_classes, "widths": [model.width, *widths]}
    return peer("torch_unet", plan | {"batch_size": BATCH}, [weights(model.network)])


def peer(module, plan, counts):
    """Starts a peer and checks that its networks have as many weights; returns a callable that trains it for steps."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    process = subprocess.Popen([sys.executable, "-m", f"tests.benchmarks.{module}"], **pipes)

    def ask(line):
        print(line, file=process.stdin, flush=True)
        return process.stdout.readline()

    assert ask(json.dumps(plan)).split() == [str(count) for count in counts], "the networks differ"
    return ask


def weights(network):
    """Returns how many numbers a network trains."""
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def torch_table(network):
    """Translates a Keras network layer by layer for `torch_gan`, without inputs and their scaling."""
    rows = []
    for layer in network.layers:
        kind = type(layer).__name__
        if kind.startswith("Conv2D"):
            rows.append(["ConvTranspose2d" if kind == "Conv2DTranspose" else "Conv2d", _convolution(layer)])
            rows += [["Tanh", {}]] if layer.activation.__name__ == "tanh" else []
        elif kind == "Dense":
            rows.append(["Linear", {"in_features": layer.input.shape[-1], "out_features": layer.units}])
        elif kind == "BatchNormalization":
            rows.append(["BatchNorm2d", {"num_features": layer.output.shape[-1]}])
        elif kind == "Reshape":
            height, width, channels = layer.target_shape
            rows.append(["Unflatten", {"dim": 1, "unflattened_size": [channels, height, width]}])
        elif kind not in ("InputLayer", "Rescaling", "Concatenate", "LabelPlanes"):
            names = {
                "ReLU": ["ReLU", {}],
                "LeakyReLU": ["LeakyReLU", {"negative_slope": 0.2}],
                "Flatten": ["Flatten", {}],
            }
            names |= {"Dropout": ["Dropout", {"p": 0.4}], "Activation": ["Tanh", {}]}
            rows.append(names[kind])
    return rows


def _convolution(layer):
    padding = 1 if layer.padding == "same" else 0
    sizes = {"in_channels": layer.input.shape[-1], "out_channels": layer.filters, "kernel_size": layer.kernel_size[0]}
    return sizes | {"stride": layer.strides[0], "padding": padding, "bias": layer.use_bias}


def samples_per_second(model, count=1024):
    """Returns the images per second of `sample`, after a first call."""
    model.steps.assign(1)
    labels = np.arange(count) % model.num_classes
    model.sample(labels, 0)
    began = time.perf_counter()
    model.sample(labels, 0)
    return count / (time.perf_counter() - began)


def main():
    peers = {"PyTorch": with_pytorch} if importlib.util.find_spec("torch") else {}
    unet_peers = {"PyTorch": with_pytorch_unet} if peers else {}
    if not peers:
        print("PyTorch is not installed: the figures that compare with it are left out")
    ratios = {}
    for name, build, shape, classes, others, steps in (
        ("dcgan_training_vs_pytorch", lambda *_: skin_dcgan.dcgan((32, 32, 3), True), (32, 32, 3), 1, peers, 12),
        ("cgan_training_vs_pytorch", mammography_cgan.mammography_cgan, (64, 64, 3), 2, peers, 4),
        ("diffusion_training_vs_pytorch", diffusion.diffusion, (32, 32, 1), 2, unet_peers, 4),
        (
            "cgan_training_vs_train_on_batch",
            medmnist_cgan.dense_cgan,
            (28, 28, 1),
            2,
            {"loop": with_train_on_batch},
            20,
        ),
    ):
        model = build(shape, classes)
        contestants = {"synthkit": with_fit(model)} | {label: make(model) for label, make in others.items()}
        ratios[name] = measure(f"{model.name} {shape[0]}×{shape[1]}", contestants, steps)
        print(f"{model.name}: {samples_per_second(model):.0f} samples/s", flush=True)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB, peers included")
    for name, ratio in ratios.items():
        if ratio is not None:
            print(f"{name} = {ratio:.3f}")


if __name__ == "__main__":
    main()
