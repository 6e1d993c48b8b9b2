"""Work for joblib's workers, wherever they are: a worker's death costs the task that it was at, and no other."""

import itertools
import sys
from concurrent.futures.process import BrokenProcessPool

import joblib
from joblib import parallel

LOCAL = (parallel.LokyBackend, parallel.MultiprocessingBackend, parallel.ThreadingBackend, parallel.SequentialBackend)


def here(n_jobs):
    """Returns whether `n_jobs` processes come to this one: there is to be one, and on no cluster."""
    backend, _ = parallel.get_active_backend()
    return type(backend) in LOCAL and joblib.effective_n_jobs(n_jobs) == 1


def run(function, tasks, n_jobs, *, batch_size=1):
    """Runs a function on every task, in this process or in as many as asked for.

    When a worker dies, joblib may lose all the tasks under way. They are run again, the first of them alone: if its
    worker dies again, the task is to blame.

    Args:
        function: what to call, of a module that workers can import.
        tasks: dict from a key to a tuple of arguments.
        n_jobs: processes, as joblib counts them; None for what `joblib.parallel_config` says.
        batch_size: of joblib, "auto" for tasks of milliseconds.

    Yields:
        `(key, result)`, in the order in which they are finished; None for a task whose worker died twice.
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
    """Yields what joblib's workers finish, one by one, or a few at a time where the back end knows no better."""
    work = (joblib.delayed(_keyed)(function, key, arguments) for key, arguments in tasks.items())
    backend, _ = parallel.get_active_backend()
    if backend.supports_return_generator:
        yield from joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=batch_size)(work)
        return
    n_jobs = n_jobs or -1  # Ray's back end would take one
    few = joblib.effective_n_jobs(n_jobs) * (1 if batch_size == 1 else 64)
    while some := list(itertools.islice(work, few)):
        yield from joblib.Parallel(n_jobs=n_jobs, batch_size=batch_size)(some)


def _keyed(function, key, arguments):
    return key, function(*arguments)


def _deaths():
    """Returns what joblib's back ends raise when a process at work dies."""
    dask, ray = sys.modules.get("distributed"), sys.modules.get("ray")
    deaths = [BrokenProcessPool, *([dask.KilledWorker] if dask else [])]
    if ray:
        deaths += [ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError]
    return tuple(deaths)
