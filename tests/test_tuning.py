import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from keras import layers
from threadpoolctl import threadpool_limits

from synthkit import tuning
from synthkit._files import locked
from tests.conftest import ROOT, make_imageset

SPACE = tuning.SPACE | {"layers": (1, 2), "filters": (4, 8), "dense_units": (4, 8)}
TINY = {"space": SPACE, "random_trials": 3, "progress": False, "steps": 4, "batch_size": 8, "checks": 2}


# For its many small matrices, keras-tuner's Gaussian process takes three times as long with two threads as with one.
ONE_THREAD = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
SETS = make_imageset(24, 1, name="train"), make_imageset(16, 2, name="validation")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with threadpool_limits(1):
        yield


class TestPropose:
    def test_values_are_in_the_space_and_filters_belong_to_layers(self):
        proposed = [tuning.propose([], number, SPACE) for number in range(60)]
        for values in proposed:
            layers = values["layers"]
            assert set(values) == {"layers", "dense_units", "dropout", "learning_rate"} | {
                f"filters_{i + 1}" for i in range(layers)
            }
            assert values["filters_1"] in (4, 8)
            assert values["dense_units"] in (4, 8)
            assert 0 <= values["dropout"] <= 0.6
            assert 1e-4 <= values["learning_rate"] <= 1e-2
        assert {values["layers"] for values in proposed} == {1, 2}
        # Log-uniform: half of the rates are below the geometric mean of the bounds.
        assert np.mean([values["learning_rate"] < 1e-3 for values in proposed]) == pytest.approx(0.5, abs=0.2)
        rates, dropouts = ([values[name] for values in proposed] for name in ("learning_rate", "dropout"))
        assert abs(np.corrcoef(np.log(rates[1:]), dropouts[:-1])[0, 1]) < 0.4

    def test_bayesian_proposals_find_a_known_optimum(self):
        space = {name: (low, low) for name, (low, _) in SPACE.items()} | {"learning_rate": (1e-5, 1e-1)}
        results = []
        for number in range(8):
            values = tuning.propose(results, number, space, random_trials=5)
            value = -abs(np.log10(values["learning_rate"]) + 2.5)
            results.append({"trial": number, "status": "COMPLETED", "val_auc": value, "values": values})
        reached = [row["val_auc"] for row in results]
        assert np.mean(reached[5:]) > np.mean(reached[:5]) + 0.3
        assert np.median(reached[5:]) > -0.1  # at random, one in 20 comes as close as a tenth of a power of ten

    def test_failed_trials_do_not_count(self):
        row = {"trial": 0, "status": "FAILED", "val_auc": None, "values": tuning.propose([], 0, SPACE)}
        assert tuning.propose([row], 1, SPACE, random_trials=1) == tuning.propose([], 1, SPACE, random_trials=1)


class TestSearch:
    def test_results_and_resuming(self, tmp_path):
        first = tuning.search(*SETS, out=tmp_path, trials=2, **TINY)
        assert first["trial"].tolist() == [0, 1]
        assert (first["status"] == "COMPLETED").all()
        assert first["val_auc"].between(0, 1).all()
        assert first["best_step"].isin([2, 4]).all()
        written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("trial_*")}
        more = tuning.search(*SETS, out=tmp_path, trials=3, **TINY)
        pd.testing.assert_frame_equal(more[:2][first.columns], first, check_dtype=False)
        assert {path: path.stat().st_mtime_ns for path in written} == written
        pd.testing.assert_frame_equal(tuning.load(tmp_path), more)

    def test_another_search_in_the_folder_is_refused(self, tmp_path):
        tuning.search(*SETS, out=tmp_path, trials=1, **TINY)
        with pytest.raises(ValueError, match="job with other settings: seed is 0, here it is 1. Choose another folder"):
            tuning.search(*SETS, out=tmp_path, trials=1, **TINY, seed=1)
        with pytest.raises(ValueError, match="job with other settings: data is"):
            tuning.search(SETS[0], make_imageset(16, 3), out=tmp_path, trials=1, **TINY)

    def test_spaces_that_fit_no_network(self, tmp_path):
        with pytest.raises(ValueError, match="20 pixels a side can be halved 4 times. Received: up to 5 layers"):
            tuning.search(*SETS, out=tmp_path, **TINY | {"space": SPACE | {"layers": (1, 5)}})
        with pytest.raises(ValueError, match="space must have the keys layers, .* Received: layers, rate"):
            tuning.search(*SETS, out=tmp_path, **TINY | {"space": {"layers": (1, 2), "rate": (0, 1)}})
        with pytest.raises(FileNotFoundError, match="has no finished trial; run tuning.search with out="):
            tuning.load(tmp_path)

    def test_diverged_training_is_a_result(self, tmp_path, monkeypatch):
        def explode(*_, **__):
            raise FloatingPointError

        monkeypatch.setattr(tuning.Trainer, "train", explode)
        trials = tuning.search(*SETS, out=tmp_path, trials=2, **TINY)
        assert trials["status"].tolist() == ["FAILED", "FAILED"]
        with pytest.raises(ValueError, match="none of the 2 trials was completed"):
            tuning.best(trials)


