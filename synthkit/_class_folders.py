"""Images as PNG files in class folders, with a table of them."""

import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from synthkit._files import harmless, replacing, unwritable

UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f]|^[. =@]|[. ]$|^$')  # in a folder's name or a spreadsheet's cell
TABLE = "labels.csv"


def file_names(labels, class_names):
    """Names every image's file: CLASS/CLASS_00001.png, numbered within its class.

    Args:
        labels: int `(n,)`.
        class_names: the classes, in the order of their labels.

    Returns:
        list of paths relative to the folder, with forward slashes.

    Raises:
        ValueError: if a class name cannot be the name of a folder, or two would be the same folder.
    """
    unsafe = [name for name in class_names if UNSAFE.search(name)]
    if unsafe:
        raise ValueError(
            f'a class folder cannot be called {unsafe[0]!r}: rename the class, without / \\ : * ? " < > | and without '
            "a dot, a space, = or @ at its ends"
        )
    if len({unicodedata.normalize("NFC", name).casefold() for name in class_names}) < len(class_names):
        raise ValueError(f"classes must differ in more than the case of letters. Received: {', '.join(class_names)}")
    digits = max(5, len(str(len(labels))))
    counts, names = np.zeros(len(class_names), int), []
    for label in labels:
        counts[label] += 1
        names.append(f"{class_names[label]}/{class_names[label]}_{counts[label]:0{digits}}.png")
    return names


def write(folder, images, labels, class_names, columns):
    """Writes images as PNG files in class folders, then `labels.csv` with the columns file and label.

    Args:
        folder: made if missing.
        images: uint8 `(n, height, width, 1 or 3)`.
        labels: int `(n,)`.
        class_names: the classes, in the order of their labels.
        columns: dict from the names of further columns to their values, one for each image or one for all.

    Raises:
        ValueError: for another number of channels, or as `file_names`.
        OSError: if a file cannot be written.
    """
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"a PNG file has 1 or 3 channels. Received: images of {images.shape[-1]} channels")
    folder, names = Path(folder), file_names(labels, class_names)
    for name, image in zip(names, images, strict=True):
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(image.squeeze(-1) if image.shape[-1] == 1 else image)).save(path)
        except OSError as error:
            raise unwritable(path, error) from error
    table = pd.DataFrame({"file": names, "label": [class_names[label] for label in labels]})
    with replacing(folder / TABLE) as part:
        table.join(harmless(pd.DataFrame(columns, index=table.index))).to_csv(part, index=False)
