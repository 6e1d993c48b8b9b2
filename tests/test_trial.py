"""Trials in other processes: the same numbers, whatever dies."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from synthkit import study
from synthkit.files import locked
from synthkit.results import load
from synthkit.study import Arm
from synthkit.trial import pack, run_packed
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


def test_a_trial_that_always_kills_its_worker_ends_the_study(splits, tmp_path):
    def deadly(train, labels, seed):
        os.kill(os.getpid(), signal.SIGKILL)

    arms = [Arm("real"), Arm("deadly", deadly)]
    with pytest.raises(OSError, match=r"killed 3 times in a row.*begin with deadly \(seed 0\).*fewer jobs"):
        study.run(splits, arms, out=tmp_path, n_jobs=2, **OPTIONS | {"seeds": 1})
    assert load(tmp_path).trials["arm"].tolist() == ["real"]


def test_packed_trials_forget_what_a_process_has_fitted(splits, tmp_path):
    from synthkit import classifiers, generators
    from synthkit.generators.vae import conditional_vae

    synthesize = generators.synthesizer(conditional_vae, epochs=1, batch_size=8)
    arms = [Arm("cvae", synthesize)]
    options = {"classifier": classifiers.skin_cnn, "recipe": {"steps": 2, "batch_size": 8}}
    before = pack(splits, arms, **options)
    first = run_packed(*before, "cvae", 0, tmp_path / "none" / "backup")
    synthesize(splits.train, splits.train.labels, 0)
    after = pack(splits, arms, **options)
    assert abs(len(after[0]) - len(before[0])) < 100
    assert (run_packed(*after, "cvae", 0, tmp_path / "none" / "backup")["scores"] == first["scores"]).all()


def test_two_studies_in_one_folder_are_kept_apart(finished, tmp_path):  # noqa: F811
    holder = "import sys, time; from synthkit.files import locked\nwith locked(sys.argv[1], 'x'): print(1, flush=1); time.sleep(60)"
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


@contextlib.contextmanager
def dask_cluster(workers=2):
    """A scheduler and workers, each a process of its own on this machine. Yields the address and the workers."""
    pytest.importorskip("distributed", reason="Dask is not installed: pip install distributed")
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    raise NotImplementedError(dask, time)
