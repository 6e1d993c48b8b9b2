import numpy as np

from synthkit.datasets import cbis_ddsm
from synthkit.datasets.cbis_ddsm import phantom_archive
from tests.conftest import ROOT

TREE = ROOT / "data" / "phantom_cbis_ddsm"


def test_the_tree_in_data_is_small_and_complete():
    files = [path for path in TREE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3e6
    table, _ = cbis_ddsm.index(TREE)  # would warn of files or rows that are not joined
    assert table["patient_id"].nunique() == 5
    assert set(table["table"]) == {"mass_train", "mass_test", "calc_train"}


def test_the_tree_can_be_reproduced(tmp_path):
    """With the command that `data/README.md` gives."""
    phantom_archive.write(tmp_path, 5, seed=0, height=340)
    committed = {path.relative_to(TREE): path.read_bytes() for path in TREE.rglob("*") if path.is_file()}
    new = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert committed.keys() == new.keys()
    # Pixels are compared instead of bytes, because other versions of OpenCV and NumPy may round differently.
    for name, content in committed.items():
        assert len(content) == len(new[name])
        if name.suffix == ".dcm":
            first, second = (np.frombuffer(data[-2000:], "<u2").astype(int) for data in (content, new[name]))
            assert np.abs(first - second).max() < 65535 / 50
