"""Fault injection on a small study: `python -m tests.tools.faults [TIMES]` prints a table of what each fault cost.

An undisturbed study is run first. Then the same command is run in a new folder with every fault, and run again until it
ends. "lost" counts finished trials that had to be run again, "wrong" counts numbers that differ from the undisturbed
study's; both must be 0. A kill costs no more than the trials that are running. The full disk and the read-only folder
are small file systems, which takes Linux and root; without these they are "not tried".
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from synthkit.study.storage import load

STUDY = """
import sys, time
from synthkit import _environment
_environment.import_tensorflow()
import keras
import numpy as np
from synthkit import classifiers, generators, study
from synthkit.datasets import phantom
from synthkit.generators import medmnist_cvae

fault, out, jobs = sys.argv[1], sys.argv[2], int(sys.argv[3])
cvae = generators.synthesizer(medmnist_cvae.dense_cvae, epochs=20, batch_size=32)
once = out + ".once"


def wild(image_shape, num_classes):
    model = medmnist_cvae.dense_cvae(image_shape, num_classes)
    model.compile(keras.optimizers.SGD(1e30))
    return model


diverging = generators.synthesizer(wild, epochs=2, batch_size=32)


def faulty(train, labels, seed):
    import os
    first = not os.path.exists(once)
    if fault == "raise" and first:
        raise RuntimeError("no reason")
    if fault == "memory" and first:
        np.empty(2**60, "uint8")
    return (diverging if fault == "nan" and first else cvae)(train, labels, seed)


if fault == "clock":
    started, real = time.time(), time.time
    time.time = lambda: real() - 1e6 * ((real() - started) // 2 % 2)
arms = [study.Arm("real"), study.Arm("shuffled", study.shuffled(cvae)), study.Arm("dense_cvae", faulty)]
results = study.run(
    phantom.load(20, train=80, validation=60, test=80), arms, out=out, classifier=classifiers.skin_cnn, seeds=3,
    steps=60, batch_size=16, n_jobs=jobs,
)
open(once, "w").close()
sys.exit(0 if (results.trials["status"] == "done").all() else 3)
"""


def begin(fault, out, jobs=1):
    command = [sys.executable, "-c", STUDY, fault, str(out), str(jobs)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finished(out):
    """Returns the files of finished trials, as a dict from name to the time when it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (out / "trials").glob("*.npz")}


def children(pid):
    """Returns the process ids of joblib's workers below a process."""
    processes = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    lines = [line for line in processes.splitlines() if "loky" in line and "resource_tracker" not in line]
    return [int(line.split()[0]) for line in lines]


