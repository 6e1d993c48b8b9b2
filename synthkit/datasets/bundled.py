"""The real images and tables that come with the repository, in its folder `data`.

480 mass crops of CBIS-DDSM at 96×96 pixels, and the collection's four case tables (Lee et al., "A curated mammography
data set for use in computer-aided detection and diagnosis research", Scientific Data 4, 170177, 2017; CC BY 3.0).
`data/README.md` says how they were made.
"""

from pathlib import Path

CROPS = "cbis_ddsm_crops"
TABLES = "cbis_ddsm_tables"
FOLDER = Path(__file__).parents[2] / "data"
# The crops came without patient identifiers. Ten consecutive files, which may show the same patients, count as one.
PATIENTS = r"([a-z]+)/(\d*)\d\.jpg"
CLASS_NAMES = ("malignant", "benign")  # the mammography study's labels, 0 and 1


def folder(name):
    """Returns the folder of `CROPS`, `TABLES` or "results".

    Raises:
        FileNotFoundError: if synthkit was installed without its repository.
    """
    path = FOLDER / name
    if not path.is_dir():
        raise FileNotFoundError(
            f"there is no folder {path}: {name} comes with the repository, not with the installed package. Clone the "
            "repository and install it with pip install -e"
        )
    return path


def load(image_size=None, **options):
    """Loads the mass crops, malignant 0 and benign 1; arguments as in `folders.load`.

    Returns:
        Splits: 200 training, 60 validation and 220 test images.
    """
    from synthkit.datasets import folders

    options = {"patients": PATIENTS, "class_names": CLASS_NAMES, "color": False} | options
    return folders.load(folder(CROPS), image_size or 96, **options)
