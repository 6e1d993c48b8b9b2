"""How real the generators' images are: `python -m tests.benchmarks.generator_quality breastmnist.npz OUT`.

Every generator is fitted on the training part and asked for as many images of each class as that has. KID is measured
against the training and the validation part in two spaces, the same for all: pixels after a PCA fitted on the training
part, which sees shapes and shades, and the last features of a classifier trained on it, which see texture too.
`label_auc` is that classifier's, looking for the class that was asked for. The test part is not used; with `phantom`
for the data it says how well the classifier tells real images apart.
One row a generator and seed goes to OUT/generator_quality.csv; rows that are there are not made again.
"""

import argparse
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from synthkit import classifiers, fidelity, generators, plots
from synthkit.catalogue import GENERATORS
from synthkit.datasets import medmnist, phantom
from synthkit.generators.conv_cgan import conv_cgan
from synthkit.generators.conv_cvae import conv_cvae
from synthkit.generators.diffusion import diffusion
from synthkit.generators.medmnist_cgan import dense_cgan
from synthkit.generators.medmnist_cvae import dense_cvae
from synthkit.statistics import auc
from synthkit.training import Trainer

BUILDERS = {
    "dense_cvae": dense_cvae,
    "dense_cgan": dense_cgan,
    "conv_cvae": conv_cvae,
    "conv_cgan": conv_cgan,
    "diffusion": diffusion,
}


def measure(splits, name, seed, spaces, classifier, out):
    """Fits a generator, keeps its images in OUT and returns the row."""
    build, (epochs, batch_size) = BUILDERS[name], GENERATORS[name]
    began, used = time.perf_counter(), time.process_time()
    synthesize = generators.synthesizer(build, epochs=epochs, batch_size=batch_size)
    synthetic = synthesize(splits.train, splits.train.labels, seed)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    np.savez_compressed(out / f"{name}_{seed}.npz", images=synthetic.images, labels=synthetic.labels)
    row = {"generator": name, "seed": seed, "epochs": epochs}
    for kind, space in spaces.items():
        made = space(synthetic.images)
        for part in (splits.train, splits.validation):
            row[f"{kind}_kid_{part.name.split()[-1]}"] = fidelity.kid(space(part.images), made).value
    near = fidelity.neighbourhoods(spaces["classifier"](splits.train.images), made)
    row |= {"precision": near.precision, "coverage": near.coverage}
    row["label_auc"] = auc(synthetic.labels, classifier.predict(synthetic.images))
    return row | {"seconds": round(seconds), "cpu_seconds": round(cpu)}


def compare(splits, rows, out):
    """Draws the real images and every generator's side by side."""
    names = ["real", *dict.fromkeys(row["generator"] for row in rows)]
    fig, axes = plt.subplots(len(names), 1, figsize=(9, 1.55 * len(names)), layout="constrained", squeeze=False)
    for name, ax in zip(names, axes.flat, strict=True):
        if name == "real":
            images, labels = splits.train.images, splits.train.labels
        else:
            seed = min(row["seed"] for row in rows if row["generator"] == name)
            with np.load(out / f"{name}_{seed}.npz") as kept:
                images, labels = kept["images"], kept["labels"]
        shown = np.concatenate([images[labels == label][:16] for label in range(2)])
        plots.image_grid(shown, 16, ax)
        ax.set_title(f"{name}: {splits.train.class_names[0]} above, {splits.train.class_names[1]} below", loc="left")
    fig.savefig(out / "generator_quality.png", dpi=130)
    plt.close(fig)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--generators", default=",".join(BUILDERS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    simulated = arguments.data == "phantom"
    splits = phantom.load(28, train=600, validation=200) if simulated else medmnist.load(arguments.data)
    classifier = Trainer(classifiers.skin_cnn, splits.train.image_shape, 2, steps=300)
    classifier.train(splits.train, splits.validation, seed=0)
    validation = auc(splits.validation.labels, classifier.predict(splits.validation.images))
    spaces = {"pixel": fidelity.pixels(splits.train.images), "classifier": fidelity.penultimate(classifier.model)}
    print(f"the classifier's validation AUC: {validation:.3f}", flush=True)
    if simulated:
        print(f"its test AUC: {auc(splits.test.labels, classifier.predict(splits.test.images)):.3f}", flush=True)
    for kind, space in spaces.items():
        real = fidelity.kid(space(splits.train.images), space(splits.validation.images))
        print(
            f"{kind}: {space.name}; KID of training and validation part {real.value:.4f} ± {real.error:.4f}", flush=True
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
        for figure, value in row.items():
            print(f"{name}_{figure} = {value:.4f}")


if __name__ == "__main__":
    main()
