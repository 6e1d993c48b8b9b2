"""The README's tables are made from `data/results/`; a line that differs is shown as it should be."""

import re
import shlex
import textwrap

import pandas as pd
import pytest

from synthkit import catalogue, report
from synthkit.__main__ import _table, parser
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "data" / "results"
STUDIES = {
    "BreastMNIST, skin CNN, 900 steps, 5 seeds": "breastmnist_skin_cnn",
    "the same networks on the 98 test images that are no near-copies": "breastmnist_skin_cnn_others",
    "without near-copies in the validation part either": "breastmnist_skin_cnn_apart",
    "BreastMNIST, ResNet-18, the benchmark's recipe, 3 seeds": "breastmnist_resnet18",
    "ResNet-18 on the 98 test images that are no near-copies": "breastmnist_resnet18_others",
    "mammogram mass crops at 32×32, skin CNN, 300 steps, 5 seeds": "mass_crops_32",
    "the same at 64×64, 600 steps": "mass_crops_64",
    "the same at 64×64, 600 steps, 8 seeds": "mass_crops_64_8_seeds",
    "the same at 112×112, 600 steps, 1 seed": "mass_crops_112",
}
PHANTOMS = {  # real images of each class: the study
    "50": "phantom_50",
    "150": "phantom_150",
    "150, the studies' own designs": "phantom_150_designs",
    "500": "phantom_500",
}
RECIPES = {
    "the benchmark's recipe": "breastmnist_resnet18_medmnist",
    "the MedMNIST study's recipe": "breastmnist_resnet18_medmnist_study",
}
GENERATORS, PHANTOM_GENERATORS = "generator_quality_breastmnist", "generator_quality_phantom"
STABILITY = "conv_cgan_stability"


def read(name):
    return pd.read_csv(RESULTS / f"{name}.csv")


def signed(value):
    return f"{value:+.3f}".replace("-", "−")


def interval(low, high, show="{:.3f}".format):
    return f"({show(low)} to {show(high)})"


def study_rows(title, name):
    """Yields the table's lines of one study, the first with what it was on."""
    table = read(name)
    for row in table[table["metric"] == "auc"].itertuples():
        difference = ""
        if row.verdict != "baseline":
            difference = f"{signed(row.difference)} {interval(row.difference_low, row.difference_high, signed)}"
        area = f"{row.mean:.3f} {interval(row.low, row.high)}"
        yield f"| {title} | {row.arm} | {area} | {difference} | {row.verdict} |"
        title = ""


def gap_rows(count, name):
    """Yields the table's lines of a study on phantoms, with the share of the gap to the oracle that an arm closes."""
    table, gap = read(name), read(f"{name}_gap").set_index("arm")
    for row in table[table["metric"] == "auc"].itertuples():
        difference = share = ""
        if row.verdict != "baseline":
            difference = f"{signed(row.difference)} {interval(row.difference_low, row.difference_high, signed)}"
        if row.arm in gap.index:
            share = "{:.0%} ({:.0%} to {:.0%})".format(*gap.loc[row.arm, ["share", "low", "high"]]).replace("-", "−")
        area = f"{row.mean:.3f} {interval(row.low, row.high)}"
        yield f"| {count} | {row.arm} | {area} | {difference} | {share} | {row.verdict} |"
        count = ""


def areas_and_differences(name):
    return read(name).query("metric == 'auc'").set_index("arm")


