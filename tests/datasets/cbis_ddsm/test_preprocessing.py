import cv2
import numpy as np
import pytest
from scipy import ndimage

from synthkit.datasets.cbis_ddsm import phantom_mammogram, preprocessing
from synthkit.imageset import resize_image

DTYPES = ["uint8", "uint16"]


def noise(shape, dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def film(view="MLO", side="RIGHT", height=400, seed=0, density=2):
    rng = np.random.default_rng(seed)
    return phantom_mammogram.draw(height, view, side, density, [("mass", 0.0, 0.04)], rng)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_blur_has_the_binomial_weights(dtype):
    image = noise((31, 22), dtype)
    line = np.array([1, 4, 6, 4, 1]) / 16
    expected = ndimage.correlate(image.astype(float), np.outer(line, line), mode="mirror")
    blurred = preprocessing.gaussian_blur(image)
    assert blurred.dtype == dtype
    assert np.abs(blurred - expected).max() <= 0.51
    with pytest.raises(ValueError, match="kernel_size=4"):
        preprocessing.gaussian_blur(image, 4)


def test_to_8_bits():
    assert preprocessing.to_8_bits(np.array([[0, 128, 129, 65406, 65407, 65535]], "uint16")).tolist() == [
        [0, 0, 1, 254, 255, 255]
    ]
    with pytest.raises(ValueError, match="float64"):
        preprocessing.to_8_bits(np.zeros((2, 2)))


def test_equalize_histogram_by_hand():
    # Levels 10, 20 and 30, in fractions 1/2, 1/4, 1/4: (cdf - first) / (n - first) * 255.
    image = np.array([[10, 10], [20, 30]], "uint8")
    assert preprocessing.equalize_histogram(image).tolist() == [[0, 0], [128, 255]]
    assert preprocessing.equalize_histogram(image.astype("uint16") * 257).tolist() == [[0, 0], [128, 255]]


@pytest.mark.parametrize("equalize", [preprocessing.equalize_histogram, preprocessing.clahe])
def test_equalization_of_colour_keeps_the_hue(equalize):
    grey = np.random.default_rng(0).integers(60, 120, (32, 24), "uint8")
    expected = equalize(grey)
    assert (equalize(grey[..., None])[..., 0] == expected).all()
    same = equalize(np.repeat(grey[..., None], 3, -1))
    np.testing.assert_allclose(same, np.repeat(expected[..., None], 3, -1), atol=1)
    skin = np.stack([grey, grey * 0.7, grey * 0.5], -1).astype("uint8")
    changed = equalize(skin).astype(int)
    assert changed.std() > 2 * skin.std(axis=(0, 1)).mean()
    assert (changed[..., 0] >= changed[..., 1]).all()
    assert (changed[..., 1] >= changed[..., 2]).all()


def test_clahe_raises_local_contrast_up_to_its_limit():
    image = (noise((128, 128), "uint8") // 16 + np.linspace(0, 200, 128)).astype("uint8")
    contrasts = [preprocessing.clahe(image, limit)[:16, :16].std() for limit in (1.0, 2.0, 8.0)]
    assert image[:16, :16].std() < contrasts[0] < contrasts[1] < contrasts[2]
    np.testing.assert_array_equal(preprocessing.clahe(image), cv2.createCLAHE(2.0, (8, 8)).apply(image))


@pytest.mark.parametrize("shape", [(400, 300), (611, 407), (300, 700), (224, 224), (225, 230), (60, 900), (90, 70)])
@pytest.mark.parametrize("keep_aspect", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 5, 9])
def test_blur_and_resize_in_one_pass_equals_two_steps(shape, keep_aspect, kernel_size):
    image = noise(shape)
    blurred = cv2.GaussianBlur(image.astype("float64"), (kernel_size, kernel_size), 0)
    expected = resize_image(blurred, 224, keep_aspect=keep_aspect)
    once = preprocessing.blur_and_resize(image, kernel_size=kernel_size, keep_aspect=keep_aspect)
    assert once.dtype == "float32"
    assert np.abs(once - expected).max() < 0.1  # of 65,535


def test_a_full_film_is_within_a_grey_level_of_the_two_steps():
    image, _, _ = film(height=1200)
    plain = cv2.resize(cv2.GaussianBlur(image.astype(float), (5, 5), 0), (224, 224), interpolation=cv2.INTER_AREA)
    ours = preprocessing.grey_image(image)
    assert np.ptp(ours) > 100
    assert np.abs(ours - plain / 257).max() <= 0.51


def test_to_rgb():
    bgr = np.arange(12, dtype="uint8").reshape(2, 2, 3)
    np.testing.assert_array_equal(preprocessing.to_rgb(bgr), bgr[..., ::-1])
    grey = noise((3, 4))
    np.testing.assert_array_equal(preprocessing.to_rgb(grey), np.stack([grey] * 3, -1))


def test_normalize():
    for dtype in DTYPES:
        top = np.iinfo(dtype).max
        values = preprocessing.normalize(np.array([[0, top // 3, top]], dtype))
        assert values.dtype == "float32"
        np.testing.assert_allclose(values, [[0, 1 / 3, 1]], rtol=1e-6)


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("side", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("seed", range(4))
def test_background_is_removed_and_the_breast_is_kept(view, side, seed):
    image, masks, _ = film(view, side, seed=seed, density=1 + seed)
    mask = preprocessing.breast_mask(image)
    assert (mask[masks[0] > 0] == 255).mean() == 1  # the lesion is in the breast
    assert 0.25 < (mask > 0).mean() < 0.75
    cleaned = preprocessing.remove_background(image)
    # The label is the brightest object away from the chest wall; it becomes black.
    corner = np.s_[:80, 140:] if side == "LEFT" else np.s_[:80, :-140]
    label = image[corner] > 0.85 * 65535
    if label.any() and view == "CC":
        assert not cleaned[corner][label].any()
    flipped = preprocessing.flip_to_left(cleaned)
    assert (flipped[:, :20] > 0).mean() > (flipped[:, -20:] > 0).mean()
    breast = preprocessing.isolate_breast(image)
    assert breast.dtype == "uint16"
    assert breast.any(0).all()
    assert breast.any(1).all()
    assert breast.shape[0] < image.shape[0] or breast.shape[1] < image.shape[1]


def test_breast_mask_by_hand():
    image = np.full((400, 300), 10, "uint8")
    image[100:300, 0:150] = 120  # the breast, at the chest wall
    image[150:200, 50:90] = 0  # a hole in it
    image[20:60, 240:290] = 255  # a label
    image[:, -2:] = 255  # the film's edge
    mask = preprocessing.breast_mask(image)
    expected = np.zeros_like(mask)
    expected[100:300, 0:150] = 255
    assert ((mask > 0) != (expected > 0)).mean() < 0.01
    assert mask[175, 70] == 255
    assert not mask[:, 200:].any()
    np.testing.assert_array_equal(preprocessing.breast_mask(image.astype("uint16") * 257), mask)
    top, bottom = np.flatnonzero(mask.any(1))[[0, -1]]
    assert preprocessing.crop_to_breast(image, mask).shape[0] == bottom - top + 1


def test_a_breast_that_reaches_the_corner_is_complete():
    image = np.full((400, 300), 10, "uint8")
    image[:300, :150] = 120
    mask = preprocessing.breast_mask(image)
    assert mask[0, 0] == mask[0, 100] == mask[100, 0] == 255
    with pytest.raises(ValueError, match="8×8 pixels is too small"):
        preprocessing.breast_mask(image[:8, :8])


@pytest.mark.parametrize("image", [np.zeros((100, 80), "uint8"), np.full((100, 80), 9, "uint8")])
def test_no_breast(image):
    with pytest.raises(ValueError, match="no breast found in an image of 100×80"):
        preprocessing.breast_mask(image)


def test_prepare_image_runs_the_steps_in_the_studys_order():
    image = noise((600, 500), "uint8") // 2 + 60
    steps = preprocessing.gaussian_blur(image)
    steps = resize_image(steps, 224)
    steps = preprocessing.to_rgb(steps)
    steps = preprocessing.normalize(steps)
    prepared = preprocessing.prepare_image(image)
    assert prepared.shape == (224, 224, 3)
    assert prepared.dtype == "float32"
    assert np.abs(prepared - steps).max() <= 1.01 / 255


def test_every_option_has_an_effect():
    image, _, _ = film()
    plain = preprocessing.grey_image(image, 64)
    for options in (
        {"equalization": "histogram"},
        {"equalization": "clahe"},
        {"keep_aspect": True},
        {"breast_only": True},
        {"kernel_size": 31},
        {"kernel_size": None},
    ):
        other = preprocessing.grey_image(image, 64, **options)
        assert other.shape == (64, 64)
        assert other.dtype == "uint8"
        assert (other != plain).any(), options
    steps = preprocessing.equalize_histogram(preprocessing.gaussian_blur(image))
    equalized = preprocessing.grey_image(image, 64, equalization="histogram")
    np.testing.assert_array_equal(equalized, resize_image(steps, 64))


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((4, 4), "float32"), {}, "float32"),
        (np.zeros((4, 4, 3), "uint8"), {}, r"\(4, 4, 3\)"),
        (np.zeros((0, 4), "uint8"), {}, r"\(0, 4\)"),
        (np.zeros((4, 4), "uint8"), {"equalization": "both"}, "'both'"),
        (np.zeros((4, 4), "uint8"), {"kernel_size": 2}, "kernel_size=2"),
        (np.zeros((400, 400), "uint8"), {"kernel_size": 4}, "kernel_size=4"),
        (np.zeros((4, 4), "uint8"), {"image_size": 0}, "image_size=0"),
    ],
)
def test_errors(image, options, message):
    with pytest.raises(ValueError, match=message):
        preprocessing.grey_image(image, **options)


def test_tiny_images():
    for shape in [(1, 1), (1, 300), (300, 1), (2, 2), (3, 500)]:
        assert preprocessing.grey_image(np.full(shape, 77, "uint8"), 16).tolist() == np.full((16, 16), 77).tolist()
