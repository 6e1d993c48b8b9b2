"""The pictures on the page: one for each arm and kind, so that a narrow screen shows them below each other."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from synthkit import calibration, catalogue, plots
from synthkit.imageset import resize_image
from synthkit.statistics import sentences

STYLE = {"text.parse_math": False, "font.size": 11, "svg.fonttype": "path", "figure.dpi": 100}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
PANEL = 2.7  # inches a side: at that size text of 11 points is readable with two panels across a telephone
SMALLEST, LARGEST = 64, 96  # pixels a side at which sample images are shown
STRIP = 4  # sample images in a strip; strips flow below each other where the screen is narrow
STRIPS = 2  # of a class and an arm; one where there are many pictures, so that the page stays small
MANY = 24  # arms times classes
MOST_BYTES = 20_000_000  # of a picture file that is put on the page


def embed(figure, **options):
    """Returns a figure as the address of an SVG picture, and closes it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata=NO_METADATA, **options)
    plt.close(figure)
    # A tenth of a point is enough, and with single blanks it takes less than half of the bytes.
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d)\d+", r"\1", path[0]), buffer.getvalue())
    svg = re.sub(r"\s+", " ", svg[svg.index("<svg") :])
    return _address("svg+xml", svg.encode())


def _address(kind, content):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def forest(summary, metric, margin):
    """Draws the differences in a metric; returns the picture with its title, or None if there are none."""
    arms = (summary["difference"].notna() & (summary["metric"] == metric)).sum()
    if not arms:
        return None
    figure = plt.figure(figsize=(4.2, 0.8 + 0.52 * arms), layout="constrained")
    plots.forest(summary, metric, figure.subplots(), margin=margin).set_xlabel("difference from the baseline")
    return {"name": sentences.metric_name(metric), "source": embed(figure)}


def samples(results):
    """Returns for every class the strips of sample images of every arm that has images of its own."""
    arms = [arm for arm in results.samples if arm != "oversample" and not catalogue.makes_features(arm)]
    names, pictures = results.settings["class_names"], []
    shown = STRIP * (STRIPS if len(arms) * len(names) <= MANY else 1)
    for label, name in enumerate(names):
        rows = []
        for arm in arms:
            images = results.samples[arm].images[results.samples[arm].labels == label][:shown]
            rows.append({"name": arm, "strips": [_strip(images[i : i + STRIP]) for i in range(0, len(images), STRIP)]})
        pictures.append({"name": name, "arms": rows})
    return pictures


def pairs(images):
    """Returns pairs of images, `(pairs, 2, height, width, channels)`, as the addresses of pictures."""
    return [_strip(pair) for pair in images]


def _strip(images):
    """Returns images side by side as the address of a picture; small ones are enlarged pixel by pixel."""
    if images.shape[1] > LARGEST:
        resized = [resize_image(image, LARGEST) for image in images]
        images = np.stack([image if image.ndim == 3 else image[..., None] for image in resized])
    times = max(1, -(-SMALLEST // images.shape[1]))
    images = images.repeat(times, axis=1).repeat(times, axis=2)
    gap = np.full((images.shape[1], 4, images.shape[3]), 255, "uint8")
    row = np.concatenate([part for image in images for part in (image, gap)][:-1], axis=1)
    return picture(Image.fromarray(row.squeeze(2) if row.shape[2] == 1 else row))


def picture(image):
    """Returns a picture of Pillow's as the address of a WebP picture."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "webp", quality=80)
    return _address("webp", buffer.getvalue())


def file(path):
    """Returns the picture in a file in the same way; None if there is none, or none that can be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        with Image.open(path) as image:
            return picture(image)
    except (OSError, ValueError):
        return None


def per_arm(results, draw, tight=False):
    """Returns a square picture for every arm: `draw(arm, ax)` draws it."""
    pictures = []
    for arm in results.scores:
        figure = plt.figure(figsize=(PANEL, PANEL))
        draw(arm, figure.add_axes((0.25, 0.21, 0.68, 0.68)))
        pictures.append({"name": arm, "source": embed(figure, **({"bbox_inches": "tight"} if tight else {}))})
    return pictures


def curves(curve, results, positive):
    """Returns what draws a curve of `plots.networks`, and that of the baseline in grey behind it."""
    colors, grey = plots.arm_colors(results.scores), results.protocol["baseline"]

    def draw(arm, ax):
        if grey in results.scores and arm != grey:
            curve(results.labels, results.scores[grey], positive, color=plots.BASELINE_COLOR, ax=ax)
        curve(results.labels, results.scores[arm], positive, color=colors[arm], ax=ax)

    return draw


def reliability(labels, scores, positive, *, color, ax):
    """Draws the reliability diagram of the predictions of all seeds together."""
    table = calibration.reliability(np.tile(labels, len(scores)), scores.reshape(-1, scores.shape[2]), positive)
    return plots.reliability(table, color=color, ax=ax)


def confusion(results):
    """Returns what draws an arm's confusion matrix."""
    class_names, thresholds = results.settings["class_names"], results.thresholds

    def draw(arm, ax):
        cuts = thresholds and thresholds[arm]
        plots.confusion(
            results.labels, results.scores[arm], class_names, ax, positive=results.positive, thresholds=cuts
        )

    return draw


def histories(results):
    """Returns the training loss and the validation AUC of all arms as two pictures, and the colours of the arms."""
    if not results.histories:
        return None
    pictures = []
    for key, name in (("loss", "Training loss"), ("val_auc", "Validation AUC")):
        figure = plt.figure(figsize=(4.2, 3), layout="constrained")
        plots.history(results.histories, key, figure.subplots())
        pictures.append({"name": name, "source": embed(figure)})
    arms = list(dict.fromkeys(arm for arm, _ in results.histories))
    colors = plots.arm_colors(arms)
    return {"pictures": pictures, "colors": {arm: colors[arm] for arm in arms}}
