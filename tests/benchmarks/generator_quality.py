"""How real the generators' images are: `python -m tests.benchmarks.generator_quality breastmnist.npz OUT`.

Every generator is fitted on the training set and draws as many images of each class as that has. The kernel inception
distance (KID) to the training set and to the validation set is computed in two feature spaces: pixels after a PCA
fitted on the training set, which represent shape and brightness, and the last features of a classifier trained on it,
which represent texture too. `label_auc` is the AUC of that classifier on the synthetic images. The test set is used
with `phantom` only, to report how well the classifier does on real images.
OUT/generator_quality.csv has a row for each generator and seed; rows that exist already are not computed again.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from synthkit import catalogue, classifiers, fidelity, generators, plots
from synthkit.datasets import medmnist, phantom
from synthkit.statistics import auc
from synthkit.training import Trainer

GENERATORS = ("dense_cvae", "dense_cgan", "conv_cvae", "conv_cgan", "diffusion")


def measure(splits, name, seed, spaces, classifier, out):
    """Fits a generator, writes its images to OUT and returns the row."""
    settings = catalogue.GENERATORS[name]
    began, cpu_began = time.perf_counter(), time.process_time()
    synthesize = generators.synthesizer(
        catalogue.build(settings), epochs=settings.epochs, batch_size=settings.batch_size
    )
    synthetic = synthesize(splits.train, splits.train.labels, seed)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    np.savez_compressed(out / f"{name}_{seed}.npz", images=synthetic.images, labels=synthetic.labels)
    row = {"generator": name, "seed": seed, "epochs": settings.epochs}
    for kind, space in spaces.items():
        features = space(synthetic.images)
        for imageset in (splits.train, splits.validation):
            row[f"{kind}_kid_{imageset.name.split()[-1]}"] = fidelity.kid(space(imageset.images), features).value
    neighbourhoods = fidelity.neighbourhoods(spaces["classifier"](splits.train.images), features)
    row |= {"precision": neighbourhoods.precision, "coverage": neighbourhoods.coverage}
    row["label_auc"] = auc(synthetic.labels, classifier.predict(synthetic.images))
    return row | {"seconds": round(seconds), "cpu_seconds": round(cpu_seconds)}


def compare(splits, rows, out):
    """Draws real images and those of every generator, one below the other."""
    names = ["real", *dict.fromkeys(row["generator"] for row in rows)]
    fig, axes = plt.subplots(len(names), 1, figsize=(9, 1.55 * len(names)), layout="constrained", squeeze=False)
    for name, ax in zip(names, axes.flat, strict=True):
        if name == "real":
            images, labels = splits.train.images, splits.train.labels
        else:
            seed = min(row["seed"] for row in rows if row["generator"] == name)
            with np.load(out / f"{name}_{seed}.npz") as file:
                images, labels = file["images"], file["labels"]
        examples = np.concatenate([images[labels == label][:16] for label in range(2)])
        plots.image_grid(examples, 16, ax)
        ax.set_title(f"{name}: {splits.train.class_names[0]} above, {splits.train.class_names[1]} below", loc="left")
    fig.savefig(out / "generator_quality.png", dpi=130)
    plt.close(fig)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generators", default=",".join(GENERATORS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    simulated = arguments.data == "phantom"
    splits = phantom.load(28, train=600, validation=200) if simulated else medmnist.load(arguments.data)
    classifier = Trainer(classifiers.skin_cnn, splits.train.image_shape, 2, steps=300)
    classifier.train(splits.train, splits.validation, seed=0)
    validation = auc(splits.validation.labels, classifier.predict(splits.validation.images))
    spaces = {"pixel": fidelity.pixels(splits.train.images), "classifier": fidelity.penultimate(classifier.model)}
    print(f"validation AUC of the classifier: {validation:.3f}", flush=True)
    if simulated:
        print(
            f"test AUC of the classifier: {auc(splits.test.labels, classifier.predict(splits.test.images)):.3f}",
            flush=True,
        )
    for kind, space in spaces.items():
        real = fidelity.kid(space(splits.train.images), space(splits.validation.images))
        print(
            f"{kind}: {space.name}; KID of training and validation set {real.value:.4f} ± {real.error:.4f}", flush=True
        )
    file = arguments.out / "generator_quality.csv"
    rows = pd.read_csv(file).to_dict("records") if file.exists() else []
    for seed in range(1, arguments.seeds + 1):
        for name in arguments.generators.split(","):
            if not any((row["generator"], row["seed"]) == (name, seed) for row in rows):
                rows.append(measure(splits, name, seed, spaces, classifier, arguments.out))
                pd.DataFrame(rows).round(4).to_csv(file, index=False)
                print(rows[-1], flush=True)
                compare(splits, rows, arguments.out)
    means = pd.DataFrame(rows).drop(columns="seed").groupby("generator").mean()
    for name, row in means.iterrows():
        for metric, value in row.items():
            print(f"{name}_{metric} = {value:.4f}")


if __name__ == "__main__":
    main()
