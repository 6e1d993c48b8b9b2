"""The two-dimensional data sets of MedMNIST v2, read straight from their npz files.

Yang et al., "MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image classification",
Scientific Data 10, 2023. Facts and checksums are those of the official release 3.0.2 of the `medmnist` package, for
28×28 pixels. The package itself is not used: it requires PyTorch, and the files are six arrays each.
"""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np

from synthkit._files import read_member
from synthkit.imageset import ImageSet, Splits, without_copies
from synthkit.splitting import subsample

URL = "https://zenodo.org/records/10519652/files/{name}.npz?download=1"
MAX_CLASSES = 1000
PARTS = {"train": "train", "val": "validation", "test": "test"}


@dataclasses.dataclass(frozen=True)
class Info:
    """Facts of one data set: class names, parted by semicolons, and official sizes of train, validation and test.

    `study_test` is the test size in the MedMNIST study's Table 1, None for sets that the study leaves out.
    """

    names: str
    sizes: tuple
    channels: int
    md5: str
    task: str = "multi-class"
    licence: str = "CC BY 4.0"
    study_test: int | None = None

    @property
    def class_names(self):
        return tuple(self.names.split("; "))


ORGANS = (
    "bladder; femur-left; femur-right; heart; kidney-left; kidney-right; liver; lung-left; lung-right; pancreas; spleen"
)
INFO = {
    "pathmnist": Info(
        "adipose; background; debris; lymphocytes; mucus; smooth muscle; normal colon mucosa; "
        "cancer-associated stroma; colorectal adenocarcinoma epithelium",
        (89996, 10004, 7180),
        3,
        "a8b06965200029087d5bd730944a56c1",
        study_test=7180,
    ),
    "chestmnist": Info(
        "atelectasis; cardiomegaly; effusion; infiltration; mass; nodule; pneumonia; pneumothorax; "
        "consolidation; edema; emphysema; fibrosis; pleural; hernia",
        (78468, 11219, 22433),
        1,
        "02c8a6516a18b556561a56cbdd36c4a8",
        task="multi-label",
    ),
    "dermamnist": Info(
        "actinic keratoses and intraepithelial carcinoma; basal cell carcinoma; benign keratosis-like "
        "lesions; dermatofibroma; melanoma; melanocytic nevi; vascular lesions",
        (7007, 1003, 2005),
        3,
        "0744692d530f8e62ec473284d019b0c7",
        licence="CC BY-NC 4.0",
        study_test=2005,
    ),
    "octmnist": Info(
        "choroidal neovascularization; diabetic macular edema; drusen; normal",
        (97477, 10832, 1000),
        1,
        "c68d92d5b585d8d81f7112f81e2d0842",
        study_test=1000,
    ),
    "pneumoniamnist": Info(
        "normal; pneumonia",
        (4708, 524, 624),
        1,
        "28209eda62fecd6e6a2d98b1501bb15f",
        task="binary-class",
        study_test=624,
    ),
    "retinamnist": Info(
        "0; 1; 2; 3; 4",
        (1080, 120, 400),
        3,
        "bd4c0672f1bba3e3a89f0e4e876791e4",
        task="ordinal-regression",
    ),
    "breastmnist": Info(
        "malignant; normal, benign",
        (546, 78, 156),
        1,
        "750601b1f35ba3300ea97c75c52ff8f6",
        task="binary-class",
        study_test=156,
    ),
    "bloodmnist": Info(
        "basophil; eosinophil; erythroblast; immature granulocytes; lymphocyte; monocyte; neutrophil; platelet",
        (11959, 1712, 3421),
        3,
        "7053d0359d879ad8a5505303e11de1dc",
    ),
    "tissuemnist": Info(
        "Collecting Duct, Connecting Tubule; Distal Convoluted Tubule; Glomerular endothelial cells; "
        "Interstitial endothelial cells; Leukocytes; Podocytes; Proximal Tubule Segments; Thick Ascending "
        "Limb",
        (165466, 23640, 47280),
        1,
        "ebe78ee8b05294063de985d821c1c34b",
    ),
    "organamnist": Info(
        ORGANS,
        (34561, 6491, 17778),
        1,
        "68e3f8846a6bd62f0c9bf841c0d9eacc",
        study_test=8889,
    ),
    "organcmnist": Info(
        ORGANS,
        (12975, 2392, 8216),
        1,
        "b9ceb9546e10131b32923c5bbeaea2b1",
        study_test=8268,
    ),
    "organsmnist": Info(
        ORGANS,
        (13932, 2452, 8827),
        1,
        "9ab87b696fb54e2a387ebe992d6ed5f1",
        study_test=8829,
    ),
}

