"""Files from untrusted sources: none runs code, fills the memory, reads other folders or damages a page or table."""

import io
import json
import os
import struct
import zipfile
import zlib

import keras
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.data import get_testdata_file

from synthkit import _files, study
from synthkit._files import harmless
from synthkit.datasets import cbis_ddsm, dicom, folders, medmnist, reading
from synthkit.datasets.cbis_ddsm import files, phantom_archive, prepared
from synthkit.study import Arm, storage
from tests.datasets.test_medmnist import write
from tests.study.toy import OPTIONS
from tests.tools.fuzzing import trial_files


def rewrite(path, member, content):
    """Replaces a member of a zip file, or adds one."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | {member: content}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def npy_header(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def png(width, height):
    """Returns a short PNG file whose header claims this size."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 999))]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in [*chunks, (b"IEND", b"")]:
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


def test_npz_with_a_false_header_is_not_allocated(tmp_path):
    path = write(tmp_path / "odd.npz")
    rewrite(path, "test_images.npy", npy_header((10**7, 1000, 1000)) + bytes(100))
    with pytest.raises(ValueError, match=r"odd.npz is damaged.*test_images.npy says that it is 10,000,000,000,\d+"):
        medmnist.load(path)


def test_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "BOMB_BYTES", 10**6)
    path = write(tmp_path / "odd.npz")
    rewrite(path, "test_images.npy", npy_header((2000, 28, 28)) + bytes(2000 * 28 * 28))
    with pytest.raises(ValueError, match=r"odd.npz is damaged.*test_images.npy would swell from [\d,]+ to 1,568,128"):
        medmnist.load(path)


def test_npz_with_a_billion_classes(tmp_path):
    path = write(tmp_path / "odd.npz", val_labels=np.full((12, 1), 10**9))
    with pytest.raises(ValueError, match="odd.npz: labels must be from 0 to 999. Received: 0 to 1000000000"):
        medmnist.load(path)


