import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from synthkit.augmentation import OFF, Augmenter
from synthkit import catalogue
from synthkit.datasets import phantom
from synthkit.imageset import ImageSet, Splits, concatenate
from synthkit.pipeline import to_dataset

# The oracle itself, Keras's class of old, reaches SciPy by a name that SciPy means to drop.
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
    """ImageDataGenerator's parameters of one image as `Augmenter.apply` takes them."""
    batch = {key: None if value is None else np.array([value]) for key, value in parameters.items()}
    batch |= {key: batch[key].astype(bool) for key in ("flip_horizontal", "flip_vertical")}
    return batch | {
        "gamma": None,
        "noise": np.zeros(1),
        "filters": np.zeros((1, 0), bool),
        "seed": np.zeros(1, "uint64"),
    }


def both(image, arguments, seed):
    """One image through ImageDataGenerator and through Augmenter with the parameters that the former drew."""
    oracle, ours = ImageDataGenerator(**arguments), Augmenter(**(OFF | arguments))
    parameters = oracle.get_random_transform(image.shape, seed=seed)
    expected = oracle.apply_transform(image.astype("float32"), parameters)
    changed = ours.apply(image[None], as_batch(parameters))[0]
    return changed.astype(float), expected, parameters


def inside(image, parameters):
    """Where ImageDataGenerator's warp reads from inside the image."""
    whole = ImageDataGenerator(fill_mode="constant", cval=0.0)
    moved = parameters | {"channel_shift_intensity": None, "brightness": None}
    return whole.apply_transform(np.ones_like(image, "float32"), moved) > 0.999


ALONE = [{name: value} for name, value in STUDY.items()]
ALONE += [{"shear_range": 25.0}, {"zoom_range": (0.5, 0.7)}, {"width_shift_range": 7}, {"height_shift_range": [2, 5]}]


