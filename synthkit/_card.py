"""The card of a folder of synthetic images: what they are, how close to real ones, and whether they are copies."""

import textwrap
from pathlib import Path

import jinja2
import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from synthkit import fidelity, plots
from synthkit._class_folders import file_names
from synthkit._files import replacing, write_json
from synthkit.imageset import image_digests
from synthkit.splitting import subsample

SHOWN, COLUMNS, PAIRS = 16, 8, 8  # images of each class in the contact sheet, in a row of it, and nearest pairs
LEAST = 6  # images without which nothing is measured: precision and recall look at the fifth neighbour


def write(out, synthetic, train, held_out, about):
    """Measures synthetic images and writes their card into a folder.

    The files are `contact_sheet.png` and `nearest_pairs.png`, which show real images beside synthetic ones,
    `README.md` for people, and last `card.json` for programs.

    Args:
        out: folder.
        synthetic: ImageSet.
        train: ImageSet that the generator was fitted on.
        held_out: ImageSet of real images that it has not seen, to compare with; None for none.
        about: dict that JSON can store, which describes the generator and its fit; it becomes part of the card.

    Returns:
        dict, the card's content.

    Raises:
        OSError: if a file cannot be written.
    """
    out = Path(out)
    real = train.images if held_out is None else np.concatenate([train.images, held_out.images])
    space = fidelity.pixels(real)  # fitted on training and held-out images alike
    features = [None if part is None else space(part.images) for part in (train, held_out, synthetic)]
    pairs = fidelity.closest_pairs(*features, count=PAIRS)
    names = file_names(synthetic.labels, synthetic.class_names)
    listed = pairs.assign(file=[names[place] for place in pairs["synthetic"]]).drop(columns=["synthetic", "training"])
    card = {
        **about,
        "held_out": None if held_out is None else {"images": held_out.class_counts(), "patients": _patients(held_out)},
        "fidelity": measure(space, synthetic, train, held_out),
        "copies": {**_identical(synthetic, train, held_out), **_copy_test(features, train, held_out)},
        "nearest_pairs": listed.round(4).to_dict("records"),
    }
    _save(_contact_sheet(synthetic, train), out / "contact_sheet.png")
    _save(_nearest_pairs(synthetic, train, pairs), out / "nearest_pairs.png")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("_card.md.jinja").render(card)
    with replacing(out / "README.md") as part:
        part.write_text(page, encoding="utf-8")
    write_json(out / "card.json", card)
    return card


def measure(space, synthetic, train, held_out):
    """Measures synthetic images, and as many real training images for comparison, against held-out real ones.

    Both are drawn in the held-out images' class proportions, since other proportions would make every metric worse.

    Args:
        space: fidelity.FeatureSpace, fitted on training and held-out images alike.
        synthetic, train: ImageSets.
        held_out: ImageSet, or None.

    Returns:
        dict: synthetic and training (each a dict of `fidelity.measure`), and kid_by_class, a dict from a class to the
        kernel inception distance within it; or not_measured, the reason.
    """
    if held_out is None:
        return {"not_measured": "no real images were held out from the fit"}
    if min(synthetic.image_shape[:2]) < 11:
        return {"not_measured": "images have fewer than 11 pixels a side"}
    held_out = held_out[np.isin(held_out.labels, synthetic.labels)]
    drawn = in_proportion(synthetic, held_out)
    reference = in_proportion(train, held_out, len(drawn))
    present = np.unique(held_out.labels)
    for part in (held_out, drawn, reference):
        counts = np.bincount(part.labels, minlength=len(part.class_names))[present]
        if len(part) < LEAST or counts.min() < 2:
            few = f"{len(held_out)} held-out and {len(drawn)} synthetic images in the same class proportions"
            return {"not_measured": f"too few images: {few}"}
    if min(_patients(held_out), _patients(reference)) < 3:
        return {"not_measured": "there are fewer than three patients"}
    rows = {
        name: _rounded(fidelity.measure(space, held_out, part))
        for name, part in (("synthetic", drawn), ("training", reference))
    }
    return rows | {"kid_by_class": _kid_by_class(space, held_out, synthetic)}


