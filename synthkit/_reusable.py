"""Compiled models that can start over: traced once, with new weights and random states for every trial."""

import threading

import keras
import numpy as np

MOST_BUILDS = 20  # after which a builder counts as random


class ProcessCache(dict):
    """A dict of traced or fitted networks. A copy in another process starts empty."""

    def __reduce__(self):
        return ProcessCache, ()

    def identity(self):
        """Returns None: what is cached has no influence on results (`_identity.describe`)."""
        return None


def reusable(build):
    """Makes a compiled model that can start over: new weights, a new optimizer, the same traced graphs.

    Args:
        build: callable `() → compiled keras.Model`, of the same architecture in every call; called at every start.

    Returns:
        callable `(seed) → keras.Model`. It returns the same model every time, with the weights, random states and
        optimizers that `build` gives it after `keras.utils.set_random_seed(seed)`.
    """
    model = None

    def start(seed):
        nonlocal model
        new = _seeded(build, seed)
        optimizer = getattr(new, "optimizer", None)
        if optimizer is not None and not optimizer.built:  # a model that has trained has more variables than a new one
            optimizer.build(new.trainable_variables)
        if model is None:
            model = new
        else:
            for variable, value in zip(state(model), state(new), strict=True):
                variable.assign(value)
        keras.utils.set_random_seed(seed)
        return model

    return start


def _seeded(build, seed):
    """Builds a model after `keras.utils.set_random_seed`, undisturbed by other threads.

    Keras draws the seeds of layers and initializers from Python's `random`. So do the threads that connect a Dask
    worker with its scheduler. Dask runs tasks outside the main thread; there the model is built until two builds in a
    row are identical.
    """
    keras.utils.set_random_seed(seed)
    model = build()
    if threading.current_thread() is threading.main_thread():
        return model
    for _ in range(MOST_BUILDS):
        previous = model
        keras.utils.set_random_seed(seed)
        model = build()
        pairs = zip(state(previous), state(model), strict=True)
        if all(np.array_equal(first, second, equal_nan=True) for first, second in pairs):
            return model
    raise RuntimeError(f"{model.name} starts differently every time from seed {seed}: its builder is not reproducible")


def state(model):
    """Returns everything that training changes: the variables of a compiled model and of its optimizers.

    Args:
        model: keras.Model; its optimizers are attributes of it or of a model inside it.

    Returns:
        list of variables, random states included, in an order that depends on the architecture alone.
    """
    optimizers = [
        value
        for part in _nested(model)
        for value in vars(part).values()
        if isinstance(value, keras.optimizers.Optimizer)
    ]
    return model.variables + [variable for optimizer in optimizers for variable in optimizer.variables]


def _nested(model):
    """Yields a model and its layers, those of nested models included."""
    yield model
    for layer in getattr(model, "layers", ()):
        yield from _nested(layer)
