from pathlib import Path

import pytest

from tests.benchmarks import scale


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
@pytest.mark.parametrize("work", ["pipeline", "study setup"])
def test_memory_stays_while_images_become_more(work, tmp_path):
    most = []
    for count in (5_000, 50_000):
        path = tmp_path / f"{count}.npy"
        scale.make(path, count, 28)
        most.append(scale.run(work, path, count)[1])
    # 45,000 images hold 35 MB as bytes and 141 MB as floats; beside them are labels, patients and digests.
    assert most[1] < most[0] + 60
