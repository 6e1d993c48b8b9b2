"""Every trial looks for copies of training images among its synthetic ones."""

import dataclasses
import json

import numpy as np
import pytest

from synthkit import study
from synthkit.statistics import notes
from synthkit.study import Arm, trial
from synthkit.study.copies import PAIRS, look_for_copies
from synthkit.study.storage import load
from tests.conftest import make_imageset
from tests.study.toy import ARMS, OPTIONS, brighter, toy_splits


def noisy(imageset, seed=0):
    noise = np.random.default_rng(seed).normal(0, 2, imageset.images.shape)
    return dataclasses.replace(imageset, images=np.clip(imageset.images + noise, 0, 255).astype("uint8"))


def test_copies_are_found_and_new_images_are_not():
    train, held_out = make_imageset(60, 0), make_imageset(60, 1, name="held out")
    found = look_for_copies(train, held_out, noisy(train))
    assert '"copies": 60' in found["copies"]
    assert found["pairs"].shape == (PAIRS, 2, 20, 20, 1)
    assert np.abs(found["pairs"][:, 0].astype(int) - found["pairs"][:, 1]).max() < 15
    assert '"copies": 0' in look_for_copies(train, held_out, make_imageset(60, 2))["copies"]


def test_whether_synthetic_images_can_be_told_from_held_out_ones():
    train, held_out, new = (make_imageset(120, seed, name=f"set {seed}") for seed in range(3))
    alike = json.loads(look_for_copies(train, held_out, new)["copies"])
    darker = dataclasses.replace(new, images=new.images // 2)
    told = json.loads(look_for_copies(train, held_out, darker)["copies"])
    assert alike["p_accuracy"] > 0.05 > told["p_accuracy"]
    assert told["accuracy"] > 0.9
    assert "A random forest is not shown to tell them" in notes.copies("gan", {0: alike})
    assert "A random forest tells them from held-out real images (accuracy 1.00" in notes.copies("gan", {0: told})
    mixed = make_imageset(240, 5, name="mixed")
    mixed = mixed[np.flatnonzero((mixed.labels == 0) | (np.arange(240) % 8 == 1))]  # another mix of the classes
    assert json.loads(look_for_copies(train, held_out, mixed)["copies"])["p_accuracy"] > 0.05
    siblings = dataclasses.replace(
        held_out, images=held_out.images[np.arange(120) % 30], patients=(np.arange(120) % 30).astype(str)
    )
    assert json.loads(look_for_copies(train, siblings, new)["copies"])["p_accuracy"] > 0.05
    few = dataclasses.replace(held_out, patients=np.repeat(["a", "b", "c"], 40))
    assert "accuracy" not in json.loads(look_for_copies(train, few, darker)["copies"])


def copying(train, labels, seed):
    return study.oversample(train, labels, seed)


def test_a_study_keeps_what_was_found(tmp_path, monkeypatch):
    arms = [Arm("real"), Arm("brighter", brighter), Arm("copying", copying), Arm("oversample", study.oversample)]
    arms.append(Arm("brighter augmented", brighter, augment=lambda images, labels, seeds: (images, labels)))
    searched, search = [], trial.look_for_copies
    monkeypatch.setattr(trial, "look_for_copies", lambda *images: searched.append(images) or search(*images))
    results = study.run(toy_splits(), arms, out=tmp_path, **OPTIONS)
    assert len(searched) == 4  # for two seeds
    assert results.copies.keys() == results.pairs.keys() == {"brighter", "brighter augmented", "copying"}
    assert results.copies["brighter augmented"] == results.copies["brighter"]
    assert [found["copies"] for found in results.copies["copying"].values()] == [24, 24]
    text = notes.copies("copying", results.copies["copying"])
    assert text.startswith("copying: 48 of 48 synthetic images are near copies of training images, more than of held")
    assert "is not shown" in notes.copies("brighter", results.copies["brighter"])
    assert load(tmp_path).copies == results.copies


def test_folds_are_searched_as_well(tmp_path):
    results = study.run(toy_splits(), ARMS[:2], out=tmp_path, folds=2, **OPTIONS | {"seeds": 1})
    assert results.copies["brighter"][0]["images"] == pytest.approx(26, abs=3)
