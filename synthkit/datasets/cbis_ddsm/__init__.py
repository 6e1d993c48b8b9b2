"""The CBIS-DDSM collection of mammograms: case tables, image files, the mammography study's preprocessing and splits.

- `tables`: the case tables as one DataFrame, joined to the files; the study's feature engineering and splits.
- `files`: which case each file of a download belongs to, and what it shows.
- `preprocessing`: from a greyscale image to a network's input.
- `prepared`: a whole collection as small images in one memory-mapped file, and `store`, its files.
- `phantom_archive`: a simulated collection in the archive's layouts.
"""

from synthkit.datasets.cbis_ddsm.prepared import load, prepare
from synthkit.datasets.cbis_ddsm.tables import (
    CLASS_NAMES,
    TABLES,
    fill_missing,
    index,
    leaked,
    leftovers,
    merge,
    patient_split,
    read_table,
    read_tables,
    shared_patients,
    study_split,
)

__all__ = [
    "CLASS_NAMES",
    "TABLES",
    "fill_missing",
    "index",
    "leaked",
    "leftovers",
    "load",
    "merge",
    "patient_split",
    "prepare",
    "read_table",
    "read_tables",
    "shared_patients",
    "study_split",
]