class TestApply:
    @pytest.mark.parametrize("pictures", PICTURES)
    @pytest.mark.parametrize("arguments", [*ALONE, STUDY], ids=str)
    def test_agrees_with_image_data_generator(self, pictures, arguments):
        for seed, image in enumerate(PICTURES[pictures]):
            changed, expected, _ = both(image, arguments, seed)
            assert np.abs(changed - expected).mean() < 0.6
            assert np.abs(changed - expected).max() < 5

    @pytest.mark.parametrize("fill_mode", ["nearest", "reflect", "wrap", "constant"])
    def test_agrees_inside_whatever_the_fill_mode(self, fill_mode):
        for seed in range(30):
            image = COLOUR[seed % len(COLOUR)]
            arguments = STUDY | {"fill_mode": fill_mode, "cval": 90.0, "shear_range": 20.0}
            changed, expected, parameters = both(image, arguments, seed)
            kept = inside(image, parameters)
            assert kept.mean() > 0.4
            assert np.abs(changed - expected)[kept].mean() < 0.6

    @pytest.mark.parametrize("fill_mode", ["nearest", "reflect"])
    def test_agrees_outside_where_both_define_it_alike(self, fill_mode):
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
                # Far from black and white, so that clipping to the image's own range shows.
                changed, expected, _ = both(COLOUR[seed % 6] // 2 + 60, arguments, seed)
                assert (changed == expected).all()

    def test_float_images_are_the_same_images(self):
        augmenter = Augmenter()
        parameters = augmenter.sample(np.array([[1, i] for i in range(6)]), COLOUR.shape[1:])
        whole, share = augmenter.apply(COLOUR, parameters), augmenter.apply(COLOUR, parameters, "float32")
        assert whole.dtype == "uint8"
        assert share.dtype == "float32"
        assert share == pytest.approx(whole / 255, abs=1e-7)

    def test_sixteen_bits_are_the_same_images_finer(self):
        augmenter = Augmenter(gamma_range=(0.7, 1.4), elastic_range=0.02)
        parameters = augmenter.sample(np.array([[1, i] for i in range(6)]), CROPS.shape[1:])
        coarse, fine = augmenter.apply(CROPS, parameters), augmenter.apply(CROPS.astype("uint16") * 257, parameters)
        assert fine.dtype == "uint16"
        assert np.abs(fine / 257 - coarse).mean() < 1.5
        assert len(np.unique(fine)) > 1000

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_gamma_is_a_power_of_the_share_of_white(self, dtype):
        top = np.iinfo(dtype).max
        levels = np.arange(top + 1, dtype=dtype).reshape(1, 16, -1, 1)
        augmenter = Augmenter(**OFF, gamma_range=(0.5, 2.0))
        parameters = augmenter.sample(np.array([[5, 5]]), levels.shape[1:])
        assert not 0.99 < parameters["gamma"][0] < 1.01
        expected = top * (levels / top) ** parameters["gamma"][0]
        assert augmenter.apply(levels, parameters) == pytest.approx(expected, abs=0.52)

    def test_noise_has_the_deviation_it_drew(self):
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

    def test_elastic_displaces_as_far_as_it_says(self):
        # A ramp knows where each of its pixels came from; at the middle lies one of the grid's own points.
        ramp = np.broadcast_to(np.arange(101, dtype="uint16") * 600, (400, 101, 101))[..., None]
        augmenter = Augmenter(**OFF, elastic_range=0.02)
        changed = augmenter.apply(ramp, augmenter.sample(np.array([[0, i] for i in range(400)]), (101, 101, 1)))
        moved = (changed.astype(float) - ramp)[..., 0] / 600
        assert moved[:, 50, 50].std() == pytest.approx(0.02 * 101, rel=0.15)
        # Nowhere does it fold over: neighbours stay neighbours.
        assert np.abs(np.diff(moved[:, 20:80, 20:80], axis=1)).max() < 0.6

    def test_filters_come_first_and_as_often_as_asked(self):
        def invert(image):
            assert image.dtype == "uint8"
            return 255 - image[..., 0]

        seeds = np.array([[0, i] for i in range(2000)])
        drawn = Augmenter(filters=[(invert, 0.3), (invert, 1.0)]).sample(seeds, (8, 8, 1))["filters"].mean(0)
        assert drawn == pytest.approx([0.3, 1.0], abs=0.03)
        plain, filtered = Augmenter(), Augmenter(filters=[(invert, 1.0)])
        by_hand = plain.apply(255 - CROPS, plain.sample(seeds[:6], CROPS.shape[1:]))
        assert (filtered.apply(CROPS, filtered.sample(seeds[:6], CROPS.shape[1:])) == by_hand).all()

    @pytest.mark.parametrize(
        "images", [CROPS / 255, CROPS.astype("int32"), CROPS[0], np.zeros((1, 8, 8, 5), "uint8"), [[1]]], ids=type
    )
    def test_refuses_what_are_no_images(self, images):
        augmenter = Augmenter()
        with pytest.raises(ValueError, match=r"images must be uint8 or uint16 .* Received: images="):
            augmenter.apply(images, augmenter.sample(np.array([[0, 0]]), (8, 8, 1)))


class TestSample:
    def draw(self, arguments, count=3000, shape=(40, 60, 1)):
        oracle = ImageDataGenerator(**arguments)
        np.random.seed(1)  # noqa: NPY002 — ImageDataGenerator draws from the global state
        theirs = [oracle.get_random_transform(shape) for _ in range(count)]
        ours = Augmenter(**(OFF | arguments)).sample(np.array([[1, i] for i in range(count)]), shape)
        return ours, {key: np.array([one[key] for one in theirs]) for key in theirs[0]}

    def test_study_defaults(self):
        assert repr(Augmenter()) == repr(Augmenter(**STUDY))

    @pytest.mark.parametrize("arguments", [STUDY, {"zoom_range": (0.5, 0.9), "width_shift_range": 4.5}], ids=str)
    def test_distributions_are_those_of_image_data_generator(self, arguments):
        ours, theirs = self.draw(arguments)
        for name, values in theirs.items():
            if values[0] is None:
                assert ours[name] is None
            elif name.startswith("flip"):
                assert ours[name].mean() == pytest.approx(values.mean(), abs=0.04)
            else:
                assert stats.ks_2samp(ours[name], values).pvalue > 1e-3, name
                assert np.ptp(ours[name]) == pytest.approx(np.ptp(values), rel=0.02), name

    @pytest.mark.parametrize("shift", [4, 1, [1, 3, 8], (0.1, 0.25)], ids=str)
    def test_shifts_chosen_from_a_list(self, shift):
        ours, theirs = self.draw({"height_shift_range": shift, "width_shift_range": shift})
        for name in ("tx", "ty"):
            values, counts = np.unique(ours[name], return_counts=True)
            known, expected = np.unique(theirs[name], return_counts=True)
            assert values == pytest.approx(known)
            assert counts == pytest.approx(expected, abs=5 * np.sqrt(3000 / 4))

    def test_parameters_are_independent(self):
        ours, _ = self.draw(STUDY)
        names = ["theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical", "brightness"]
        table = np.array([ours[name] for name in [*names, "channel_shift_intensity"]], float)
        assert np.abs(np.corrcoef(table) - np.eye(len(table))).max() < 0.08
        # Neighbouring seeds give unrelated draws.
        assert np.abs([np.corrcoef(row[:-1], row[1:])[0, 1] for row in table]).max() < 0.08

    def test_an_image_depends_on_its_own_seed_alone(self):
        augmenter = Augmenter(elastic_range=0.02, noise_range=5.0, gamma_range=(0.7, 1.4))
        seeds = np.array([[7, i] for i in range(6)])
        whole = augmenter.apply(CROPS, augmenter.sample(seeds, CROPS.shape[1:]))
        for order in ([3], [5, 0, 2]):
            part = augmenter.apply(CROPS[order], augmenter.sample(seeds[order], CROPS.shape[1:]))
            assert (part == whole[order]).all()
        other = augmenter.apply(CROPS, augmenter.sample(seeds + np.array([1, 0]), CROPS.shape[1:]))
        assert (whole != other).any((1, 2, 3)).all()

    def test_refuses_other_seeds(self):
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
        pytest.param("filters", [np.flip], id="filters-no share"),
        pytest.param("filters", [(np.flip, 1.5)], id="filters-share above 1"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(name, value):
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

    def test_same_images_whatever_the_batch_size_and_parallelism(self, monkeypatch):
        first = self.stream(4, 60, 1, monkeypatch)
        assert first.dtype == "float32"
        for batch_size, threads in ((4, 3), (1, 4), (10, 2), (12, 1)):
            assert (self.stream(batch_size, 60, threads, monkeypatch) == first).all()
        assert (self.stream(4, 60, 1, monkeypatch, seed=5) != first).any((1, 2, 3)).all()

    def test_every_image_is_changed_anew(self, monkeypatch):
        stream = self.stream(10, 50, 2, monkeypatch)
        assert len(np.unique(stream.reshape(50, -1), axis=0)) == 50

    def test_batches_run_side_by_side_even_where_all_must_be_deterministic(self):
        # Every batch waits for another one to be under way too: alone, none would ever get through.
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

    def test_refuses_parts_that_are_scored(self):
        parts = Splits(*(phantom.simulate(8, 16, seed=i, name=f"part {i}") for i in range(3)))
        assert list(to_dataset(parts.train, shuffle_seed=0, augment=Augmenter()))
        for part in (parts.validation, parts.test, parts.test[:4], concatenate([parts.train, parts.test])):
            with pytest.raises(ValueError, match="augment is for training data"):
                to_dataset(part, shuffle_seed=0, augment=Augmenter())
        # A part's role is that of the splits it stands in.
        assert not Splits(parts.test, parts.validation, parts.train).train.held_out

    def test_holds_augmentation_to_its_contract(self):
        def shrink(images, labels, seeds):
            return images[:, :8], labels

        def brighten(images, labels, seeds):
            return tf.cast(images, "float32"), labels

        with pytest.raises(ValueError, match="augment must return uint8 or float32 images of shape"):
            to_dataset(self.numbered(), shuffle_seed=0, augment=shrink)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"augment must return float32 images in \[0, 1\]"):
            list(to_dataset(self.numbered(), shuffle_seed=0, augment=brighten))

    def test_one_hot_labels(self):
        data = to_dataset(self.numbered(), 10, one_hot=True)
        labels = next(iter(data))[1].numpy()
        assert labels.dtype == "float32"
        assert labels.tolist() == [[1, 0], [0, 1]] * 5


def test_the_augmentation_arms_of_the_command_line():
    names = ["real", "augmentation", "elastic", "mixup", "cutmix", "randaugment"]
    made = catalogue.arms(names)
    augments = {arm.name: getattr(arm.augment, "__name__", None) for arm in made}
    assert augments["real"] is None
    assert augments["augmentation"] == repr(Augmenter())
    assert augments["elastic"] == repr(Augmenter(elastic_range=0.02))
    assert len(set(augments.values())) == len(names)
    assert all(arm.synthesizer is None for arm in made)
