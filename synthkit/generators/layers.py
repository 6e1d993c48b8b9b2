"""Layers and small functions that several generators share."""

import keras
import tensorflow as tf
from keras import layers

from synthkit._sizes import check_size


@keras.saving.register_keras_serializable("synthkit")
class LabelPlanes(layers.Layer):
    """Turns a label vector into constant planes of an image's size, one for every entry of the vector.

    Mirza and Osindero, "Conditional Generative Adversarial Nets", 2014, give the discriminator image and label. Planes
    made by repeating and reshaping, as in a much-copied example, are stripes instead.

    Args:
        height, width: of the planes, in pixels.
    """

    def __init__(self, height, width, **kwargs):
        super().__init__(**kwargs)
        self.height, self.width = height, width

    def get_config(self):
        return {**super().get_config(), "height": self.height, "width": self.width}

    def call(self, label):
        """Returns float32 `(batch, height, width, n)` for labels `(batch, n)`."""
        shape = keras.ops.shape(label)
        return keras.ops.broadcast_to(label[:, None, None, :], (shape[0], self.height, self.width, shape[1]))


@keras.saving.register_keras_serializable("synthkit")
class DiffAugment(layers.Layer):
    """Differentiable random augmentation, which keeps a discriminator from memorising a small data set.

    Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020: colour, translation and
    cutout, with the paper's ranges. Real and generated images are both augmented, in the updates of both networks.

    Args:
        brightness: largest shift of an image's brightness, as a fraction of the grey scale.
        saturation: largest change of the factor on the distance of the colours from grey.
        contrast: largest change of the factor on the distance of the pixels from the image's mean.
        translation: largest shift, as a fraction of the side; the gap is filled with mid-grey.
        cutout: side of the square that is filled with mid-grey, as a fraction of the image's side.
        seed: int or None.
    """

    def __init__(
        self, brightness=0.25, saturation=1.0, contrast=0.5, translation=0.125, cutout=0.5, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.brightness, self.saturation, self.contrast = brightness, saturation, contrast
        self.translation, self.cutout = translation, cutout
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True  # it has no weights, but tf.distribute copies built layers only

    def get_config(self):
        names = ("brightness", "saturation", "contrast", "translation", "cutout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def draw(self, count, height, width):
        """Draws a transformation for each of `count` images.

        Returns:
            dict of tensors `(count,)`: floats `brightness`, `saturation` and `contrast`; whole pixels `down` and
            `right`, the shift, and `top` and `left`, the corner of the filled square, which may be outside the image.
        """

        def uniform(low, high):
            return tf.random.stateless_uniform((count,), self.seed_generator.next(), low, high)

        def whole(low, high):
            return tf.floor(uniform(low, high + 1))

        down, right = (int(side * self.translation + 0.5) for side in (height, width))
        square = (int(side * self.cutout + 0.5) for side in (height, width))
        top, left = (whole(-(part // 2), side - part // 2 - part % 2) for part, side in zip(square, (height, width)))
        return {
            "brightness": uniform(-self.brightness, self.brightness),
            "saturation": uniform(1 - self.saturation, 1 + self.saturation),
            "contrast": uniform(1 - self.contrast, 1 + self.contrast),
            "down": whole(-down, down),
            "right": whole(-right, right),
            "top": top,
            "left": left,
        }

    def apply(self, images, transformations):
        """Applies what `draw` returned to float32 images `(batch, height, width, channels)` in [0, 1].

        Returns:
            float32 of the same shape. Pixels may leave [0, 1]: clipping would stop the gradient.
        """
        by_image = {name: value[:, None, None, None] for name, value in transformations.items()}
        height, width = images.shape[1:3]
        images = images - 0.5 + by_image["brightness"]
        grey = tf.reduce_mean(images, -1, keepdims=True)
        images = grey + (images - grey) * by_image["saturation"]
        mean = tf.reduce_mean(images, (1, 2, 3), keepdims=True)
        images = mean + (images - mean) * by_image["contrast"]
        images = tf.einsum("bij,bjwc->biwc", _shift(height, by_image["down"][:, :, :, 0]), images)
        images = tf.einsum("bij,bhjc->bhic", _shift(width, by_image["right"][:, :, :, 0]), images)
        rows, columns = (tf.range(side, dtype="float32") for side in (height, width))
        rows, columns = rows[None, :, None, None] - by_image["top"], columns[None, None, :, None] - by_image["left"]
        tall, wide = (int(side * self.cutout + 0.5) for side in (height, width))
        inside = (rows >= 0) & (rows < tall) & (columns >= 0) & (columns < wide)
        return tf.where(inside, 0.0, images) + 0.5

    def call(self, images):
        return self.apply(images, self.draw(tf.shape(images)[0], *images.shape[1:3]))


def _shift(side, pixels):
    """Returns matrices `(batch, side, side)` that shift by whole `pixels` `(batch, 1, 1)` and fill up with zeros."""
    index = tf.range(side, dtype="float32")
    return tf.cast(index[None, :, None] - index[None, None, :] == pixels, "float32")


def halvings(image_shape, smallest=5):
    """Returns how often an image is halved until its shorter side is less than `2 * smallest` pixels.

    Args:
        image_shape: `(height, width, channels)`.
        smallest: int, pixels.

    Returns:
        int.

    Raises:
        ValueError: if a side becomes odd before that, as 50 pixels do. A network with fewer halvings would be a
            smaller one under the same name.
    """
    check_size(
        "this generator",
        image_shape,
        lambda *sides: min(sides) >> _halvings(sides, smallest) < 2 * smallest,
        f"images that can be halved down to {smallest} to {2 * smallest - 1} pixels",
    )
    return _halvings(image_shape[:2], smallest)


def _halvings(sides, smallest):
    """Returns how often both sides can be halved before one is odd or would be shorter than `smallest` pixels."""
    count = 0
    while min(sides) >> count >= 2 * smallest and not any(side % 2 ** (count + 1) for side in sides):
        count += 1
    return count


def doublings(image_shape, smallest):
    """Returns the side from which a generator starts and how often it is doubled: `(start, times)`.

    Args:
        image_shape: `(height, width, channels)`.
        smallest: shortest side to start from, in pixels; the start is less than twice that.

    Raises:
        ValueError: unless the image is square and its side is such a start times 4, 8, 16 and so on.
    """

    def fits(height, width):
        times = _halvings((height, width), smallest)
        return height == width and smallest <= height >> times < 2 * smallest and times >= 2

    check_size(
        "this generator",
        image_shape,
        fits,
        f"square images whose side is {smallest} to {2 * smallest - 1} pixels times 4, 8, 16 or another power of 2",
    )
    times = _halvings(image_shape[:2], smallest)
    return image_shape[0] >> times, times


def moving_average(network):
    """Returns an untrainable copy of a network, whose weights `follow` updates."""
    average = keras.models.clone_model(network)
    average.set_weights(network.get_weights())
    average.trainable = False
    return average


def follow(average, network, steps, decay):
    """Updates an exponential moving average of a network's weights, inside a graph; faster during the first steps.

    Args:
        average: keras.Model that `moving_average` returned.
        network: keras.Model that is being trained.
        steps: int64 scalar, gradient steps so far.
        decay: float, the weight of the old average in each update.
    """
    step = tf.cast(steps, "float32")
    decay = tf.minimum(decay, (1 + step) / (10 + step))
    for mean, weight in zip(average.weights, network.weights, strict=True):
        mean.assign(decay * mean + (1 - decay) * weight)


def mirror(images, labels, classes, seed):
    """Mirrors a random half of the images left to right, inside a graph.

    Args:
        images: float32 `(batch, height, width, channels)`.
        labels: int64 `(batch,)`.
        classes: labels of the classes whose images may be mirrored, or None for all. Leave out classes that differ by
            side: a left kidney, mirrored, is a right one.
        seed: keras.random.SeedGenerator.

    Returns:
        float32 `(batch, height, width, channels)`.
    """
    mirrored = keras.random.uniform((tf.shape(images)[0],), seed=seed) < 0.5
    if classes is not None:
        allowed = tf.constant(list(classes), "int64", shape=(1, len(classes)))
        mirrored &= tf.reduce_any(labels[:, None] == allowed, axis=1)
    return tf.where(mirrored[:, None, None, None], tf.reverse(images, axis=[2]), images)
