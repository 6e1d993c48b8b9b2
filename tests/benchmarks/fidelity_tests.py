"""How often the tests of `synthkit.fidelity` are wrong, and what they find.

`python -m tests.benchmarks.fidelity_tests` prints a line for each design and, with `--write`, stores them as
`data/results/error_rates_fidelity.csv`. Features of images are simulated: normal in 64 dimensions for the copy test, in
5 for the others; *uneven* means that the components' variances fall, as those of a PCA do. Two images of a patient have
a correlation of 0.8. The generator that copies nothing is a normal distribution fitted to the training images; with
half its spread its images are nearer to all real ones, as those of a variational autoencoder are. A copy is a training
image with noise, whose standard deviation is given as a fraction of that of the real images. Takes about
ten minutes with 500 studies of each.
"""

from functools import partial

import numpy as np
import pandas as pd
from tqdm import tqdm

from synthkit import fidelity
from synthkit.statistics import wilson
from tests.benchmarks.verdicts import parse
from tests.conftest import ROOT

DIMENSIONS = 64
UNEVEN = np.sqrt(DIMENSIONS * np.exp(-np.arange(DIMENSIONS) / 8) / np.exp(-np.arange(DIMENSIONS) / 8).sum())
SETS = ((40, 4, 160, 4), (40, 4, 160, 1), (10, 8, 200, 1), (100, 8, 16, 1))
FALSE, POWER = "at most 0.05", "at least 0.8"


def images(rng, patients, dimensions=DIMENSIONS, spread=1.0):
    """Draws features of the images of patients, an array with a number from 0 for every image."""
    shared = rng.normal(size=(patients.max() + 1, dimensions))[patients]
    return spread * (np.sqrt(0.8) * shared + np.sqrt(0.2) * rng.normal(size=shared.shape))


def numbers(rng, count, each):
    """Returns the patient of each of `count` images; `each`, an int or a range, is the number of images of one."""
    sizes = rng.choice(np.atleast_1d(each), count)
    return np.repeat(np.arange(count), sizes)[:count]


def fitted(rng, training, count, scale=1.0):
    return rng.multivariate_normal(training.mean(0), scale**2 * np.cov(training.T), count)


def copies_found(rng, training=545, held_out=78, synthetic=545, each=1, spread=1.0, scale=1.0, copies=0.0, noise=0.1):
    """Simulates a generator, some of whose images are copies, and returns whether the copy test finds any."""
    of_training, of_held_out = numbers(rng, training, each), numbers(rng, held_out, each)
    patients = np.concatenate([of_training, of_training.max() + 1 + of_held_out])
    real = images(rng, patients, spread=spread)
    training, held_out = real[: len(of_training)], real[len(of_training) :]
    made = fitted(rng, training, synthetic, scale)
    count = round(copies * synthetic)
    copied = training[rng.integers(len(training), size=count)]
    made[:count] = copied + noise * spread * rng.normal(size=copied.shape)
    return fidelity.copy_test(training, held_out, made, patients=patients).p <= 0.05


def copies_found_among_near_duplicates(rng):
    """Simulates new images of a population where a third of them have a near-duplicate, and returns the same."""
    population = rng.normal(size=(800, DIMENSIONS))
    drawn = population[np.concatenate([np.arange(800), rng.choice(800, 200)])]
    drawn = rng.permutation(drawn + 0.05 * rng.normal(size=drawn.shape))
    return fidelity.copy_test(drawn[:467], drawn[467:623], drawn[623:]).p <= 0.05


