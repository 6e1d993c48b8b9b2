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
from synthkit import datasets, study
from synthkit.classifiers import skin_cnn
from synthkit.datasets.cbis_ddsm import files, phantom_archive, prepared, preprocessing, store
from synthkit.imageset import concatenate, resize_image
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return phantom_archive.write(tmp_path_factory.mktemp("archive"), 24, seed=2, height=200)


def plain_loop(path):
    """Returns the image that the plain steps make of a file, on the scale of 8 bits."""
    ds = pydicom.dcmread(path)
    pixels = ds.pixel_array.astype(float)
    if ds.PhotometricInterpretation == "MONOCHROME1":
        pixels = 65535 - pixels
    pixels = cv2.GaussianBlur(pixels, (5, 5), 0)
    return resize_image(pixels, 48) / 257


@pytest.mark.parametrize("image", ["crop", "full"])
@pytest.mark.parametrize("jobs", [1, 2])
def test_equals_the_plain_loop_within_a_grey_level(archive, tmp_path, image, jobs):
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
    second = table.loc[table["abnormality id"] == "2", ["patient_id", "image view", "left or right breast"]]
    assert len(second), "the archive needs a mammogram with two abnormalities"
    same = (table[second.columns] == second.iloc[0]).all(axis=1)
    table.loc[same & (table["abnormality id"] == "1"), "pathology"] = "BENIGN"
    table.loc[same & (table["abnormality id"] == "2"), "pathology"] = "MALIGNANT"
    table.to_csv(path, index=False)
    index, _ = prepared.prepare(root, tmp_path / "out", image="full", image_size=16, jobs=1)
    patient, view, side = second.iloc[0]
    row = index[index["name"] == f"Mass-Training_{patient}_{side}_{view}"]
    assert row["label"].tolist() == [0]
    assert index["name"].is_unique


def test_splits_share_no_patient_and_are_views_of_the_memory_map(archive, tmp_path):
    index, _ = prepared.prepare(archive, tmp_path, image_size=24, jobs=1)
    splits = prepared.load(tmp_path)
    assert sum(map(len, splits)) == len(index)
    for imageset in splits:
        base = imageset.images
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base
        assert isinstance(base, np.memmap)
        assert not imageset.images.flags.owndata
        assert np.shares_memory(imageset.images, base)
    joined = concatenate(list(splits))
    assert joined.class_names == ("malignant", "benign")
    np.testing.assert_array_equal(joined.images, np.load(tmp_path / "images.npy"))
    np.testing.assert_array_equal(joined.labels, (index["pathology"] != "MALIGNANT").astype(int))
    assert joined.patients.tolist() == index["patient_id"].tolist()


