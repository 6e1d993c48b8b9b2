"""Tasks for joblib's workers, on this machine or on a cluster; the death of a worker affects no task but its own."""

import asyncio
import contextlib
import itertools
import sys
from concurrent.futures.process import BrokenProcessPool

import joblib
from joblib import parallel

WORKER_SECONDS = 30  # the longest wait for a cluster's first worker
LOCAL = (parallel.LokyBackend, parallel.MultiprocessingBackend, parallel.ThreadingBackend, parallel.SequentialBackend)


@contextlib.contextmanager
def cluster(address):
    """Sends joblib's work to the Dask cluster at `address`, of `--scheduler`; None leaves it on this machine.

    Raises:
        ValueError: if Dask is not installed.
        OSError: if there is no scheduler at the address, or it has no workers.
    """
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError('--scheduler needs Dask: pip install "synthkit[cluster]", here and on the workers') from error
    with Client(address, timeout=10, set_as_default=False) as client:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except asyncio.TimeoutError as error:  # which Python 3.10 does not call TimeoutError
            raise OSError(
                f"the scheduler at {address} has no workers; start some with: dask worker {address}"
            ) from error
        with joblib.parallel_config(backend="dask", client=client):
            yield


def here(n_jobs):
    """Returns whether `n_jobs` means this process alone: one job, and not on a cluster."""
    backend, _ = parallel.get_active_backend()
    return type(backend) in LOCAL and joblib.effective_n_jobs(n_jobs) == 1


def local_jobs(n_jobs):
    """Returns how many processes of this machine `n_jobs` means; 0 on a cluster."""
    backend, _ = parallel.get_active_backend()
    return joblib.effective_n_jobs(n_jobs) if type(backend) in LOCAL else 0


def run(function, tasks, n_jobs, *, batch_size=1):
    """Runs a function on every task, in this process or in several.

    When a worker dies, joblib may lose all tasks that are running. These are run again, the first of them alone: if its
    worker dies again, the task is the cause.

    Args:
        function: a function of a module that workers can import.
        tasks: dict from a key to a tuple of arguments.
        n_jobs: number of processes, as in joblib; None for the value of `joblib.parallel_config`.
        batch_size: as in joblib; "auto" for tasks that take milliseconds.

    Yields:
        `(key, result)`, in the order in which tasks finish; the result is None for a task whose worker died twice.
    """
    if here(n_jobs):
        for key, arguments in tasks.items():
            yield key, function(*arguments)
        return
    todo, alone = dict(tasks), False
    while todo:
        now = list(todo)[: 1 if alone else None]
        try:
            for key, result in _finished(function, {key: todo[key] for key in now}, n_jobs, batch_size):
                del todo[key]
                yield key, result
            alone = False
        except _deaths():
            if alone:
                del todo[now[0]]
                yield now[0], None
            alone = not alone


def _finished(function, tasks, n_jobs, batch_size):
    """Yields `(key, result)` as tasks finish; in small groups where joblib's back end cannot return single results."""
    work = (joblib.delayed(_keyed)(function, key, arguments) for key, arguments in tasks.items())
    backend, _ = parallel.get_active_backend()
    if backend.supports_return_generator:
        yield from joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=batch_size)(work)
        return
    n_jobs = n_jobs or -1  # for None, Ray's back end would use one worker
    size = joblib.effective_n_jobs(n_jobs) * (1 if batch_size == 1 else 64)
    while group := list(itertools.islice(work, size)):
        yield from joblib.Parallel(n_jobs=n_jobs, batch_size=batch_size)(group)


def _keyed(function, key, arguments):
    return key, function(*arguments)


def _deaths():
    """Returns the errors that joblib's back ends raise when a worker dies."""
    dask, ray = sys.modules.get("distributed"), sys.modules.get("ray")
    deaths = [BrokenProcessPool, *([dask.KilledWorker] if dask else [])]
    if ray:
        deaths += [ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError]
    return tuple(deaths)
