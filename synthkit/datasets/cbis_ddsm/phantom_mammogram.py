"""Simulated full mammograms: a breast on a scanned film, with lesions whose malignancy is known.

Drawn as film density, 0 black to 1 white: the breast's outline and thickness, fat, glandular tissue with the power-law
texture of `phantom.background`, the pectoral muscle in oblique views, lesions from `phantom.mass` or clusters of
calcifications, a label, the edges of the film and its grain. They are realistic enough to test every processing step,
but not to learn medicine from.
"""

import cv2
import numpy as np

from synthkit.datasets import phantom

COARSE = 1000  # rows at which tissue is drawn; larger films are enlarged, and finer texture is added


def draw(height, view, side, density, lesions, rng):
    """Draws one mammogram.

    Args:
        height: int, rows; there are about 0.62 times as many columns.
        view: "CC" or "MLO".
        side: "LEFT" (chest wall on the left) or "RIGHT" (on the right).
        density: 1 (fat) to 4 (dense), the breast density of the case tables.
        lesions: list of `(kind, malignancy, radius)`: "mass" or "calc", a score of `phantom.draw_malignancy`, and a
            fraction of `height`.
        rng: numpy Generator.

    Returns:
        `(image, masks, boxes)`: uint16 `(height, width)`, 0 black; for every lesion a uint8 mask of the same shape, 0
        or 255, and its bounding box with a margin, `(top, left, bottom, right)`.
    """
    width = int(height * rng.uniform(0.58, 0.66)) // 2 * 2
    rows = min(height, COARSE)
    scale = rows / height
    columns = round(width * scale)
    inside, depth = _outline(rows, columns, view, rng)
    film, gland = _tissue(inside, depth, view, density, rng)
    film = cv2.resize(film, (width, height), interpolation=cv2.INTER_CUBIC)
    film += _fine_texture(height, width, rng) * cv2.resize(depth, (width, height)) * (0.008 + 0.003 * density)
    masks, boxes = [], []
    occupied = np.zeros_like(gland)
    for kind, malignancy, radius in lesions:
        weights = np.where(occupied > 0, 0, gland * (depth > 0.55))
        pixel = rng.choice(weights.size, p=(weights / weights.sum()).ravel())
        row, column = (np.array(np.unravel_index(pixel, weights.shape)) / scale).astype(int)
        cv2.circle(occupied, (int(column * scale), int(row * scale)), int(2.2 * radius * rows), 1, -1)
        add = _mass if kind == "mass" else _calcifications
        mask, box = add(film, row, column, int(radius * height), malignancy, rng)
        masks.append(mask)
        boxes.append(box)
    _add_film(film, rng)
    if side == "RIGHT":
        film, masks = film[:, ::-1].copy(), [np.ascontiguousarray(mask[:, ::-1]) for mask in masks]
        boxes = [(top, width - right, bottom, width - left) for top, left, bottom, right in boxes]
    _add_label(film, view, side, rng)
    grain = cv2.GaussianBlur(rng.standard_normal((height, width), "float32"), (3, 3), 0.7)
    film += grain * np.float32(0.006)
    return np.round(np.clip(film, 0, 1) * 65535).astype("uint16"), masks, boxes


def _outline(rows, columns, view, rng):
    """Returns the area of the breast, 0 or 1, and its thickness, 0 to 1, with the chest wall on the left."""
    y, x = np.mgrid[:rows, :columns].astype("float32") / rows
    deep = columns / rows * rng.uniform(0.66, 0.86)
    if view == "CC":
        middle, tall = rng.uniform(0.46, 0.54), rng.uniform(0.33, 0.42)
        edge = deep * np.sqrt(np.clip(1 - np.abs((y - middle) / tall) ** 2.3, 0, None))
    else:
        middle, tall = rng.uniform(0.56, 0.62), rng.uniform(0.30, 0.35)
        bulge = deep * np.sqrt(np.clip(1 - np.abs((y - middle) / tall) ** 2.2, 0, None))
        axilla = deep * (rng.uniform(0.72, 0.86) - 0.32 * y) * (y < middle)
        edge = np.maximum(bulge, axilla)
        edge = cv2.GaussianBlur(edge, (0, 0), rows / 28)
        edge = np.where(y > middle + tall, 0, edge)
    nipple = 0.016 * np.exp(-(((y - middle) / 0.016) ** 2))
    inside = (x < edge + nipple).astype("uint8")
    far = (
        cv2.distanceTransform(cv2.copyMakeBorder(inside, 1, 1, 0, 0, cv2.BORDER_REPLICATE), cv2.DIST_L2, 5)[1:-1] / rows
    )
    depth = np.sqrt(1 - (1 - np.minimum(far / rng.uniform(0.11, 0.16), 1)) ** 2).astype("float32")
    return inside, cv2.GaussianBlur(depth, (0, 0), rows / 400) * inside