def on_phantoms():
    """Yields what the README says of phantoms beside their table."""
    gaps = {count: read(f"{name}_gap").set_index("arm") for count, name in PHANTOMS.items()}

    def share(count, arm):
        return "{:.0f} % ({:.0f} to {:.0f} %)".format(*100 * gaps[count].loc[arm, ["share", "low", "high"]])

    yield f"with 50 and 150 real training images a class they close {share('50', 'diffusion')} and"
    yield f"{share('150', 'diffusion')} of the gap between real images only and as many fresh ones from the simulator"
    oracle = areas_and_differences("phantom_500").loc["oracle"]
    yield f"with 500 that gap is next to nothing, {oracle['difference']:.3f} in AUC"
    yield f"augmentation closes {share('50', 'augmentation')} and {share('150', 'augmentation')} for nothing"
    yield f"closes {share('150', 'conv_cvae filtered')} of the gap with 150 phantoms a class"
    shares = 100 * gaps["150"]["share"]
    low, high = 100 * gaps["150"].loc["diffusion x1", ["low", "high"]]
    limits = f"{low:.0f} to {high:.0f} %".replace("-", "−")
    one, five = f"{shares['diffusion x1']:.0f} %", f"{shares['diffusion']:.0f} %"
    yield f"five for each real one ({five}) rather than one ({one}, {limits})"
    *most, last = (f"{shares[arm]:.0f}".replace("-", "−") for arm in ("dense_cvae", "conv_cvae", "diffusion"))
    yield f"(cvae, conv_cvae, diffusion: {', '.join(most)} and {last} % of the gap)"
    yield f"(`conv_cvae filtered`: {shares['conv_cvae']:.0f} to {shares['conv_cvae filtered']:.0f} %;"
    both, alone = shares["diffusion augmented"], shares["augmentation"]
    yield f"(`diffusion augmented`: {both:.0f} %, augmentation alone {alone:.0f} %, which leaves little to gain)"
    versus = [areas_and_differences(f"phantom_{count}_over_augmentation").loc["diffusion"] for count in (50, 150, 500)]
    assert [row["verdict"] for row in versus] == ["inconclusive", "equivalent", "equivalent"]
    ranges = [interval(row["difference_low"], row["difference_high"], signed) for row in versus]
    yield f"{signed(versus[1]['difference'])} {ranges[1]} and {signed(versus[2]['difference'])} {ranges[2]} in AUC"
    short = [f"{-versus[0][column]:.3f}" for column in ("difference", "difference_high", "difference_low")]
    yield f"by {short[0]} ({short[1]} to {short[2]}; p = {versus[0]['p_holm']:.3f} after the correction)"


def on_the_studies_designs():
    """Yields what the README says of the studies' own generators on phantoms, and of two processors' figures."""
    rows = areas_and_differences("phantom_150_designs")
    theirs = ["autoencoder x1", "dense_cvae x1", "dense_cgan x1", "dcgan x0.36"]
    assert rows.loc[theirs, "verdict"].tolist() == ["inconclusive", "hurts", "equivalent", "equivalent"]
    *most, last, fresh = (signed(rows.loc[arm, "difference"]) for arm in [*theirs, "oracle"])
    yield f"move the AUC by {', '.join(most)} and {last}, fresh images in fives by {fresh}"
    names = ("phantom_150", "phantom_150_designs")
    one, other = (read(f"{name}_trials").set_index(["arm", "seed"])["auc"] for name in names)
    apart = (one - other).dropna()
    means = apart.groupby("arm").mean()
    assert sorted(means.index) == ["augmentation", "oracle", "real"]
    yield f"differ by up to {apart.abs().max():.3f} a trial and {means.abs().max():.3f} in an arm's mean"


