"""Simulated crops of breast masses whose best possible classifier is known.

Every image is drawn in two steps. `draw_malignancy` draws a malignancy score: normally distributed with unit variance,
with mean 0 for benign and mean d' for malignant masses. `render` draws the image from the score alone: low scores give
smooth, oval masses with sharp edges, high scores irregular, blurred and spiculated ones. The background has the
power-law spectrum of mammograms (1/f^beta with beta about 3: Burgess, Jacobson and Judy, "Human observer detection
experiments with mammograms and power-law noise", Medical Physics 28(4), 2001). Film grain is added, and the contrast is
stretched, as is usual for crops.

The image depends on the class only through the score. So no classifier of single images can have a higher AUC than the
score itself, Phi(d' / sqrt 2), which is set by `best_auc`.
"""

import hashlib

import numpy as np
from scipy import ndimage, stats

from synthkit.imageset import ImageSet, Splits

CLASS_NAMES = ("malignant", "benign")
BEST_AUC = 0.90  # default of the best AUC that a classifier of single images can reach
CHUNK = 256  # images rendered at a time; another value would change the random stream, and so the images
VERSION = 1  # of the images that a seed gives; another one after a change that changes them
PATIENT_SHARE = 0.6  # fraction of the score's variance that images of one patient have in common


def separation(best_auc):
    """Returns d', the difference between the two classes' mean scores for which `best_auc` is the AUC of the score."""
    if not 0.5 < best_auc < 1:
        raise ValueError(f"best_auc must be above 0.5 and below 1. Received: best_auc={best_auc}")
    return float(np.sqrt(2) * stats.norm.ppf(best_auc))


