import random
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from synthkit import classifiers
from synthkit._reusable import reusable


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

    def draw():
        with ThreadPoolExecutor(1) as pool:
            drawn.append(pool.submit(random.random).result())

    def build(draw=draw):
        draw()  # each build in the same place, as a burst of connections does
        model = classifiers.skin_cnn((20, 20, 1), 2)
        draw()
        model.layers[-1].bias.assign([random.random()])
        return model

    drawn, plain = [], reusable(lambda: build(lambda: None))(3)
    random.seed(5)
    expected, functions = [random.random() for _ in range(2)], vars(random).copy()
    random.seed(5)
    with ThreadPoolExecutor(1) as pool:
        disturbed = pool.submit(reusable(build), 3).result()
    assert drawn == expected  # other threads draw what they would have drawn
    assert vars(random) == functions
    for a, b in zip(disturbed.get_weights(), plain.get_weights(), strict=True):
        assert (a == b).all()


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
