import keras
import pytest

from synthkit.generators import medmnist_cgan


def test_networks_have_three_hidden_layers_each():
    # The MedMNIST study, its section 3.2.
    model = medmnist_cgan.dense_cgan((28, 28, 1), 2)
    for network in (model.generator, model.discriminator):
        assert sum(isinstance(layer, keras.layers.Dense) for layer in network.layers) == 4
    for optimizer in (model.optimizer, model.discriminator_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(1e-4)
