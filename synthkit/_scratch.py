"""Arrays that are used again: pages new from the system cost more than filling them, above all in several threads."""

import math
import threading

import numpy as np

_thread = threading.local()


def scratch(name, shape, dtype):
    """Returns an array that belongs to this thread and name, with whatever it holds, good until the next request.

    Args:
        name: str, of its use; two uses at a time need two names.
        shape: tuple of ints.
        dtype: of NumPy.

    Returns:
        contiguous array.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    held = vars(_thread)
    if name not in held or len(held[name]) < size:
        held[name] = np.empty(size, "uint8")
    return held[name][:size].view(dtype).reshape(shape)
