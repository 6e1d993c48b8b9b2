import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from synthkit.generators import bagan
from synthkit.generators.bagan import BAGAN
from synthkit.generators.callbacks import Checkpoint

SHAPE = (4, 4, 1)
RNG = np.random.default_rng(0)
LABELS = np.array([0] * 6 + [1] * 2)
IMAGES = np.clip(
    0.3 + 0.4 * LABELS[:, None, None, None] + 0.1 * RNG.standard_normal((8, *SHAPE)), 0, 1, dtype="float32"
)

MANY = np.tile(IMAGES, (400, 1, 1, 1)), np.tile(LABELS, 400)  # 400 steps of a single epoch


def build(learning_rate=1e-2, discriminator_rate=None, **options):
    keras.utils.set_random_seed(0)
    code, image = keras.Input((3,)), keras.Input(SHAPE)
    pixels = layers.Dense(16, activation="sigmoid")(layers.BatchNormalization()(code))
    generator = keras.Model([code], layers.Reshape(SHAPE)(pixels))
    features = layers.Dense(8, activation="tanh")(layers.Flatten()(image))
    discriminator = keras.Model([image], [layers.Dense(3)(features), layers.Dense(3)(features)])
    model = BAGAN(SHAPE, 2, generator, discriminator, flips=(), name="bagan", **options)
    rates = learning_rate, learning_rate if discriminator_rate is None else discriminator_rate
    model.compile(*map(keras.optimizers.Adam, rates))
    return model


def test_a_quarter_of_the_steps_trains_the_autoencoder():
    history = build().fit(IMAGES, LABELS, batch_size=8, epochs=8, verbose=0).history
    autoencoder = np.array([True] * 2 + [False] * 6)
    assert (np.array(history["reconstruction_loss"]) > 0).tolist() == autoencoder.tolist()
    for name in ("generator_loss", "discriminator_loss"):
        assert (np.array(history[name]) > 0).tolist() == (~autoencoder).tolist()


@pytest.mark.parametrize(("steps", "autoencoder"), [(1, 1), (12, 3), (30, 5)])
def test_the_autoencoder_is_trained_for_a_step_at_least_and_no_more_than_the_longest(steps, autoencoder, monkeypatch):
    monkeypatch.setattr(bagan, "LONGEST", 5)
    model = build()
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(8).repeat()
    model.fit(data, epochs=1, steps_per_epoch=steps, verbose=0)
    assert int(model.until) == autoencoder


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras, at the end of an epoch of unknown length
@pytest.mark.parametrize("unknown", [False, True], ids=["batch_size=None", "a data set of unknown length"])
def test_steps_are_counted(unknown):
    model, images, labels = build(), np.tile(IMAGES, (12, 1, 1, 1)), np.tile(LABELS, 12)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).filter(lambda *_: True).batch(32)
    arguments = (data,) if unknown else (images, labels)
    model.fit(*arguments, epochs=4, verbose=0, **({} if unknown else {"batch_size": None}))
    assert int(model.until) == 3
    model.fit(images, labels, epochs=4, steps_per_epoch=2, verbose=0)
    assert int(model.until - model.steps) == 2 - 8


def test_another_fit_begins_with_the_autoencoder_again():
    model = build()
    model.fit(IMAGES, LABELS, batch_size=8, epochs=8, verbose=0)
    history = model.fit(IMAGES, LABELS, batch_size=8, epochs=4, verbose=0).history
    assert [value > 0 for value in history["reconstruction_loss"]] == [True, False, False, False]