def draw_malignancy(labels, patients=None, *, best_auc=BEST_AUC, seed=0):
    """Draws a malignancy score for every image.

    Args:
        labels: int array `(n,)`, 0 malignant, 1 benign.
        patients: array `(n,)`; the scores of one patient's images are correlated. None gives every image a patient of
            its own.
        best_auc: AUC of the scores, which is the best that a classifier of single images can reach.
        seed: int.

    Returns:
        float64 array `(n,)`: N(0, 1) for benign, N(d', 1) for malignant images.
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    individual = rng.standard_normal(len(labels))
    if patients is None:
        patients = np.arange(len(labels))
    _, patient = np.unique(np.asarray(patients), return_inverse=True)
    shared = rng.standard_normal(patient.max(initial=-1) + 1)[patient]
    score = np.sqrt(PATIENT_SHARE) * shared + np.sqrt(1 - PATIENT_SHARE) * individual
    return score + separation(best_auc) * (labels == 0)


def render(malignancy, image_size=32, *, seed=0):
    """Draws one crop for every malignancy score.

    Args:
        malignancy: float array `(n,)`, as `draw_malignancy` returns it.
        image_size: height and width in pixels.
        seed: int; determines everything else in the images.

    Returns:
        uint8 array `(n, image_size, image_size, 1)`.
    """
    malignancy = np.asarray(malignancy, dtype="float32")
    if image_size < 8:
        raise ValueError(f"image_size must be at least 8 pixels. Received: image_size={image_size}")
    rng = np.random.default_rng(seed)
    images = np.empty((len(malignancy), image_size, image_size, 1), "uint8")
    for start in range(0, len(malignancy), CHUNK):
        images[start : start + CHUNK, ..., 0] = _render_chunk(malignancy[start : start + CHUNK], image_size, rng)
    return images


def _render_chunk(malignancy, size, rng):
    n = len(malignancy)
    axis = (np.arange(size, dtype="float32") + 0.5) * (2 / size) - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    tissue = (background(n, size, rng) + background(n, size, rng)) / np.float32(np.sqrt(2))
    tilt = rng.uniform(0, 2 * np.pi, (n, 1, 1)).astype("float32")
    density = rng.uniform(0.4, 0.9, (n, 1, 1)).astype("float32") * tissue
    density += rng.gamma(1.5, 0.3, (n, 1, 1)).astype("float32") * (np.cos(tilt) * x + np.sin(tilt) * y)
    density += rng.uniform(2.4, 4.8, (n, 1, 1)).astype("float32") * mass(malignancy, x, y, tissue, rng)
    grain = ndimage.gaussian_filter(rng.standard_normal((n, size, size), "float32"), (0, size / 300, size / 300))
    grain *= 1 / grain.std((1, 2), keepdims=True)
    density += rng.gamma(1.3, 0.17, (n, 1, 1)).astype("float32") * min(1.0, np.sqrt(size / 224)) * grain
    return _stretch(density, rng)


def background(n, size, rng, beta=3.0):
    """Draws textures of unit variance with the power spectrum 1/f^beta, stretched along a random direction.

    Returns:
        float32 array `(n, size, size)`.
    """
    frequency = np.fft.fftfreq(2 * size).astype("float32")
    fx, fy = frequency[None, None, : size + 1], frequency[None, :, None]
    angle = rng.uniform(0, np.pi, (n, 1, 1)).astype("float32")
    stretch = rng.uniform(1.0, 1.8, (n, 1, 1)).astype("float32")
    along = np.cos(angle) * fx + np.sin(angle) * fy
    across = np.cos(angle) * fy - np.sin(angle) * fx
    f2 = (along * stretch) ** 2 + (across / stretch) ** 2
    f2[:, 0, 0] = np.inf
    spectrum = f2 ** (-beta / 4)
    noise = rng.standard_normal((2, n, 2 * size, size + 1), "float32")
    field = np.fft.irfft2(spectrum * (noise[0] + 1j * noise[1]), s=(2 * size, 2 * size))
    # The field is periodic; a quarter of it has no visible seam.
    field = field[:, :size, :size].astype("float32")
    field -= field.mean((1, 2), keepdims=True)
    return field / field.std((1, 2), keepdims=True)


def mass(malignancy, x, y, tissue, rng):
    """Draws the lesions alone: 0 outside, about 1 in the middle, spicules in between.

    Args:
        malignancy: float array `(n,)`.
        x, y: float arrays `(height, width)`, coordinates from -1 to 1.
        tissue: float array `(n, height, width)`, the texture that bends and breaks the spicules.
        rng: numpy Generator.

    Returns:
        float32 array `(n, height, width)`.
    """
    n, bins = len(malignancy), 720
    # A sigmoid of the score, so that most of the range of shapes is in the middle, where the classes overlap.
    level = (1 / (1 + np.exp(-1.1 * (malignancy - 0.9)))).astype("float32")[:, None]

    def draw(low, high, shape=(n, 1, 1)):
        return rng.uniform(low, high, shape).astype("float32")

    dx, dy = x - draw(-0.16, 0.16), y - draw(-0.16, 0.16)
    turn, aspect, radius = draw(0, np.pi), draw(0.68, 1.0), draw(0.38, 0.62)
    u = np.cos(turn) * dx + np.sin(turn) * dy
    v = (np.cos(turn) * dy - np.sin(turn) * dx) / aspect
    r = np.hypot(u, v)
    theta = np.linspace(0, 2 * np.pi, bins, endpoint=False, dtype="float32")
    angle = np.arctan2(v, u) + np.pi

    def bin_of(angle):
        return np.round(angle * (bins / (2 * np.pi))).astype("int32") % bins

    outline = np.zeros((n, bins), "float32")
    for k in range(2, 11):
        wave = np.cos(k * theta + draw(0, 2 * np.pi, (n, 1)))
        outline += wave * k**-0.7 * rng.standard_normal((n, 1)).astype("float32")
    outline *= 0.01 + 0.17 * level
    spikes, reach = np.zeros((n, bins), "float32"), np.zeros((n, bins), "float32")
    for _ in range(30):
        distance = np.abs((theta - draw(0, 2 * np.pi, (n, 1)) + np.pi) % (2 * np.pi) - np.pi)
        spike = draw(0.2, 1.0, (n, 1)) * np.exp(-((distance / draw(0.03, 0.10, (n, 1))) ** 2))
        spikes = np.maximum(spikes, spike)
        reach = np.maximum(reach, spike * draw(0.3, 1.0, (n, 1)))

    rows = np.arange(n)[:, None, None]
    edge = radius * np.exp(outline)[rows, bin_of(angle)]
    outside = np.maximum(r - edge, 0)
    softness = (0.02 + 0.13 * level)[..., None] + 0.7 / len(x)
    body = 1 / (1 + np.exp(np.clip((r - edge) / softness, -30, 30)))
    body *= (1 - 0.3 * np.minimum(r / edge, 1) ** 2) * (1 + 0.12 * tissue)
    place = bin_of(angle + outside * (draw(-0.3, 0.3) + 0.15 * tissue))
    length = 0.08 + 0.6 * reach[rows, place]
    rays = spikes[rows, place] ** (1 + 1.5 * outside) * np.exp(-outside / length)
    rays *= (1 - body) * np.minimum(r / edge, 1) * np.clip(0.75 + 0.35 * tissue, 0.15, 1.3)
    return body + (1.0 * level)[..., None] * rays


def _stretch(density, rng):
    """Converts film density to grey levels: percentiles become black and white, and gamma varies."""
    n = len(density)
    low, high = np.percentile(density, [3, 96], axis=(1, 2), keepdims=True)
    scaled = np.clip((density - low) / (high - low), 0, 1)
    gamma = rng.uniform(0.7, 1.3, (n, 1, 1))
    return np.round(255 * scaled**gamma).astype("uint8")


def simulate(images, image_size=32, *, best_auc=BEST_AUC, seed=0, name="phantom"):
    """Simulates patients with one to four images each, half of them malignant.

    Args:
        images: int, number of images.
        image_size: height and width in pixels.
        best_auc: the best AUC that a classifier of single images can reach.
        seed: int; determines everything.
        name: name of the ImageSet; patients' names begin with it.

    Returns:
        ImageSet of classes malignant (0) and benign (1).
    """
    rng = np.random.default_rng(seed)
    # Every second patient is malignant, so the classes are about equally large.
    patient = np.repeat(np.arange(images), rng.integers(1, 5, images))[:images]
    labels = patient % 2
    patients = np.array([f"{name}-P{p:05d}" for p in patient])
    return draw(labels, image_size, patients=patients, best_auc=best_auc, seed=seed, name=name)


def draw(labels, image_size=32, *, patients=None, best_auc=BEST_AUC, seed=0, name="phantom"):
    """Draws an image for every label: `draw_malignancy`, then `render`.

    Returns:
        ImageSet.
    """
    score_seed, image_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    malignancy = draw_malignancy(labels, patients, best_auc=best_auc, seed=score_seed)
    drawn = ImageSet(render(malignancy, image_size, seed=image_seed), labels, CLASS_NAMES, patients, name)
    # Every image depends on all labels and patients, and another version of NumPy may draw other random numbers.
    of = hashlib.sha256(repr((drawn.labels.tolist(), drawn.patients.tolist())).encode()).hexdigest()
    numpy = ".".join(np.__version__.split(".")[:2])
    version = f"phantoms, version {VERSION} with NumPy {numpy}"
    return drawn.drawn_by(f"{version}, {image_size} pixels, best_auc {best_auc}, seed {seed}, of {of}")


def load(image_size=32, *, train=1000, validation=200, test=1000, best_auc=BEST_AUC, seed=0):
    """Simulates a training, a validation and a test set of different patients.

    Args:
        image_size: height and width in pixels.
        train, validation, test: number of images in each split.
        best_auc: the best AUC that a classifier of single images can reach.
        seed: int.

    Returns:
        Splits.
    """
    seeds = np.random.SeedSequence(seed).generate_state(3).tolist()
    counts = {"train": train, "validation": validation, "test": test}
    return Splits(
        *(
            simulate(count, image_size, best_auc=best_auc, seed=split_seed, name=f"phantom {role}")
            for (role, count), split_seed in zip(counts.items(), seeds, strict=True)
        )
    )


def oracle(best_auc=BEST_AUC):
    """Returns the synthesizer of the control arm "oracle": new patients from the simulator that drew the data.

    No generator of phantoms can be better.
    """

    def synthesize(train, labels, seed):
        return draw(labels, train.image_shape[0], best_auc=best_auc, seed=seed, name="oracle")

    return synthesize
