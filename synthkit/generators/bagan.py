"""BAGAN: a GAN that begins as an autoencoder, and draws each class from where the encoder puts its images."""

import keras
import tensorflow as tf
from keras import layers

from synthkit.generators.conv_cgan import LATENT_SIZE, SMALLEST, decoded, features_of
from synthkit.generators.gan import GAN
from synthkit.generators.layers import DiffAugment, doublings, follow, mirror

LONGEST = 1000  # steps of the autoencoder at most; a quarter of all steps otherwise
KEPT = 0.98  # of the moments of the codes, per step


@keras.saving.register_keras_serializable("synthkit")
class BAGAN(GAN):
    """A balancing GAN (Mariani et al., "BAGAN: data augmentation with balancing GAN", 2018).

    - The first steps train an autoencoder, whose decoder becomes the generator, and whose encoder the discriminator.
    - An image of a class is made from a code drawn from the normal distribution of the encoder's codes of the class.
    - The discriminator tells the classes and generated images apart. The generator is to make images that are taken
      for those of the class, and is asked for all classes alike, however rare they are.

    The networks are those of `conv_cgan`, with its augmentation and its averaged weights.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        generator: keras.Model of codes `(batch, n)` to images in [0, 1].
        discriminator: keras.Model of images to `[codes (batch, n), logits (batch, num_classes + 1)]`; the last logit is
            that of generated images.
        options: augment, flips and decay, of `GAN`.
    """

    def __init__(self, image_shape, num_classes, generator, discriminator, **options):
        names = ("reconstruction_loss", "generator_loss", "discriminator_loss")
        super().__init__(image_shape, num_classes, generator, discriminator, **{**options, "loss_names": names})
        (size,) = self.noise_shape
        plain = {"dtype": "float32", "trainable": False}
        self.mean = self.add_weight(name="mean", shape=(num_classes, size), initializer="zeros", **plain)
        self.moment = self.add_weight(name="moment", shape=(num_classes, size, size), initializer="zeros", **plain)
        self.until = self.add_weight(name="until", shape=(), initializer="zeros", dtype="int64", trainable=False)

    def _fit(self, x, y=None, **kwargs):
        """Fits from the autoencoder on; the step until which it is trained is in the checkpoints."""
        batches = -(-len(x) // kwargs.get("batch_size", 32)) if y is not None else int(x.cardinality())
        total = kwargs.get("epochs", 1) * (kwargs.get("steps_per_epoch") or batches)
        total = total if total > 0 else 4 * LONGEST  # the length of the data set is unknown
        self.until.assign(self.steps + min(LONGEST, max(1, total // 4)))
        return super()._fit(x, y, **kwargs)

    def update(self, images, labels):
        images = mirror(images, labels, self.flips, self.seed_generator)
        values = tf.cond(
            self.steps < self.until, lambda: self._reconstruct(images, labels), lambda: self._play(images, labels)
        )
        follow(self.average, self.generator, self.steps, self.decay)
        return values

    def _reconstruct(self, images, labels):
        """Takes a step of the autoencoder, and follows the mean and the second moment of each class's codes."""
        with tf.GradientTape() as tape:
            codes, _ = self.discriminator([images], training=True)
            loss = tf.reduce_mean((self.generator([codes], training=True) - images) ** 2)
        networks = {self.generator: self.optimizer, self.discriminator: self.discriminator_optimizer}
        gradients = _gradients(tape, loss, *networks)
        for network, gradient in zip(networks, gradients, strict=True):
            networks[network].apply(gradient, network.trainable_variables)
        label = tf.one_hot(labels, self.num_classes)
        counts = tf.reduce_sum(label, 0)
        new = tf.where(counts > 0, tf.maximum(1 - KEPT, 1 / (1 + tf.cast(self.steps, "float32"))), 0.0)
        share = tf.math.divide_no_nan(label, counts)  # of each image in its class
        self.mean.assign_add(new[:, None] * (tf.einsum("bc,bi->ci", share, codes) - self.mean))
        moment = tf.einsum("bc,bi,bj->cij", share, codes, codes)
        self.moment.assign_add(new[:, None, None] * (moment - self.moment))
        return {"reconstruction_loss": loss, "generator_loss": 0.0, "discriminator_loss": 0.0}

    def _play(self, images, labels):
        """Takes a step of the generator and the discriminator against each other."""
        count = tf.shape(images)[0]
        wanted = keras.random.randint((count,), 0, self.num_classes, dtype="int64", seed=self.seed_generator)
        noise = keras.random.normal((count, *self.noise_shape), seed=self.seed_generator)
        generated = tf.fill((count,), tf.constant(self.num_classes, "int64"))
        with tf.GradientTape() as generator_tape:
            fake = self.generator([self._codes(noise, wanted)], training=True)
        with tf.GradientTape() as tape:
            (_, real_logits), (_, fake_logits) = self._judge(images, None), self._judge(tf.stop_gradient(fake), None)
            # One class of images is generated, so as many generated images count as real ones of one class.
            loss = _cross_entropy(labels, real_logits) + _cross_entropy(generated, fake_logits) / self.num_classes
        (gradients,) = _gradients(tape, loss, self.discriminator)
        self.discriminator_optimizer.apply(gradients, self.discriminator.trainable_variables)
        with tf.GradientTape() as score_tape:
            score_tape.watch(fake)
            total = _cross_entropy(wanted, self._judge(fake, None, frozen=True)[1])
        variables = self.generator.trainable_variables
        gradients = generator_tape.gradient(fake, variables, output_gradients=score_tape.gradient(total, fake))
        self.optimizer.apply(gradients, variables)
        return {"reconstruction_loss": 0.0, "generator_loss": total, "discriminator_loss": loss}

    def _codes(self, noise, labels):
        """Returns codes of the classes: their distribution's mean, plus the noise through its Cholesky factor."""
        covariance = self.moment - self.mean[:, :, None] * self.mean[:, None, :]
        size = self.noise_shape[0]
        ridge = 1e-6 + 1e-3 * tf.linalg.trace(covariance)[:, None, None] / size  # few images leave it singular
        factor = tf.linalg.cholesky(covariance + ridge * tf.eye(size))
        return tf.gather(self.mean, labels) + tf.einsum("bij,bj->bi", tf.gather(factor, labels), noise)

    def draw(self, noise, labels):
        return self.average([self._codes(noise, labels)], training=False)


def _gradients(tape, loss, *networks):
    """Returns the gradients of each network's variables, which are zero where the loss does not depend on them."""
    variables = [[variable.value for variable in network.trainable_variables] for network in networks]
    return tape.gradient(loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _cross_entropy(labels, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def bagan(image_shape, num_classes, flips=None):
    """Builds a BAGAN of `conv_cgan`'s layers for a few hundred images; `flips` as in `gan.GAN`.

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
        decay=0.998,
        name="bagan",
    )
    adam = {"learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.99}
    model.compile(keras.optimizers.Adam(**adam), keras.optimizers.Adam(**adam))
    return model