@pytest.mark.parametrize("rare", [False, True])
def test_codes_are_drawn_from_the_distribution_of_the_class(rare):
    model = build(learning_rate=0.0)
    of_another_set = 1 - IMAGES[:, ::-1], 1 - LABELS
    model.fit(*of_another_set, batch_size=8, epochs=8, verbose=0)
    batches = [slice(0, 6)] * 9 + [slice(0, 8)] if rare else [slice(0, 8)]
    data = tf.data.Dataset.from_generator(
        lambda: ((IMAGES[rows], LABELS[rows]) for rows in batches * 40),
        output_signature=(tf.TensorSpec((None, *SHAPE), "float32"), tf.TensorSpec((None,), "int64")),
    ).apply(tf.data.experimental.assert_cardinality(40 * len(batches)))
    model.fit(data, epochs=1, verbose=0)
    codes, _ = model.discriminator.predict([IMAGES], verbose=0)
    drawn = model._codes(RNG.standard_normal((20_000, 3)).astype("float32"), np.repeat([0, 1], 10_000)).numpy()
    for label in (0, 1):
        own, of_class = codes[label == LABELS], drawn[label * 10_000 : (label + 1) * 10_000]
        covariance = np.cov(own.T, bias=True)
        np.testing.assert_allclose(of_class.mean(0), own.mean(0), atol=4 * np.sqrt(covariance.max() / 10_000))
        np.testing.assert_allclose(np.cov(of_class.T), covariance, atol=0.05 * np.trace(covariance))


def updated(model, times):
    """Returns the losses of updates of the two networks against each other."""
    model.until.assign(0)
    update = tf.function(lambda: model.update(tf.constant(IMAGES), tf.constant(LABELS)))
    losses = [update() for _ in range(times)]
    return {name: np.array([loss[name] for loss in losses]) for name in losses[0]}


def test_an_update_against_each_other_changes_both_networks_but_not_the_encoder():
    model = build()
    networks = model.generator, model.discriminator
    before = [[weight.numpy() for weight in network.trainable_weights] for network in networks]
    updated(model, 1)
    changed = [
        [(old != new.numpy()).any() for old, new in zip(weights, network.trainable_weights, strict=True)]
        for weights, network in zip(before, networks, strict=True)
    ]
    assert changed == [[True] * 4, [True, True, False, False, True, True]]  # features, codes, logits


@pytest.mark.parametrize(
    ("rates", "falls"), [((1e-2, 0.0), "generator_loss"), ((0.0, 1e-2), "discriminator_loss")], ids=("first", "second")
)
def test_each_network_learns_what_its_loss_says(rates, falls):
    losses = updated(build(*rates), 200)[falls]
    assert losses[-20:].mean() < 0.9 * losses[:20].mean()


def test_the_generator_is_trained_for_all_classes_alike():
    model, asked = build(), []
    codes = model._codes
    model._codes = lambda noise, labels: asked.append(labels.numpy()) or codes(noise, labels)
    for _ in range(50):
        model._play(tf.constant(IMAGES), tf.constant(LABELS))
    assert 0.4 < np.mean(np.concatenate(asked)) < 0.6  # a quarter of the images are of class 1


def test_images_are_of_the_class():
    model = build()
    model.fit(*MANY, batch_size=8, verbose=0)
    brightness = model.sample(np.repeat([0, 1], 50), 0).mean((1, 2, 3))
    assert brightness[50:].mean() - brightness[:50].mean() > 0.2  # 0.4 of the training images


def test_a_fit_that_was_stopped_resumes_where_it_was(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 4:
                raise KeyboardInterrupt

    def fit(model, *callbacks):
        model.fit(IMAGES, LABELS, batch_size=8, epochs=8, shuffle=False, verbose=0, callbacks=list(callbacks))

    whole, stopped, resumed = build(), build(), build()
    fit(whole)
    path = tmp_path / "checkpoint.npz"
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, Checkpoint(path, every=None), Stop())
    fit(resumed, Checkpoint(path, every=None))
    assert int(resumed.until) == int(whole.until) == 2
    assert resumed.seen.numpy().tolist() == [2, 2]
    np.testing.assert_allclose(whole.sample([0, 1], 0), resumed.sample([0, 1], 0), rtol=1e-4)


def test_comes_back_from_its_file(tmp_path):
    model = build()
    model.fit(IMAGES, LABELS, batch_size=8, epochs=8, verbose=0)
    model.save(tmp_path / "bagan.keras")
    loaded = keras.saving.load_model(tmp_path / "bagan.keras")
    assert (loaded.sample([0, 1], 0) == model.sample([0, 1], 0)).all()
    assert int(loaded.until) == 2
