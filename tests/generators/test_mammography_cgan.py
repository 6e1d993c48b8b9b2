import keras
import pytest

from synthkit.generators import mammography_cgan


@pytest.mark.parametrize(("size", "blocks"), [(224, 5), (112, 4), (56, 3), (28, 2), (64, 3), (32, 2)])
def test_generator_doubles_seven_or_eight_pixels(size, blocks):
    # The mammography study's slides, "Generator Architecture": 7×7×128, then five transposed convolutions at 224.
    network = mammography_cgan.generator((size, size, 3), 2)
    reshaped = next(layer for layer in network.layers if isinstance(layer, keras.layers.Reshape))
    start = 8 if size in (64, 32) else 7
    assert reshaped.target_shape == (start, start, 128)
    assert sum(isinstance(layer, keras.layers.Conv2DTranspose) for layer in network.layers) == blocks
    assert network.output_shape == (None, size, size, 3)


def test_discriminator_has_as_many_convolutions_as_the_generator():
    network = mammography_cgan.discriminator((64, 64, 3), 2)
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.strides for layer in convolutions] == [(2, 2)] * 3
    assert convolutions[0].input.shape[-1] == 3 + 2  # the image and a plane for each class


def test_options_change_the_training_and_no_layer():
    study, changed = (
        mammography_cgan.mammography_cgan((28, 28, 1), 2, **options)
        for options in ({}, {"mismatched": 1.0, "decay": 0.9})
    )
    assert (study.mismatched, study.average) == (0.0, None)
    for name in ("generator", "discriminator"):
        first, second = (
            [(type(layer), [weight.shape for weight in layer.weights]) for layer in getattr(gan, name).layers]
            for gan in (study, changed)
        )
        assert first == second
    restored = type(changed).from_config(changed.get_config())
    assert (restored.mismatched, restored.decay) == (1.0, 0.9)
