"""A simulated CBIS-DDSM: case tables and image files in the archive's layouts, with its quirks.

It differs from the real collection in the pixels (`phantom_mammogram`) and in the UIDs, which have pydicom's root,
because the root of another organisation must not be used. The quirks are those of the real tables: line breaks inside
path columns, crop and mask in one folder that is named after the mask, paths to the wrong one of the two, missing
margins, several abnormalities in one mammogram, `breast_density` in the tables of masses and `breast density` in those
of calcifications, and patients who are in one kind's training table and the other kind's test table.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage
from tqdm.auto import tqdm

from synthkit.datasets import phantom
from synthkit.datasets.cbis_ddsm import files, phantom_mammogram
from synthkit.datasets.cbis_ddsm.tables import TABLES

LAYOUTS = ("descriptive", "identifiers", "jpeg")
ROOT = "1.2.826.0.1.3680043.8.498."  # pydicom's own
DESCRIPTIONS = {kind: description for description, kind in files.DESCRIPTIONS.items()}
# The tables that the first ten patients are in, repeated for the next ten; the ninth is in two, as 31 real ones are.
TURNS = (
    *(["mass_train"], ["mass_train"], ["calc_train"], ["mass_test"], ["mass_train"], ["calc_train"], ["mass_train"]),
    *(["calc_test"], ["mass_train", "calc_test"], ["calc_train"]),
)
MISSING_MARGINS = 12  # every twelfth patient, from the fifth on, has no mass margins; in the real tables 60 of 1,696
SEPARATE = 0.08  # fraction of mass masks that have a series of their own; in the real tables 103 of 1,696
INVERTED = 0.15  # fraction of mammograms stored as MONOCHROME1


def write(folder, patients=12, seed=0, *, height=1000, layout="descriptive", best_auc=0.90, progress=False):
    """Writes a simulated CBIS-DDSM: case tables, full mammograms, crops and masks, in one of the archive's layouts.

    Args:
        folder: folder to write to, made if missing.
        patients: int, number of patients; each has one to four mammograms.
        seed: int; determines everything.
        height: rows of the full mammograms.
        layout: "descriptive" for the folder names of the archive's download tool, "identifiers" for folders named by
            UIDs, or "jpeg" for JPEG files.
        best_auc: the best AUC that a classifier of single crops can reach.
        progress: whether to show a bar.

    Returns:
        Path of the folder, for `cbis_ddsm.index` and `cbis_ddsm.prepare`.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}. Received: {layout!r}")
    if patients < 1 or height < 200:
        raise ValueError(f"patients must be at least 1 and height 200. Received: patients={patients}, height={height}")
    folder = Path(folder)
    rows = _cases(patients, seed, best_auc)
    listed = []
    groups = list(rows.groupby("mammogram", sort=False))
    for number, (_, group) in enumerate(tqdm(groups, desc="drawing", unit="mammogram", disable=not progress)):
        rng = np.random.default_rng([seed, 1, number])
        first = group.iloc[0]
        lesions = [(row.kind, row.malignancy, row.radius) for row in group.itertuples()]
        view, side = first["image view"], first["left or right breast"]
        image, masks, boxes = phantom_mammogram.draw(height, view, side, first["density"], lesions, rng)
        location = _location(first["mammogram"], first["full_study"], first["full_series"], "full")
        inverted = rng.random() < INVERTED
        listed.append(_save(folder, layout, location, 1, "full", image, inverted))
        for row, mask, (top, left, bottom, right) in zip(group.itertuples(), masks, boxes, strict=True):
            # A folder with both files is named after the mask.
            folder_kind = "mask" if row.crop_series == row.mask_series else "crop"
            location = _location(row.case, row.roi_study, row.crop_series, folder_kind)
            listed.append(_save(folder, layout, location, row.crop_number, "crop", image[top:bottom, left:right]))
            location = _location(row.case, row.mask_study, row.mask_series, "mask")
            listed.append(_save(folder, layout, location, row.mask_number, "mask", mask))
    (folder / "csv").mkdir(parents=True, exist_ok=True)
    for name, table in rows.groupby("table"):
        _case_table(name, table).to_csv(folder / "csv" / TABLES[name], index=False)
    if layout == "jpeg":
        pd.DataFrame(listed).to_csv(folder / "csv" / "dicom_info.csv", index=False)
    return folder


