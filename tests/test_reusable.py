import random
import threading

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

    fresh = reusable(build)
    data = np.random.default_rng(0).random((16, 4), "float32"), np.ones((16, 1), "float32")

    def run(seed):
        model = fresh(seed)
        model.fit(*data, epochs=3, batch_size=8, verbose=0, shuffle=False)
        return model, [v.numpy() for v in model.variables + model.optimizer.variables]

    first, before = run(1)
    run(2)
    second, after = run(1)
    assert first is second
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_other_threads_that_draw_random_numbers_change_no_weight():
    def build():
        for _ in range(3):
            thread = threading.Thread(target=lambda: (random.random(), random.randint(1, 9)))
            thread.start()
            thread.join()
        return classifiers.skin_cnn((20, 20, 1), 2)

    disturbed, plain = reusable(build)(3), reusable(lambda: classifiers.skin_cnn((20, 20, 1), 2))(3)
    for a, b in zip(disturbed.get_weights(), plain.get_weights(), strict=True):
        assert (a == b).all()
