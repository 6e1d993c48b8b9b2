"""Frozen features per second against Keras's MobileNetV3Small and ONNX Runtime: `python -m tests.benchmarks.features`.

Ours goes from uint8 images to features, as in a study (`pretrained.FrozenTrainer`, with nothing known yet). The peers
get float32 batches. ONNX Runtime computes the same EfficientNet-Lite0 with the same weights; it is needed for this
benchmark only: `pip install onnxruntime onnx tf2onnx`. Runs alternate.
"""

import importlib.util
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the command line does

import keras
import numpy as np
import tensorflow as tf

from synthkit import backbones, pretrained
from synthkit.imageset import ImageSet

ROUNDS, IMAGES, SIZE, BATCH = 5, 640, 96, 64


def batches(images, function):
    floats = images.astype("float32") / 255
    for start in range(0, len(images), BATCH):
        function(floats[start : start + BATCH])


def onnx_session(model):
    """Returns ONNX Runtime's function of a network, checked against the network."""
    import onnxruntime

    model(np.zeros((1, SIZE, SIZE, 1), "float32"))  # Keras exports only networks that were called
    path = Path(tempfile.mkdtemp()) / "network.onnx"
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    probe = np.random.default_rng(0).random((4, SIZE, SIZE, 1), "float32")
    np.testing.assert_allclose(session.run(None, {name: probe})[0], model(probe), atol=1e-3)
    return lambda batch: session.run(None, {name: batch})


def main():
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, SIZE, SIZE, 1)).astype("uint8")
    imageset = ImageSet(images, np.arange(IMAGES) % 2, ("a", "b"))
    trainer = pretrained.Frozen(image_size=SIZE).trainer((SIZE, SIZE, 1), 2)
    small = keras.applications.MobileNetV3Small((SIZE, SIZE, 3), include_top=False, weights=None, pooling="avg")
    peer = tf.function(
        lambda batch: small(tf.repeat(batch, 3, -1) * 255, training=False),
        input_signature=[tf.TensorSpec((None, SIZE, SIZE, 1))],
    )

    def ours():
        trainer._known.clear()
        trainer.features(imageset)

    runs = {"ours": ours, "mobilenet_v3_small": lambda: batches(images, lambda batch: peer(batch).numpy())}
    if importlib.util.find_spec("onnxruntime"):
        session = onnx_session(backbones.efficientnet_lite0((SIZE, SIZE, 1)))
        runs["onnx_runtime"] = lambda: batches(images, session)
    else:
        print("not measured: onnxruntime is not installed")
    seconds = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if number:  # the first one traces
                seconds[name].append(time.perf_counter() - began)
    speed = {name: IMAGES / statistics.median(values) for name, values in seconds.items()}
    for name, value in speed.items():
        print(f"features_per_second_{name} {value:.0f}")
    for name in list(speed)[1:]:
        print(f"features_vs_{name} {speed['ours'] / speed[name]:.2f}")


if __name__ == "__main__":
    main()
