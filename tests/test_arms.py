import pytest

from synthkit import catalogue
from synthkit.augmentation import Augmenter


def test_every_name_is_an_arm():
    names = [*catalogue.ARMS, *catalogue.FURTHER_ARMS]
    made = catalogue.arms(names, ratio=3.0)
    assert [arm.name for arm in made] == names
    assert {arm.name for arm in made if arm.ratio == 3.0} == {"oversample", "shuffled", "oracle", *catalogue.GENERATORS}
    assert all((arm.synthesizer is None) == (arm.ratio == 0) for arm in made)


def test_endings_filter_and_augment():
    plain, filtered, augmented, both = catalogue.arms(
        ["diffusion", "diffusion filtered", "diffusion augmented", "diffusion filtered augmented"]
    )
    assert filtered.synthesizer is not plain.synthesizer
    assert plain.augment is None
    assert filtered.augment is None
    assert augmented.augment.__name__ == both.augment.__name__ == repr(Augmenter())
    assert augmented.ratio == both.ratio == plain.ratio


def test_endings_say_how_many():
    made = catalogue.arms(["dense_cvae x0.5", "conv_cgan filtered x10 augmented", "dense_cvae"], ratio=3.0)
    assert [arm.ratio for arm in made] == [0.5, 10.0, 3.0]
    assert [arm.augment is None for arm in made] == [True, False, True]
    assert made[0].synthesizer is made[2].synthesizer
    (early,) = catalogue.arms(["dense_cvae filtered x2 first augmented"])
    assert (early.ratio, early.pretrain, early.augment is None) == (2.0, 0.5, False)
    assert made[0].pretrain == 0
    controls = catalogue.arms(["oversample x2", "shuffled x0.5", "oracle x3 augmented"])
    assert [arm.ratio for arm in controls] == [2.0, 0.5, 3.0]


def test_epochs_belong_to_the_arm():
    made = catalogue.arms(["real", "dense_cvae x2", "shuffled", "dense_cgan filtered"], epochs={"dense_cvae": 7})
    assert [arm.settings for arm in made] == [
        None,
        {"epochs": 7},
        {"epochs": 7},
        {"epochs": catalogue.GENERATORS["dense_cgan"][0]},
    ]


@pytest.mark.parametrize(
    "name",
    [
        "dense_cvae x0",
        "dense_cvae xx2",
        "dense_cvae x",
        "dense_cvae x2 filtered",
        "vae",
        "real augmented",
        "dense_cvae augmented filtered",
        "oracle filtered",
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(
        ValueError,
        match=f"there is no arm '{name}'; expected some of real, .* x2, first, augmented behind it, in",
    ):
        catalogue.arms([name])
