"""The smallest thing that is a generator, for tests of what all generators share."""

import keras
import tensorflow as tf

from synthkit.generators.contract import Generator


@keras.saving.register_keras_serializable("tests")
class Toy(Generator):
    """Learns one brightness for every class."""

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


def toy(image_shape=(4, 4, 1), num_classes=2, *, learning_rate=0.5):
    """Builds the toy, compiled."""
    model = Toy(image_shape, num_classes, name="toy")
    model.compile(keras.optimizers.SGD(learning_rate), jit_compile=False)
    return model
