"""Compiled models that can start over: traced once, with new weights and random states for every trial."""

import contextlib
import random
import threading

import keras


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
        with _own_seeds(seed):
            new = build()
        if model is None:
            model = new
        else:
            for variable, start in zip(state(model), state(new), strict=True):
                variable.assign(start)
        keras.utils.set_random_seed(seed)
        return model

    return fresh


@contextlib.contextmanager
def _own_seeds(seed):
    """Seeds whatever Keras draws from, and keeps other threads from drawing in between.

    Keras takes the seeds of layers and initializers from Python's `random.randint`, and the threads that keep a Dask
    worker in touch with its scheduler draw from `random` as well.
    """
    keras.utils.set_random_seed(seed)
    own, shared, mine = random.Random(seed), random.randint, threading.get_ident()
    random.randint = lambda a, b: (own.randint if threading.get_ident() == mine else shared)(a, b)
    try:
        yield
    finally:
        random.randint = shared


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
