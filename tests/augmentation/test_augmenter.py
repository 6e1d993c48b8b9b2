import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from synthkit import catalogue
from synthkit.augmentation import OFF, Augmenter
from synthkit.datasets import phantom
from synthkit.imageset import ImageSet
from synthkit.pipeline import to_dataset

# The reference, Keras's former class, uses a name of SciPy that is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")

ImageDataGenerator = tf.keras.preprocessing.image.ImageDataGenerator
STUDY = {
    "rotation_range": 30.0,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "shear_range": 0.2,
    "zoom_range": 0.2,
    "horizontal_flip": True,
    "vertical_flip": True,
    "brightness_range": (0.8, 1.2),
    "channel_shift_range": 20.0,
}
CROPS = phantom.simulate(6, 72, seed=3).images
COLOUR = np.concatenate([CROPS, CROPS[:, ::-1], 255 - CROPS], axis=-1)
PICTURES = {"grey": CROPS, "colour": COLOUR, "oblong": np.ascontiguousarray(COLOUR[:, :, :50])}


def as_batch(parameters):
    """Converts ImageDataGenerator's parameters of one image to those of `Augmenter.apply`."""
    batch = {key: None if value is None else np.array([value]) for key, value in parameters.items()}
    batch |= {key: batch[key].astype(bool) for key in ("flip_horizontal", "flip_vertical")}
    return batch | {
        "gamma": None,
        "noise": np.zeros(1),
        "filters": np.zeros((1, 0), bool),
        "seed": np.zeros(1, "uint64"),
    }


def both(image, arguments, seed):
    """Transforms one image with Augmenter and with ImageDataGenerator, with parameters that the latter drew.

    Returns:
        `(Augmenter's image, ImageDataGenerator's image, parameters)`.
    """
    reference, augmenter = ImageDataGenerator(**arguments), Augmenter(**(OFF | arguments))
    parameters = reference.get_random_transform(image.shape, seed=seed)
    expected = reference.apply_transform(image.astype("float32"), parameters)
    changed = augmenter.apply(image[None], as_batch(parameters))[0]
    return changed.astype(float), expected, parameters


def is_inside(image, parameters):
    """Returns for every pixel whether ImageDataGenerator takes it from inside the image."""
    generator = ImageDataGenerator(fill_mode="constant", cval=0.0)
    geometry = parameters | {"channel_shift_intensity": None, "brightness": None}
    return generator.apply_transform(np.ones_like(image, "float32"), geometry) > 0.999


SINGLE = [{name: value} for name, value in STUDY.items()]
SINGLE += [{"shear_range": 25.0}, {"zoom_range": (0.5, 0.7)}, {"width_shift_range": 7}, {"height_shift_range": [2, 5]}]