def test_resumes_after_a_kill(archive, tmp_path, monkeypatch):
    """Killed with SIGKILL, with half a record on disk, and resumed: the result is that of a single run."""
    once, _ = prepared.prepare(archive, tmp_path / "once", image="full", image_size=64, jobs=1)
    slow = (
        "import time, sys; from synthkit.datasets.cbis_ddsm import preprocessing as p, prepared\n"
        "f = p.grey_image\ndef grey_image(*a, **k):\n    time.sleep(0.1); return f(*a, **k)\n"
        "p.grey_image = grey_image; prepared.prepare(sys.argv[1], sys.argv[2], image='full', image_size=64, jobs=1)"
    )
    out = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", slow, str(archive), str(out)], cwd=ROOT)
    names = out / "work.csv"
    deadline = time.time() + 60
    while time.time() < deadline and (not names.exists() or names.read_text().count("\n") < 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = names.read_text().splitlines()
    assert 5 <= len(done) < len(once)
    with pytest.raises(ValueError, match="has not finished; run the same command again"):
        prepared.load(out)
    with open(out / "work.raw", "ab") as raw, open(names, "a") as file:
        raw.write(b"\x07" * 1000)  # a kill may also come between these two
        file.write("Mass-Trai")
    calls = []
    original = prepared._prepare_file
    monkeypatch.setattr(prepared, "_prepare_file", lambda *arguments: calls.append(arguments) or original(*arguments))
    index, _ = prepared.prepare(archive, out, image="full", image_size=64, jobs=1)
    assert len(calls) == len(once) - len(done)
    pd.testing.assert_frame_equal(index, once)
    first, second = (np.load(folder / "images.npy") for folder in (tmp_path / "once", out))
    np.testing.assert_array_equal(first, second)


def test_killed_between_the_last_two_steps(archive, tmp_path):
    index, _ = prepared.prepare(archive, tmp_path, image_size=16, jobs=1)
    (tmp_path / "index.csv").rename(tmp_path / "index.csv.part")
    again, _ = prepared.prepare(archive, tmp_path, image_size=16, jobs=1)
    assert again["name"].tolist() == index["name"].tolist()
    assert not (tmp_path / "index.csv.part").exists()


def test_damaged_files_are_listed_and_tried_again(archive, tmp_path):
    root = Path(shutil.copytree(archive, tmp_path / "archive"))
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
    first, second = (np.load(tmp_path / name / "images.npy") for name in ("out", "once"))
    np.testing.assert_array_equal(first, second)


def test_jpeg_layout(tmp_path):
    root = phantom_archive.write(tmp_path / "jpeg", 6, seed=3, height=240, layout="jpeg")
    index, skipped = prepared.prepare(root, tmp_path / "out", image="full", image_size=32, jobs=1)
    assert not len(skipped)
    images = np.load(tmp_path / "out" / "images.npy")
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
    with pytest.raises(ValueError, match=r"prepare\.json is damaged"):
        prepared.prepare(archive, tmp_path / "out", image_size=16, jobs=1)


def test_command(archive, tmp_path, capsys):
    out = str(tmp_path / "out")
    arguments = ["prepare", "--cbis-ddsm", str(archive), "--out", out, "--size", "24", "--jobs", "1"]
    assert command.main(arguments) == 0
    output = capsys.readouterr().out
    assert f"{sum(map(len, prepared.load(out)))} images of" in output
    assert "skipped.csv: 0 " in output
    assert command.main([*arguments, "--image", "full"]) == 2
    assert "other settings: image is crop, here it is full" in capsys.readouterr().err
    assert command.main([*arguments, "--breast-only"]) == 2
    assert "--image full" in capsys.readouterr().err
    assert command.main(["prepare", "--cbis-ddsm", str(tmp_path / "none"), "--out", str(tmp_path / "new")]) == 2
    assert "none is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    options = ["--arms", "real", "--seeds", "1", "--out", str(tmp_path / "study")]
    assert command.main(["study", "--data", out, "--patients", "x", *options]) == 2
    assert "--patients is for folders" in capsys.readouterr().err


def test_study_runs_on_a_prepared_folder(archive, tmp_path):
    """With the images that `--data` loads, which stay in the memory map."""
    prepared.prepare(archive, tmp_path / "out", image_size=20, jobs=1)
    splits = datasets.load(tmp_path / "out")
    assert splits.train.image_shape == (20, 20, 1)
    options = {"classifier": skin_cnn, "seeds": 1, "steps": 2, "batch_size": 8, "progress": False}
    arms = [study.Arm("real"), study.Arm("oversample", study.oversample)]
    results = study.run(splits, arms, out=tmp_path / "study", positive="malignant", **options)
    assert results.trials["status"].tolist() == ["done", "done"]


def test_prepared_images_are_kept_if_a_part_of_the_collection_is_missing(archive, tmp_path):
    root = Path(shutil.copytree(archive, tmp_path / "archive"))
    index, _ = prepared.prepare(root, tmp_path / "out", image_size=16, jobs=1)
    pixels = dict(zip(index["name"], np.load(tmp_path / "out" / "images.npy"), strict=True))
    for folder in sorted((root / "CBIS-DDSM").iterdir())[::2]:
        shutil.rmtree(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rows that have no image
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


def prepare_quietly(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rows without an image and files without a row
        return prepared.prepare(*arguments, image_size=16, jobs=1)


def pixels_of(out):
    return dict(zip(pd.read_csv(out / "index.csv")["name"], np.load(out / "images.npy"), strict=True))


def test_images_of_another_collection_are_refused(archive, tmp_path):
    prepare_quietly(archive, tmp_path / "out")
    before = (tmp_path / "out" / "images.npy").read_bytes()
    other = phantom_archive.write(tmp_path / "other", 6, seed=5, height=200)
    with pytest.raises(
        ValueError, match=r"out contains \d+ images of another collection, for example of (Mass|Calc)-.*--out"
    ):
        prepare_quietly(other, tmp_path / "out")
    assert (tmp_path / "out" / "images.npy").read_bytes() == before
    assert not (tmp_path / "out" / "work.raw").exists()


def test_parts_with_tables_of_their_own_are_prepared_one_after_the_other(archive, tmp_path):
    once, _ = prepare_quietly(archive, tmp_path / "once")
    for part, other in (("mass", "calc"), ("calc", "mass")):
        root = Path(shutil.copytree(archive, tmp_path / part))
        for path in (root / "csv").glob(f"{other}*"):
            path.unlink()
        index, _ = prepare_quietly(root, tmp_path / "out")
    assert set(index["name"]) == set(once["name"])
    together = pixels_of(tmp_path / "out")
    for name, image in pixels_of(tmp_path / "once").items():
        np.testing.assert_array_equal(together[name], image)


@pytest.mark.parametrize("earlier_version", [False, True])
def test_an_image_whose_file_has_changed_is_prepared_again(archive, tmp_path, monkeypatch, earlier_version):
    root, out = Path(shutil.copytree(archive, tmp_path / "archive")), tmp_path / "out"
    index, _ = prepare_quietly(root, out)
    if earlier_version:
        pd.read_csv(out / "index.csv").drop(columns="bytes").to_csv(out / "index.csv", index=False)
    files_of = dict(zip(index["name"], index["file"], strict=True))
    moved, resized, *_ = files_of
    for name in (moved, resized):
        ds = pydicom.dcmread(root / files_of[name])
        ds.PixelData = bytes(255 - byte for byte in ds.PixelData)
        if name == resized:
            ds.ImageComments = "new pixels"
        else:
            (root / files_of[name]).unlink()
        path = root / files_of[name] if name == resized else root / files_of[name].replace("1.000000-", "2.000000-")
        path.parent.mkdir(exist_ok=True)
        ds.save_as(path)
    calls, original = [], prepared._prepare_file
    monkeypatch.setattr(prepared, "_prepare_file", lambda *arguments: calls.append(arguments) or original(*arguments))
    again, _ = prepare_quietly(root, out)
    assert len(calls) == (1 if earlier_version else 2)  # an earlier version did not save the size
    once, _ = prepare_quietly(root, tmp_path / "once")
    pd.testing.assert_frame_equal(again, once)
    expected, pixels = pixels_of(tmp_path / "once"), pixels_of(out)
    for name in expected:
        assert (pixels[name] == expected[name]).all() == (name != resized or not earlier_version), name


def test_work_of_another_file_is_not_resumed(archive, tmp_path):
    index, _ = prepare_quietly(archive, tmp_path / "once")
    other, earlier, same = index["name"][:3]
    (tmp_path / "out").mkdir()
    black = np.zeros((16, 16, 1), "uint8")
    with store.Store(tmp_path / "out", 16).adding() as add:
        add(other, black, "other.dcm", 1)
        add(same, black, index["file"].iloc[2], int(index["bytes"].iloc[2]))
    with open(tmp_path / "out" / "work.raw", "ab") as raw, open(tmp_path / "out" / "work.csv", "a") as names:
        raw.write(black.tobytes())
        names.write(f"{earlier}\n")  # by an earlier version
    prepare_quietly(archive, tmp_path / "out")
    pixels = pixels_of(tmp_path / "out")
    np.testing.assert_array_equal(pixels[other], pixels_of(tmp_path / "once")[other])
    assert not pixels[same].any()
    assert not pixels[earlier].any()


def test_a_mask_that_was_taken_for_the_crop_is_not_kept(archive, tmp_path):
    root, out = Path(shutil.copytree(archive, tmp_path / "archive")), tmp_path / "out"
    _, scanned = prepared.join_files(root)
    prepare_quietly(root, out)
    table = pd.read_csv(out / "index.csv")
    case = table["name"][3]
    (root / table["file"][3]).unlink()
    table.loc[3, "file"] = scanned.loc[(scanned["case"] == case) & (scanned["kind"] == "mask"), "file"].item()
    table.to_csv(out / "index.csv", index=False)
    index, skipped = prepare_quietly(root, out)
    assert set(table["name"]) - set(index["name"]) == {case}
    assert skipped.set_index("name")["reason"][case] == "the collection has no crop image of it"


@pytest.fixture
def bad_files(archive, tmp_path):
    """Returns the number of crops and two of their files."""
    index, _ = prepared.prepare(archive, tmp_path / "fine", image_size=16, jobs=1)
    return len(index), index["file"][5], index["file"][7]


def assert_skipped(archive, out, count, *bad, jobs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        index, skipped = prepared.prepare(archive, out, image_size=16, jobs=jobs)
    reasons = skipped.set_index("file")["reason"]
    for file in bad:
        assert reasons[file] == f"{file}: its decoder crashed or ran out of memory, twice. Replace or remove it"
    assert len(index) == count - len(bad)


def test_files_whose_workers_died_are_skipped(archive, tmp_path, monkeypatch, bad_files):
    """One dies while files are examined, another one while they are prepared; test_workers.py kills real workers."""
    count, *bad = bad_files

    def run(function, tasks, *arguments, **options):
        died = dict(zip((files.describe, prepared._prepare_file), bad, strict=True))[function]
        for key, task in tasks.items():
            yield key, None if died == task[1] else function(*task)

    monkeypatch.setattr(files._workers, "run", run)
    assert_skipped(archive, tmp_path / "out", count, *bad, jobs=1)


@pytest.mark.slow
def test_files_whose_decoder_crashes_are_skipped(archive, tmp_path, monkeypatch, bad_files):
    count, *bad = bad_files
    main_process = os.getpid()

    def crash_on(file, function):
        def crashing(root, path, *arguments):
            if path == file and os.getpid() != main_process:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(root, path, *arguments)

        return crashing

    for file, (module, name) in zip(bad, ((files, "describe"), (prepared, "_prepare_file")), strict=True):
        monkeypatch.setattr(module, name, crash_on(file, getattr(module, name)))
    assert_skipped(archive, tmp_path / "out", count, *bad, jobs=2)
