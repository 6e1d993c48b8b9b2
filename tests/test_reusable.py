import random
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from synthkit import classifiers
from synthkit._reusable import reusable


def outside_the_main_thread(function, *arguments):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def test_starting_over_restores_weights_optimizer_and_random_state():
    def build():
        model = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        )
        model.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        return model

    start = reusable(build)
    data = np.random.default_rng(0).random((16, 4), "float32"), np.ones((16, 1), "float32")

    def run(seed):
        model = start(seed)
        model.fit(*data, epochs=3, batch_size=8, verbose=0, shuffle=False)
        return model, [v.numpy() for v in model.variables + model.optimizer.variables]

    first, before = run(1)
    run(2)
    second, after = run(1)
    assert first is second
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_other_threads_that_draw_random_numbers_change_no_weight():
    """As on a Dask worker, which runs tasks outside the main thread beside threads that use `random`."""
    builds = []

    def build():
        builds.append(len(builds))
        if builds[-1] in (0, 2, 3):  # so that only the fifth and the sixth build are undisturbed in a row
            thread = threading.Thread(target=lambda: [random.random() for _ in builds])
            thread.start()
            thread.join()
        return classifiers.skin_cnn((20, 20, 1), 2)

    plain = reusable(lambda: classifiers.skin_cnn((20, 20, 1), 2))(3)
    disturbed = outside_the_main_thread(reusable(build), 3)
    assert len(builds) == 6
    for a, b in zip(disturbed.get_weights(), plain.get_weights(), strict=True):
        assert (a == b).all()


def test_models_with_nan_in_their_state_start_outside_the_main_thread():
    def build():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(float("nan")), "mse")
        return model

    assert np.isnan(float(outside_the_main_thread(reusable(build), 3).optimizer.learning_rate))


def test_a_builder_that_cannot_be_seeded_is_named():
    def build():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)], name="unseeded")
        model.set_weights([np.random.default_rng().random(w.shape) for w in model.get_weights()])
        return model

    with pytest.raises(RuntimeError, match="unseeded starts differently every time from seed 3: its builder is not"):
        outside_the_main_thread(reusable(build), 3)


def test_an_optimizer_that_is_built_by_training_can_start_over():
    def build():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    start = reusable(build)
    x = np.random.default_rng(0).random((8, 3)).astype("float32")

    def fitted(seed):
        model = start(seed)
        model.fit(x, x[:, :1], epochs=2, verbose=0)
        return model.predict(x, verbose=0)

    first = fitted(0)
    fitted(1)
    np.testing.assert_array_equal(fitted(0), first)
