"""Trials in other processes: the same numbers, whatever dies."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from synthkit import __main__ as command
from synthkit import study
from synthkit._files import locked
from synthkit.study import Arm
from synthkit.study.results import load
from synthkit.study.trial import pack, run_packed
from tests.test_study import ARMS, OPTIONS, brighter, finished  # noqa: F401


def same(again, results):
    columns = results.trials.columns.drop("seconds")
    pd.testing.assert_frame_equal(again.trials[columns], results.trials[columns], check_exact=True)
    for arm in results.scores:
        assert (again.scores[arm] == results.scores[arm]).all()


def test_processes_change_no_number(finished, tmp_path):  # noqa: F811
    splits, _, results = finished
    same(study.run(splits, ARMS, out=tmp_path, n_jobs=2, **OPTIONS), results)


def test_a_worker_that_dies_costs_its_trial_which_is_run_again(finished, tmp_path):  # noqa: F811
    splits, _, results = finished
    died = tmp_path / "died"

    def deadly(train, labels, seed):
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return brighter(train, labels, seed)

    arms = [ARMS[0], Arm("brighter", deadly), ARMS[2]]
    same(study.run(splits, arms, out=tmp_path / "out", n_jobs=2, **OPTIONS), results)
    assert died.exists()


def test_a_trial_that_always_kills_its_worker_has_failed(splits, tmp_path):
    def deadly(train, labels, seed):
        os.kill(os.getpid(), signal.SIGKILL)

    arms = [Arm("real"), Arm("deadly", deadly)]
    found = study.run(splits, arms, out=tmp_path, n_jobs=2, **OPTIONS | {"seeds": 1}).trials.set_index("arm")
    assert found["status"].to_dict() == {
        "real": "done",
        "deadly": "failed: its process was killed twice, the second time alone; most often memory ran out",
    }


def test_packed_trials_forget_what_a_process_has_fitted(splits):
    from synthkit import classifiers, generators
    from synthkit.generators.medmnist_cvae import dense_cvae

    synthesize = generators.synthesizer(dense_cvae, epochs=1, batch_size=8)
    arms = [Arm("dense_cvae", synthesize)]
    options = {"classifier": classifiers.skin_cnn, "recipe": {"steps": 2, "batch_size": 8}}
    before = pack(splits, arms, **options)
    first = run_packed(*before, "dense_cvae", 0)
    synthesize(splits.train, splits.train.labels, 0)
    after = pack(splits, arms, **options)
    assert abs(len(after[0]) - len(before[0])) < 100
    assert (run_packed(*after, "dense_cvae", 0)["scores"] == first["scores"]).all()


def test_two_studies_in_one_folder_are_kept_apart(finished, tmp_path):  # noqa: F811
    holder = "import sys, time; from synthkit.files import locked\n"
    holder += "with locked(sys.argv[1], 'x'): print(1, flush=1); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], stdout=subprocess.PIPE)
    other.stdout.readline()
    with pytest.raises(OSError, match=r"another process is at work on a study in .*; wait for its end or choose"):
        study.run(finished[0], ARMS, out=tmp_path, **OPTIONS)
    other.kill()
    other.communicate()
    with locked(tmp_path, "a study"):
        pass


def test_lack_of_memory_is_said(splits, tmp_path):
    def greedy(train, labels, seed):
        raise MemoryError("Unable to allocate 1 TiB")

    found = study.run(splits, [Arm("greedy", greedy)], out=tmp_path, **OPTIONS | {"seeds": 1})
    assert found.trials["status"].tolist() == [
        "failed: out of memory; take smaller images or batches, or fewer trials at a time (Unable to allocate 1 TiB)"
    ]


COMMAND = [sys.executable, "-m", "synthkit", "study", "--arms", "real,augmentation,cvae", "--seeds", "2"]


@contextlib.contextmanager
def cluster(folder, workers=2):
    """A Dask scheduler and workers on loopback, each a process of its own. Yields the address and the workers."""
    told, processes = folder / "scheduler.json", []
    dask = [sys.executable, "-W", "ignore", "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with open(folder / "dask.log", "w") as log:
        start = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        processes.append(subprocess.Popen([*start, "--scheduler-file", told], stdout=log, stderr=log))
        while not told.exists():
            assert processes[0].poll() is None, (folder / "dask.log").read_text()
            time.sleep(0.1)
        address = json.loads(told.read_text())["address"]
        start = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        processes += [subprocess.Popen([*start, "--local-directory", folder], **quiet) for _ in range(workers)]
        try:
            yield address, processes[1:]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def test_cluster_without_workers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "WORKER_SECONDS", 1)
    with cluster(tmp_path, workers=0) as (address, _):
        assert command.main(["study", "--scheduler", address, "--out", str(tmp_path / "there")]) == 2
    assert f"the scheduler at {address} has no workers: start some with" in capsys.readouterr().err


def test_dask_cluster_changes_no_number_though_a_worker_is_killed(tmp_path):
    options = ["--per-class", "10", "--steps", "20"]
    subprocess.run([*COMMAND, *options, "--out", tmp_path / "here"], check=True, capture_output=True)
    with cluster(tmp_path) as (address, workers):
        command = [*COMMAND, *options, "--scheduler", address, "--out", tmp_path / "there"]
        driver = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        while not list((tmp_path / "there" / "trials").glob("*.npz")) and driver.poll() is None:
            time.sleep(0.1)
        workers[0].kill()
        _, errors = driver.communicate()
        assert driver.returncode == 0, errors
    same(load(tmp_path / "there"), load(tmp_path / "here"))
