"""Images per second of `Augmenter` and of its alternatives: `python -m tests.benchmarks.augmentation`.

All eight transformations of the mammography study, from uint8 arrays in memory to float32 batches in [0, 1]. OpenCV's
warp alone, on as many threads and with precomputed matrices, is the limit for one warp per image.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import itertools
import statistics
import time
from multiprocessing.pool import ThreadPool

import cv2
import keras
import numpy as np
import tensorflow as tf

from synthkit.augmentation import Augmenter
from synthkit.datasets import phantom
from synthkit.pipeline import to_dataset

ROUNDS = 7
SECONDS = 1.0  # of each peer in each round


def augmenter(imageset, batch_size):
    """synthkit's pipeline."""
    return iter(to_dataset(imageset, batch_size, shuffle_seed=0, augment=Augmenter(), repeat=True))


def image_data_generator(imageset, batch_size):
    """Keras 2's class with the study's arguments, in one thread, as `fit` ran it."""
    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=30,
        width_shift_range=0.1,
        height_shift_range=0.1,
        shear_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
        vertical_flip=True,
        brightness_range=(0.8, 1.2),
        channel_shift_range=20.0,
        fill_mode="nearest",
        rescale=1 / 255,
    )
    return iter(generator.flow(imageset.images, imageset.labels, batch_size=batch_size, seed=0))


def keras_layers(imageset, batch_size):
    """Keras's layers with the same ranges, in parallel; RandomBrightness adds, so it replaces channel shift as well."""
    options = {"fill_mode": "nearest"}
    chain = [
        keras.layers.RandomRotation(30 / 360, **options),
        keras.layers.RandomTranslation(0.1, 0.1, **options),
        keras.layers.RandomShear(0.2 / 90, 0.2 / 90, **options),
        keras.layers.RandomZoom(0.2, 0.2, **options),
        keras.layers.RandomFlip("horizontal_and_vertical"),
        keras.layers.RandomBrightness(0.2, (0, 1)),
        keras.layers.RandomBrightness(20 / 255, (0, 1)),
    ]

    def change(images, labels):
        images = tf.cast(images, "float32") / 255
        for layer in chain:
            images = layer(images)
        return images, labels

    data = tf.data.Dataset.from_tensor_slices((imageset.images, imageset.labels))
    data = data.shuffle(len(imageset), seed=0).repeat().batch(batch_size, drop_remainder=True)
    options = tf.data.Options()
    options.autotune.enabled = False
    return iter(data.map(change, num_parallel_calls=os.cpu_count()).prefetch(2).with_options(options))


def bare_warp(imageset, batch_size):
    """One `cv2.warpAffine` per image into allocated memory and nothing else, with one batch per thread."""
    rng = np.random.default_rng(0)
    height, width, _ = imageset.image_shape
    matrices = [cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-30, 30), 1) for _ in range(batch_size)]
    how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}

    def work(start):
        batch = np.empty((batch_size, *imageset.image_shape), "uint8")
        for i, matrix in enumerate(matrices):
            cv2.warpAffine(imageset.images[start + i], matrix, (width, height), dst=batch[i], **how)

    with ThreadPool(os.cpu_count()) as pool:
        while True:
            pool.map(work, range(os.cpu_count()), chunksize=1)
            for _ in range(os.cpu_count()):
                yield batch_size


def albumentations(imageset, batch_size):
    """The albumentations package, if it is installed, in a pipeline like that of `augmenter`."""
    import albumentations as A

    shift = {"x": (-0.1, 0.1), "y": (-0.1, 0.1)}
    zoom = {"x": (1 / 1.2, 1 / 0.8), "y": (1 / 1.2, 1 / 0.8)}
    chain = A.Compose(
        [
            A.Affine(zoom, shift, rotate=(-30, 30), shear=(-0.2, 0.2), border_mode=cv2.BORDER_REPLICATE, p=1),
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=0.5),
            A.RandomBrightnessContrast(0.2, 0, p=1),
            A.ToFloat(255),
        ]
    )

    def change(index):
        return np.stack([chain(image=image)["image"] for image in imageset.images[index]])

    data = tf.data.Dataset.range(len(imageset)).repeat().batch(batch_size, drop_remainder=True)
    data = data.map(lambda i: tf.numpy_function(change, [i], "float32"), num_parallel_calls=os.cpu_count())
    return iter(data.prefetch(2))


def speed(batches, batch_size):
    """Returns images per second over about `SECONDS`, without the first batches, which were prefetched."""
    for _ in range(4):
        next(batches)
    start, images = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - start) < SECONDS:
        next(batches)
        images += batch_size
    return images / elapsed


def rest():
    """Waits until this process is idle, for ten seconds at most."""
    for _ in range(50):
        start = time.process_time()
        time.sleep(0.2)
        if time.process_time() - start < 0.02:
            return


def measure(imageset, peers, batch_size):
    """Returns the median speed of every peer. Their runs alternate, so that other load affects all of them equally.

    Every run starts a new pipeline and waits at the end until it is idle, so that it does not slow down the next run.
    """
    speeds = {peer.__name__: [] for peer in peers}
    for _, peer in itertools.product(range(ROUNDS), peers):
        batches = peer(imageset, batch_size)
        speeds[peer.__name__].append(speed(batches, batch_size))
        del batches
        rest()
    return {name: statistics.median(values) for name, values in speeds.items()}


def main():
    peers = [augmenter, image_data_generator, keras_layers, bare_warp]
    try:
        import albumentations as package

        peers.append(albumentations)
        print(f"albumentations {package.__version__}")
    except ImportError:
        print("albumentations is not installed, so it is not compared")
    print(f"{os.cpu_count()} processors, OpenCV {cv2.__version__}, TensorFlow {tf.__version__}, images per second:")
    figures = {}
    for size, channels, batch_size in ((224, 3, 32), (28, 1, 128)):
        imageset = phantom.simulate(256, size)
        images = np.repeat(imageset.images, channels, axis=-1)
        imageset = type(imageset)(images, imageset.labels, imageset.class_names)
        speeds = measure(imageset, peers, batch_size)
        listed = ", ".join(f"{name} {value:,.0f}" for name, value in speeds.items())
        print(f"{size}×{size}×{channels}, batches of {batch_size}: {listed}")
        for name in list(speeds)[1:]:
            figures[f"augmentation_{size}_vs_{name}"] = speeds["augmenter"] / speeds[name]
    for name, value in figures.items():
        print(f"{name} = {value:.3g}")


if __name__ == "__main__":
    main()
