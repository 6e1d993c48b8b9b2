import keras
import numpy as np

from synthkit.generators import adapter
from synthkit.generators.medmnist_autoencoder import autoencoder
from tests.conftest import make_imageset

TRAIN = make_imageset(20, 1)
IMAGES, LABELS = TRAIN.images.astype("float32") / 255, TRAIN.labels


def test_encoder_and_decoder_have_four_hidden_layers_each():
    # The MedMNIST study, its section 3.1.
    model = autoencoder((28, 28, 1), 2)
    for network in (model.encoder, model.decoder):
        assert sum(isinstance(layer, keras.layers.Dense) for layer in network.layers) == 5


def test_reconstructs_images_of_the_class_without_repeats_also_in_training():
    model, shapes = autoencoder((20, 20, 1), 2), []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: shapes.append(model.sample([0, 1], 0).shape))
    model.fit(IMAGES, LABELS, epochs=2, verbose=0, callbacks=[look])
    assert shapes == [(2, 20, 20, 1)] * 2
    originals = IMAGES[LABELS == 1]
    samples = model.sample([1] * len(originals), 0)
    expected = model(np.round(originals * 255) / 255).numpy()
    order = [int(np.abs(expected - image).mean((1, 2, 3)).argmin()) for image in samples]
    assert sorted(order) == list(range(len(originals)))
    np.testing.assert_allclose(samples, expected[order], atol=1e-5)


def test_every_training_image_is_kept_although_an_epoch_is_rounded():
    train, model = make_imageset(21, 1), autoencoder((20, 20, 1), 2)
    adapter.fit(model, train, 0, epochs=1, batch_size=16)  # of 1 step
    assert sorted(map(bytes, model.originals["images"])) == sorted(map(bytes, np.unique(train.images, axis=0)))