def _tissue(inside, depth, view, density, rng):
    """Returns the film density of breast and background, and the fraction of glandular tissue, both 0 to 1."""
    rows, columns = inside.shape
    y, x = np.mgrid[:rows, :columns].astype("float32") / rows
    textures = [phantom.background(1, rows, rng, beta)[0, :, :columns] for beta in (3.0, 2.6, 2.2)]
    last = x.max() * (inside.any(0).nonzero()[0].max() / columns)
    middle = 0.5 if view == "CC" else 0.57
    spread = 0.6 + 0.16 * density
    prior = 1 - ((x - 0.52 * last) / (0.40 * last * spread)) ** 2 - ((y - middle) / (0.24 * spread)) ** 2
    clumps = 1.5 * textures[0] + 0.7 * textures[1]
    gland = 1 / (1 + np.exp(-(2.6 * np.maximum(prior, -2.5) + clumps + 0.8 * (density - 2.6))))
    gland *= np.clip((depth - 0.45) / 0.5, 0, 1)  # under the skin is a layer of fat
    strands = np.exp(-((textures[1] / 0.22) ** 2)) * (0.35 + 0.65 * gland)  # ridges of the texture: septa and ligaments
    fat = 0.19 + 0.012 * textures[2] + 0.07 * strands
    glandular = gland * (0.27 + 0.03 * density + 0.05 * textures[1] + 0.025 * textures[2])
    film = depth * (fat + glandular)
    if view == "MLO":
        reach, low = rng.uniform(0.26, 0.36), rng.uniform(0.50, 0.68)
        line = reach * np.clip(1 - y / low, 0, None) ** rng.uniform(0.85, 1.1)
        muscle = 1 / (1 + np.exp(np.clip((x - line) * 110, -30, 30))) * (y < low) * inside
        muscle = cv2.GaussianBlur(muscle, (0, 0), rows / 250)
        stripes = 0.02 * np.sin((x * 0.55 + y * 0.9) * 120 + 2 * textures[0])
        film = film * (1 - muscle) + muscle * (0.50 + 0.03 * textures[0] + stripes + 0.12 * (line - x))
        gland = gland * np.clip(1 - muscle, 0, 1)
    skin = cv2.GaussianBlur(
        cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, np.ones((3, 3), "uint8")).astype("float32"), (0, 0), 1.0
    )
    return (film + 0.05 * skin * (x > 2 / rows)).astype("float32"), (gland * inside).astype("float32")


def _fine_texture(height, width, rng, tile=512):
    """Returns fine texture for the whole film: one tile, repeated with reflection."""
    texture = phantom.background(1, tile, rng, 2.4)[0]
    texture -= cv2.GaussianBlur(texture, (0, 0), tile / 24)
    texture = np.block([[texture, texture[:, ::-1]], [texture[::-1], texture[::-1, ::-1]]]) / texture.std()
    repeats = -(-height // (2 * tile)), -(-width // (2 * tile))
    return np.tile(texture, repeats)[:height, :width]


def _patch(film, row, column, half):
    """Returns slices of the film around a point, and the slices of a square that fall on them."""
    top, left = row - half, column - half
    rows = slice(max(0, top), min(film.shape[0], row + half))
    columns = slice(max(0, left), min(film.shape[1], column + half))
    return (rows, columns), (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))