def on_real_images():
    """Yields what the README says of real images beside their tables."""
    row = areas_and_differences("mass_crops_32").loc["conv_cgan x0.47"]
    limits = f"{signed(row['difference_low'])} to {signed(row['difference_high'])}"
    yield f"change nothing that can be seen at 32×32: {signed(row['difference'])} ({limits})"
    assert (read("mass_crops_112_trials")["sensitivity"] == 0).all()
    row = areas_and_differences("mass_crops_64_8_seeds_over_augmentation").loc["dense_cvae x0.47"]
    assert row["verdict"] == "equivalent"
    limits = f"{signed(row['difference_low'])} to {signed(row['difference_high'])}"
    yield f"equivalent to classical augmentation ({signed(row['difference'])}, {limits})"
    areas = areas_and_differences("breastmnist_skin_cnn")["mean"]
    *most, last = (f"{areas[f'diffusion{ratio}']:.3f}" for ratio in (" x0.1", " x0.25", " x1", ""))
    yield f"the test AUC is {', '.join(most)} and {last}, with none {areas['real']:.3f}"
    yield f"from {areas['diffusion x1']:.3f} to {areas['diffusion filtered x1']:.3f}, which is as good as nothing"
    yield f"with {areas['conv_cgan']:.3f} (convolutional) and {areas['cgan']:.3f} (the MedMNIST study's)"
    large, others = (areas_and_differences(f"breastmnist_resnet18{part}") for part in ("", "_others"))
    assert set(large["verdict"]) == set(others["verdict"]) == {"baseline", "inconclusive"}
    assert large.loc[["augmentation", "diffusion x0.25"], "seeds_needed"].tolist() == [float("inf"), 7]
    yield f"leaves real images only at {large.loc['real', 'mean']:.3f})"
    lost, gained = -large.loc["augmentation", "difference"], others.loc["augmentation", "difference"]
    yield f"transformations cost ResNet-18 {lost:.3f}, without them they gain it {gained:.3f}"
    *most, last = (f"{auc:.3f}" for auc in read("breastmnist_resnet18_trials").query("arm == 'diffusion x0.25'")["auc"])
    yield f"one to four real ones, are at {', '.join(most)} and {last}, seed by seed"
    row = areas_and_differences("breastmnist_skin_cnn_over_augmentation").loc["diffusion x0.1"]
    limits = f"{signed(row['difference_low'])} to {signed(row['difference_high'])}"
    yield f"above `augmentation` by {signed(row['difference'])} ({limits}; p = {row['p_holm']:.2f} after the correction"


def recipe_rows(title, name):
    """Yields each seed's AUC and accuracy of ResNet-18 on BreastMNIST, and their means."""
    trials, table = read(f"{name}_trials"), read(name).set_index("metric")
    seeds = ", ".join(map(str, trials["seed"]))
    found = [", ".join(f"{value:.3f}" for value in trials[metric]) for metric in ("auc", "accuracy")]
    yield f"| {title}, seeds {seeds} | {' | '.join(found)} |"
    means = [table.loc[metric] for metric in ("auc", "accuracy")]
    means = [f"{row['mean']:.3f} {interval(row['low'], row['high'])}" for row in means]
    yield f"| its mean (95 %) | {' | '.join(means)} |"


def generator_rows():
    """Yields a line a generator: means over seeds, lowest to highest."""
    columns = {"classifier_kid_train": 4, "classifier_kid_validation": 4, "pixel_kid_train": 3, "label_auc": 2}
    for name, rows in read(GENERATORS).groupby("generator", sort=False):
        cells = [f"{name}, {rows['epochs'].iloc[0]} epochs"]
        for column, digits in columns.items():
            show = f"{{:.{digits}f}}".format
            cells.append(f"{show(rows[column].mean())} {interval(rows[column].min(), rows[column].max(), show)}")
        minutes = rows["cpu_seconds"].mean() / 60
        yield f"| {' | '.join(cells)} | {minutes:.1f} |"


def phantom_labels():
    """Yields how well the class that was asked for is found in phantoms of each generator."""
    *most, last = (f"{row.label_auc:.2f} ({row.generator})" for row in read(PHANTOM_GENERATORS).itertuples())
    yield f"it finds the class asked for with {', '.join(most)} and {last}, one seed each"


def stability_rows():
    """Yields a line a seed: the least diversity of a class, at any look and at the last, and KID at every look."""
    for seed, rows in read(STABILITY).groupby("seed"):
        least = rows[["benign", "malignant"]].min(axis=1)
        curve = ", ".join(f"{kid:.2f}" for kid in rows["kid"])
        yield f"| {seed} | {least.min():.2f} | {least.iloc[-1]:.2f} | {curve} |"


