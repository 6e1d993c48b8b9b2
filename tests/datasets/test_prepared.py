import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from synthkit import __main__ as command
from synthkit.datasets.cbis_ddsm import phantom_archive, prepared, preprocessing
from synthkit.imageset import resize_image
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return phantom_archive.write(tmp_path_factory.mktemp("archive"), 24, seed=2, height=200)


def plain_loop(path):
    """The straightforward way, written down again."""
    ds = pydicom.dcmread(path)
    pixels = ds.pixel_array.astype(float)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        pixels = 65535 - pixels
    pixels = cv2.GaussianBlur(pixels, (5, 5), 0)
    return resize_image(pixels, 48) / 257


@pytest.mark.parametrize("image", ["crop", "full"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_is_the_plain_loop_within_a_grey_level(archive, tmp_path, image, jobs):
    index, skipped = prepared.prepare(archive, tmp_path, image=image, image_size=48, jobs=jobs)
    assert not len(skipped)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert images.shape == (len(index), 48, 48, 1)
    assert images.dtype == "uint8"
    assert index["name"].is_unique
    for i, row in enumerate(index.itertuples()):
        assert np.abs(images[i, ..., 0] - plain_loop(archive / row.file)).max() <= 0.51, row.file
    on_disk = pd.read_csv(tmp_path / "index.csv")
    assert on_disk["name"].tolist() == index["name"].tolist()
    assert set(os.listdir(tmp_path)) - {".lock"} == {"images.npy", "index.csv", "skipped.csv", "prepare.json"}


def test_a_mammogram_is_malignant_if_any_of_its_abnormalities_is(archive, tmp_path):
    root = Path(shutil.copytree(archive, tmp_path / "archive"))
    path = root / "csv" / "mass_case_description_train_set.csv"
    table = pd.read_csv(path, dtype=str)
    several = table.loc[table["abnormality id"] == "2", ["patient_id", "image view", "left or right breast"]]
    assert len(several), "the archive needs a mammogram with two masks"
    here = (table[several.columns] == several.iloc[0]).all(axis=1)
    table.loc[here & (table["abnormality id"] == "1"), "pathology"] = "BENIGN"
    table.loc[here & (table["abnormality id"] == "2"), "pathology"] = "MALIGNANT"
    table.to_csv(path, index=False)
    index, _ = prepared.prepare(root, tmp_path / "out", image="full", image_size=16, jobs=1)
    patient, view, side = several.iloc[0]
    row = index[index["name"] == f"Mass-Training_{patient}_{side}_{view}"]
    assert row["label"].tolist() == [0]
    assert index["name"].is_unique


def test_parts_share_no_patient_and_are_views_of_the_memory_map(archive, tmp_path):
    index, _ = prepared.prepare(archive, tmp_path, image_size=24, jobs=1)
    splits = prepared.load(tmp_path)
    assert sum(map(len, splits)) == len(index)
    for part in splits:
        base = part.images
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base
        assert isinstance(base, np.memmap)
        assert not part.images.flags.owndata
        assert np.shares_memory(part.images, base)
    whole = prepared.open_images(tmp_path)
    assert whole.class_names == ("malignant", "benign")
    np.testing.assert_array_equal(np.concatenate([part.images for part in splits]), whole.images)
    np.testing.assert_array_equal(whole.labels, (index["pathology"] != "MALIGNANT").astype(int))
    assert whole.patients.tolist() == index["patient_id"].tolist()


def test_killed_and_started_again_goes_on(archive, tmp_path, monkeypatch):
    """Killed with SIGKILL in the middle, half a record on the disk, then finished: the same as in one go."""
    once, _ = prepared.prepare(archive, tmp_path / "once", image="full", image_size=64, jobs=1)
    slow = (
        "import time, sys; from synthkit.datasets.cbis_ddsm import preprocessing as p, prepared\n"
        "f = p.grey_image\ndef grey_image(*a, **k):\n    time.sleep(0.1); return f(*a, **k)\n"
        "p.grey_image = grey_image; prepared.prepare(sys.argv[1], sys.argv[2], image='full', image_size=64, jobs=1)"
    )
    out = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", slow, str(archive), str(out)], cwd=ROOT)
    names = out / "work.csv"
    give_up = time.time() + 60
    while time.time() < give_up and (not names.exists() or names.read_text().count("\n") < 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = names.read_text().splitlines()
    assert 5 <= len(done) < len(once)
    with pytest.raises(ValueError, match="has not finished; run the same command again"):
        prepared.load(out)
    with open(out / "work.raw", "ab") as raw, open(names, "a") as file:
        raw.write(b"\x07" * 1000)  # a kill can also come between these two
        file.write("Mass-Trai")
    made = []
    original = prepared._prepare_file
    monkeypatch.setattr(prepared, "_prepare_file", lambda *details: made.append(details) or original(*details))
    index, _ = prepared.prepare(archive, out, image="full", image_size=64, jobs=1)
    assert len(made) == len(once) - len(done)
    pd.testing.assert_frame_equal(index, once)
    first, second = (np.load(folder / "images.npy") for folder in (tmp_path / "once", out))
    np.testing.assert_array_equal(first, second)


def test_killed_between_the_last_two_steps(archive, tmp_path):
    index, _ = prepared.prepare(archive, tmp_path, image_size=16, jobs=1)
    (tmp_path / "index.csv").rename(tmp_path / "index.csv.part")
    again, _ = prepared.prepare(archive, tmp_path, image_size=16, jobs=1)
    assert again["name"].tolist() == index["name"].tolist()
    assert not (tmp_path / "index.csv.part").exists()


def test_broken_files_are_listed_and_tried_again(archive, tmp_path):
    root = Path(shutil.copytree(archive, tmp_path / "archive"))
    table = pd.read_csv(next(root.rglob("mass_case_description_train_set.csv")))
    full = sorted((root / "CBIS-DDSM").glob("Mass-Training_*_CC/*/*/*.dcm"))
    contents = {path: path.read_bytes() for path in full[:3]}
    full[0].write_bytes(contents[full[0]][:-5000])
    full[1].write_bytes(b"not DICOM")
    full[2].unlink()
    with pytest.warns(UserWarning, match="rows have no full image"):
        index, skipped = prepared.prepare(root, tmp_path / "out", image="full", image_size=32, jobs=1)
    reasons = dict(zip(skipped["name"], skipped["reason"], strict=True))
    cases = [path.parts[-4] for path in full[:3]]
    assert "pixels need" in reasons[cases[0]]
    assert "does not begin with the prefix of a DICOM file" in reasons[cases[1]]
    assert reasons[cases[2]] == "the collection has no full image of it"
    listed = pd.read_csv(tmp_path / "out" / "skipped.csv")
    assert listed["reason"].tolist() == skipped["reason"].tolist()
    assert len(listed) == 3
    for path, content in contents.items():
        path.write_bytes(content)
    more, skipped = prepared.prepare(root, tmp_path / "out", image="full", image_size=32, jobs=1)
    assert not len(skipped)
    assert len(more) == len(index) + 3
    once, _ = prepared.prepare(archive, tmp_path / "once", image="full", image_size=32, jobs=1)
    pd.testing.assert_frame_equal(more, once)
    mended, whole = (np.load(tmp_path / name / "images.npy") for name in ("out", "once"))
    np.testing.assert_array_equal(mended, whole)
    assert len(table)


def test_jpeg_layout(tmp_path):
    root = phantom_archive.write(tmp_path / "jpeg", 6, seed=3, height=240, layout="jpeg")
    index, skipped = prepared.prepare(root, tmp_path / "out", image="full", image_size=32, jobs=1)
    assert not len(skipped)
    images = prepared.open_images(tmp_path / "out").images
    grey = cv2.imread(str(root / index["file"].iloc[0]), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(images[0, ..., 0], preprocessing.grey_image(grey, 32))


def test_errors(archive, tmp_path):
    prepared.prepare(archive, tmp_path / "out", image_size=16, jobs=1)
    with pytest.raises(ValueError, match="other settings: image_size is 16, here it is 17"):
        prepared.prepare(archive, tmp_path / "out", image_size=17, jobs=1)
    with pytest.raises(ValueError, match="'both'"):
        prepared.prepare(archive, tmp_path / "new", image="both")
    with pytest.raises(ValueError, match="equalization"):
        prepared.prepare(archive, tmp_path / "new", equalization="strong")
    with pytest.raises(ValueError, match="lacks"):
        prepared.load(tmp_path)
    (tmp_path / "out" / "images.npy").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged"):
        prepared.load(tmp_path / "out")
    (tmp_path / "out" / "prepare.json").write_text("{")
    with pytest.raises(ValueError, match=r"prepare\.json .*damaged|prepare\.json is damaged"):
        prepared.prepare(archive, tmp_path / "out", image_size=16, jobs=1)


def test_command(archive, tmp_path, capsys):
    out = str(tmp_path / "out")
    arguments = ["prepare", "--cbis-ddsm", str(archive), "--out", out, "--size", "24", "--jobs", "1"]
    assert command.main(arguments) == 0
    said = capsys.readouterr().out
    assert f"{len(prepared.open_images(out))} images of" in said
    assert "skipped.csv: 0 " in said
    assert command.main([*arguments, "--image", "full"]) == 2
    assert "other settings: image is crop, here it is full" in capsys.readouterr().err
    assert command.main([*arguments, "--breast-only"]) == 2
    assert "--image full" in capsys.readouterr().err
    assert command.main(["prepare", "--cbis-ddsm", str(tmp_path / "none"), "--out", str(tmp_path / "new")]) == 2
    assert "none is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    study = tmp_path / "study"
    options = ["--arms", "real", "--seeds", "1", "--out", str(study)]
    assert command.main(["study", "--data", out, "--patients", "x", *options]) == 2
    assert "--patients is for folders" in capsys.readouterr().err


def test_study_runs_on_a_prepared_folder(archive, tmp_path, capsys, monkeypatch):
    out = str(tmp_path / "out")
    prepared.prepare(archive, out, image_size=24, jobs=1)
    monkeypatch.setitem(command.PROFILES, "steps", {"fast": 3, "full": 3})
    arguments = ["study", "--data", out, "--arms", "real,oversample", "--seeds", "1", "--out", str(tmp_path / "study")]
    assert command.main(arguments) == 0
    assert "real" in capsys.readouterr().out
    assert (tmp_path / "study" / "report.html").exists()


def test_what_is_prepared_stays_though_a_part_of_the_collection_is_away(archive, tmp_path):
    root = Path(shutil.copytree(archive, tmp_path / "archive"))
    index, _ = prepared.prepare(root, tmp_path / "out", image_size=16, jobs=1)
    pixels = dict(zip(index["name"], np.load(tmp_path / "out" / "images.npy"), strict=True))
    for folder in sorted((root / "CBIS-DDSM").iterdir())[::2]:
        shutil.rmtree(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # which tell how many rows have no image
        again, skipped = prepared.prepare(root, tmp_path / "out", image_size=16, jobs=1)
    assert set(again["name"]) == set(index["name"])
    assert not set(skipped["name"]) & set(index["name"])
    columns = ["name", "label", "patient_id", "file"]
    pd.testing.assert_frame_equal(
        again[columns].sort_values("name", ignore_index=True), index[columns].sort_values("name", ignore_index=True)
    )
    for name, image in zip(again["name"], np.load(tmp_path / "out" / "images.npy"), strict=True):
        np.testing.assert_array_equal(image, pixels[name])
    assert len(prepared.load(tmp_path / "out").train)


@pytest.mark.parametrize("where", ["scan", "prepare"])
def test_a_decoder_that_crashes_costs_its_file(archive, tmp_path, monkeypatch, where):
    module, name = {
        "scan": (sys.modules["synthkit.datasets.cbis_ddsm.files"], "describe"),
        "prepare": (prepared, "_prepare_file"),
    }[where]
    index, _ = prepared.prepare(archive, tmp_path / "fine", image_size=16, jobs=1)
    original, bad = getattr(module, name), index["file"][5]

    def deadly(root, path, *rest):
        if path == bad:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(root, path, *rest)

    monkeypatch.setattr(module, name, deadly)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        others, skipped = prepared.prepare(archive, tmp_path / "out", image_size=16, jobs=2)
    reasons = skipped.set_index("file")["reason"]
    assert reasons[bad] == f"{bad}: its decoder crashed or ran out of memory, twice. Replace or remove it"
    assert len(others) == len(index) - 1
