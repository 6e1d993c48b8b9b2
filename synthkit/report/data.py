"""What the page says about the images, and about the generators that learned from them."""

import numpy as np

from synthkit import _arm_names, catalogue
from synthkit.report import answers
from synthkit.statistics import strata


def flow(results):
    """Returns how many images and patients of each class there are in every set, as rows of a table.

    Returns:
        list of dict: `name` of the set, and `counts`, a list of (images, patients) for each class and for all of them.
        In a cross-validation there is one set; of a study that was run before these numbers were stored, only the test
        set is known.
    """
    about, names = results.settings.get("about", {}), results.settings["class_names"]
    rows = []
    folds = results.settings.get("folds")
    for name, classes in about.get("sets", {}).items() if not folds else ():
        counts = [classes.get(one, (0, 0)) for one in names]
        total = sum(images for images, _ in counts), about["patients"][name]
        rows.append({"name": f"{name} set", "counts": [*counts, total]})
    if rows:
        return rows
    own = [*(results.labels == label for label in range(len(names))), np.ones(len(results.labels), bool)]
    counts = [(int(rows.sum()), len(np.unique(results.patients[rows]))) for rows in own]
    return [{"name": "all images" if folds else "test set", "counts": counts}]


def facts(results):
    """Returns what is known about the images, as a dict from a name to a text."""
    about, settings = results.settings.get("about", {}), results.settings
    known = {"source": about.get("source", "")}
    if "image_shape" in about:
        height, width, channels = about["image_shape"]
        color = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
        known["size"] = f"{height}×{width} pixels, {color} ({channels} channel{'s' if channels > 1 else ''})"
    known["split"] = split(results)
    if settings.get("train_per_class"):
        known["training images"] = (
            f"{settings['train_per_class']} of each class, drawn anew for every seed from the training set"
        )
    elif not settings.get("folds") and settings.get("overlap", 1) < 1:
        units = answers.units(results)
        known["training images"] = f"of half of the {units} of each class, drawn anew for every seed"
    counts = np.bincount(results.labels, minlength=len(settings["class_names"])) / max(1, len(results.labels))
    shares = [f"{name} {share:.1%}" for name, share in zip(settings["class_names"], counts, strict=True)]
    known["prevalence" if settings.get("folds") else "prevalence in the test set"] = ", ".join(shares)
    known["left out, and other notes"] = "; ".join(about.get("notes", [])) or ("nothing" if about else "")
    near = settings.get("near_duplicates")
    if near is not None:
        limit = settings.get("near_duplicates_above") or 0.97
        known["near-duplicates"] = (
            f"{len(near)} of {len(results.labels)} test images look almost the same as a training or validation image "
            f"(correlation above {limit:.3g})"
        )
    return {name: text for name, text in known.items() if text}


def split(results):
    """Returns how the images were split, as one or two sentences; "" if that is not known."""
    folds = results.settings.get("folds")
    if folds:
        unit = answers.units(results).removesuffix("s")
        return f"Cross-validation over the images of all sets: {folds} folds by {unit}, other ones for every seed."
    text = results.settings.get("about", {}).get("split", "")
    if answers.patients_unknown(results):
        return f"{text} No two sets share an image; patients are not known.".strip()
    return f"{text} No two sets share a patient or an image.".strip()


def subgroups(results, fewest):
    """Returns the subgroups of the test images, as a dict from a name to `(rows, patients, too small)`.

    Args:
        results: study.Results.
        fewest: patients of each class that a subgroup needs.

    Returns:
        dict; `rows` int, the subgroup's test images, and `patients` a list of the number of each class.
    """
    if results.groups is None:
        return {}
    found = {}
    for name in np.unique(results.groups):
        rows = np.flatnonzero(results.groups == name)
        classes = strata(results.labels[rows], results.patients[rows])
        patients = np.bincount(classes, minlength=len(results.settings["class_names"])).tolist()
        found[str(name)] = rows, patients, min(patients) < fewest
    return found


def arms(results):
    """Returns what the page says about every arm: its text in the catalogue, its numbers of images, its settings."""
    trials = results.trials[results.trials["status"] == "done"]
    return [_arm(arm, settings, trials) for arm, settings in results.settings["arms"].items()]


def _arm(name, settings, done):
    start, *endings = name.split(" ")
    try:
        catalogue.check([name])
        texts = [catalogue.texts()[start], *(catalogue.ENDINGS[ending] for ending in endings if ending[0] != "x")]
    except ValueError:
        texts = ["images made elsewhere"] if start == "folder" else []  # else an arm of the user's own
    trials = done[done["arm"] == name]
    images = [f"{trials[column].iloc[0]:.0f}" if len(trials) else "" for column in ("n_real", "n_synthetic")]
    others = [f"{key} {value}" for key, value in settings.items() if key not in ("ratio", "code")]
    return {"name": name, "text": "; ".join(texts), "images": images, "settings": ", ".join(others)}


def generators(results):
    """Returns a card of each generator: what it is, its settings, the images that it was fitted on, its minutes.

    Minutes are those of fitting and drawing for one seed. Arms of one generator and seed share the fit, so they are
    added up.
    """
    done, cards = results.trials[results.trials["status"] == "done"], {}
    for arm, settings in results.settings["arms"].items():
        match = _arm_names.parse(arm, catalogue.GENERATORS)
        name = match and match[1] and match[1].split(" ")[0].replace("shuffled", "dense_cvae")
        if name in catalogue.GENERATORS:
            cards.setdefault(name, {"arms": [], "epochs": settings.get("epochs")})["arms"].append(arm)
    for name, card in cards.items():
        row, trials = catalogue.GENERATORS[name], done[done["arm"].isin(card["arms"])]
        size = results.settings.get("about", {}).get("generator_size")
        about = [f"{card['epochs']} epochs" if card["epochs"] else "", f"batches of {row.batch_size}"]
        about.append(f"works at {size}×{size} pixels" if size else "")
        seconds = sum(
            history.get("synthesis_seconds", 0.0)
            for (arm, _), history in results.histories.items()
            if arm in card["arms"]
        )
        folds = results.settings.get("folds") or 1
        card |= {"name": name, "text": row.text, "settings": ", ".join(filter(None, about))}
        card["images"] = f"{trials['n_real'].iloc[0]:.0f}" if len(trials) else ""
        card["minutes"] = f"{folds * seconds / 60 / max(1, trials['seed'].nunique()):.1f}"
    return list(cards.values())