@pytest.mark.parametrize("side", [60_000, 9000])
def test_image_bombs_are_not_decoded(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    for read in (reading.read_image, files.read_grey):
        with pytest.raises(ValueError, match="bomb.png cannot be read as an image"):
            read(path)


@pytest.fixture
def archive(tmp_path):
    return phantom_archive.write(tmp_path / "archive", 8, 0, height=200)


@pytest.mark.filterwarnings("ignore:.*rows have no|.*belong to no row")
def test_paths_in_case_tables_are_not_opened(archive, tmp_path):
    """They are only searched for the identifiers of series."""
    uid = "1.2.3.4.5.6.789"
    (tmp_path / uid).mkdir()
    (tmp_path / uid / "secret.dcm").write_bytes(next(archive.rglob("*.dcm")).read_bytes())
    table = next((archive / "csv").glob("mass*train*.csv"))
    rows = pd.read_csv(table, dtype=str)
    rows["image file path"] = f"../{uid}/secret.dcm"
    rows.to_csv(table, index=False)
    joined, files = cbis_ddsm.index(archive)
    assert not files["file"].str.contains("secret|[.][.]").any()
    assert not joined["full_file"].astype(str).str.contains("secret|[.][.]").any()


@pytest.mark.filterwarnings("ignore:.*rows have no|.*belong to no row")
def test_written_tables_contain_no_formula(archive, tmp_path):
    table = next((archive / "csv").glob("mass*train*.csv"))
    rows = pd.read_csv(table, dtype=str)
    rows["mass shape"] = '=HYPERLINK("http://example.com")'
    rows.to_csv(table, index=False)
    (archive / "@SUM(A1).dcm").write_bytes(b"nothing")
    index, _ = prepared.prepare(archive, tmp_path / "out", image_size=16, jobs=1)
    for name in ("index.csv", "skipped.csv"):
        written = pd.read_csv(tmp_path / "out" / name, dtype=str).fillna("")
        risky = written.map(lambda cell: cell[:1] in tuple("=+-@")).to_numpy()
        quoted = written.map(lambda cell: cell[:2] in ("'=", "'@")).to_numpy()
        assert quoted.any()
        assert not risky.any()
    again, _ = prepared.prepare(archive, tmp_path / "out", image_size=16, jobs=1)
    assert again["name"].tolist() == index["name"].tolist()


def test_harmless_does_not_change_numbers_and_missing_values():
    table = pd.DataFrame({"a": [-1.5, np.nan], "b": ["-1+1", None], "c": ["fine", "a=b"]})
    assert harmless(table).astype(object).where(lambda t: t.notna(), None).to_numpy().tolist() == [
        [-1.5, "'-1+1", "fine"],
        [None, None, "a=b"],
    ]


@pytest.mark.parametrize("name", ["=1+1", "@x", "-x", "+x", "a/b", "a\nb", " a"])
def test_arm_names_that_would_be_formulas_or_paths(splits, tmp_path, name):
    with pytest.raises(ValueError, match="an arm's name becomes .*file.* and .*a table"):
        study.run(splits, [Arm(name)], out=tmp_path, **OPTIONS)


def test_keras_files_run_no_code(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode|unsafe"):
        keras.models.load_model(tmp_path / "model.keras")


def test_a_member_that_shadows_another_is_not_read(tmp_path):
    """For `file["test_images"]`, NumPy prefers a member named `test_images` to `test_images.npy`."""
    path = write(tmp_path / "odd.npz")
    rewrite(path, "test_images", b"no array")
    assert medmnist.load(path).test.images.shape == medmnist.load(write(tmp_path / "fine.npz")).test.images.shape


def test_deflated_data_set_is_refused_wherever_its_syntax_is(tmp_path):
    """A long value precedes the transfer syntax; opening the file would inflate the data set."""
    ds = pydicom.dcmread(get_testdata_file("image_dfl.dcm"))
    ds.file_meta.FileMetaInformationVersion = bytes(4000)
    path = tmp_path / "odd.dcm"
    ds.save_as(path, enforce_file_format=True)
    assert b"1.2.840.10008.1.2.1.99" not in path.read_bytes()[:1024]
    with pytest.raises(ValueError, match=r"odd.dcm cannot be read as a DICOM file: its data set is deflated"):
        dicom.read_header(path)


@pytest.mark.parametrize("read", [reading.read_image, files.read_grey])
def test_other_formats_named_png_start_no_program(tmp_path, monkeypatch, read):
    from PIL import EpsImagePlugin

    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments: started.append(arguments))
    path = tmp_path / "eps.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(ValueError, match=r"eps.png cannot be read as an image"):
        read(path)
    assert not started


def test_names_that_are_not_utf8_are_reported(tmp_path):
    odd = os.fsdecode(b"fr\xfchst\xfcck.png")
    (tmp_path / "benign").mkdir()
    (tmp_path / "benign" / odd).write_bytes(png(2, 2))
    with pytest.raises(ValueError, match=r"fr\\xfchst\\xfcck.png' is not UTF-8; rename it"):
        folders.load(tmp_path, 8)
    with pytest.raises(ValueError, match=r"fr\\xfchst\\xfcck.png' is not UTF-8; rename it"):
        files.find(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": {"auc": "x"}}, "its auc is 'x'"),
        ({"row": {"seed": "0"}}, "its seed is '0'"),
        ({"row": {"status": 1}}, "its status is 1"),
        ({"history": {}}, "'step'"),
        ({"history": {"step": [1], "loss": ["x"], "val_auc": [0.5]}}, "its history is not made of numbers"),
    ],
)
def test_untrusted_trials_must_have_the_types_that_a_study_writes(tmp_path, change, message):
    files = dict(trial_files())
    path = tmp_path / "trials" / "real-0.npz"
    path.parent.mkdir()
    with np.load(io.BytesIO(files["trials/real-0.npz"])) as trial:
        members = dict(trial)
    for name, new in change.items():
        members[name] = json.dumps(json.loads(str(members[name])) | new if new else new)
    np.savez(path, **members)
    (tmp_path / "study.json").write_bytes(files["study.json"])
    with pytest.raises(ValueError, match=rf"real-0.npz cannot be read as a trial .*{message}"):
        storage.load(tmp_path)


def test_untrusted_settings(tmp_path):
    settings = json.loads(dict(trial_files())["study.json"])
    settings["arms"]["real"]["counts"] = [1]
    (tmp_path / "study.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"study.json is damaged \(counts must be objects"):
        storage.load(tmp_path)


def test_untrusted_trials_put_no_formula_into_tables(splits, tmp_path):
    """The row of an arm that is not run again is copied into the table."""
    options = OPTIONS | {"seeds": 1}
    study.run(splits, [Arm("real"), Arm("other")], out=tmp_path, **options)
    path = tmp_path / "trials" / "other-0.npz"
    with np.load(path) as trial:
        members = dict(trial)
    members["row"] = json.dumps(json.loads(str(members["row"])) | {"status": "=HYPERLINK(1)"})
    np.savez(path, **members)
    study.run(splits, [Arm("real")], out=tmp_path, **options | {"seeds": 2})
    assert pd.read_csv(tmp_path / "trials.csv").set_index("arm")["status"]["other"] == "'=HYPERLINK(1)"
