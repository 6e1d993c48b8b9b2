"""What a study's results mean, in the sentences that the terminal and the page have in common."""

import numpy as np

from synthkit import catalogue
from synthkit.imageset import LOOK_ALIKE_GROUPS
from synthkit.statistics import notes, sentences
from synthkit.statistics.estimates import fewest_patients

LATER = "Exploratory, with all {seeds} seeds; more of them were run after the verdicts above:"
FEW = 10  # validation patients of a class; with fewer, simulated intervals of specificity held in 85 to 88 %
PERFECT = 0.995  # training AUC from which on a gap is that of the test AUC alone
UNKNOWN = 0.4  # width of an interval of sensitivity or specificity from which on it says next to nothing


def over_augmentation(results, baseline="real", margin=None):
    """Compares the arms with augmentation instead of real images only: do synthetic images add anything to it?

    Args:
        results: study.Results.
        baseline: the arm that the others were compared with, which is left out here.
        margin: as in `study.Results.summary`.

    Returns:
        pandas.DataFrame, as `study.Results.summary` returns it; None if there is no arm augmentation, if it is the
        baseline already, or if there is no other arm.
    """
    arms = [arm for arm in results.scores if arm != baseline]
    if baseline == "augmentation" or "augmentation" not in arms or len(arms) < 2:
        return None
    return results.summary(margin, "augmentation", arms)


def baseline_of(summary):
    """Returns the name of the arm that the others are compared with, or None."""
    arms = summary["arm"][summary["verdict"] == "baseline"]
    return arms.iloc[0] if len(arms) else None


def operating_point(results, summary=None):
    """Returns what sensitivity is of, and at which threshold; with a summary also whether its intervals are useless."""
    text, rows = _operating_point(results), summary
    if rows is not None:
        rows = rows[rows["metric"].isin(["sensitivity", "specificity"]) & (rows["high"] - rows["low"] > UNKNOWN)]
    if rows is None or not len(rows):
        return text
    row = rows.loc[(rows["high"] - rows["low"]).idxmax()]
    return (
        f"{text}. Sensitivity and specificity are hardly known here, as {row['metric']} of {row['arm']} "
        f"({row['low']:.2f} to {row['high']:.2f}): do not compare arms by them"
    )


def _operating_point(results):
    positive = results.settings.get("positive")
    if results.thresholds is None:
        return f"Sensitivity ({positive or 'mean over the classes'}); the class with the highest score is predicted"
    rule = {"youden": "by Youden's index"}.get(results.settings.get("operating_point"))
    rule = rule or f"for a {results.settings['operating_point'].replace('=', ' of at least ')}"
    text = f"Sensitivity ({positive}) at a threshold chosen on the validation set {rule}"
    if results.validation is None or fewest_patients(results.validation.labels, results.validation.patients) >= FEW:
        return text
    return f"{text}, which has fewer than {FEW} {units(results)} of a class: intervals at it are too narrow"


def patients_unknown(results):
    """Returns whether images count as patients although nobody said which patients they are of."""
    about = results.settings.get("about", {})
    if "best_auc" in results.settings or about.get("patients_given"):
        return False
    if about.get("grouped"):  # images that look alike, which are not patients
        return True
    images = {name: sum(count for count, _ in classes.values()) for name, classes in about.get("sets", {}).items()}
    alone = len(np.unique(results.patients)) == len(results.labels)
    return alone and all(about["patients"][name] == count for name, count in images.items())


def units(results):
    """Returns what is counted as patients: these, or the groups of images that `--group-near-duplicates` found."""
    return LOOK_ALIKE_GROUPS if results.settings.get("about", {}).get("grouped") else "patients"


def counted_alone(results):
    """Returns what counts as one patient where patients are unknown."""
    return "every image" if units(results) == "patients" else "every image, or group of images that look alike,"


def assumption(results):
    """Returns what verdicts assume of the patients where these are unknown, as a clause; "" where they are known."""
    if not patients_unknown(results):
        return ""
    if units(results) == "patients":
        return "every test image is of another patient"
    return "images that do not look alike are of different patients"


def unknown_patients(results):
    """Returns a warning where patients are unknown; "" where they are known."""
    if not patients_unknown(results):
        return ""
    return (
        f"{counted_alone(results).capitalize()} counts as a separate patient. If patients have several images and the "
        "data do not say which, training and test set may share patients: scores are then too high and intervals too "
        "narrow."
    )


def first(summary, baseline):
    """Returns the sentences that must be read before the verdicts."""
    return [*notes.too_small(summary), *notes.unlearned(summary, baseline)]


def protocol(results):
    """Returns what was decided before the first trial, as a sentence; "" if nothing was written down."""
    plan = results.protocol
    if not plan["written"]:
        return ""
    main = f", the main comparison is {plan['primary']} with {plan['baseline']}" if plan["primary"] else ""
    metric = "" if plan["metric"] == "auc" else f" in {sentences.metric_name(plan['metric'])}"
    return (
        f"Protocol, written at {plan['written']} before the first trial: the arms {', '.join(plan['arms'])}, "
        f"{plan['seeds']} seeds, the baseline {plan['baseline']}{main}, a margin of {plan['margin']:g}{metric}. "
        "Whatever else is shown is exploratory; so is all of it if an earlier study on these test images chose the "
        "arms."
    )


