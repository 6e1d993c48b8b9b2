"""BAGAN: a GAN that begins as an autoencoder, and draws each class from where the encoder puts its images."""

import keras
import tensorflow as tf
from keras import layers

from synthkit.generators.conv_cgan import LATENT_SIZE, SMALLEST, decoded, features_of
from synthkit.generators.gan import GAN
from synthkit.generators.layers import DiffAugment, doublings, mirror

LONGEST = 300  # steps of the autoencoder at most; a quarter of all steps otherwise
KEPT = 0.98  # of the moments of the codes, per step


@keras.saving.register_keras_serializable("synthkit")
class BAGAN(GAN):
    """A balancing GAN (Mariani et al., "BAGAN: data augmentation with balancing GAN", 2018).

    - The first steps train an autoencoder, whose decoder becomes the generator, and whose encoder the discriminator.
    - An image of a class is made from a code drawn from the normal distribution of the encoder's codes of the class.
      The distribution is a moving average over the batches of the autoencoder's training, where the paper encodes all
      images after it.
    - The discriminator tells the classes and generated images apart. The generator is to make images that are taken
      for those of the class, and is asked for all classes alike, however rare they are.

    Both networks are updated at once, from the same outputs. Losses are 0 in the steps in which they are not trained.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        generator: keras.Model of codes `(batch, n)` to images in [0, 1].
        discriminator: keras.Model of images to `[codes (batch, n), logits (batch, num_classes + 1)]`; the last logit is
            that of generated images.
        options: augment, flips and decay (0.998 unless it is given), of `GAN`.
    """

    def __init__(self, image_shape, num_classes, generator, discriminator, **options):
        names = ("reconstruction_loss", "generator_loss", "discriminator_loss")
        options = {"decay": 0.998, **options, "loss_names": names}
        super().__init__(image_shape, num_classes, generator, discriminator, **options)
        (size,) = self.noise_shape
        shapes = {"mean": (num_classes, size), "moment": (num_classes, size, size), "seen": (num_classes,)}
        for name, shape in shapes.items():
            weight = self.add_weight(name=name, shape=shape, initializer="zeros", dtype="float32", trainable=False)
            setattr(self, name, weight)
        self.until = self.add_weight(name="until", shape=(), initializer="zeros", dtype="int64", trainable=False)

    def _fit(self, x, y=None, **kwargs):
        """Fits from the autoencoder on; the step until which it is trained is in the checkpoints."""
        steps = kwargs.get("steps_per_epoch")
        if not steps:
            steps = sum(1 for _ in x) if y is None else -(-len(x) // (kwargs.get("batch_size") or 32))
        self.until.assign(self.steps + min(LONGEST, max(1, kwargs.get("epochs", 1) * steps // 4)))
        self.seen.assign(tf.zeros_like(self.seen))
        return super()._fit(x, y, **kwargs)

    def update(self, images, labels):
        images = mirror(images, labels, self.flips, self.seed_generator)
        first = self.steps < self.until
        gradients, codes, values = tf.cond(first, lambda: self._reconstruct(images), lambda: self._play(images, labels))
        # What is shared by several processors is only changed outside of a condition.
        networks = (self.generator, self.optimizer), (self.discriminator, self.discriminator_optimizer)
        for (network, optimizer), gradient in zip(networks, gradients, strict=True):
            optimizer.apply(gradient, network.trainable_variables)
        self._locate(codes, tf.one_hot(labels, self.num_classes) * tf.cast(first, "float32"))
        self._follow()
        return values

    def _reconstruct(self, images):
        """Returns gradients, codes of the images and losses of a step of the autoencoder."""
        with tf.GradientTape() as tape:
            codes, _ = self.discriminator([images], training=True)
            loss = tf.reduce_mean((self.generator([codes], training=True) - images) ** 2)
        gradients = _gradients(tape, loss, self.generator, self.discriminator)
        return gradients, codes, {"reconstruction_loss": loss, "generator_loss": 0.0, "discriminator_loss": 0.0}

    def _play(self, images, labels):
        """Returns the same of a step of the generator and the discriminator against each other."""
        count = tf.shape(images)[0]
        wanted = keras.random.randint((count,), 0, self.num_classes, dtype="int64", seed=self.seed_generator)
        noise = keras.random.normal((count, *self.noise_shape), seed=self.seed_generator)
        generated = tf.fill((count,), tf.constant(self.num_classes, "int64"))
        with tf.GradientTape(persistent=True) as tape:
            fake = self.generator([self._codes(noise, wanted)], training=True)
            (codes, real_logits), (_, fake_logits) = self._judge(images, None), self._judge(fake, None)
            # One class of images is generated, so as many generated images count as real ones of one class.
            loss = _cross_entropy(labels, real_logits) + _cross_entropy(generated, fake_logits) / self.num_classes
            generator_loss = _cross_entropy(wanted, fake_logits)
        gradients = _gradients(tape, generator_loss, self.generator) + _gradients(tape, loss, self.discriminator)
        values = {"reconstruction_loss": 0.0, "generator_loss": generator_loss, "discriminator_loss": loss}
        return gradients, codes, values

    def _locate(self, codes, label):
        """Follows the mean and the second moment of each class's codes.

        Args:
            codes: float32 `(batch, n)`.
            label: float32 `(batch, num_classes)`, one-hot, or zeros for images that are not followed.
        """
        counts = tf.reduce_sum(label, 0)
        new = tf.where(counts > 0, tf.maximum(1 - KEPT, 1 / (1 + self.seen)), 0.0)
        share = tf.math.divide_no_nan(label, counts)  # of each image in its class
        self.mean.assign_add(new[:, None] * (tf.einsum("bc,bi->ci", share, codes) - self.mean))
        moment = tf.einsum("bc,bi,bj->cij", share, codes, codes)
        self.moment.assign_add(new[:, None, None] * (moment - self.moment))
        self.seen.assign_add(tf.cast(counts > 0, "float32"))

    def _codes(self, noise, labels):
        """Returns codes of the classes: their distribution's mean, plus the noise through its Cholesky factor."""
        covariance = self.moment - self.mean[:, :, None] * self.mean[:, None, :]
        size = self.noise_shape[0]
        ridge = 1e-6 + 1e-3 * tf.linalg.trace(covariance)[:, None, None] / size  # few images leave it singular
        factor = tf.linalg.cholesky(covariance + ridge * tf.eye(size))
        return tf.gather(self.mean, labels) + tf.einsum("bij,bj->bi", tf.gather(factor, labels), noise)

    def draw(self, noise, labels):
        return self._sampled([self._codes(noise, labels)], training=False)


def _gradients(tape, loss, *networks):
    """Returns the gradients of each network's variables, which are zero where the loss does not depend on them."""
    variables = [[variable.value for variable in network.trainable_variables] for network in networks]
    return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _cross_entropy(labels, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def bagan(image_shape, num_classes, flips=None):
    """Builds a BAGAN for a few hundred images, with `conv_cgan`'s layers and augmentation; `flips` as in `gan.GAN`.

    Example:

    >>> from synthkit.generators.bagan import bagan
    >>> bagan((28, 28, 1), 2).discriminator.output_shape
    [(None, 64), (None, 3)]
    """
    start, times = doublings(image_shape, SMALLEST)
    code, image = keras.Input((LATENT_SIZE,), name="code"), keras.Input(image_shape, name="image")
    features = features_of(image, times)
    outputs = [layers.Dense(LATENT_SIZE)(features), layers.Dense(num_classes + 1)(features)]
    model = BAGAN(
        image_shape,
        num_classes,
        keras.Model([code], decoded(code, start, times, image_shape[-1]), name="generator"),
        keras.Model([image], outputs, name="discriminator"),
        augment=DiffAugment(),
        flips=flips,
        name="bagan",
    )
    adam = {"learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.99}
    model.compile(keras.optimizers.Adam(**adam), keras.optimizers.Adam(**adam))
    return model
