"""Files from strangers: none runs code, swells in memory, reaches outside its folder or breaks a page."""

import io
import struct
import zipfile
import zlib

import keras
import numpy as np
import pandas as pd
import pytest

from synthkit import study
from synthkit.datasets import cbis_ddsm, cbis_ddsm_files, folders, medmnist, phantom, prepared
from synthkit.files import harmless
from synthkit.study import Arm
from tests.datasets.test_medmnist import write
from tests.test_study import OPTIONS


def rewrite(path, member, content):
    """Puts other bytes in the place of a zip file's member."""
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
    """Returns a PNG file of some bytes that claims to be that large: one grey level, deflated."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 999))]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in [*chunks, (b"IEND", b"")]:
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


def test_npz_whose_header_lies_is_not_believed(tmp_path):
    path = write(tmp_path / "odd.npz")
    rewrite(path, "test_images.npy", npy_header((10**7, 1000, 1000)) + bytes(100))
    with pytest.raises(ValueError, match=r"odd.npz is damaged.*test_images.npy says that it is 10,000,000,000,\d+"):
        medmnist.load(path)


def test_zip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(medmnist, "BOMB_BYTES", 10**6)
    path = write(tmp_path / "odd.npz")
    rewrite(path, "test_images.npy", npy_header((2000, 28, 28)) + bytes(2000 * 28 * 28))
    with pytest.raises(ValueError, match=r"odd.npz is damaged.*test_images.npy would swell from [\d,]+ to 1,568,128"):
        medmnist.load(path)


def test_npz_with_a_billion_classes(tmp_path):
    path = write(tmp_path / "odd.npz", val_labels=np.full((12, 1), 10**9))
    with pytest.raises(ValueError, match="odd.npz: labels must lie between 0 and 999. Received: 0 to 1000000000"):
        medmnist.load(path)


@pytest.mark.parametrize("side", [60_000, 9000])
def test_image_bombs_are_not_unpacked(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    for read in (folders.read_image, cbis_ddsm_files.read_jpeg):
        with pytest.raises(ValueError, match="bomb.png cannot be read as an image"):
            read(path)


@pytest.fixture
def archive(tmp_path):
    return phantom.write_cbis_ddsm(tmp_path / "archive", 8, 0, height=200)


@pytest.mark.filterwarnings("ignore:.*rows have no|.*belong to no row")
def test_paths_in_case_tables_lead_nowhere(archive, tmp_path):
    """They are searched for the series' identifiers and never opened."""
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
def test_tables_that_are_written_hold_no_formula(archive, tmp_path):
    table = next((archive / "csv").glob("mass*train*.csv"))
    rows = pd.read_csv(table, dtype=str)
    rows["mass shape"] = '=HYPERLINK("http://example.com")'
    rows.to_csv(table, index=False)
    (archive / "@SUM(A1).dcm").write_bytes(b"nothing")
    prepared.prepare(archive, tmp_path / "out", image_size=16, jobs=1)
    for name in ("index.csv", "skipped.csv"):
        written = pd.read_csv(tmp_path / "out" / name, dtype=str).fillna("")
        risky = written.map(lambda cell: cell[:1] in tuple("=+-@")).to_numpy()
        quoted = written.map(lambda cell: cell[:2] in ("'=", "'@")).to_numpy()
        assert quoted.any()
        assert not risky.any()
    assert prepared.open_images(tmp_path / "out").class_counts()


def test_harmless_leaves_numbers_and_gaps_alone():
    table = pd.DataFrame({"a": [-1.5, np.nan], "b": ["-1+1", None], "c": ["fine", "a=b"]})
    assert harmless(table).astype(object).where(lambda t: t.notna(), None).to_numpy().tolist() == [
        [-1.5, "'-1+1", "fine"],
        [None, None, "a=b"],
    ]


@pytest.mark.parametrize("name", ["=1+1", "@x", "-x", "+x", "a/b", "a\nb", " a"])
def test_arm_names_that_would_be_formulas_or_paths(splits, tmp_path, name):
    with pytest.raises(ValueError, match="an arm's name becomes a file's name and a cell of a table"):
        study.run(splits, [Arm(name)], out=tmp_path, **OPTIONS)


def test_keras_files_run_no_code(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode|unsafe"):
        keras.models.load_model(tmp_path / "model.keras")
