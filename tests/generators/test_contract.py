import keras
import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators.contract import Generator, check_data


class Shift(Generator):
    """Learns one brightness for every class: the smallest thing that is a generator."""

    def __init__(self, image_shape, num_classes, **kwargs):
        super().__init__(image_shape, num_classes, noise_shape=(3,), loss_names=("loss",), **kwargs)
        self.level = self.add_weight(name="level", shape=(num_classes,), initializer="zeros")
        self.built = True

    def update(self, images, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((tf.reduce_mean(images, (1, 2, 3)) - tf.gather(self.level, labels)) ** 2)
        self.optimizer.apply(tape.gradient(loss, [self.level]), [self.level])
        return {"loss": loss}

    def draw(self, noise, labels):
        level = tf.gather(self.level, labels) + 0.01 * noise[:, 0]
        return tf.clip_by_value(level[:, None, None, None] * tf.ones(self.image_shape), 0, 1)


def shift():
    model = Shift((4, 4, 1), 2, name="shift")
    model.compile(keras.optimizers.SGD(0.5), jit_compile=False)
    return model


def data(count=8):
    labels = np.arange(count) % 2
    return np.tile((0.25 + 0.5 * labels).astype("float32")[:, None, None, None], (1, 4, 4, 1)), labels


def test_fit_and_sample():
    model = shift()
    history = model.fit(tf.data.Dataset.from_tensor_slices(data()).batch(4), epochs=20, verbose=0).history
    assert set(history) == {"loss"}
    assert int(model.steps) == 40
    images = model.sample([1, 0, 1], seed=0)
    assert images.dtype == "float32"
    noise = 0.01 * np.random.default_rng(0).standard_normal((3, 3), "float32")[:, 0]
    assert images[:, 0, 0, 0] == pytest.approx(np.array([0.75, 0.25, 0.75]) + noise, abs=0.01)
    assert (model.sample([1, 0, 1], 0, batch_size=2) == images).all()
    assert model.sample([], 0).shape == (0, 4, 4, 1)


def test_unfitted_sampling():
    with pytest.raises(RuntimeError, match="shift was not fitted, so its images would be noise: call fit before"):
        shift().sample([0], seed=0)


def test_labels_asked_for_out_of_range():
    model = shift()
    model.fit(*data(), verbose=0)
    with pytest.raises(ValueError, match="labels must lie between 0 and 1. Received: 0 to 2"):
        model.sample([0, 2], seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :3], y), r"images of shape \(4, 4, 1\) .* Received: \(3, 4, 1\)"),
        (lambda x, y: (np.repeat(x, 3, -1), y), r"Received: \(4, 4, 3\)"),
        (lambda x, y: (x * 255, y), r"float32 in \[0, 1\]. Received: float32, 63.75 to 191.25"),
        (lambda x, y: (x - 0.5, y), r"Received: float32, -0.25 to 0.25"),
        (lambda x, y: (x * np.float32("nan"), y), "Received: float32, nan to nan"),
        (lambda x, y: ((x * 255).astype("uint8"), y), "Received: uint8, 63 to 191; synthkit.pipeline.to_dataset"),
        (lambda x, y: (x, y + 1), "labels must lie between 0 and 1. Received: 1 to 2"),
        (lambda x, y: (x, y - 1), "Received: -1 to 0"),
        (lambda x, y: (x, np.eye(2)[y]), r"8 integers, one an image. Received: float64 \(8, 2\)"),
        (lambda x, y: (x, y * 0), "every one of the 2 classes .* Received: 8 of class 0, 0 of class 1"),
    ],
)
def test_one_clear_error_before_training(change, message):
    x, y = change(*data())
    model = shift()
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0)
    if "8 integers" not in message and "8 of class" not in message:
        with pytest.raises(ValueError, match=message):
            model.fit(tf.data.Dataset.from_tensor_slices((x, y)).batch(4), verbose=0)
    assert int(model.steps) == 0


def test_looks_at_every_batch_of_an_epoch():
    x, y = data()
    late = x.copy()
    late[-1] += 1
    with pytest.raises(ValueError, match="0.25 to 1.75"):
        check_data(tf.data.Dataset.from_tensor_slices((late, y)).batch(4), None, (4, 4, 1), 2)
    with pytest.raises(ValueError, match="goes round for ever: give fit steps_per_epoch"):
        check_data(tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(4), None, (4, 4, 1), 2)
    check_data(tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(4), None, (4, 4, 1), 2, steps=2)
