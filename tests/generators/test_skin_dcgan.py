import numpy as np
import pytest
import tensorflow as tf

from synthkit.generators import adapter, skin_dcgan
from tests.conftest import make_imageset


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_networks_have_the_reports_parameters():
    # The skin-lesion study's appendix, "Full structure of GAN".
    model = skin_dcgan.dcgan()
    assert trainable(model.generator) == 370_624
    assert trainable(model.discriminator) == 167_872
    for optimizer in (model.optimizer, model.discriminator_optimizer):
        assert (float(optimizer.learning_rate), optimizer.beta_1) == (pytest.approx(2e-4), 0.5)
    kernels = [weight for weight in model.generator.trainable_weights if "kernel" in weight.path]
    assert [float(np.std(kernel)) for kernel in kernels] == pytest.approx([0.02] * len(kernels), rel=0.1)


def test_per_class_networks_see_their_class_only():
    imageset = make_imageset(32, 1)
    images = np.broadcast_to(imageset.labels[:, None, None, None], imageset.images.shape).astype("float32")
    seen = []
    model = skin_dcgan.per_class_dcgan((20, 20, 1), 2)
    for label, network in enumerate(model.networks):

        def update(images, zeros, label=label):
            tf.py_function(lambda x: seen.append((label, x.numpy().min(), x.numpy().max())), [images], [])
            return {"generator_loss": 0.0, "discriminator_loss": 0.0}

        network.update = update
    model.fit(images, imageset.labels, epochs=1, batch_size=8, verbose=0)
    assert {label for label, _, _ in seen} == {0, 1}
    assert all(low == high == label for label, low, high in seen)


def test_a_small_class_takes_as_many_steps_as_if_it_were_alone():
    images = make_imageset(60, 1)
    for sizes, batch_size, expected in (((6, 5), 8, (3, 3)), ((30, 3), 8, (12, 3)), ((24, 24), 8, (9, 9))):
        rows = np.concatenate([np.flatnonzero(images.labels == label)[:size] for label, size in enumerate(sizes)])
        model = skin_dcgan.per_class_dcgan((20, 20, 1), 2)
        adapter.fit(model, images[rows], 0, epochs=3, batch_size=batch_size)
        steps = [int(network.steps.numpy()) for network in model.networks]
        assert sum(steps) == int(model.steps.numpy()) == sum(expected)
        np.testing.assert_allclose(steps, expected, atol=1, err_msg=f"{sizes}")  # an epoch is a whole number of batches


def test_images_of_a_network_that_took_no_step_are_refused():
    model = skin_dcgan.per_class_dcgan((20, 20, 1), 2)
    adapter.fit(model, make_imageset(32, 1), 0, epochs=1, batch_size=8)
    model.networks[1].steps.assign(0)
    assert model.sample([0], 0).shape == (1, 20, 20, 1)
    with pytest.raises(RuntimeError, match="network of class 1 took no step, .* Fit for more epochs"):
        model.sample([0, 1], 0)