def default_study():
    """Yields what the default study prints, and how far its seeds lie apart."""
    table = read("default_study")
    yield from filter(None, _table(table, report.controls(table)).splitlines())
    areas = read("default_study_trials").pivot_table(index="seed", columns="arm", values="auc")
    differences = ", ".join(map(signed, areas["dense_cvae"] - areas["real"]))
    yield f"The seeds' differences between `cvae` and `real` alone were {differences}:"


def references():
    """Yields the sentences of figures that belong to no table of the README."""
    rates = 100 * read("error_rates").query("arms == 1")["share"]
    yield f"it was wrong in {rates.min():.1f} to {rates.max():.1f} %"
    features, pixels, phantoms, crops, least, largest, near, images, helped, harmless = read("references")["value"]
    yield f"Real validation images are at {features} in the features and {pixels} in pixels"
    yield f"tells 1,000 new real images apart with an AUC of {phantoms}"
    yield f"where real training images have {crops}"
    yield f"(`fidelity.copy_test` in pixels, p from {least} to {largest})"
    yield f"{near} of {images}, are nearly copies"
    assert (helped, harmless) == ("10", "0")
    yield "images were found to help in all ten, those with permuted labels in none"


def unwrapped(text):
    return " ".join(text.split())


@pytest.mark.parametrize(
    "line",
    [
        *(line for title, name in STUDIES.items() for line in study_rows(title, name)),
        *(line for count, name in PHANTOMS.items() for line in gap_rows(count, name)),
        *on_phantoms(),
        *on_the_studies_designs(),
        *on_real_images(),
        *(line for title, name in RECIPES.items() for line in recipe_rows(title, name)),
        *generator_rows(),
        *phantom_labels(),
        *stability_rows(),
        *default_study(),
        *references(),
    ],
)
def test_line_stands_in_the_readme(line):
    assert unwrapped(line) in unwrapped(README), textwrap.indent(line, "expected: ")


@pytest.mark.parametrize("name", [*STUDIES.values(), *PHANTOMS.values()])
def test_the_studies_generators_helped_nowhere(name):
    rows = areas_and_differences(name)
    theirs = rows.index.str.fullmatch(r"(autoencoder|cvae|cgan|conv_cgan|dcgan)( .*)?")
    assert not (rows.loc[theirs, "verdict"] == "helps").any()


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in ("default_study", *STUDIES.values(), *PHANTOMS.values(), *RECIPES.values())
        if not name.endswith("_others")  # its trials are those of another study, scored on fewer images
    ],
)
def test_means_are_those_of_the_trials(name):
    table = read(name)
    means = read(f"{name}_trials").groupby("arm")["auc"].mean()
    for row in table[table["metric"] == "auc"].itertuples():
        assert row.mean == pytest.approx(means[row.arm], abs=1e-12)


COMMANDS = re.findall(r"python -m synthkit( [^`#\n]+)", README)


@pytest.mark.parametrize("arguments", [arguments for arguments in COMMANDS if "--help" not in arguments])
def test_commands_are_understood(arguments):
    parsed = parser().parse_args(shlex.split(arguments))
    named = getattr(parsed, "arms", None)
    if named:
        catalogue.check([name.strip() for name in named.split(",")])


def test_every_table_of_results_is_used():
    used = {
        "default_study",
        GENERATORS,
        PHANTOM_GENERATORS,
        STABILITY,
        "error_rates",
        "references",
        *STUDIES.values(),
        *PHANTOMS.values(),
        *RECIPES.values(),
    }
    used |= {f"{name}_{kind}" for name in used for kind in ("trials", "gap", "over_augmentation")}
    assert {path.stem for path in RESULTS.glob("*.csv")} <= used
