"""Compiled models that can start over: traced once, with new weights and random states for every trial."""

import contextlib
import inspect
import random
import threading

import keras

_building = threading.RLock()  # two threads that exchange the functions of `random` would get each other's


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
        optimizers that `build` gives it after `keras.utils.set_random_seed(seed)`, whatever other threads draw.
    """
    model = None

    def start(seed):
        nonlocal model
        with _building, _own_random():
            keras.utils.set_random_seed(seed)
            new = build()
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


@contextlib.contextmanager
def _own_random():
    """Gives this thread random numbers of its own in Python's `random`, which all threads share.

    Keras draws the seeds of layers and initializers from `random`. So do the threads that connect a Dask worker with
    its scheduler: a single draw of theirs between a seed and its use would change the weights.
    """
    thread, own = threading.get_ident(), random.Random()
    shared = {name: getattr(random, name) for name in random.__all__ if inspect.isroutine(getattr(random, name))}

    def chosen(name):
        def draw(*arguments, **options):
            function = getattr(own, name) if threading.get_ident() == thread else shared[name]
            return function(*arguments, **options)

        return draw

    for name in shared:
        setattr(random, name, chosen(name))
    try:
        yield
    finally:
        for name, function in shared.items():
            setattr(random, name, function)


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