def membership_found(rng, each, copies=0.0):
    patients = numbers(rng, 240, each)
    real = images(rng, patients, 5)
    count = np.searchsorted(patients, (patients.max() + 1) // 2)  # the first half of the patients were trained on
    made = rng.normal(size=(100, 5))
    copied = real[: round(copies * 100)]
    made[: len(copied)] = copied
    test = fidelity.membership(real[:count], real[count:], made, patients=patients, permutations=499, seed=rng)
    return test.p <= 0.05


def told_apart(rng, patients, each, synthetic, synthetic_each=1, shift=0.0):
    """Simulates real and synthetic images whose means differ, and returns whether the two-sample test finds that."""
    of_real, of_synthetic = numbers(rng, patients * each, each), numbers(rng, synthetic, synthetic_each)
    real, made = images(rng, of_real, 5), images(rng, of_synthetic, 5) + shift
    known = {"patients": of_real, "synthetic_patients": of_synthetic, "permutations": 499, "seed": rng}
    return fidelity.two_sample_test(real, made, **known).p <= 0.05


def outside(rng, each):
    """Simulates two sets of one distribution and returns whether their KID is two standard errors from 0."""
    patients = numbers(rng, 160, each)
    distance = fidelity.kid(images(rng, patients, 5), rng.normal(size=(200, 5)), patients=patients)
    return abs(distance.value) > 1.96 * distance.error


def rows():
    """Yields (design, what is counted, wanted, function of a random generator that simulates a study)."""
    yield from copy_rows()
    real, counted = "240 real images, half of them training images", "membership guessed"
    for each, patients in ((4, "4 a patient"), (range(1, 9), "1 to 8 a patient")):
        yield f"{real}, {patients}: new images", counted, FALSE, partial(membership_found, each=each)
    yield f"{real}, 4 a patient: 40 % copies", counted, POWER, partial(membership_found, each=4, copies=0.4)
    counted = "told apart"
    for patients, each, synthetic, synthetic_each in SETS:
        design = f"{patients} patients with {each} images, {synthetic} synthetic images"
        design += f", {synthetic_each} a patient" if synthetic_each > 1 else ""
        study = partial(told_apart, patients=patients, each=each, synthetic=synthetic, synthetic_each=synthetic_each)
        yield design, counted, FALSE, study
        if patients >= 40 <= synthetic:
            yield f"{design}, means 0.7 apart in each dimension", counted, POWER, partial(study, shift=0.7)
    for each in (1, 4):
        design = f"160 real images, {each} a patient, 200 synthetic images of the same distribution"
        yield design, "KID two standard errors from 0", FALSE, partial(outside, each=each)


def copy_rows():
    counted = "copies found"
    for training, held_out, others in (
        (545, 78, ({}, {"scale": 0.5}, {"spread": UNEVEN}, {"each": 4}, {"each": range(1, 9)})),
        (100, 78, ({}, {"scale": 0.5}, {"spread": UNEVEN})),
        (50, 50, ({},)),
    ):
        for other in others:
            design = f"{training} training, {held_out} held-out images{named(other)}: fitted normal distribution"
            yield design, counted, FALSE, partial(copies_found, training=training, held_out=held_out, **other)
    design = "467 training, 156 held-out images, near-duplicates: new images"
    yield design, counted, FALSE, copies_found_among_near_duplicates
    for other in ({}, {"spread": UNEVEN}, {"each": 4}, {"each": range(1, 9)}):
        for share, noise in ((0.05, 0.1), (0.1, 0.1), (0.1, 0.5), (0.2, 0.1)):
            design = f"545 training, 78 held-out images{named(other)}: {share:.0%} copies with noise of {noise}"
            wanted = POWER if share >= 0.1 else "as high as possible"
            yield design, counted, wanted, partial(copies_found, copies=share, noise=noise, **other)


def named(settings):
    """Returns the words for the settings of `copies_found`, for the name of a design."""
    names = {"scale": ", half the spread", "spread": ", uneven"}
    each = settings.get("each", 1)
    of_each = {1: "", 4: ", 4 a patient"}.get(each, ", 1 to 8 a patient")
    return of_each + "".join(names[key] for key in settings if key in names)


def main():
    arguments = parse(__doc__)
    table = []
    for design, counted, wanted, study in rows():
        rngs = np.random.default_rng(0).spawn(arguments.studies)
        count = sum(map(study, tqdm(rngs, leave=False)))
        share, (low, high) = count / arguments.studies, wilson(count, arguments.studies)
        print(f"{design}: {counted} {share:.3f} ({low:.3f} to {high:.3f}), wanted {wanted}", flush=True)
        table.append((design, counted, wanted, round(share, 4), round(low, 4), round(high, 4), arguments.studies))
    if arguments.write:
        columns = ["design", "counted", "wanted", "share", "low", "high", "studies"]
        table = pd.DataFrame(table, columns=columns)
        table.to_csv(ROOT / "data" / "results" / "error_rates_fidelity.csv", index=False)


if __name__ == "__main__":
    main()
