"""Compiled models that can start over: traced once, with new weights and random states for every trial."""

import threading

import keras
import numpy as np


class Kept(dict):
    """What a process keeps to be quick: networks that are traced or fitted. A copy in another process starts empty."""

    def __reduce__(self):
        return Kept, ()


def reusable(build):
    """Makes a compiled model that can start over: new weights, a new optimizer, the same traced graphs.

    Args:
        build: callable `() → compiled keras.Model`; called once a start, the same architecture each time.

    Returns:
        callable `(seed) → keras.Model`, always the same model, its weights, random states and optimizers as `build`
        makes them after `keras.utils.set_random_seed(seed)`.
    """
    model = None

    def fresh(seed):
        nonlocal model
        new = _seeded(build, seed)
        if model is None:
            model = new
        else:
            for variable, start in zip(state(model), state(new), strict=True):
                variable.assign(start)
        keras.utils.set_random_seed(seed)
        return model

    return fresh


def _seeded(build, seed):
    """Builds a model after `keras.utils.set_random_seed`, whatever other threads do meanwhile.

    Keras takes the seeds of layers and initializers from Python's `random`. The threads that connect a Dask worker with
    its scheduler draw from it too, so there the model is built until two in a row are the same.
    """
    keras.utils.set_random_seed(seed)
    model = build()
    alone = threading.current_thread() is threading.main_thread()
    while not alone:
        before = model
        keras.utils.set_random_seed(seed)
        model = build()
        pairs = zip(state(before), state(model), strict=True)
        alone = all(np.array_equal(first, second) for first, second in pairs)
    return model


def state(model):
    """Returns all that a training changes: a compiled model's variables, random states among them, and its optimizers'.

    Args:
        model: keras.Model; optimizers are those that are attributes of it or of its parts.

    Returns:
        list of variables, in an order that depends on the architecture alone.
    """
    owned = [
        value
        for part in _parts(model)
        for value in vars(part).values()
        if isinstance(value, keras.optimizers.Optimizer)
    ]
    return model.variables + [variable for optimizer in owned for variable in optimizer.variables]


def _parts(model):
    """Yields a model and the models within it."""
    yield model
    for layer in getattr(model, "layers", ()):
        yield from _parts(layer)