def in_proportion(imageset, like, most=None, seed=0):
    """Draws images at random, as many as there are, in the class proportions of another set.

    Args:
        imageset: ImageSet to draw from.
        like: ImageSet of the same classes.
        most: int, how many at most; None for all.
        seed: int.

    Returns:
        ImageSet; empty if there is no image of a class that `like` has.
    """
    have, want = (np.bincount(part.labels, minlength=len(like.class_names)) for part in (imageset, like))
    times = np.min(have[want > 0] / want[want > 0])
    if most is not None:
        times = min(times, most / want.sum())
    rng, take = np.random.default_rng(seed), np.round(want * times, 6).astype(int)
    own = [rng.permutation(np.flatnonzero(imageset.labels == label))[:count] for label, count in enumerate(take)]
    return imageset[np.sort(np.concatenate(own))]


def _kid_by_class(space, real, synthetic):
    distances = {}
    for label, name in enumerate(real.class_names):
        parts = [part[part.labels == label] for part in (real, synthetic)]
        if min(map(_patients, parts)) >= 3:
            patients = dict(zip(("patients", "synthetic_patients"), (part.patients for part in parts), strict=True))
            distance = fidelity.kid(*(space(part.images) for part in parts), **patients)
            distances[name] = {"kid": round(distance.value, 4), "kid_error": round(distance.error, 4)}
    return distances


def _patients(imageset):
    return len(np.unique(imageset.patients))


def _identical(synthetic, train, held_out):
    """Counts synthetic images that are real ones, byte for byte."""
    digests, copies = image_digests(synthetic), {}
    for name, part in (("training", train), ("held_out", held_out)):
        if part is not None:
            known = set(image_digests(part))
            copies[f"identical_to_{name}_images"] = sum(digest in known for digest in digests)
    return copies


def _copy_test(features, train, held_out):
    if held_out is None:
        return {"not_measured": "no real images were held out from the fit"}
    patients = np.concatenate([train.patients, held_out.patients])
    if len(np.unique(patients)) < 3:
        return {"not_measured": "there are fewer than three patients"}
    test = fidelity.copy_test(*features, patients=patients)._asdict()
    return _rounded({key: value for key, value in test.items() if key != "pairs"})


def _rounded(row):
    """Returns a dict with four decimals, and None instead of what is not a number."""
    numbers = {key: round(value, 4) for key, value in row.items() if isinstance(value, float)}
    return row | {key: None if np.isnan(value) else value for key, value in numbers.items()}


def _save(figure, path):
    with replacing(path) as part:
        figure.savefig(part, dpi=150)


def _contact_sheet(synthetic, train):
    """Draws a row for each class: real training images on the left, synthetic ones on the right."""
    names = [name for name, count in synthetic.class_counts().items() if count]
    lines = min(-(-max(synthetic.class_counts().values()) // COLUMNS), SHOWN // COLUMNS)
    with rc_context({"text.parse_math": False}):
        figure = Figure(figsize=(13, (0.78 * lines + 0.3) * len(names)), layout="constrained")
        for row, name in zip(figure.subplots(len(names), 2, squeeze=False), names, strict=True):
            label = synthetic.class_names.index(name)
            real = subsample(train[train.labels == label], SHOWN).images
            kinds = {"real (training images)": real, "synthetic": synthetic.images[synthetic.labels == label]}
            for ax, (kind, images) in zip(row, kinds.items(), strict=True):
                plots.image_grid(images[: COLUMNS * lines], COLUMNS, ax)
                ax.set_anchor("NW")
                ax.set_title(f"{textwrap.shorten(name, 50, placeholder=' …')}, {kind}", loc="left", fontsize=11)
    return figure


def _nearest_pairs(synthetic, train, pairs):
    """Draws the synthetic images that are nearest to a training image, each above that image."""
    figure = Figure(figsize=(1.4 * len(pairs) + 1.2, 3.6), layout="constrained")
    ax = plots.nearest_pairs(synthetic.images, train.images, pairs, figure.subplots())
    ax.set_title("The synthetic images that are nearest to a training image, nearest first", loc="left", fontsize=11)
    if "quantile" in pairs:
        figure.supxlabel(
            "below each pair: the fraction of held-out real images that are as near to a training image", fontsize=9
        )
    return figure
