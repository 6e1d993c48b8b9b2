"""The generators that come trained with the repository, in `data/generators`, and files like theirs.

They were fitted on the training images of `cbis_ddsm_crops`, at 64×64 pixels, by `tests/tools/train_generators.py`. A
generator is two files: `NAME.npz` has the weights that drawing needs, the large ones in float16, and `NAME.json` says
how they were trained, with the measurements made meanwhile.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from synthkit import catalogue
from synthkit._files import read_json, replacing, write_json
from synthkit.datasets import bundled
from synthkit.generators.contract import Generator

FOLDER = bundled.FOLDER / "generators"
LARGE = 4096  # numbers; arrays of more are stored in float16


def names(folder=FOLDER):
    """Returns the names of the generators in a folder."""
    return sorted(path.stem for path in Path(folder).glob("*.npz"))


def load(name, folder=FOLDER):
    """Loads a generator that comes trained with the repository.

    Args:
        name: of a row of `catalogue.GENERATORS`, one of `names`.
        folder: with its two files.

    Returns:
        `(generator, record)`: the fitted generator, for `sample`, and the dict in its json file.

    Raises:
        ValueError: if there is no such generator, or a file is damaged or does not fit the generator; names it.
    """
    weights, described = Path(folder) / f"{name}.npz", Path(folder) / f"{name}.json"
    if not (weights.exists() and described.exists()):
        raise ValueError(
            f"{weights} and {described.name} are not both there. Generators that come trained with the repository: "
            f"{', '.join(names(folder)) or 'none'}"
        )
    record = read_json(described)
    if name not in catalogue.GENERATORS or not {"sha256", "image_shape", "class_names", "steps"} <= set(record):
        raise ValueError(f"{described} does not describe a generator of the catalogue; get it again")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != record["sha256"]:
        raise ValueError(f"{weights} is damaged: its SHA-256 differs from the one in {described.name}; get it again")
    model = catalogue.build(catalogue.GENERATORS[name])(tuple(record["image_shape"]), len(record["class_names"]))
    variables = drawing_variables(model)
    try:
        with np.load(weights, allow_pickle=False) as file:
            for variable, key in zip(variables, file.files, strict=True):
                variable.assign(file[key].astype(variable.dtype.as_numpy_dtype))
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{weights} does not fit the generator {name} of this version ({error})") from error
    model.steps.assign(record["steps"])
    return model, record


def save(model, name, record, folder=FOLDER):
    """Writes a fitted generator that `load` can read.

    Args:
        model: generator.
        name: of its row in the catalogue.
        record: dict of what JSON can hold, with the "class_names".
        folder: made if it is missing.
    """
    arrays = [variable.numpy() for variable in drawing_variables(model)]
    large = float(np.finfo("float16").max)
    arrays = [a.astype("float16") if a.size > LARGE and np.abs(a).max() < large else a for a in arrays]
    path = Path(folder) / f"{name}.npz"
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, *arrays)
    facts = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "steps": int(model.steps.numpy())}
    write_json(Path(folder) / f"{name}.json", {**record, **facts, "image_shape": list(model.image_shape)})


def drawing_variables(model):
    """Returns the variables that a generator's images depend on: the discriminator's, for example, are not needed.

    Raises:
        ValueError: for a generator that draws from something else, as the autoencoder from its training images.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec((None, *model.noise_shape), "float32"), tf.TensorSpec((None,), "int64")]
    used = {id(variable) for variable in tf.function(model.draw, signature).get_concrete_function().variables}
    variables = [variable.value for variable in model.variables if id(variable.value) in used]
    if type(model).sample is not Generator.sample or len(variables) != len(used):
        raise ValueError(f"{model.name} does not draw its images from its variables alone, so they cannot be saved")
    return variables