def _cases(patients, seed, best_auc):
    """Draws patients and abnormalities: a row per abnormality and view."""
    rng = np.random.default_rng([seed, 0])
    rows = []
    for number in range(patients):
        malignant = rng.random() < 0.48
        density = rng.choice([1, 2, 3, 4], p=[0.2, 0.45, 0.26, 0.09])
        for side, table in zip(rng.permutation(["LEFT", "RIGHT"]), TURNS[number % len(TURNS)], strict=False):
            count = 1 + (rng.random() < 0.12)
            views = ["CC", "MLO"] if rng.random() < 0.85 else ["MLO"]
            findings = [_finding(table[:4], malignant, number, rng) for _ in range(count)]
            for view in views:
                series = {"full_study": _uid(rng), "full_series": _uid(rng)}
                for abnormality, finding in enumerate(findings, 1):
                    row = {"patient_id": f"P_{number * 7 % 2000 + 1:05d}", "density": density, "image view": view}
                    row |= {"left or right breast": side, "abnormality id": abnormality}
                    row |= {"table": table, "kind": table[:4]}
                    rows.append(row | finding | series | _roi_series(table[:4], rng))
    rows = pd.DataFrame(rows)
    labels = (rows["pathology"] != "MALIGNANT").astype(int)
    rows["malignancy"] = phantom.draw_malignancy(labels, rows["patient_id"], best_auc=best_auc, seed=seed)
    prefix = rows["kind"].str.capitalize() + rows["table"].str[5:].map({"train": "-Training_", "test": "-Test_"})
    rows["mammogram"] = prefix + rows["patient_id"] + "_" + rows["left or right breast"] + "_" + rows["image view"]
    rows["case"] = rows["mammogram"] + "_" + rows["abnormality id"].astype(str)
    return rows


def _finding(kind, malignant, number, rng):
    """Draws a patient's abnormality: columns of the tables, and its radius as a fraction of the film's height."""
    pathology = "MALIGNANT" if malignant else rng.choice(["BENIGN", "BENIGN_WITHOUT_CALLBACK"], p=[0.8, 0.2])
    weights = {"MALIGNANT": [0.04, 0, 0, 0.02, 0.5, 0.44], "BENIGN": [0.15, 0, 0.05, 0.35, 0.45, 0]}
    assessment = rng.choice(6, p=weights.get(pathology, [0.02, 0.01, 0.97, 0, 0, 0]))
    if kind == "mass":
        shapes = ["IRREGULAR", "LOBULATED", "OVAL", "ROUND"]
        margins = ["SPICULATED", "ILL_DEFINED", "OBSCURED", "CIRCUMSCRIBED"]
        odds = [0.55, 0.25, 0.13, 0.07] if malignant else [0.08, 0.25, 0.42, 0.25]
        features = {"mass shape": rng.choice(shapes, p=odds), "mass margins": rng.choice(margins, p=odds)}
        if number % MISSING_MARGINS == 4:
            features["mass margins"] = None
        radius = rng.uniform(0.025, 0.055)
    else:
        types = ["PLEOMORPHIC", "AMORPHOUS"] if malignant else ["PUNCTATE", "LUCENT_CENTER"]
        features = {"calc type": rng.choice(types)}
        features["calc distribution"] = rng.choice(["CLUSTERED", "SEGMENTAL", None], p=[0.6, 0.2, 0.2])
        radius = rng.uniform(0.03, 0.06)
    features |= {"pathology": pathology, "assessment": assessment}
    return features | {"subtlety": rng.integers(1, 6), "radius": radius}


def _roi_series(kind, rng):
    """Draws the series of crop and mask, one for both or one each, and the numbers of their files in it."""
    crop = {"roi_study": _uid(rng), "crop_series": _uid(rng)}
    if kind == "mass" and rng.random() < SEPARATE:
        return crop | {"mask_study": _uid(rng), "mask_series": _uid(rng), "crop_number": 1, "mask_number": 1}
    first = int(rng.integers(1, 3))
    mask = {"mask_study": crop["roi_study"], "mask_series": crop["crop_series"]}
    return crop | mask | {"crop_number": first, "mask_number": 3 - first}


def _uid(rng):
    return ROOT + "".join(map(str, rng.integers(1, 10, 36)))


def _location(case, study, series, folder_kind):
    return {"case": case, "study": study, "series": series, "folder": DESCRIPTIONS[folder_kind]}