class TestApply:
    @pytest.mark.parametrize("pictures", PICTURES)
    @pytest.mark.parametrize("arguments", [*SINGLE, STUDY], ids=str)
    def test_agrees_with_image_data_generator(self, pictures, arguments):
        for seed, image in enumerate(PICTURES[pictures]):
            changed, expected, _ = both(image, arguments, seed)
            assert np.abs(changed - expected).mean() < 0.6
            assert np.abs(changed - expected).max() < 5

    @pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "wrap", "constant"])
    def test_agrees_inside_for_every_fill_mode(self, fill_mode):
        for seed in range(30):
            image = COLOUR[seed % len(COLOUR)]
            arguments = STUDY | {"fill_mode": fill_mode, "cval": 90.0, "shear_range": 20.0}
            changed, expected, parameters = both(image, arguments, seed)
            inside = is_inside(image, parameters)
            assert inside.mean() > 0.4
            assert np.abs(changed - expected)[inside].mean() < 0.6

    @pytest.mark.parametrize("fill_mode", ["nearest", "reflect"])
    def test_agrees_outside_where_fill_modes_are_defined_equally(self, fill_mode):
        for seed in range(10):
            changed, expected, _ = both(CROPS[0], {"zoom_range": (1.5, 1.9), "fill_mode": fill_mode}, seed)
            assert np.abs(changed - expected).mean() < 0.6

    def test_constant_fills_with_its_grey_level(self):
        changed, *_ = both(CROPS[0], {"zoom_range": (2.0, 2.0), "fill_mode": "constant", "cval": 77.0}, 0)
        assert (changed[:10] == 77).all()
        assert changed[30:40, 30:40].std() > 0

    def test_intensities_and_flips_are_exact(self):
        exact = {name: STUDY[name] for name in ("brightness_range", "horizontal_flip", "vertical_flip")}
        for seed in range(12):
            for arguments in (exact, exact | {"channel_shift_range": 40.0}):
                # Far from black and white, so that clipping to the image's own range has an effect.
                changed, expected, _ = both(COLOUR[seed % 6] // 2 + 60, arguments, seed)
                assert (changed == expected).all()

    def test_float_images_are_the_uint8_images(self):
        augmenter = Augmenter()
        parameters = augmenter.sample(np.array([[1, i] for i in range(6)]), COLOUR.shape[1:])
        integers, floats = augmenter.apply(COLOUR, parameters), augmenter.apply(COLOUR, parameters, "float32")
        assert integers.dtype == "uint8"
        assert floats.dtype == "float32"
        assert floats == pytest.approx(integers / 255, abs=1e-7)

    def test_16_bit_images_are_the_8_bit_images_with_finer_levels(self):
        augmenter = Augmenter(gamma_range=(0.7, 1.4), elastic_range=0.02)
        parameters = augmenter.sample(np.array([[1, i] for i in range(6)]), CROPS.shape[1:])
        coarse, fine = augmenter.apply(CROPS, parameters), augmenter.apply(CROPS.astype("uint16") * 257, parameters)
        assert fine.dtype == "uint16"
        assert np.abs(fine / 257 - coarse).mean() < 1.5
        assert len(np.unique(fine)) > 1000

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_gamma_is_the_exponent_of_the_grey_level(self, dtype):
        top = np.iinfo(dtype).max
        levels = np.arange(top + 1, dtype=dtype).reshape(1, 16, -1, 1)
        augmenter = Augmenter(**OFF, gamma_range=(0.5, 2.0))
        parameters = augmenter.sample(np.array([[5, 5]]), levels.shape[1:])
        assert not 0.99 < parameters["gamma"][0] < 1.01
        expected = top * (levels / top) ** parameters["gamma"][0]
        assert augmenter.apply(levels, parameters) == pytest.approx(expected, abs=0.52)

    def test_noise_has_the_drawn_standard_deviation(self):
        flat = np.full((40, 64, 64, 1), 128, "uint8")
        augmenter = Augmenter(**OFF, noise_range=10.0)
        parameters = augmenter.sample(np.array([[0, i] for i in range(40)]), flat.shape[1:])
        changed = augmenter.apply(flat, parameters, "float32") * 255
        assert changed.std((1, 2, 3)) == pytest.approx(parameters["noise"], rel=0.1)
        assert changed.mean() == pytest.approx(128, abs=0.1)
        assert np.ptp(parameters["noise"]) > 5
        black = augmenter.apply(flat * 0, parameters, "float32")
        assert black.min() == 0
        assert (augmenter.apply(flat, parameters) != 128).any()

    def test_elastic_displacements_have_the_given_standard_deviation(self):
        # The grey level of a ramp shows where a pixel was taken from; a point of the 3×3 grid is in the middle.
        ramp = np.broadcast_to(np.arange(101, dtype="uint16") * 600, (400, 101, 101))[..., None]
        augmenter = Augmenter(**OFF, elastic_range=0.02)
        changed = augmenter.apply(ramp, augmenter.sample(np.array([[0, i] for i in range(400)]), (101, 101, 1)))
        moved = (changed.astype(float) - ramp)[..., 0] / 600
        assert moved[:, 50, 50].std() == pytest.approx(0.02 * 101, rel=0.15)
        # The image is not folded anywhere.
        assert np.abs(np.diff(moved[:, 20:80, 20:80], axis=1)).max() < 0.6

    def test_filters_are_applied_first_and_with_their_probability(self):
        def invert(image):
            assert image.dtype == "uint8"
            return 255 - image[..., 0]

        seeds = np.array([[0, i] for i in range(2000)])
        frequencies = Augmenter(filters=[(invert, 0.3), (invert, 1.0)]).sample(seeds, (8, 8, 1))["filters"].mean(0)
        assert frequencies == pytest.approx([0.3, 1.0], abs=0.03)
        plain, filtered = Augmenter(), Augmenter(filters=[(invert, 1.0)])
        by_hand = plain.apply(255 - CROPS, plain.sample(seeds[:6], CROPS.shape[1:]))
        assert (filtered.apply(CROPS, filtered.sample(seeds[:6], CROPS.shape[1:])) == by_hand).all()

    @pytest.mark.parametrize(
        "images", [CROPS / 255, CROPS.astype("int32"), CROPS[0], np.zeros((1, 8, 8, 5), "uint8"), [[1]]], ids=type
    )
    def test_other_arrays_are_refused(self, images):
        augmenter = Augmenter()
        with pytest.raises(ValueError, match=r"images must be uint8 or uint16 .* Received: images="):
            augmenter.apply(images, augmenter.sample(np.array([[0, 0]]), (8, 8, 1)))


class TestSample:
    def draw(self, arguments, count=3000, shape=(40, 60, 1)):
        """Returns the parameters of `count` images, as Augmenter and as ImageDataGenerator draw them."""
        reference = ImageDataGenerator(**arguments)
        np.random.seed(1)  # noqa: NPY002 — ImageDataGenerator uses the global state
        transforms = [reference.get_random_transform(shape) for _ in range(count)]
        parameters = Augmenter(**(OFF | arguments)).sample(np.array([[1, i] for i in range(count)]), shape)
        return parameters, {key: np.array([transform[key] for transform in transforms]) for key in transforms[0]}

    def test_study_defaults(self):
        assert repr(Augmenter()) == repr(Augmenter(**STUDY))

    @pytest.mark.parametrize("arguments", [STUDY, {"zoom_range": (0.5, 0.9), "width_shift_range": 4.5}], ids=str)
    def test_distributions_are_those_of_image_data_generator(self, arguments):
        parameters, expected = self.draw(arguments)
        for name, values in expected.items():
            if values[0] is None:
                assert parameters[name] is None
            elif name.startswith("flip"):
                assert parameters[name].mean() == pytest.approx(values.mean(), abs=0.04)
            else:
                assert stats.ks_2samp(parameters[name], values).pvalue > 1e-3, name
                assert np.ptp(parameters[name]) == pytest.approx(np.ptp(values), rel=0.02), name

    @pytest.mark.parametrize("shift", [4, 1, [1, 3, 8], (0.1, 0.25)], ids=str)
    def test_shifts_chosen_from_a_list(self, shift):
        parameters, expected = self.draw({"height_shift_range": shift, "width_shift_range": shift})
        for name in ("tx", "ty"):
            values, counts = np.unique(parameters[name], return_counts=True)
            expected_values, expected_counts = np.unique(expected[name], return_counts=True)
            assert values == pytest.approx(expected_values)
            assert counts == pytest.approx(expected_counts, abs=5 * np.sqrt(3000 / 4))

    def test_parameters_are_independent(self):
        parameters, _ = self.draw(STUDY)
        names = ["theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical", "brightness"]
        table = np.array([parameters[name] for name in [*names, "channel_shift_intensity"]], float)
        assert np.abs(np.corrcoef(table) - np.eye(len(table))).max() < 0.08
        # Parameters of successive seeds are uncorrelated.
        assert np.abs([np.corrcoef(row[:-1], row[1:])[0, 1] for row in table]).max() < 0.08

    def test_an_image_depends_on_its_own_seed_alone(self):
        augmenter = Augmenter(elastic_range=0.02, noise_range=5.0, gamma_range=(0.7, 1.4))
        seeds = np.array([[7, i] for i in range(6)])
        whole = augmenter.apply(CROPS, augmenter.sample(seeds, CROPS.shape[1:]))
        for order in ([3], [5, 0, 2]):
            some = augmenter.apply(CROPS[order], augmenter.sample(seeds[order], CROPS.shape[1:]))
            assert (some == whole[order]).all()
        other = augmenter.apply(CROPS, augmenter.sample(seeds + np.array([1, 0]), CROPS.shape[1:]))
        assert (whole != other).any((1, 2, 3)).all()

    def test_other_seeds_are_refused(self):
        with pytest.raises(ValueError, match=r"seeds must be integers of shape \(n, 2\)"):
            Augmenter().sample(np.arange(4), (8, 8, 1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation_range", -5),
        ("rotation_range", "30"),
        ("rotation_range", float("nan")),
        ("width_shift_range", -0.1),
        ("height_shift_range", []),
        ("shear_range", 90),
        ("zoom_range", 1.0),
        ("zoom_range", (1.2, 0.8)),
        ("zoom_range", (0.0, 1.0)),
        ("brightness_range", 0.2),
        ("brightness_range", (-0.1, 1)),
        ("channel_shift_range", 256),
        ("fill_mode", "mirror"),
        ("fill_mode", None),
        ("cval", -1),
        ("elastic_range", 2),
        ("gamma_range", (0, 1)),
        ("noise_range", True),
        pytest.param("filters", [np.flip], id="filters-no probability"),
        pytest.param("filters", [(np.flip, 1.5)], id="filters-probability above 1"),
    ],
    ids=str,
)
def test_invalid_arguments_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .* Received: {name}="):
        Augmenter(**{name: value})


class TestPipeline:
    def numbered(self, count=10):
        images = np.broadcast_to(CROPS[:1], (count, *CROPS.shape[1:])).copy()
        images[:, 0, 0, 0] = np.arange(count)
        return ImageSet(images, np.arange(count) % 2, ("a", "b"))

    def stream(self, batch_size, images, threads, monkeypatch, seed=4):
        monkeypatch.setattr(os, "cpu_count", lambda: threads)
        data = to_dataset(self.numbered(), batch_size, shuffle_seed=seed, augment=Augmenter(), repeat=True)
        return np.concatenate([batch for batch, _ in data.take(images // batch_size)])

    def test_images_do_not_depend_on_batch_size_and_parallelism(self, monkeypatch):
        first = self.stream(4, 60, 1, monkeypatch)
        assert first.dtype == "float32"
        for batch_size, threads in ((4, 3), (1, 4), (10, 2), (12, 1)):
            assert (self.stream(batch_size, 60, threads, monkeypatch) == first).all()
        assert (self.stream(4, 60, 1, monkeypatch, seed=5) != first).any((1, 2, 3)).all()

    def test_every_image_has_its_own_transformation(self, monkeypatch):
        stream = self.stream(10, 50, 2, monkeypatch)
        assert len(np.unique(stream.reshape(50, -1), axis=0)) == 50

    def test_batches_are_augmented_in_parallel_although_operations_are_deterministic(self):
        # Every batch waits until another one is being augmented; one at a time, they would wait for ever.
        code = """
import os, threading
os.cpu_count = lambda: 2
import numpy as np, tensorflow as tf
from synthkit import augmentation, imageset, pipeline
tf.config.experimental.enable_op_determinism()
meeting = threading.Barrier(2, timeout=30)
def meet(image):
    meeting.wait()
    return image
images = imageset.ImageSet(np.zeros((8, 8, 8, 1), "uint8"), [0, 1] * 4, ("a", "b"))
augment = augmentation.Augmenter(filters=[(meet, 1.0)])
print(len(list(pipeline.to_dataset(images, 1, shuffle_seed=0, augment=augment))))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "8", done.stderr[-2000:]


def test_the_augmentation_arms_of_the_command_line():
    names = ["real", "augmentation", "elastic", "mixup", "cutmix", "randaugment"]
    arms = catalogue.arms(names)
    augments = {arm.name: getattr(arm.augment, "__name__", None) for arm in arms}
    assert augments["real"] is None
    assert augments["augmentation"] == repr(Augmenter())
    assert augments["elastic"] == repr(Augmenter(elastic_range=0.02))
    assert len(set(augments.values())) == len(names)
    assert all(arm.synthesizer is None for arm in arms)
