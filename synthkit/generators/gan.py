"""Generative adversarial networks: a generator and a discriminator that are trained against each other."""

import keras
import tensorflow as tf

from synthkit.generators import losses
from synthkit.generators.contract import Generator
from synthkit.generators.layers import follow, mirror, moving_average

NETWORKS = ("generator", "discriminator", "augment")
FUNCTIONS = ("generator_loss", "discriminator_loss", "penalty")


@keras.saving.register_keras_serializable("synthkit")
class GAN(Generator):
    """A generator and a discriminator, each updated once per step (Goodfellow et al. 2014; Mirza and Osindero 2014).

    Each step generates one batch. The discriminator is trained on it first; its new scores of the same batch then train
    the generator.

    Args:
        image_shape: `(height, width, channels)`.
        num_classes: int.
        generator: keras.Model of `[noise (batch, n), label (batch, num_classes)]`, or of `[noise]` alone, to images
            in [0, 1]. Labels are one-hot.
        discriminator: keras.Model of `[image, label]`, or of `[image]` alone, to scores `(batch, 1)`; or to
            `[scores, logits of the classes]`, an auxiliary classifier (Odena, Olah and Shlens 2017).
        generator_loss, discriminator_loss: functions of `losses`.
        penalty: function of `losses`, on the gradient of the discriminator, or None.
        penalty_weight: factor on the penalty.
        penalty_every: steps between two penalties; each is multiplied by this number (Karras et al. 2020).
        critic_steps: updates of the discriminator for each update of the generator.
        mismatched: weight, beside generated images, of real images with a wrong label, which the discriminator also has
            to reject (Reed et al., "Generative adversarial text to image synthesis", ICML 2016, algorithm 1, where it
            is 1). Without them it may do its work without looking at the label. 0 for none.
        augment: layer that augments real and generated images before the discriminator sees them, or None.
        flips: labels of the classes whose training images may be mirrored left to right; None for all.
        decay: per step, of the moving average of the generator's weights; samples come from this average. 0 for none.
    """

    def __init__(
        self,
        image_shape,
        num_classes,
        generator,
        discriminator,
        *,
        generator_loss=losses.cross_entropy_generator,
        discriminator_loss=losses.cross_entropy_discriminator,
        penalty=None,
        penalty_weight=1.0,
        penalty_every=1,
        critic_steps=1,
        mismatched=0.0,
        augment=None,
        flips=(),
        decay=0.0,
        **kwargs,
    ):
        if mismatched and (num_classes < 2 or len(discriminator.inputs) < 2):
            raise ValueError(
                "mismatched= takes two classes and a discriminator that is given the label. Received: "
                f"{num_classes} classes, a discriminator of {len(discriminator.inputs)} inputs"
            )
        names = ["generator_loss", "discriminator_loss"] + ["class_loss"] * (len(discriminator.outputs) == 2)
        kwargs = {"noise_shape": generator.inputs[0].shape[1:], "loss_names": names} | kwargs
        super().__init__(image_shape, num_classes, **kwargs)
        self.generator, self.discriminator, self.augment = generator, discriminator, augment
        self.generator_loss, self.discriminator_loss = generator_loss, discriminator_loss
        self.penalty, self.penalty_weight, self.penalty_every = penalty, penalty_weight, penalty_every
        self.critic_steps, self.mismatched, self.flips, self.decay = critic_steps, mismatched, flips, decay
        self.average = moving_average(generator) if decay else None
        self.seed_generator = keras.random.SeedGenerator()
        self.built = True

    def get_config(self):
        config = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in NETWORKS + FUNCTIONS}
        plain = ("penalty_weight", "penalty_every", "critic_steps", "flips", "decay")
        plain += ("mismatched",) if self.mismatched else ()  # fits that are kept are found by this configuration
        return {**super().get_config(), **config, **{name: getattr(self, name) for name in plain}}

    @classmethod
    def from_config(cls, config):
        objects = {name: keras.saving.deserialize_keras_object(config[name]) for name in NETWORKS + FUNCTIONS}
        return cls(**{**config, **objects})

    def compile(self, optimizer, discriminator_optimizer, jit_compile=False):
        """Sets the optimizers of both networks.

        Args:
            optimizer: keras.optimizers.Optimizer for the generator.
            discriminator_optimizer: keras.optimizers.Optimizer for the discriminator.
            jit_compile: whether XLA compiles the step.
        """
        super().compile(optimizer, jit_compile=jit_compile)
        self.discriminator_optimizer = discriminator_optimizer
        self.optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def get_compile_config(self):
        optimizers = {"optimizer": self.optimizer, "discriminator_optimizer": self.discriminator_optimizer}
        config = {name: keras.saving.serialize_keras_object(value) for name, value in optimizers.items()}
        return {**config, "jit_compile": self.jit_compile}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def update(self, images, labels):
        label = tf.one_hot(labels, self.num_classes)
        images = mirror(images, labels, self.flips, self.seed_generator)
        for _ in range(self.critic_steps - 1):
            self._update_discriminator(images, self._generate(label), label)
        with tf.GradientTape() as generator_tape:
            fake = self._generate(label)
        values = self._update_discriminator(images, tf.stop_gradient(fake), label)
        with tf.GradientTape() as score_tape:
            score_tape.watch(fake)
            score, logits = self._judge(fake, label, frozen=True)
            values["generator_loss"] = self.generator_loss(score)
            total = values["generator_loss"] + _class_loss(label, logits)
        variables = self.generator.trainable_variables
        gradients = generator_tape.gradient(fake, variables, output_gradients=score_tape.gradient(total, fake))
        self.optimizer.apply(gradients, variables)
        self._follow()
        return values

    def _follow(self):
        if self.average is not None:
            follow(self.average, self.generator, self.steps, self.decay)

    def _generate(self, label):
        noise = keras.random.normal((tf.shape(label)[0], *self.noise_shape), seed=self.seed_generator)
        return self.generator([noise, label][: len(self.generator.inputs)], training=True)

    def _judge(self, images, label, *, frozen=False):
        """Returns the discriminator's outputs in training, after augmentation.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1], real or generated.
            label: float32 `(batch, num_classes)`, one-hot.
            frozen: whether to leave the moving statistics of its BatchNormalization as they are.

        Returns:
            scores `(batch, 1)` and the auxiliary classifier's logits `(batch, num_classes)`, or None without one.
        """
        if self.augment is not None:
            images = self.augment(images)
        network, inputs = self.discriminator, [images, label][: len(self.discriminator.inputs)]
        if frozen:
            variables = network.trainable_variables, network.non_trainable_variables
            values = ([variable.value for variable in group] for group in variables)
            outputs, _ = network.stateless_call(*values, inputs, training=True)
        else:
            outputs = network(inputs, training=True)
        return outputs if len(self.discriminator.outputs) == 2 else (outputs, None)

    def _update_discriminator(self, images, fake, label):
        with tf.GradientTape() as tape:
            (real_score, real_logits), (fake_score, fake_logits) = self._judge(images, label), self._judge(fake, label)
            loss = self.discriminator_loss(real_score, fake_score)
            if self.mismatched:
                wrong_score, _ = self._judge(images, self._wrong(label))
                loss += self.mismatched * self.discriminator_loss(real_score, wrong_score)
                loss /= 1 + self.mismatched
            class_loss = _class_loss(label, real_logits) + _class_loss(label, fake_logits)
            total = loss + class_loss + self._weighted_penalty(images, fake, label)
        variables = self.discriminator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(total, variables), variables)
        return {"discriminator_loss": loss, "class_loss": class_loss}

    def _wrong(self, label):
        """Returns other classes than those of `label`, one-hot."""
        others = keras.random.randint((tf.shape(label)[0],), 1, self.num_classes, seed=self.seed_generator)
        classes = tf.argmax(label, axis=1, output_type="int32") + tf.cast(others, "int32")
        return tf.one_hot(classes % self.num_classes, self.num_classes)

    def _weighted_penalty(self, images, fake, label):
        if self.penalty is None:
            return 0.0

        def weighted():
            penalty = self.penalty(lambda x: self._judge(x, label)[0], images, fake, self.seed_generator)
            return self.penalty_weight * self.penalty_every * penalty

        if self.penalty_every == 1:
            return weighted()
        return tf.cond(self.steps % self.penalty_every == 0, weighted, lambda: 0.0)

    def draw(self, noise, labels):
        inputs = [noise, tf.one_hot(labels, self.num_classes)]
        return self._sampled(inputs[: len(self.generator.inputs)], training=False)

    @property
    def _sampled(self):
        """The network that images are drawn from."""
        return self.generator if self.average is None else self.average


def _class_loss(label, logits):
    if logits is None:
        return 0.0
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(label, logits))
