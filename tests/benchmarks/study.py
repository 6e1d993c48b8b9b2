"""The overhead of a study, and of importing synthkit: `python -m tests.benchmarks.study`."""

import statistics
import subprocess
import sys
import tempfile
import time

from synthkit.study import storage


def import_seconds(repeats=7):
    """Returns the median seconds to import synthkit in a new process, minus those of one that imports nothing."""

    def seconds(code):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    pairs = [(seconds("import synthkit"), seconds("pass")) for _ in range(repeats)]
    return statistics.median(ours for ours, _ in pairs) - statistics.median(empty for _, empty in pairs)


def overhead_share():
    """Returns the fraction of the default study's wall time that is not gradient steps, sampling or scoring."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "synthkit", "study", "--out", folder], check=True)
        wall = time.perf_counter() - began
        histories = storage.load(folder).histories
    work = sum(history["step_seconds"] + history["scoring_seconds"] for history in histories.values())
    for arm in {arm for arm, _ in histories}:
        seconds = [history["synthesis_seconds"] for (name, _), history in histories.items() if name == arm]
        # The first seed's time includes building and tracing the generator. That is overhead: the median leaves it out.
        work += statistics.median(seconds) * len(seconds)
    print(f"default study: {wall:.1f} s, of which {work:.1f} s in gradient steps, sampling and scoring")
    return 1 - work / wall


if __name__ == "__main__":
    share = overhead_share()
    print(f"study_overhead_share = {share:.4f}")
    print(f"import_seconds = {import_seconds():.4f}")
