"""Layers that several generators share."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("synthkit")
class LabelPlanes(layers.Layer):
    """Lays a label over an image: a plane for every entry of the vector, of one value everywhere.

    Mirza and Osindero, "Conditional Generative Adversarial Nets", 2014, give the discriminator image and label. Planes
    made by repeating and reshaping, as a much-copied example does, are stripes.

    Args:
        height, width: of the planes.
    """

    def __init__(self, height, width, **kwargs):
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def get_config(self):
        return {**super().get_config(), "height": self.height, "width": self.width}

    def call(self, label):
        """Returns float32 `(batch, height, width, n)` for a label `(batch, n)`."""
        shape = keras.ops.shape(label)
        return keras.ops.broadcast_to(label[:, None, None, :], (shape[0], self.height, self.width, shape[1]))


@keras.saving.register_keras_serializable("synthkit")
class DiffAugment(layers.Layer):
    """Transforms images at random in ways that gradients pass through, so that few images do not get learnt by heart.

    Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020: colour, translation and
    cutout, with the paper's ranges. Real and generated images both pass, in both networks' steps.

    Args:
        brightness: largest shift of an image's brightness, as a share of the grey scale.
        saturation: largest change of the factor on the colours' distance from grey.
        contrast: largest change of the factor on the pixels' distance from the image's mean.
        translation: largest shift, as a share of the side; mid-grey comes in.
        cutout: side of the square that is painted mid-grey, as a share of the image's.
        seed: int or None.
    """

    def __init__(
        self, brightness=0.25, saturation=1.0, contrast=0.5, translation=0.125, cutout=0.5, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.brightness, self.saturation, self.contrast = brightness, saturation, contrast
        self.translation, self.cutout = translation, cutout
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True  # it has no weights; what is not built cannot be mirrored by tf.distribute

    def get_config(self):
        names = ("brightness", "saturation", "contrast", "translation", "cutout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def draw(self, count, height, width):
        """Draws the transformation of every image.

        Returns:
            dict of tensors `(count,)`: `brightness`, `saturation` and `contrast` as floats; `down` and `right`, whole
            pixels to shift by; `top` and `left`, where the painted square begins, which may be outside the image.
        """

        def between(low, high):
            return tf.random.stateless_uniform((count,), self.seed_generator.next(), low, high)

        def whole(low, high):
            return tf.floor(between(low, high + 1))

        down, right = (int(side * self.translation + 0.5) for side in (height, width))
        square = (int(side * self.cutout + 0.5) for side in (height, width))
        top, left = (whole(-(part // 2), side - part // 2 - part % 2) for part, side in zip(square, (height, width)))
        return {
            "brightness": between(-self.brightness, self.brightness),
            "saturation": between(1 - self.saturation, 1 + self.saturation),
            "contrast": between(1 - self.contrast, 1 + self.contrast),
            "down": whole(-down, down),
            "right": whole(-right, right),
            "top": top,
            "left": left,
        }

    def apply(self, images, drawn):
        """Applies drawn transformations to float32 images `(batch, height, width, channels)` in [0, 1].

        Returns:
            float32 of the same shape. Pixels may leave [0, 1]: clipping would stop the gradient.
        """
        drawn = {name: value[:, None, None, None] for name, value in drawn.items()}
        height, width = images.shape[1:3]
        images = images - 0.5 + drawn["brightness"]
        grey = tf.reduce_mean(images, -1, keepdims=True)
        images = grey + (images - grey) * drawn["saturation"]
        mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
        images = mean + (images - mean) * drawn["contrast"]
        images = tf.einsum("bij,bjwc->biwc", _shift(height, drawn["down"][:, :, :, 0]), images)
        images = tf.einsum("bij,bhjc->bhic", _shift(width, drawn["right"][:, :, :, 0]), images)
        rows, columns = (tf.range(side, dtype="float32") for side in (height, width))
        rows, columns = rows[None, :, None, None] - drawn["top"], columns[None, None, :, None] - drawn["left"]
        tall, wide = (int(side * self.cutout + 0.5) for side in (height, width))
        inside = (rows >= 0) & (rows < tall) & (columns >= 0) & (columns < wide)
        return tf.where(inside, 0.0, images) + 0.5

    def call(self, images):
        return self.apply(images, self.draw(tf.shape(images)[0], *images.shape[1:3]))


def _shift(side, by):
    """Returns matrices `(batch, side, side)` that move pixels by whole steps `(batch, 1, 1)` and bring zeros in."""
    place = tf.range(side, dtype="float32")
    return tf.cast(place[None, :, None] - place[None, None, :] == by, "float32")


def halvings(image_shape, smallest=5):
    """Returns how often an image can be halved before a side is odd or would fall below `smallest` pixels.

    Args:
        image_shape: `(height, width, channels)`.
        smallest: int, pixels.

    Returns:
        int.
    """
    sides, count = image_shape[:2], 0
    while min(sides) >> count >= 2 * smallest and not any(side % 2 ** (count + 1) for side in sides):
        count += 1
    return count


def doublings(image_shape, smallest):
    """Returns the side that a generator starts from and how often it doubles: `(start, times)`.

    Args:
        image_shape: `(height, width, channels)`.
        smallest: least side to start from; the start is less than twice that.

    Raises:
        ValueError: if the image is not square, or its side is not such a start times a power of two of at least 4.
    """
    height, width, _ = image_shape
    times = halvings(image_shape, smallest)
    start = height >> times
    if height != width or not smallest <= start < 2 * smallest or times < 2:
        sides = [first * 2**n for n in range(2, 6) for first in range(smallest, 2 * smallest)]
        raise ValueError(
            f"this generator makes square images of {', '.join(map(str, sides))} pixels a side. "
            f"Received: {height}×{width}; synthkit.imageset.resize changes the size"
        )
    return start, times


def moving_average(network):
    """Returns a copy of a network that is not trained; `follow` moves its weights."""
    average = keras.models.clone_model(network)
    average.set_weights(network.get_weights())
    average.trainable = False
    return average


def follow(average, network, steps, decay):
    """Moves an exponential moving average towards a network's weights, inside a graph; faster during the first steps.

    Args:
        average: keras.Model of `moving_average`.
        network: keras.Model that is being trained.
        steps: int64 scalar, gradient steps so far.
        decay: float, the fraction of the average that is kept at each step.
    """
    step = tf.cast(steps, "float32")
    decay = tf.minimum(decay, (1 + step) / (10 + step))
    for mean, weight in zip(average.weights, network.weights, strict=True):
        mean.assign(decay * mean + (1 - decay) * weight)


def mirror(images, labels, classes, seed):
    """Mirrors half of the images left to right, drawn at random, inside a graph.

    Args:
        images: float32 `(batch, height, width, channels)`.
        labels: int64 `(batch,)`.
        classes: labels of the classes whose images may be mirrored, or None for all. A left kidney mirrored is a right
            one: leave such classes out.
        seed: keras.random.SeedGenerator.

    Returns:
        float32 `(batch, height, width, channels)`.
    """
    turned = keras.random.uniform((tf.shape(images)[0],), seed=seed) < 0.5
    if classes is not None:
        allowed = tf.constant(list(classes), "int64", shape=(1, len(classes)))
        turned &= tf.reduce_any(labels[:, None] == allowed, axis=1)
    return tf.where(turned[:, None, None, None], tf.reverse(images, axis=[2]), images)
