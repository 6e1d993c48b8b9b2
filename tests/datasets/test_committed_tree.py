import numpy as np

from synthkit.datasets import cbis_ddsm
from synthkit.datasets.cbis_ddsm import phantom_archive
from tests.conftest import ROOT

TREE = ROOT / "data" / "phantom_cbis_ddsm"


def test_the_tree_in_data_is_small_and_whole():
    files = [path for path in TREE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3e6
    table, _ = cbis_ddsm.index(TREE)  # a warning, that is, a file or row left over, would fail
    assert table["patient_id"].nunique() == 5
    assert set(table["table"]) == {"mass_train", "mass_test", "calc_train"}


def test_the_tree_is_what_its_page_says_it_was_written_by(tmp_path):
    phantom_archive.write(tmp_path, 5, seed=0, height=340)
    ours = {path.relative_to(TREE): path.read_bytes() for path in TREE.rglob("*") if path.is_file()}
    again = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert ours.keys() == again.keys()
    # Other versions of OpenCV and NumPy may round otherwise, so pictures are compared, not bytes.
    for name, content in ours.items():
        assert len(content) == len(again[name])
        if name.suffix == ".dcm":
            one, two = (np.frombuffer(data[-2000:], "<u2").astype(int) for data in (content, again[name]))
            assert np.abs(one - two).max() < 65535 / 50