def _save(folder, layout, location, number, kind, pixels, inverted=False):
    """Writes one file. Returns its row in `dicom_info.csv`."""
    case, study, series = location["case"], location["study"], location["series"]
    if layout == "jpeg":
        path = folder / "jpeg" / series / f"{number}-{series[-3:]}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), (pixels // 257).astype("uint8") if pixels.dtype == np.uint16 else pixels)
    else:
        inner = Path(study) / series
        if layout == "descriptive":
            inner = Path(f"08-29-2017-DDSM-{study[-5:]}") / f"1.000000-{location['folder']}-{series[-5:]}"
        path = folder / "CBIS-DDSM" / case / inner / f"1-{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        header(case, study, series, number, DESCRIPTIONS[kind], pixels, inverted).save_as(
            path, enforce_file_format=True
        )
    return {
        "file_path": f"CBIS-DDSM/dicom/{series}/{number}-{series[-3:]}.dcm",
        "image_path": f"CBIS-DDSM/jpeg/{series}/{number}-{series[-3:]}.jpg",
        "BitsAllocated": 8 * pixels.itemsize,
        "Columns": pixels.shape[1],
        "PatientID": case,
        "Rows": pixels.shape[0],
        "SeriesDescription": DESCRIPTIONS[kind],
        "SeriesInstanceUID": series,
    }


def header(case, study, series, number, description, pixels, inverted=False, syntax=ImplicitVRLittleEndian):
    """Returns the DICOM data set of one image, with the attributes of the real collection's files.

    Args:
        case: name of the case, saved as Patient ID.
        study, series: UIDs.
        number: Instance Number.
        description: Series Description.
        pixels: uint8 or uint16 `(rows, columns)`, 0 black.
        inverted: whether to store them as MONOCHROME1.
        syntax: transfer syntax UID.

    Returns:
        pydicom Dataset.
    """
    instance = f"{series[:-2]}{number:02d}"
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = instance
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SpecificCharacterSet, ds.Modality, ds.ConversionType = "ISO_IR 100", "MG", "WSD"
    ds.StudyDate, ds.ContentDate, ds.StudyTime, ds.ContentTime = "20170829", "20160503", "180052", "105948.640000"
    ds.AccessionNumber = ds.ReferringPhysicianName = ds.PatientBirthDate = ds.PatientSex = ""
    ds.SeriesDescription, ds.PatientName, ds.PatientID = description, case, case
    ds.BodyPartExamined = "BREAST"
    ds.SecondaryCaptureDeviceManufacturer, ds.SecondaryCaptureDeviceManufacturerModelName = "MathWorks", "MATLAB"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.StudyID = study, series, "DDSM"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.PatientOrientation = "MLO" if "_MLO" in case else "CC"
    ds.Laterality = "L" if "_LEFT" in case else "R"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME1" if inverted else "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated = ds.BitsStored = bits = 8 * pixels.itemsize
    ds.HighBit, ds.PixelRepresentation = bits - 1, 0
    stored = np.iinfo(pixels.dtype).max - pixels if inverted else pixels
    ds.SmallestImagePixelValue, ds.LargestImagePixelValue = int(stored.min()), int(stored.max())
    data = np.ascontiguousarray(stored).astype(stored.dtype.newbyteorder("<")).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if bits == 16 or syntax != ExplicitVRLittleEndian else "OB"
    return ds


def _case_table(name, rows):
    """Returns a case table with the columns, their order, and the paths of the real one."""
    kind = name[:4]
    full = rows["mammogram"] + "/" + rows["full_study"] + "/" + rows["full_series"] + "/000000.dcm"
    crop = rows["case"] + "/" + rows["roi_study"] + "/" + rows["crop_series"]
    mask = rows["case"] + "/" + rows["mask_study"] + "/" + rows["mask_series"]
    separate = rows["crop_series"] != rows["mask_series"]
    features = ["mass shape", "mass margins"] if kind == "mass" else ["calc type", "calc distribution"]
    table = {
        "patient_id": rows["patient_id"],
        "breast_density" if kind == "mass" else "breast density": rows["density"],
    }
    table |= {name: rows[name] for name in ("left or right breast", "image view", "abnormality id")}
    table["abnormality type"] = "mass" if kind == "mass" else "calcification"
    table |= {name: rows[name] for name in (*features, "assessment", "pathology", "subtlety")}
    table["image file path"] = full
    if kind == "mass":
        table["cropped image file path"] = crop + "/000000.dcm"
        table["ROI mask file path"] = mask + np.where(separate, "/000000.dcm\n", "/000001.dcm\n")
    else:
        table["cropped image file path"] = crop + "/000001.dcm\n"
        table["ROI mask file path"] = mask + "/000000.dcm"
    return pd.DataFrame(table)