def _mass(film, row, column, radius, malignancy, rng):
    """Adds a mass to the film. Returns its mask and box."""
    half = max(6, int(radius / 0.5))
    axis = (np.arange(2 * half, dtype="float32") + 0.5) / half - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    tissue = phantom.background(1, 2 * half, rng)
    shape = phantom.mass(np.array([malignancy], "float32"), x, y, tissue, rng)[0]
    fade = np.clip((1.0 - np.hypot(x, y)) / 0.25, 0, 1)
    area, inner = _patch(film, row, column, half)
    film[area] += (rng.uniform(0.20, 0.32) * shape * fade)[inner].astype("float32")
    return _mask_and_box(film.shape, area, (shape * fade > 0.45)[inner], margin=0.35)


def _calcifications(film, row, column, radius, malignancy, rng):
    """Adds a cluster of calcifications. A higher malignancy means more, smaller and more varied ones."""
    half = max(6, radius)
    cluster = np.zeros((2 * half, 2 * half), "float32")
    level = 1 / (1 + np.exp(-malignancy + 0.8))
    for _ in range(int(8 + 30 * level)):
        center = np.clip(rng.normal(half, half / 3.2, 2), 1, 2 * half - 2)
        size = max(0.7, half * rng.uniform(0.012, 0.032) * (1.3 - 0.6 * level))
        axes = size * np.array([1 + 2.5 * level * rng.random(), 1.0])
        spot = np.zeros_like(cluster)
        box = tuple(float(v) for v in center[::-1]), tuple(float(2 * v) for v in axes), float(rng.uniform(0, 180))
        cv2.ellipse(spot, box, 1.0, -1, cv2.LINE_AA)
        cluster = np.maximum(cluster, spot * rng.uniform(0.5, 1.0))
    soft = cv2.GaussianBlur(cluster, (0, 0), max(0.5, half / 120))
    area, inner = _patch(film, row, column, half)
    film[area] += 0.4 * soft[inner]
    region = cv2.morphologyEx(
        (cluster > 0).astype("uint8"), cv2.MORPH_CLOSE, np.ones((max(3, half // 2),) * 2, "uint8")
    )
    return _mask_and_box(film.shape, area, region[inner] > 0, margin=0.15)


def _mask_and_box(shape, area, region, margin):
    """Returns a lesion's mask on the whole film, and its bounding box, widened by a fraction of its size."""
    mask = np.zeros(shape, "uint8")
    mask[area] = np.where(region, 255, 0)
    left, top, wide, tall = cv2.boundingRect(mask)
    extra = int(margin * max(wide, tall)) + 2
    box = (
        max(0, top - extra),
        max(0, left - extra),
        min(shape[0], top + tall + extra),
        min(shape[1], left + wide + extra),
    )
    return mask, box


def _add_film(film, rng):
    """Adds the film itself: its fog, darker at one end, and bright strips where its edges were scanned."""
    height = len(film)
    fog = np.linspace(0.035, rng.uniform(0.02, 0.05), height, dtype="float32")[:, None]
    np.maximum(film, fog, out=film)
    for _ in range(rng.integers(0, 3)):
        thick = max(1, int(rng.uniform(0.003, 0.009) * height))
        if rng.random() < 0.5:
            film[: thick if rng.random() < 0.5 else height, :][-thick:] = rng.uniform(0.5, 0.9)
        else:
            film[:, -thick:] = rng.uniform(0.5, 0.9)


def _add_label(film, view, side, rng):
    """Adds a label on the side away from the chest wall: a frame with the side and the view."""
    height, width = film.shape
    text = f"{side[0]} {view}"
    size, thick = height / 900, max(1, height // 350)
    (wide, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    pad, edge = tall // 2, height // 30
    left = width - wide - 2 * pad - edge if side == "LEFT" else edge
    top = int(height * rng.uniform(0.03, 0.08))
    below = film[top : top + tall + 2 * pad, left : left + wide + 2 * pad]
    if below.size and below.max() > 0.12:
        top = height - int(height * 0.05) - tall - 2 * pad  # the breast does not reach this far down
    label = np.zeros((tall + 2 * pad, wide + 2 * pad), "uint8")
    cv2.rectangle(label, (0, 0), (label.shape[1] - 1, label.shape[0] - 1), int(rng.integers(190, 240)), thick)
    cv2.putText(label, text, (pad, tall + pad), cv2.FONT_HERSHEY_SIMPLEX, size, 235, thick, cv2.LINE_AA)
    area = film[top : top + len(label), left : left + label.shape[1]]
    np.maximum(area, label[: area.shape[0], : area.shape[1]] / np.float32(255), out=area)
