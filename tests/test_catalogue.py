import re

import keras
import pytest

from synthkit import __main__, _option_types, catalogue, plots, study
from synthkit.augmentation import Augmenter
from synthkit.catalogue import recipe
from synthkit.generators import adapter
from synthkit.imageset import Splits
from synthkit.training import Trainer
from tests.conftest import make_imageset
from tests.generators.toy import toy
from tests.test_training import flat


@pytest.fixture
def registered():
    """The toy generator under the name "toy", for one test."""
    catalogue.register("toy", toy, "images of the smallest generator", epochs=2, batch_size=8, color="#123456")
    yield
    del catalogue.GENERATORS["toy"]


class TestOneRowAddsAGenerator:
    def test_it_is_an_arm_with_help_and_a_colour(self, registered, capsys):
        with pytest.raises(SystemExit):
            __main__.main(["study", "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert "toy images of the smallest generator" in text
        assert "toy 2" in text.split("epochs of the generators")[1]
        assert plots.arm_colors(["real", "toy", "toy x2 augmented"])["toy"] == "#123456"
        assert _option_types.epochs("toy=7") == {"toy": 7}

    def test_it_runs_in_a_study(self, registered, tmp_path):
        splits = Splits(*(make_imageset(n, s, name=f"toy {s}") for s, n in enumerate((16, 8, 12))))
        arms = catalogue.arms(["real", "toy", "toy x2 augmented"], ratio=1.0)
        options = {"seeds": 1, "steps": 2, "batch_size": 8, "progress": False}
        results = study.run(splits, arms, out=tmp_path, classifier=flat, **options)
        trials = results.trials.set_index("arm")
        assert trials["status"].tolist() == ["done"] * 3
        assert trials["n_synthetic"].tolist() == [0, 8, 16]

    @pytest.mark.parametrize("name", ["toy gan", "2toy", "", "toy-gan", "real", "dense_cvae", "x2!"])
    def test_names_that_are_taken_or_cannot_be_read_back(self, name):
        with pytest.raises(
            ValueError, match="must be new, and of letters, digits and underscores only. Received: name="
        ):
            catalogue.register(name, toy, "text")
        assert name not in catalogue.GENERATORS or name == "dense_cvae"


class TestRows:
    @pytest.mark.parametrize("name", catalogue.GENERATORS)
    def test_every_generator_is_built_compiled_under_its_name(self, name):
        model = catalogue.build(catalogue.GENERATORS[name])((32, 32, 3), 2)
        assert name in model.name
        assert model.compiled
        assert (model.image_shape, model.num_classes) == ((32, 32, 3), 2)

    @pytest.mark.parametrize("name", catalogue.GENERATORS)
    def test_every_generator_takes_a_size_or_names_the_nearest(self, name):
        assert self.built(name, 50)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", catalogue.GENERATORS)
    @pytest.mark.parametrize("size", [8, 20, 28, 30, 32, 48, 64, 96])
    def test_every_generator_at_many_sizes(self, name, size):
        for model in self.built(name, size):
            images = make_imageset(8, size=model.image_shape[0])
            adapter.fit(model, images, 0, epochs=1, batch_size=8)
            assert adapter.draw(model, images.class_names, [0, 1], 0).image_shape == images.image_shape

    def built(self, name, size):
        """Returns a generator of a size, or those of the nearest sizes that its refusal names."""
        build = catalogue.build(catalogue.GENERATORS[name])
        try:
            return [build((size, size, 1), 2)]
        except ValueError as error:
            sizes = re.search(r"nearest sizes? that works? (?:is|are) (\d+)(?: and (\d+))?:", str(error)).groups()
            return [build((int(side), int(side), 1), 2) for side in sizes if side]

    @pytest.mark.parametrize("size", [28, 32, 64])
    def test_the_mammography_studys_gan_at_other_sizes(self, size):
        model = catalogue.build(catalogue.GENERATORS["mammography_cgan"])((size, size, 1), 2)
        assert (model.name, model.generator.output_shape) == ("mammography_cgan", (None, size, size, 1))

    def test_every_augmentation_and_classifier_is_built(self):
        assert all(callable(catalogue.build(row)()) for row in catalogue.AUGMENTATIONS.values())
        for name, row in catalogue.CLASSIFIERS.items():
            classifier = catalogue.build(row)
            model = classifier((32, 32, 3), 2)
            assert row.steps is None or model.output_shape[1] <= 2
            assert classifier.__name__.startswith(name.replace("_", "-")) or model.name == name

    def test_every_arm_has_a_description_and_the_default_ones_a_colour_of_their_own(self):
        default = [name for name in catalogue.DEFAULT_ARMS if name != "dense_cvae augmented"]
        assert list(catalogue.texts())[:7] == default
        assert all(catalogue.texts().values())
        own = [catalogue.colors()[name] for name in default]
        assert len(set(own)) == len(own)


class TestArms:
    def test_every_name_is_an_arm(self):
        names = list(catalogue.texts())
        arms = catalogue.arms(names, ratio=3.0)
        assert [arm.name for arm in arms] == names
        synthetic = {"oversample", "shuffled", "oracle", *catalogue.RIVALS, *catalogue.GENERATORS}
        assert {arm.name for arm in arms if arm.ratio == 3.0} == synthetic
        assert all((arm.synthesizer is arm.features is None) == (arm.ratio == 0) for arm in arms)
        assert {arm.name for arm in arms if arm.augment is not None} == set(catalogue.AUGMENTATIONS)

    def test_endings_filter_and_augment(self):
        plain, filtered, augmented, both = catalogue.arms(
            ["diffusion", "diffusion filtered", "diffusion augmented", "diffusion filtered augmented"]
        )
        assert filtered.synthesizer is both.synthesizer is not plain.synthesizer is augmented.synthesizer
        assert plain.augment is None
        assert filtered.augment is None
        assert augmented.augment.__name__ == both.augment.__name__ == repr(Augmenter())
        assert augmented.ratio == both.ratio == plain.ratio

    def test_controls_have_as_many_images_as_generators(self):
        names = ["real", "oversample", "shuffled", "dense_cvae x0.5", "conv_cgan x0.5 augmented"]
        assert [arm.ratio for arm in catalogue.arms(names, ratio=3.0)] == [0.0, 0.5, 0.5, 0.5, 0.5]
        assert catalogue.arms(["oversample x2", "dense_cvae x0.5"])[0].ratio == 2.0
        assert catalogue.arms(["oversample", "dense_cvae x0.5", "conv_cgan x1"], ratio=3.0)[0].ratio == 3.0
        assert catalogue.arms(["oversample"], ratio=3.0)[0].ratio == 3.0

    def test_endings_set_ratio_and_order(self):
        arms = catalogue.arms(["dense_cvae x0.5", "conv_cgan filtered x10 augmented", "dense_cvae"], ratio=3.0)
        assert [arm.ratio for arm in arms] == [0.5, 10.0, 3.0]
        assert [arm.augment is None for arm in arms] == [True, False, True]
        assert arms[0].synthesizer is arms[2].synthesizer
        assert arms[0].pretrain == 0
        (first,) = catalogue.arms(["dense_cvae filtered x2 first augmented"])
        assert (first.ratio, first.pretrain, first.augment is None) == (2.0, 0.5, False)
        controls = catalogue.arms(["oversample x2", "shuffled x0.5", "oracle x3 augmented"])
        assert [arm.ratio for arm in controls] == [2.0, 0.5, 3.0]

    def test_epochs_are_settings_of_the_arm(self):
        arms = catalogue.arms(["real", "dense_cvae x2", "shuffled", "dense_cgan filtered"], epochs={"dense_cvae": 7})
        assert [arm.settings for arm in arms] == [None, {"epochs": 7}, {"epochs": 7}, {"epochs": 1000}]

    def test_pretrained_ones_have_a_fit_of_their_own(self):
        others = make_imageset(12, 5, name="others")
        names = ["dense_cvae x1", "dense_cvae pretrained x1", "dense_cvae pretrained filtered x2 augmented"]
        plain, pretrained, filtered = catalogue.arms(names, pretrained_on=others)
        assert plain.synthesizer.pretrained_on is None
        assert pretrained.synthesizer.pretrained_on is filtered.synthesizer.pretrained_on is others
        assert (
            pretrained.settings
            == filtered.settings
            == {"epochs": 300, "pretrained_on": "others, 12 images, 3000 steps"}
        )
        with pytest.raises(ValueError, match="dense_cvae pretrained x1 needs images to pretrain on; .* --pretrain-on"):
            catalogue.arms(names)

    @pytest.mark.parametrize(
        "name",
        [
            "oracle pretrained",
            "dense_cvae filtered pretrained",
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
    def test_unknown_names(self, name):
        with pytest.raises(
            ValueError,
            match=f"there is no arm '{name}'.*; expected one of real, .* pretrained, .* x2, first, augmented, in",
        ):
            catalogue.arms([name])

    def test_unknown_generators_of_epochs(self):
        with pytest.raises(ValueError, match="there is no arm 'vae'"):
            catalogue.arms(["real"], epochs={"vae": 3})

    def test_old_names_are_accepted_with_a_note(self):
        with pytest.warns(UserWarning, match="cvae is now called dense_cvae; version 0.2 will not know the old name"):
            (arm,) = catalogue.arms(["cvae x2"])
        assert (arm.name, arm.ratio) == ("dense_cvae x2", 2.0)
        with pytest.warns(UserWarning, match="cgan is now called dense_cgan"):
            (arm,) = catalogue.arms(["dense_cgan"], epochs={"cgan": 3})
        assert arm.settings == {"epochs": 3}
        assert _option_types.epochs("cvae=3,cgan=4") == {"dense_cvae": 3, "dense_cgan": 4}


class TestRecipe:
    def test_medmnist_is_the_benchmarks(self):
        # 546 images of BreastMNIST in batches of 128, 100 epochs.
        settings = recipe("medmnist", 546)
        assert settings["steps"] == 427
        trainer = Trainer(flat, (20, 20, 1), 2, **settings | {"batch_size": 8, "steps": 20, "checks": 4})
        optimizer, rates = trainer._start(0).optimizer, []
        for step in range(20):
            optimizer.iterations.assign(step)
            rates.append(float(optimizer.learning_rate))
        assert rates == pytest.approx([1e-3] * 10 + [1e-4] * 5 + [1e-5] * 5)
        assert type(optimizer) is keras.optimizers.Adam

    def test_medmnist_study_is_plain_gradient_descent(self):
        trainer = Trainer(flat, (20, 20, 1), 2, **recipe("medmnist_study", 546))
        optimizer = trainer._start(0).optimizer
        assert (type(optimizer), float(optimizer.learning_rate)) == (keras.optimizers.SGD, pytest.approx(1e-3))
        assert optimizer.momentum == 0
        assert (trainer.batch_size, trainer.steps) == (128, 428)

    def test_unknown_names(self):
        with pytest.raises(ValueError, match="recipe must be one of medmnist, medmnist_study. Received: 'best'"):
            recipe("best", 10)
        with pytest.raises(ValueError, match="optimizer must be 'adam' or 'sgd'. Received: optimizer='adamw'"):
            Trainer(flat, (20, 20, 1), 2, steps=1, optimizer="adamw")
