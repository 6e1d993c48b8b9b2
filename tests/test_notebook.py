"""What the notebooks share."""

import re

import numpy as np
import pytest

from synthkit import _files, notebook
from synthkit.datasets.cbis_ddsm import phantom_archive


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_files, "DRIVE", tmp_path / "drive" / "MyDrive")
    return tmp_path


def test_settings_of_a_profile():
    profiles = {"steps": {"fast": 1, "colab": 2}, "seeds": {"fast": 3, "colab": 4}}
    assert notebook.settings(profiles, "colab") == {"steps": 2, "seeds": 4}
    with pytest.raises(ValueError, match="PROFILE must be one of fast, colab. Received: 'quick'"):
        notebook.settings(profiles, "quick")


def test_results_are_beside_the_notebook_or_on_the_drive(elsewhere):
    assert notebook.folder("05").resolve() == elsewhere / "synthkit_notebooks" / "05"
    (elsewhere / "drive" / "MyDrive").mkdir(parents=True)
    assert notebook.folder("05") == elsewhere / "drive" / "MyDrive" / "synthkit_notebooks" / "05"
    assert notebook.folder("05").is_dir()
    folders = {
        notebook.folder("05", {"epochs": 3}, *what) for what in (["crops", {}], ["mine", {}], ["mine", {"a": 1}])
    }
    folders |= {notebook.folder("05", {"epochs": 4}, "crops", {}), notebook.folder("05", {"epochs": 3}, "crops", {})}
    assert len(folders) == 4


def test_what_the_first_notebook_prepares_the_others_take(elsewhere):
    phantom_archive.write(elsewhere / "archive", 20, seed=0, height=340)
    with pytest.raises(FileNotFoundError, match="run notebook 1, which prepares its crops"):
        notebook.load(elsewhere / "archive", 32)
    splits = notebook.load(elsewhere / "archive", 32, prepare=True)
    again = notebook.load(elsewhere / "archive", 32)
    assert splits.train.class_names == ("malignant", "benign")
    assert all((one.images == other.images).all() for one, other in zip(splits, again, strict=True))


def test_other_sources_are_those_of_load():
    assert len(notebook.load("cbis_ddsm_crops", 32).train) == 200
    assert notebook.load("phantom", 20, train=30).train.image_shape == (20, 20, 1)


def test_a_first_look_at_a_large_set(capsys):
    whole = notebook.load("phantom", 20, train=60, at_most=100)
    assert capsys.readouterr().out == ""
    few = notebook.load("phantom", 20, train=60, at_most=20)
    assert list(few.train.class_counts().values()) == [20, 20]
    assert few.test.fingerprint() == whole.test.fingerprint()
    assert capsys.readouterr().out == "a first look: 40 of 60 training images, at most 20 of a class\n"


def test_the_class_that_is_to_be_found():
    assert notebook.positive(("benign", "malignant")) == 1
    assert notebook.positive(("malignant", "benign")) == 0
    assert notebook.positive(("glioma", "meningioma", "no tumour", "pituitary")) == 0


def test_images_of_each_class():
    images, labels = np.arange(6), np.array([1, 0, 1, 0, 0, 1])
    assert notebook.one_each(images, labels, 2).tolist() == [1, 3, 0, 2]


def test_measured_results_as_a_table():
    table = notebook.table(notebook.measured("mass_crops_50"), ["real", "augmentation"])
    assert table.index.tolist() == ["real", "augmentation"]
    assert table.loc["real", "test AUC"].startswith("0.718 (")
    assert table.loc["real", "difference"] == ""
    assert re.fullmatch(r"\+0\.019 \(.*\)", table.loc["augmentation", "difference"])


def test_verdicts_of_a_table_are_qualified():
    summary = notebook.measured("mass_crops_50").query("metric == 'auc'").set_index("arm", drop=False)
    arm = "mammography_cgan x0.47 augmented"
    over = notebook.measured("mass_crops_50_over_augmentation")
    row = notebook.table(summary, [arm], over=over).loc[arm]
    assert (row["verdict"], row["beyond augmentation"]) == ("helps, by less than 0.05", "inconclusive (few patients)")
    summary.loc[arm, ["verdict", "p_equivalent"]] = "inconclusive", np.nan
    assert notebook.table(summary, [arm]).loc[arm, "verdict"] == "inconclusive (few patients)"
    summary.loc[arm, "difference_high"] = 0.06
    assert notebook.table(summary, [arm]).loc[arm, "verdict"] == "inconclusive"


def test_a_clock_shows_what_is_done(monkeypatch, capsys):
    monkeypatch.setattr(notebook, "EVERY", 0.01)
    with notebook.clock("the study") as say:
        say("trial 1 of 2")
    assert "the study" in capsys.readouterr().out  # without a notebook IPython prints
    with pytest.raises(KeyError), notebook.clock("the study"):
        raise KeyError


def test_a_fitted_generator_is_kept(tmp_path):
    from synthkit.generators.medmnist_cvae import dense_cvae

    images, labels = np.random.default_rng(0).random((8, 8, 8, 1), "float32"), np.arange(8) % 2
    first, second = (dense_cvae((8, 8, 1), 2) for _ in range(2))
    record = notebook.keep(first, tmp_path / "vae.keras", lambda: first.fit(images, labels, verbose=0).history)
    again = notebook.keep(second, tmp_path / "vae.keras", lambda: pytest.fail("fitted again"))
    assert again == record
    assert (second.sample([0, 1], 0) == first.sample([0, 1], 0)).all()
