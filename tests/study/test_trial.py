"""Single trials, and trials in other processes: the same results, even when workers die."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from synthkit import __main__ as command
from synthkit import _workers, study
from synthkit._files import locked
from synthkit.datasets import phantom
from synthkit.study import Arm
from synthkit.study.storage import load
from synthkit.study.trial import pack, run_packed
from tests.conftest import ROOT
from tests.datasets.test_medmnist import arrays, write
from tests.study.toy import ARMS, OPTIONS, assert_same, brighter

ONE_SEED = OPTIONS | {"seeds": 1}


@pytest.fixture(scope="module")
def variants(finished, tmp_path_factory):
    """A study of arms that use their images in different ways."""
    arms = [
        Arm("mixed", brighter),
        Arm("pretrained", brighter, pretrain=0.5),
        Arm("counted", brighter, counts={"dark": 3}),
        Arm("inverted", augment=lambda images, labels, seeds: (255 - images, labels)),
    ]
    return study.run(finished[0], arms, out=tmp_path_factory.mktemp("variants"), train_per_class=5, **OPTIONS)


def test_subset_of_the_training_set_is_drawn_for_every_seed(variants):
    assert set(variants.trials["n_real"]) == {10}
    assert variants.trials.query("arm == 'mixed'")["n_synthetic"].tolist() == [10, 10]


def test_pretraining_counts_its_images_and_takes_no_further_steps(variants):
    rows = variants.trials.query("arm in ['mixed', 'pretrained']")[["n_real", "n_synthetic", "steps"]]
    assert rows.to_numpy().tolist() == [[10, 10, 6]] * 4
    assert variants.settings["arms"]["pretrained"]["pretrain"] == 0.5
    assert not np.array_equal(variants.scores["mixed"], variants.scores["pretrained"])


def test_counts_replace_the_ratio(variants):
    assert variants.settings["arms"]["counted"]["counts"] == {"dark": 3}
    assert "ratio" not in variants.settings["arms"]["counted"]
    assert variants.trials.query("arm == 'counted'")["n_synthetic"].tolist() == [3, 3]


def test_samples_are_what_the_classifier_was_trained_on(finished, variants):
    splits, _, results = finished
    real = {image.tobytes() for image in splits.train.images}
    assert results.samples["real"].class_counts() == {"bright": 8, "dark": 8}
    assert {image.tobytes() for image in results.samples["real"].images} <= real
    assert {(255 - image).tobytes() for image in variants.samples["inverted"].images} <= real


def test_training_accuracy_is_that_of_the_chosen_weights_on_the_training_images(tmp_path, finished):
    import keras

    def constant(image_shape, num_classes):
        inputs = keras.Input(image_shape)
        flat = keras.layers.Flatten()(inputs)
        bias = keras.initializers.Constant(50.0)
        outputs = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros", bias_initializer=bias)(flat)
        return keras.Model(inputs, outputs)

    splits, arms = finished[0], [Arm("counted", brighter, counts={"dark": 6})]
    results = study.run(splits, arms, out=tmp_path, learning_rate=1e-9, **ONE_SEED | {"classifier": constant})
    dark = splits.train.class_counts()["dark"] + 6
    assert results.histories["counted", 0]["train_accuracy"] == pytest.approx(dark / (len(splits.train) + 6))


def test_lack_of_memory_is_reported(finished, tmp_path):
    def greedy(train, labels, seed):
        raise MemoryError("Unable to allocate 1 TiB")

    results = study.run(finished[0], [Arm("greedy", greedy)], out=tmp_path, **ONE_SEED)
    assert results.trials["status"].tolist() == [
        "failed: out of memory; use smaller images or batches, or fewer trials at a time (Unable to allocate 1 TiB)"
    ]


def test_packed_trials_do_not_contain_what_a_process_has_fitted(finished):
    from synthkit import classifiers, generators
    from synthkit.generators.medmnist_cvae import dense_cvae

    splits = finished[0]
    synthesize = generators.synthesizer(dense_cvae, epochs=1, batch_size=8)
    options = {"classifier": classifiers.skin_cnn, "recipe": {"steps": 2, "batch_size": 8}, "draw": {}}
    before = pack(splits, [Arm("dense_cvae", synthesize)], **options)
    first = run_packed(*before, "dense_cvae", 0)
    synthesize(splits.train, splits.train.labels, 0)
    after = pack(splits, [Arm("dense_cvae", synthesize)], **options)
    assert abs(len(after[0]) - len(before[0])) < 100
    assert (run_packed(*after, "dense_cvae", 0)["scores"] == first["scores"]).all()


def test_sets_are_the_same_ones_in_another_process(monkeypatch):
    from synthkit import classifiers
    from synthkit.study import trial

    monkeypatch.setattr(trial, "_unpacked", {})
    splits = phantom.load(16, train=20, validation=20, test=20)
    options = {"classifier": classifiers.skin_cnn, "recipe": {"steps": 2, "batch_size": 8}, "draw": {"fixed": True}}
    run_packed(*pack(splits, [Arm("real")], **options), "real", 0)
    ((trials, _),) = trial._unpacked.values()
    assert [part.fingerprint() for part in trials.splits] == [part.fingerprint() for part in splits]


def test_processes_give_the_same_results_though_one_dies(finished, tmp_path):
    splits, _, results = finished
    died = tmp_path / "died"

    def deadly(train, labels, seed):
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return brighter(train, labels, seed)

    arms = [ARMS[0], Arm("brighter", deadly), ARMS[2]]
    assert_same(study.run(splits, arms, out=tmp_path / "out", n_jobs=2, **OPTIONS), results)
    assert died.exists()


KILLED_TWICE = "failed: its process was killed twice, the second time while it ran alone; the usual cause is a lack of"


def test_a_trial_without_a_result_has_failed(finished, tmp_path, monkeypatch):
    """As `_workers.run` reports one that killed its worker twice."""
    tasks_run = _workers.run

    def run(function, tasks, n_jobs):
        yield from tasks_run(function, {key: task for key, task in tasks.items() if key[0] == "real"}, 1)
        yield ("brighter", 0), None

    monkeypatch.setattr(_workers, "run", run)
    monkeypatch.setattr(_workers, "here", lambda n_jobs: n_jobs == 1)
    results = study.run(finished[0], ARMS[:2], out=tmp_path, n_jobs=2, **ONE_SEED)
    assert results.trials["status"].tolist() == ["done", f"{KILLED_TWICE} memory"]


@pytest.mark.slow
def test_a_trial_that_always_kills_its_worker_has_failed(finished, tmp_path):
    def deadly(train, labels, seed):
        os.kill(os.getpid(), signal.SIGKILL)

    arms = [Arm("real"), Arm("deadly", deadly)]
    trials = study.run(finished[0], arms, out=tmp_path, n_jobs=2, **ONE_SEED).trials
    assert trials["status"].tolist() == ["done", f"{KILLED_TWICE} memory"]


def test_two_studies_cannot_use_one_folder_at_a_time(finished, tmp_path):
    holder = "import sys, time; from synthkit._files import locked\n"
    holder += "with locked(sys.argv[1], 'x'): print(1, flush=1); time.sleep(600)"
    command = [sys.executable, "-c", holder, str(tmp_path)]
    other = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    other.stdout.readline()
    with pytest.raises(OSError, match=r"another process is at work on a study in .*; wait until it ends, or choose"):
        study.run(finished[0], ARMS, out=tmp_path, **OPTIONS)
    other.kill()
    other.communicate()
    with locked(tmp_path, "a study"):
        pass


@contextlib.contextmanager
def cluster(folder, workers=2):
    """A Dask scheduler and workers on this machine, each a process of its own. Yields the address and the workers."""
    file, processes = folder / "scheduler.json", []
    dask = [sys.executable, "-W", "ignore", "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with open(folder / "dask.log", "w") as log:
        start = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
        processes.append(subprocess.Popen([*start, "--scheduler-file", file], cwd=ROOT, stdout=log, stderr=log))
        while not file.exists():
            assert processes[0].poll() is None, (folder / "dask.log").read_text()
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        start = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        start += ["--local-directory", folder]
        processes += [subprocess.Popen(start, cwd=ROOT, **quiet) for _ in range(workers)]
        try:
            yield address, processes[1:]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def test_a_cluster_without_workers_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_workers, "WORKER_SECONDS", 1)
    with cluster(tmp_path, workers=0) as (address, _):
        assert command.main(["study", "--scheduler", address, "--out", str(tmp_path / "there")]) == 2
    assert f"the scheduler at {address} has no workers; start some with" in capsys.readouterr().err


def test_a_dask_cluster_gives_the_same_results_though_a_worker_is_killed(tmp_path, capsys):
    options = [
        "study",
        "--data",
        str(write(tmp_path / "mine.npz", **arrays((30, 12, 60)))),
        "--image-size",
        "20",
        "--seeds",
        "2",
    ]
    options += ["--arms", "real,augmentation,dense_cvae", "--epochs", "2", "--steps", "60", "--classifier", "skin_cnn"]
    assert command.main([*options, "--out", str(tmp_path / "here")]) == 0
    with cluster(tmp_path) as (address, workers):
        there = [sys.executable, "-m", "synthkit", *options, "--scheduler", address, "--out", tmp_path / "there"]
        driver = subprocess.Popen(there, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        while not list((tmp_path / "there" / "trials").glob("*.npz")) and driver.poll() is None:
            time.sleep(0.02)
        workers[0].kill()
        assert len(list((tmp_path / "there" / "trials").glob("*.npz"))) < 6
        _, errors = driver.communicate()
        assert driver.returncode == 0, errors
    assert_same(load(tmp_path / "there"), load(tmp_path / "here"))
