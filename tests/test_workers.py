"""joblib's workers: every task is run once, and the death of a worker affects no task but its own."""

import os
import signal

import joblib
import pytest

from synthkit import _workers


class NoGenerator(joblib.parallel.LokyBackend):
    """Like Ray's back end, returns no result before all tasks of a call have ended."""

    supports_return_generator = False


joblib.register_parallel_backend("no generator", NoGenerator)
TASKS = {name: (name, i) for i, name in enumerate("abcdefgh")}


def twice(name, number):
    return os.getpid(), 2 * number


def deadly(name, number):
    if name == "f":
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def deadly_once(name, number, died):
    if name == "b" and not os.path.exists(died):
        open(died, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def test_one_job_is_run_in_this_process():
    results = dict(_workers.run(twice, TASKS, 1))
    assert {pid for pid, _ in results.values()} == {os.getpid()}
    assert list(results) == list(TASKS)


@pytest.mark.parametrize("backend", ["loky", "no generator"])
def test_every_task_is_run_once(backend):
    with joblib.parallel_config(backend=backend):
        results = list(_workers.run(twice, TASKS, 2))
    assert sorted((key, result) for key, (_, result) in results) == [(name, 2 * i) for name, i in TASKS.values()]
    assert os.getpid() not in {pid for _, (pid, _) in results}


@pytest.mark.parametrize("batch_size", [1, "auto"])
def test_only_a_task_that_kills_its_worker_twice_has_no_result(batch_size):
    results = dict(_workers.run(deadly, TASKS, 2, batch_size=batch_size))
    assert results == {name: None if name == "f" else 2 * i for name, i in TASKS.values()}


def test_a_task_that_kills_its_worker_once_is_run_again(tmp_path):
    tasks = {name: (*task, str(tmp_path / "died")) for name, task in TASKS.items()}
    assert dict(_workers.run(deadly_once, tasks, 2)) == {name: 2 * i for name, i in TASKS.values()}


def test_a_cluster_of_one_is_not_this_process():
    class Cluster(joblib.parallel.LokyBackend):
        def effective_n_jobs(self, n_jobs):
            return 1

    joblib.register_parallel_backend("cluster of one", Cluster)
    assert _workers.here(None)
    with joblib.parallel_config(backend="cluster of one"):
        assert not _workers.here(None)


def test_ray_runs_tasks_in_its_own_processes_and_after_a_death(tmp_path):
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    register_ray()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with joblib.parallel_config(backend="ray"):
            results = dict(_workers.run(twice, TASKS, None))
            assert os.getpid() not in {pid for pid, _ in results.values()}
            tasks = {name: (*task, str(tmp_path / "died")) for name, task in TASKS.items()}
            assert dict(_workers.run(deadly_once, tasks, None)) == {name: 2 * i for name, i in TASKS.values()}
    finally:
        ray.shutdown()