KILLED = """
import sys
from tests.test_tuning import SETS, TINY
from synthkit import tuning
tuning.search(*SETS, out=sys.argv[1], **TINY)
"""


def test_killed_search_resumes_with_the_same_results(tmp_path):
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(killed)], cwd=ROOT, env=ONE_THREAD, stderr=subprocess.DEVNULL
    )
    give_up = time.time() + 120
    while time.time() < give_up and not (killed / "trial_0002.json").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(killed.glob("trial_*.json"))}
    assert 3 <= len(finished) < 30  # the next ones are proposed by the Gaussian process
    assert all(json.loads(content)["status"] == "COMPLETED" for _, content in finished.values())
    trials = len(finished) + 1
    resumed = tuning.search(*SETS, out=killed, trials=trials, **TINY)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in finished} == finished
    whole = tuning.search(*SETS, out=tmp_path / "whole", trials=trials, **TINY)
    pd.testing.assert_frame_equal(resumed.drop(columns="seconds"), whole.drop(columns="seconds"))


def test_two_searches_in_one_folder(tmp_path):
    with locked(tmp_path, "a search"), pytest.raises(BlockingIOError, match="another process is at work on a search"):
        tuning.search(*SETS, out=tmp_path, **TINY)


def test_damaged_trial_is_named(tmp_path):
    (tmp_path / "trial_0000.json").write_bytes(b"[1")
    with pytest.raises(ValueError, match=r"trial_0000\.json is damaged"):
        tuning.load(tmp_path)


TOGETHER = """
import sys
from tests.test_tuning import SETS, TINY
from synthkit import tuning
tuning.search_together(*SETS, out=sys.argv[1], trials=int(sys.argv[2]), **TINY)
"""


class TestSearchTogether:
    @pytest.mark.parametrize(("workers", "trials"), [(1, 2), pytest.param(2, 4, marks=pytest.mark.slow)])
    def test_chief_and_workers_share_the_trials(self, workers, trials, tmp_path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free.getsockname()[1])}
        processes = []
        for name in ("chief", *(f"worker{i}" for i in range(workers))):
            with (tmp_path / f"{name}.log").open("w") as log:
                command = [sys.executable, "-c", TOGETHER, str(tmp_path / "search"), str(trials)]
                settings = ONE_THREAD | address | {"KERASTUNER_TUNER_ID": name}
                processes.append(subprocess.Popen(command, cwd=ROOT, env=settings, stdout=log, stderr=log))
        try:
            statuses = [process.wait(timeout=300) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        assert not any(statuses), {path.stem: path.read_text() for path in tmp_path.glob("*.log")}
        table = tuning.load(tmp_path / "search")
        assert table["trial"].tolist() == list(range(trials))
        assert table["val_auc"].between(0, 1).all()
        assert tuning.best(table)[0].__name__.startswith("simple_cnn(filters=(")
        with pytest.raises(ValueError, match="job with other settings: together is True, here it is False"):
            tuning.search(*SETS, out=tmp_path / "search", **TINY)

    def test_missing_variables_are_named(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
        with pytest.raises(ValueError, match="variables KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT in every process"):
            tuning.search_together(*SETS, out=tmp_path, **TINY)


def test_best_is_the_earliest_of_the_highest():
    rows = {
        "val_auc": [0.5, 0.8, 0.8, np.nan], "layers": [1, 2, 1, 1], "filters_1": [4, 8, 16, 4],
        "filters_2": [np.nan, 16, np.nan, np.nan], "dense_units": [8, 32, 8, 8], "dropout": [0, 0.25, 0, 0],
        "learning_rate": [0.1, 0.02, 0.3, 0.4],
    }  # fmt: skip
    classifier, rate = tuning.best(pd.DataFrame(rows))
    assert rate == 0.02
    assert classifier.__name__ == "simple_cnn(filters=(8, 16), dense_units=32, dropout=0.25)"
    model = classifier((20, 20, 1), 2)
    assert [layer.filters for layer in model.layers if isinstance(layer, layers.Conv2D)] == [8, 16]
    assert [layer.units for layer in model.layers if isinstance(layer, layers.Dense)] == [32, 2]
    assert [layer.rate for layer in model.layers if isinstance(layer, layers.Dropout)] == [0.25]


def test_only_the_trial_whose_file_was_deleted_is_run_again(tmp_path):
    whole = tuning.search(*SETS, out=tmp_path, trials=3, **TINY)
    (tmp_path / "trial_0001.json").unlink()
    others = {path: path.read_bytes() for path in tmp_path.glob("trial_*.json")}
    again = tuning.search(*SETS, out=tmp_path, trials=3, **TINY)
    assert {path: path.read_bytes() for path in others} == others
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), whole.drop(columns="seconds"), check_dtype=False)
