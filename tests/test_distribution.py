"""One training on several devices or machines, by TensorFlow's strategies; each script runs in its own process."""

import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT

MIRRORED = """
from synthkit import _environment
tf = _environment.import_tensorflow()
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import sys
from synthkit import catalogue, classifiers, generators, study
from synthkit.datasets import phantom
from synthkit.generators.layers import DiffAugment
from tests.generators.toy import toy_gan


def build(image_shape, num_classes):
    if sys.argv[2] == "toy_gan":
        return toy_gan(image_shape, num_classes, augment=DiffAugment(), decay=0.9, flips=None)
    return catalogue.build(catalogue.GENERATORS[sys.argv[2]])(image_shape, num_classes)


splits = phantom.load(20, train=64, validation=40, test=40)
arms = [study.Arm("real"), study.Arm("gan", generators.synthesizer(build, epochs=1, batch_size=16))]
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    results = study.run(
        splits, arms, out=sys.argv[1], classifier=classifiers.skin_cnn, seeds=1, steps=4, batch_size=16, progress=False
    )
print(results.trials["status"].tolist())
"""
WORKER = """
import json, os, sys
addresses = [f"127.0.0.1:{port}" for port in sys.argv[2:4]]
task = {"type": "worker", "index": int(sys.argv[1])}
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
from synthkit import _environment
tf = _environment.import_tensorflow()
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import keras
from synthkit import classifiers
from synthkit.datasets import phantom
from synthkit.generators import medmnist_cvae
from synthkit.pipeline import to_dataset

train = phantom.load(20, train=64, validation=40, test=40).train
for build in (classifiers.skin_cnn, medmnist_cvae.dense_cvae):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = build(train.image_shape, 2)
        if not model.compiled:
            model.compile("adam", "binary_crossentropy")
    batches = iter(strategy.experimental_distribute_dataset(to_dataset(train, 16, shuffle_seed=0, repeat=True)))

    @tf.function
    def step():
        losses = strategy.run(model.train_step, args=(next(batches),))
        return strategy.reduce("MEAN", losses["loss"], axis=None)

    losses = [float(step()) for _ in range(12)]
    total = sum(float(abs(weight).sum()) for weight in model.get_weights())
    print(model.name, losses[-1] < losses[0], f"{total:.6f}")
"""


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("conv_cgan", "bagan")]


@pytest.mark.parametrize("generator", ["toy_gan", *SLOW])
def test_study_on_mirrored_devices(generator, tmp_path):
    command = [sys.executable, "-c", MIRRORED, str(tmp_path), generator]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1:] == ["['done', 'done']"], done.stderr[-3000:]


def test_two_workers_train_a_classifier_and_a_generator():
    """With `train_step`, since Keras's `fit` does not work under this strategy (keras-team/keras, issue 20585)."""
    with socket.socket() as first, socket.socket() as second:
        for server in (first, second):
            server.bind(("127.0.0.1", 0))
        ports = [str(server.getsockname()[1]) for server in (first, second)]
    commands = [[sys.executable, "-c", WORKER, str(i), *ports] for i in range(2)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    workers = [subprocess.Popen(command, **pipes) for command in commands]
    try:
        (printed, errors), (other, _) = [worker.communicate(timeout=300) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert printed.splitlines() == other.splitlines(), errors[-3000:]
    assert [line.split()[1] for line in printed.splitlines()] == ["True", "True"], errors[-3000:]
