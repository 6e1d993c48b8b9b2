from pathlib import Path

import pytest

from tests.benchmarks import scale

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")


def test_work_on_images_takes_less_memory_than_a_copy_of_them(tmp_path):
    scale.write(tmp_path / "images.npy", 10_000, 100)  # 95 MB as bytes, four times as much as float32
    for (_, memory), work in zip(scale.run(tmp_path / "images.npy", "pipeline", "study setup"), "ps", strict=True):
        assert memory < 95, work


def test_fidelity_takes_less_memory_than_all_distances(tmp_path):
    scale.write_features(tmp_path / "features.npy", 4000)  # a matrix of their distances takes 122 MB
    ((_, memory),) = scale.run(tmp_path / "features.npy", "fidelity")
    assert memory < 80


@pytest.mark.slow
@pytest.mark.parametrize("work", ["pipeline", "fidelity"])
def test_memory_does_not_grow_with_the_number_of_images(work):
    if work == "fidelity":
        _, growth = scale.growth(work, scale.write_features, scale.FIDELITY, work)
    else:
        _, growth = scale.growth(work, lambda path, count: scale.write(path, count, 224), scale.SIZES[224], work)
    assert growth <= 1.3
