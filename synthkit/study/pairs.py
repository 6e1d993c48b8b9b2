"""Test images of a study that look like images which its networks are trained or chosen on, and a picture of them."""

import numpy as np
import pandas as pd

from synthkit._alike import nearest
from synthkit._files import harmless, replacing
from synthkit.splitting import pool
from synthkit.study import training_sets
from synthkit.study.trial import seeds_of

SHOWN = 12  # pairs in the picture, from the most to the least alike
ACROSS = 2  # as many as a telephone shows at a size that can be read


def find(splits, seeds, draw, folds=None, random_state=0):
    """Compares the test set with the validation set and with the training images that some trial draws.

    In a cross-validation, any images of different patients may come to lie in the test and in the training set.

    Args:
        splits: Splits.
        seeds: int, number of seeds.
        draw: dict, arguments of `training_sets.rows`.
        folds, random_state: as in `study.run`.

    Returns:
        `(table, limit)`: DataFrame with a row for each test image that looks like another image, most alike first, and
        the correlation above which two images look alike. `test` and `row` are the rows of the images in the test set
        and in the set `other`, `patient` and `other_patient` their patients.
    """
    if folds:
        images = pool(splits)
        found = nearest(images, images)
        test = np.flatnonzero(found.correlation > found.limit)
        table = {"test": test, "patient": images.patients[test], "other": "training", "row": found.row[test]}
        table |= {"other_patient": images.patients[found.row[test]], "correlation": found.correlation[test]}
        return pd.DataFrame(table).sort_values("correlation", ascending=False, kind="stable"), found.limit
    drawn = [training_sets.rows(splits.train, **draw, seed=seeds_of(seed, random_state)[0]) for seed in range(seeds)]
    rows = np.unique(np.concatenate(drawn))
    found = nearest(splits.test, splits.train[rows], splits.validation)
    test = np.flatnonzero(found.correlation > found.limit)
    test = test[np.argsort(-found.correlation[test], kind="stable")]
    columns = [
        (i, splits.test.patients[i], "validation", row, splits.validation.patients[row], found.correlation[i])
        if found.other[i]
        else (i, splits.test.patients[i], "training", rows[row], splits.train.patients[rows[row]], found.correlation[i])
        for i, row in zip(test, found.row[test], strict=True)
    ]
    names = ["test", "patient", "other", "row", "other_patient", "correlation"]
    return pd.DataFrame(columns, columns=names), found.limit


def write(out, table, splits, folds=None):
    """Writes the table as `near_duplicates.csv` and some of its pairs as `near_duplicates.png`."""
    from matplotlib.figure import Figure

    sets = {"training": splits.train, "validation": splits.validation, "test": splits.test}
    if folds:
        sets = dict.fromkeys(sets, pool(splits))
    with replacing(out / "near_duplicates.csv") as part:
        harmless(table).to_csv(part, index=False)
    shown = table.iloc[np.unique(np.linspace(0, len(table) - 1, min(SHOWN, len(table))).round().astype(int))]
    lines = -(-len(shown) // ACROSS)
    figure = Figure(figsize=(2.1 * ACROSS, 1.5 * lines), layout="constrained")
    grid = figure.subplots(lines, 2 * ACROSS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for (left, right), pair in zip(grid.reshape(-1, 2, *grid.shape[2:]), shown.itertuples(), strict=False):
        other = sets[pair.other]
        for axes, imageset, row, name in (
            (left, sets["test"], pair.test, "test"),
            (right, other, pair.row, pair.other),
        ):
            image = imageset.images[row]
            axes.imshow(image if image.shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=255)
            label = imageset.class_names[imageset.labels[row]].replace("$", r"\$")
            axes.set_title(f"{name} {row}\n{label}", fontsize=8)
        right.text(1, -0.02, f"{pair.correlation:.4f}", ha="right", va="top", fontsize=7, transform=right.transAxes)
    figure.suptitle("test images, what they look like, correlation", fontsize=9)
    with replacing(out / "near_duplicates.png") as part:
        figure.savefig(part, dpi=110, format="png")