class Faults:
    """Runs the faults in folders below `folder`, and collects a row for each."""

    def __init__(self, folder, times):
        self.folder, self.times, self.rows = Path(folder), times, []
        out = self.folder / "undisturbed"
        process = begin("none", out)
        began = time.monotonic()
        assert process.wait() == 0, process.stderr.read()
        self.seconds, self.expected = time.monotonic() - began, load(out)

    def wrong(self, out):
        """Returns how many numbers of a finished study differ from those of the undisturbed one."""
        results = load(out)
        columns = results.trials.columns.drop("seconds")
        pairs = ((results.scores[arm], scores) for arm, scores in self.expected.scores.items())
        differ = sum(int((a != b).sum()) if a.shape == b.shape else a.size + b.size for a, b in pairs)
        return differ + int(not results.trials[columns].equals(self.expected.trials[columns]))

    def add(self, fault, tried, lost, wrong, message=""):
        self.rows.append({"fault": fault, "tried": tried, "lost": lost, "wrong": wrong, "message": message})
        print(f"{fault}: tried {tried}, lost {lost}, wrong {wrong}; {message}", flush=True)

    def kills(self, name, jobs, victim, sign=signal.SIGKILL, orphans=False):
        """Kills processes at random moments, `self.times` times, in a new folder whenever a study has ended.

        Orphans are workers whose command was killed: they finish their trials while the next command runs.
        """
        rng, tried, lost, wrong, studies, message = random.Random(0), 0, 0, 0, 0, ""
        while tried < self.times:
            out = self.folder / f"{name}-{studies}".replace(" ", "-")
            studies += 1
            ended = False
            while not ended:
                before = finished(out) if out.exists() else {}
                process, victims = begin("none", out, jobs), []
                if tried < self.times:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(rng.uniform(0.1, 0.8) * self.seconds)
                    victims = victim(process)
                    for pid in victims:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, sign)
                _, errors = (process.wait(), "") if orphans else process.communicate()
                with contextlib.suppress(ProcessLookupError):
                    if not orphans:
                        os.killpg(process.pid, signal.SIGKILL)
                # A study may have ended before it could be killed.
                tried += len(victims) if process.returncode or process.pid not in victims else 0
                message = errors.strip().splitlines()[-1] if sign == signal.SIGINT and process.returncode else message
                after = finished(out)
                lost += sum(after.get(trial) != written for trial, written in before.items())
                ended = process.returncode == 0
            wrong += self.wrong(out)
        self.add(name, tried, lost, wrong, message or f"resumed and finished: {studies}")

    def mounted(self, name, size, spoil, mend):
        """Runs the study on a small file system that `spoil` makes unusable, and again after `mend`."""
        place = self.folder / name.replace(" ", "-")
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "synthkit-faults", str(place)]
        if subprocess.run(mount, capture_output=True).returncode:
            self.add(name, 0, 0, 0, "not tried: it takes root")
            return
        try:
            out = place / "study"
            spoil(place)
            process = begin("none", out)
            _, errors = process.communicate()
            before = finished(out) if out.exists() else {}
            message = errors.strip().splitlines()[-1]
            assert process.returncode, "a study that could not be written ended without an error"
            mend(place)
            again = begin("none", out)
            _, errors = again.communicate()
            assert again.returncode == 0, errors
            after = finished(out)
            lost = sum(after.get(trial) != written for trial, written in before.items())
            self.add(name, 1, lost, self.wrong(out), message)
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)

    def once(self, name, fault):
        """Runs the study with a fault in the first trial of one arm, and the same command again."""
        out = self.folder / name.replace(" ", "-")
        process = begin(fault, out)
        _, errors = process.communicate()
        failed = load(out).trials if out.exists() else pd.DataFrame()
        reasons = failed.loc[failed["status"] != "done", "status"].unique()
        before = {f"{row.arm}-{row.seed}.npz" for row in failed.itertuples() if row.status == "done"}
        written = finished(out)
        again = begin(fault, out)
        _, errors = again.communicate()
        assert again.returncode == 0, errors
        lost = sum(finished(out)[trial] != written[trial] for trial in before)
        self.add(name, 1, lost, self.wrong(out), reasons[0] if len(reasons) else "nothing failed")

    def two_at_once(self):
        out = self.folder / "two"
        first = begin("none", out)
        while not (out / "study.json").exists():
            time.sleep(0.1)
        second = begin("none", out)
        _, errors = second.communicate()
        assert second.returncode, "a second study ran in the folder"
        first.communicate()
        self.add("two studies in one folder", 1, 0, self.wrong(out), errors.strip().splitlines()[-1])


def fill(place):
    """Leaves 16 KB of a small file system."""
    free = os.statvfs(place)
    (place / "filler").write_bytes(b"x" * (free.f_bavail * free.f_bsize - 16_000))


def remount(place, how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


def main(times=20):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it otherwise
    with tempfile.TemporaryDirectory() as folder:
        faults = Faults(folder, times)
        print(f"undisturbed: {faults.seconds:.0f} s, 9 trials", flush=True)
        faults.two_at_once()
        faults.mounted("full disk", "8m", fill, lambda place: (place / "filler").unlink())
        faults.mounted("read-only folder", "8m", lambda p: remount(p, "ro"), lambda p: remount(p, "rw"))
        faults.once("generator that raises", "raise")
        faults.once("loss that is NaN", "nan")
        faults.once("out of memory", "memory")
        faults.once("clock that jumps", "clock")
        faults.kills("kill -9 of a worker", 2, lambda process: children(process.pid)[:1])
        faults.kills("kill -9 of the command", 1, lambda process: [process.pid])
        faults.kills("kill -9 of the command, not of its workers", 2, lambda process: [process.pid], orphans=True)
        faults.kills("Ctrl-C", 1, lambda process: [process.pid], signal.SIGINT)
    print(pd.DataFrame(faults.rows).to_string(index=False))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
