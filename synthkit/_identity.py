"""What decides a callable's results, as a digest: its code, what it closes over, the functions that it calls."""

import functools
import hashlib
import inspect
import json
import re
import sys
import types

import numpy as np


def digest(*values):
    """Returns 16 hexadecimal digits that differ wherever the descriptions of the values do."""
    return hashlib.sha256(json.dumps([describe(value) for value in values], sort_keys=True).encode()).hexdigest()[:16]


def describe(value, seen=()):
    """Describes a value so that two that act alike are described alike, in any process.

    A function is described by its bytecode without its docstring, its defaults, what it closes over, and the functions
    of its own module that it names; an object with a method `identity()` by what that returns; a Keras object by its
    configuration; an array by its bytes; other objects by their class and attributes.

    Returns:
        what JSON can hold.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if any(value is other for other in seen):
        return "…"
    seen = (*seen, value)
    if isinstance(value, (type, types.ModuleType, types.BuiltinFunctionType)):
        return _class(value, seen) if _is_own(value) else getattr(value, "__qualname__", value.__name__)
    if hasattr(value, "identity"):
        return describe(value.identity(), seen)
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), hashlib.sha256(np.ascontiguousarray(value)).hexdigest()]
    if isinstance(value, dict):
        return {str(key): describe(item, seen) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [describe(item, seen) for item in value]
        return sorted(items, key=str) if isinstance(value, (set, frozenset)) else items
    if isinstance(value, functools.partial):
        return [describe(part, seen) for part in (value.func, value.args, value.keywords)]
    if isinstance(value, types.MethodType):
        return [describe(value.__func__, seen), describe(value.__self__, seen)]
    if isinstance(value, types.FunctionType):
        return _function(value, seen)
    if hasattr(value, "fingerprint"):
        return value.fingerprint()
    if hasattr(value, "get_config"):
        return network(value)
    code = _class(type(value), seen) if _is_own(type(value)) else None
    attributes = {name: item for name, item in getattr(value, "__dict__", {}).items() if not name.startswith("__")}
    return [type(value).__qualname__, code, describe(attributes, seen)]


def network(model):
    """Describes a Keras object by its configuration, without the numbers that a process counts names with."""
    import keras

    text = json.dumps(keras.saving.serialize_keras_object(model), sort_keys=True, default=str)
    return hashlib.sha256(re.sub(r'_\d+"', '"', text).encode()).hexdigest()


def _function(function, seen):
    own = {}
    for name in function.__code__.co_names:
        item = function.__globals__.get(name)
        if isinstance(item, (types.FunctionType, type)) and item.__module__ == function.__module__:
            own[name] = describe(item, seen)
    closure = inspect.getclosurevars(function).nonlocals
    parts = (function.__defaults__, function.__kwdefaults__, closure)
    return [_code(function.__code__, function.__doc__), *(describe(part, seen) for part in parts), own]


def _code(code, doc=None):
    constants = [_code(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts if c not in (None, doc)]
    return hashlib.sha256(repr((code.co_code, constants, code.co_names, code.co_varnames)).encode()).hexdigest()


def _is_own(value):
    """Returns whether a class was defined by the user, whose code may change under its name."""
    module = sys.modules.get(getattr(value, "__module__", None))
    return isinstance(value, type) and "site-packages" not in (getattr(module, "__file__", None) or "")


def _class(value, seen):
    methods = {name: item for name, item in vars(value).items() if isinstance(item, types.FunctionType)}
    return [value.__qualname__, describe(methods, seen)]