def answers(summary, over, margin, assumption=""):
    """Returns the answers to the study's question, with the baseline and on top of augmentation.

    Args:
        summary, margin, assumption: as in `statistics.sentences.answer`.
        over: of `over_augmentation`.

    Returns:
        list of (a few words, a sentence, what to do next).
    """
    no_question = {*catalogue.CONTROLS, *catalogue.RIVALS, *catalogue.AUGMENTATIONS}
    arms = [arm for arm in summary["arm"].unique() if arm.split(" ")[0] not in no_question]
    main = list(dict.fromkeys(summary["arm"][summary["primary"]]))  # asked for by name, whatever it is
    arms = list(dict.fromkeys([*arms, *main]))
    augmented = [arm for arm in arms if arm.endswith(" augmented")]
    questions = [(summary, [arm for arm in arms if over is None or arm not in augmented or arm in main])]
    if over is not None and augmented:
        questions.append((over, augmented))
    found = []
    for number, question in enumerate(questions):
        words, sentence = sentences.answer(*question, margin, assumption)
        if words:
            words = words.replace(".", " on top of augmentation.") if number else words
            if over is not None and not number and set(main) & set(augmented):
                sentence += " It contains augmentation; what its images add is the next answer."
            features = [arm for arm in question[1] if catalogue.makes_features(arm)]
            found.append((words, sentence, sentences.next_step(*question, margin, features)))
    return found


def scope(results, baseline):
    """Returns what the answer is about: the classifier, the real images, and what generators had, as a text."""
    done, about = results.trials[results.trials["status"] == "done"], results.settings.get("about", {})
    real = done.loc[done["arm"] == baseline, "n_real"]
    if real.empty:
        return ""
    sources = {arm.split(" ")[0].replace("shuffled", "dense_cvae") for arm in results.scores}
    size = about.get("generator_size") if sources & set(catalogue.GENERATORS) else None
    generators = f", with generators at {size}×{size} pixels" if size else ""
    text = f"This is about the classifier {results.settings['classifier']}, trained on {real.median():.0f} real images"
    text += f"{generators}."
    if about.get("pretrained_on") not in (None, "phantom"):
        text += " Generators of arms called pretrained saw other real images besides, without their labels."
    return text


def copies(results):
    """Returns what the search for copies of training images found, as a dict from an arm to a sentence.

    Arms that differ in augmentation or in the order of the images only have the same synthetic images, of which the
    first arm is named; controls and the rivals of generators are left out.
    """
    found, left_out = {}, {*catalogue.CONTROLS, *catalogue.RIVALS}
    for arm, of_arm in results.copies.items():
        images = arm.removesuffix(" augmented").removesuffix(" first")
        if arm.split(" ")[0] not in left_out and images not in found:
            found[images] = arm, notes.copies(arm, of_arm)
    return dict(found.values())


def remarks(results, summary, margin):
    """Returns what the verdicts mean, as a list of sentences."""
    settings = results.settings
    return [
        *notes.controls(summary, margin),
        *notes.power(summary, margin, settings.get("about", {}).get("plan")),
        *undertrained(results),
        *failures(results, margin),
        *notes.variance(summary),
        *notes.rare_failures(len(results.all_seeds)),
        notes.population(settings.get("overlap", 1), settings.get("folds")),
    ]


def undertrained(results):
    """Returns which arms may not be trained to the end, as a list of one sentence or none.

    An arm is named if the last check of most of its trials had the highest validation AUC of all.
    """
    arms = []
    for arm in results.scores:
        runs = [history for (name, _), history in results.histories.items() if name == arm]
        if not results.trials.loc[results.trials["arm"] == arm, "steps"].gt(0).all():
            return []  # a regression to convergence, whose checks are of penalties
        last = sum(int(np.argmax(run["val_auc"])) == len(run["val_auc"]) - 1 for run in runs)
        if last > len(runs) / 2:
            arms.append(f"{last} of {len(runs)} trials of {arm}")
    if not arms:
        return []
    return [
        f"In {', '.join(arms)} the last check had the best validation AUC: with more steps (--steps) they may become "
        f"better, and the order of the arms may change."
    ]


def failures(results, margin):
    """Returns which arms lack seeds because trials failed, and what the worst case would be, as a list of sentences."""
    lost = {arm: len(results.all_seeds) - len(seeds) for arm, seeds in results.seeds.items()}
    worst, rows = results.worst_case(), {}
    if worst is not None:
        rows = sentences.main_rows(worst.summary(margin=margin)).set_index("arm").to_dict("index")
    return [notes.failure(arm, count, rows.get(arm)) for arm, count in lost.items() if count]


def training_aucs(results):
    """Returns the AUC of every arm on the real training images, as a text beside the gap to the test AUC."""
    trials = results.trials[results.trials["seed"] < results.protocol["seeds"]]
    areas = trials[trials["status"] == "done"].groupby("arm", sort=False)["train_auc"].mean()
    text = f"AUC on the training images: {', '.join(f'{arm} {area:.3f}' for arm, area in areas.items())}."
    if areas.min() < PERFECT:
        return text
    return f"{text} All arms separate their training images, so the gap says no more than the AUC on the test images."


def near_duplicates(results, rescored):
    """Returns what near-duplicates in the test set may do to the results, as a text; "" if there are none."""
    number, limit = (results.settings.get(key) for key in ("near_duplicates", "near_duplicates_above"))
    return notes.near_duplicates(len(number or ()), len(results.labels), limit or 0.97, rescored is not None)
