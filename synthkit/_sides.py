"""Classes that differ by side: a left kidney, mirrored, is a right one."""

import re

SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


def mirrorable(class_names):
    """Returns the labels of the classes whose images may be mirrored left to right; None if all may.

    They are all but those whose name, without its side, is also that of another class.

    Args:
        class_names: the classes, in the order of their labels.

    Example:

    >>> mirrorable(["liver", "kidney-left", "kidney-right", "spleen"]), mirrorable(["malignant", "benign"])
    ((0, 3), None)
    """
    plain = [SIDE.sub("", name).lower() for name in class_names]
    labels = tuple(
        label for label, name in enumerate(class_names) if not SIDE.search(name) or plain.count(plain[label]) == 1
    )
    return labels if len(labels) < len(class_names) else None