LARGER = {  # md5 of the files of larger images, by pixels a side
    "pathmnist": {
        64: "55aa9c1e0525abe5a6b9d8343a507616",
        128: "ac42d08fb904d92c244187169d1fd1d9",
        224: "2c51a510bcdc9cf8ddb2af93af1eadec",
    },
    "chestmnist": {
        64: "9de6cd0b934ebb5b7426cfba5efbae16",
        128: "db107e5590b27930b62dbaf558aebee3",
        224: "45bd33e6f06c3e8cdb481c74a89152aa",
    },
    "dermamnist": {
        64: "b70a2f5635c6199aeaa28c31d7202e1f",
        128: "2defd784463fa5243564e855ed717de1",
        224: "8974907d8e169bef5f5b96bc506ae45d",
    },
    "octmnist": {
        64: "e229e9440236b774d9f0dfef9d07bdaf",
        128: "0a97e76651ace45c5d943ee3f65b63ae",
        224: "abc493b6d529d5de7569faaef2773ba3",
    },
    "pneumoniamnist": {
        64: "8f4eceb4ccffa70c672198ea285246c6",
        128: "05b46931834c231683c68f40c47b2971",
        224: "d6a3c71de1b945ea11211b03746c1fe1",
    },
    "retinamnist": {
        64: "afda852cc34dcda56f86ad2b2457dbcc",
        128: "e48e916a24454daf90583d4e6efb1a18",
        224: "eae7e3b6f3fcbda4ae613ebdcbe35348",
    },
    "breastmnist": {
        64: "742edef2a1fd1524b2efff4bd7ba9364",
        128: "363e4b3f8d712e9b5de15470a2aaadf1",
        224: "b56378a6eefa9fed602bb16d192d4c8b",
    },
    "bloodmnist": {
        64: "2b94928a2ae4916078ca51e05b6b800b",
        128: "adace1e0ed228fccda1f39692059dd4c",
        224: "b718ff6835fcbdb22ba9eacccd7b2601",
    },
    "tissuemnist": {
        64: "123ece2eba09d0aa5d698fda57103344",
        128: "61b955355d7425a89687b06cca3ce0c2",
        224: "b077128c4a949f0a4eb01517f9037b9c",
    },
    "organamnist": {
        64: "2dcccc29b88e6da5a01161ef20cda288",
        128: "eeae80d0a227a8d099027e1b3cfd3b60",
        224: "50747347e05c87dd3aaf92c49f9f3170",
    },
    "organcmnist": {
        64: "3ce34a8724ea6f548e6db4744d03b6a9",
        128: "773c1f009daa3fe5d9a2a201b2a7ed94",
        224: "050f5e875dc056f6768abf94ec9995d1",
    },
    "organsmnist": {
        64: "53a6d115339d874c25e309a994ff46d3",
        128: "ded0c5fa01a95dc4978b956f613e9b8e",
        224: "b354719e553fbbb2513d5533f52a4cb1",
    },
}
NAME = re.compile(r"([a-z]+mnist(?:3d)?)(?:_(28|64|128|224))?(?:[ _-]*(?:\(\d+\)|copy))*")


def set_name(text):
    """Returns `(name, pixels a side)` that a file's or a command line's name stands for, or None."""
    match = NAME.fullmatch(str(text).lower())
    return (match[1], int(match[2] or 28)) if match else None


def load(source, *, cache_dir=None):
    """Loads a data set with its official split.

    Training images that stand byte for byte in the validation or test part are left out with a warning that counts
    them: the official BreastMNIST has one such image, under the other label.

    Args:
        source: a name in `INFO`, downloaded once by Keras and checked against its official md5, or the path of an npz
            file of MedMNIST's format. Class names come from `INFO` if the file is named after a set there and has as
            many classes.
        cache_dir: where downloads are kept; Keras's own (`~/.keras`) if None.

    Returns:
        Splits.

    Raises:
        OSError: if the download fails; says where to put the file instead.
        ValueError: if the file is not of MedMNIST's format, or the task is multi-label.
    """
    known = set_name(source) if not str(source).endswith(".npz") else set_name(Path(source).stem)
    name = known[0] if known else ""
    info = INFO.get(name)
    if name.endswith("3d"):
        raise ValueError(f"{name} holds volumes; synthkit compares classifiers of two-dimensional images")
    if info is not None and info.task == "multi-label":
        raise ValueError(f"{name} is a multi-label set; synthkit compares classifiers of one label per image")
    path = Path(source) if str(source).endswith(".npz") else _download(*known, cache_dir)
    parts = {part: _part(path, part) for part in PARTS}
    lowest = min(int(labels.min(initial=0)) for _, labels in parts.values())
    classes = 1 + max(int(labels.max(initial=0)) for _, labels in parts.values())
    if lowest < 0 or classes > MAX_CLASSES:
        raise ValueError(
            f"{path}: labels must lie between 0 and {MAX_CLASSES - 1}. Received: {lowest} to {classes - 1}"
        )
    named = info is not None and classes <= len(info.class_names)
    class_names = info.class_names if named else [f"class {label}" for label in range(max(2, classes))]
    sets = {
        part: ImageSet(images, labels, class_names, name=f"{path.stem} {PARTS[part]}")
        for part, (images, labels) in parts.items()
    }
    sets["train"] = without_copies(sets["train"], sets["val"], sets["test"])
    sets["val"] = without_copies(sets["val"], sets["test"])
    try:
        return Splits(*(sets[part] for part in PARTS))
    except ValueError as error:
        raise ValueError(f"{path} does not make a training, a validation and a test part: {error}") from error


def study_subset(splits, name, *, seed=0):
    """Draws the MedMNIST study's subset: about 150 training images a class, a ninth as many for validation.

    Sizes are those of the study's Table 1. Its table departs from the files in these ways. BreastMNIST is used whole
    (less the training image that stands in the test part too). DermaMNIST has classes of fewer than 150 training
    images; the table's 1,050 are reached by drawing more of the others. For OrganMNIST (Axial) the table states half of
    the official test part, 8,889 of 17,778, and here that many are drawn. For the Coronal and Sagittal sets it states
    the sizes of earlier releases, 8,268 and 8,829; today's files hold 8,216 and 8,827, and all of them are used.

    Args:
        splits: Splits, as `load` returns them.
        name: the set's name in `INFO`.
        seed: int.

    Returns:
        Splits.

    Raises:
        ValueError: if the study did not use that set.
    """
    info = INFO.get(name)
    if info is None or info.study_test is None:
        used = ", ".join(name for name, info in INFO.items() if info.study_test)
        raise ValueError(f"the MedMNIST study did not use {name!r}; it used {used}")
    if name == "breastmnist":
        return splits
    total = 150 * len(info.class_names)
    held = math.ceil(total / 9)
    test = splits.test
    if info.study_test < len(test):
        chosen = np.random.default_rng(seed).choice(len(test), info.study_test, replace=False)
        test = test[np.sort(chosen)]
    return Splits(
        subsample(splits.train, 150, total=total, seed=seed),
        subsample(splits.validation, math.ceil(held / len(info.class_names)), total=held, seed=seed),
        test,
    )


def _download(name, image_size, cache_dir):
    import keras

    file = f"{name}.npz" if image_size == 28 else f"{name}_{image_size}.npz"
    url = URL.format(name=Path(file).stem)
    try:
        # The md5 decides whether a file that is there already is the right one.
        path = keras.utils.get_file(
            file,
            url,
            file_hash=INFO[name].md5 if image_size == 28 else LARGER[name][image_size],
            hash_algorithm="md5",
            cache_subdir="datasets/medmnist",
            cache_dir=cache_dir,
        )
    except Exception as error:
        folder = Path(cache_dir or Path.home() / ".keras") / "datasets" / "medmnist"
        raise OSError(
            f"{Path(file).stem} could not be downloaded from {url} ({error}). Put the file at {folder / file}, or give the path "
            "of a copy"
        ) from error
    return Path(path)


def _part(path, part):
    """Reads one part of an npz file: uint8 images `(n, height, width, channels)` and int labels `(n,)`."""
    try:
        # Opened here, since np.load leaves its own handle open when the file is damaged.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            images, labels = (read_member(file, f"{part}_{what}") for what in ("images", "labels"))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist") from error
    except KeyError as error:
        missing = re.search(r"\w+_(images|labels)", str(error))
        raise ValueError(
            f"{path} is not a MedMNIST file: it lacks {missing[0] if missing else error}; expected the arrays "
            f"train_images, train_labels, val_images, val_labels, test_images and test_labels"
        ) from error
    except Exception as error:  # damaged bytes fail in many ways
        if "pickle" in str(error).lower():
            raise ValueError(
                f"{path} holds pickled objects, which can run code when they are loaded; MedMNIST's files hold plain "
                f"arrays. Get the official file"
            ) from error
        raise ValueError(f"{path} is damaged or not an npz file ({error}). Get it again") from error
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim == 5 or (images.ndim == 4 and images.shape[-1] not in (1, 3)):
        raise ValueError(f"{path} holds volumes of shape {images.shape[1:]}; expected two-dimensional images")
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise ValueError(
            f"{path} holds {labels.shape[1]} labels for each image; synthkit compares classifiers of one label each"
        )
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"{path}: {part}_images must be uint8 of shape (n, height, width) or (n, height, width, 3). "
            f"Received: {images.dtype} {images.shape}"
        )
    if labels.shape not in ((len(images),), (len(images), 1)) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{path}: {part}_labels must be one integer for each of the {len(images)} images. "
            f"Received: {labels.dtype} {labels.shape}"
        )
    return images, labels.reshape(-1).astype("int64")
