"""What the options of the command line mean: images, arms, classifiers, budgets, the name of a study's folder."""

import dataclasses
import re
import shlex
import sys
import warnings
from pathlib import Path

from synthkit import _arm_names, catalogue
from synthkit._identity import digest
from synthkit._options import parser
from synthkit._sides import mirrorable
from synthkit.imageset import LOOK_ALIKE_GROUPS

# Options that change no trial, so that a study is found again whatever they are.
NOT_IN_THE_NAME = (
    *("out", "jobs", "scheduler", "generators"),
    *("groups", "prevalence", "threshold_probability"),
)
PRETRAINING_PHANTOMS = 4000
FEWEST_OF_CLASS = 2  # validation images, which a study needs
GENERATOR_SIZE = 64  # pixels a side; in larger images a generator takes a GPU


def load(arguments, **options):
    """Loads the images that `--data` and its options name."""
    from synthkit import datasets

    for name in ("patients", "labels", "keep_aspect", "validation", "test", "group_near_duplicates", "groups"):
        options[name] = getattr(arguments, name, None)
    if arguments.command == "study" and arguments.folds:
        options["group_near_duplicates"] = None  # they are looked for among the images of all sets
    return datasets.load(arguments.data, arguments.image_size, progress=sys.stderr.isatty(), **options)


def patients_known(arguments):
    """Returns whether the data say which patient an image is of: `--patients`, a column of `--labels`, or `prepare`."""
    from synthkit.datasets.labels import read_labels

    if arguments.patients or (Path(arguments.data) / "prepare.json").exists():
        return True
    return bool(arguments.labels) and any(row.patient for row in read_labels(arguments.labels)[0].values())


def grouped(arguments):
    """Returns whether groups of images that look alike stand for patients, who are not known."""
    return arguments.group_near_duplicates and not patients_known(arguments)


def units(arguments):
    """Returns what is kept in one set and counted as patients."""
    return LOOK_ALIKE_GROUPS if grouped(arguments) else "patients"


def pretraining(arguments, splits):
    """Returns the images of `--pretrain-on`; None without it."""
    from synthkit import datasets

    source = arguments.pretrain_on
    if source is None:
        return None
    if Path(source).resolve() == Path(arguments.data).resolve():
        return splits.train
    size = splits.train.image_shape[0] if source == "phantom" or Path(source).is_dir() else None
    images = Path(source).is_dir() and not (Path(source) / "prepare.json").exists()
    options = {"keep_aspect": images and arguments.keep_aspect, "train": PRETRAINING_PHANTOMS}
    loaded = datasets.load(source, size, progress=sys.stderr.isatty(), **options)
    return dataclasses.replace(loaded.train, name=source).drawn_by(loaded.train.source)


def names(arguments):
    """Returns the names of the arms in `--arms`, or of the default ones."""
    text, phantoms = arguments.arms, arguments.data == "phantom"
    names = list(catalogue.DEFAULT_ARMS)
    if text:
        names = [catalogue.current(name.strip()) for name in text.split(",")]
        _check_folders(text, names)
    catalogue.check(names)
    if phantoms:
        return names if text else [name for name in names if name != "more_real"]
    if text and any(name.split()[:1] == ["oracle"] for name in names):
        raise ValueError("the arm oracle uses the simulator, so it exists for phantoms only; remove it from --arms")
    if not text and (arguments.fixed_training_set or (arguments.folds and arguments.command == "study")):
        names.remove("more_real")
    return [name for name in names if name != "oracle"]


def _check_folders(text, names):
    """Refuses an arm "folder:PATH" without such a folder, and says so if a comma in the path is the reason."""
    for name in names:
        path = _arm_names.folder(name)
        if path is None or Path(path).expanduser().is_dir():
            continue
        rest = text[text.index(f"folder:{path}") :].split(",")
        longer = [_arm_names.folder(",".join(rest[: i + 1]).strip()) for i in range(1, len(rest))]
        for other in longer:
            if Path(other).expanduser().is_dir():
                raise ValueError(
                    f"--arms is separated by commas, and {other} contains one: rename the folder, or link it"
                )
        raise ValueError(f"--arms: {path} is not a folder; expected one that holds a folder of images for each class")


def classifiers(arguments):
    """Returns the classifiers to choose from, as a dict from name to `catalogue.Classifier`."""
    name = arguments.classifier or ("skin_cnn" if arguments.data == "phantom" else "auto")
    if name == "auto" and arguments.folds:
        name = catalogue.AUTO[0]
        print(
            f"note: with --folds every image is tested on, so none can choose a classifier; it is {name}",
            file=sys.stderr,
        )
    if name == "auto":
        rows = {name: catalogue.CLASSIFIERS[name] for name in catalogue.AUTO}
    else:
        weights = {None: "imagenet", "none": None}.get(arguments.weights, arguments.weights)
        rows = {name: catalogue.classifier(name, weights)}
    _check_weights(arguments, name)
    without = [name for name, row in rows.items() if row.steps is None]
    given = [option for option in ("steps", "recipe", "mixed_precision") if getattr(arguments, option)]
    if without and given:
        option, others = f"--{given[0].replace('_', '-')}", [name for name in rows if name not in without]
        choice = f"name a classifier that is (--classifier {' or '.join(others)}), or " if others else ""
        raise ValueError(f"{without[0]} is not trained in steps, as {option} supposes; {choice}remove {option}")
    return {name: _sized(row, arguments.image_size) for name, row in rows.items()}


def _check_weights(arguments, name):
    if arguments.weights and not catalogue.is_application(name):
        raise ValueError(
            f"--weights are those of a Keras application (--classifier VGG16, for example); remove them. Received: "
            f"--classifier {name}"
        )


def _sized(row, image_size):
    """Returns a classifier whose network sees images at `--image-size`, if that is more than what it sees them at."""
    if not image_size or image_size <= row.image_size:
        return row
    builder = catalogue.build(row)
    return row._replace(builder=builder.at(image_size)) if hasattr(builder, "at") else row


def choose_size(arguments, rows):
    """Sets the size to which images of a folder are resized, unless it is given: the largest of these classifiers'."""
    if Path(arguments.data).is_dir() and not (Path(arguments.data) / "prepare.json").exists():
        arguments.image_size = arguments.image_size or max(row.image_size for row in rows.values())


def recipe(arguments, row, profile, images):
    """Returns the arguments of `training.Trainer` for a classifier."""
    if row.steps is None:
        return {}
    if arguments.recipe and arguments.steps:
        raise ValueError("--recipe determines the number of steps; remove --steps")
    recipe = {"steps": arguments.steps or row.steps[arguments.profile]}
    recipe["learning_rate"] = row.learning_rate or profile["learning_rate"]
    if arguments.recipe:
        recipe = catalogue.recipe(arguments.recipe, images)
    return recipe | ({"mixed_precision": True} if arguments.mixed_precision else {})


def augment(arguments, names, class_names):
    """Returns the arguments of the Augmenter: the mammography study's for its kind of images, upright ones for others.

    Masses have no up and down, and neither do phantoms, which simulate them. A chest film upside down is an image that
    no test set contains, and a left kidney, mirrored, is a right one.
    """
    settings, off = arguments.augment or {}, {}
    upright = (
        arguments.data not in ("phantom", "cbis_ddsm_crops") and not (Path(arguments.data) / "prepare.json").exists()
    )
    if upright and "vertical_flip" not in settings:
        off["vertical_flip"] = (
            "does not turn these images upside down; where up and down mean nothing, as in microscopy or crops of "
            "skin, add --augment vertical_flip=yes"
        )
    if mirrorable(class_names) is not None and "horizontal_flip" not in settings:
        off["horizontal_flip"] = (
            "does not mirror these images, since classes differ by side; where mirrored images are of the same class, "
            "add --augment horizontal_flip=yes"
        )
    if any(name in ("augmentation", "elastic") or {"augmented", "filtered"} & {*name.split()} for name in names):
        for reason in off.values():
            warnings.warn(f"augmentation {reason}", stacklevel=2)
    return {**settings, **dict.fromkeys(off, False)}


def generator_size(arguments, names, image_size):
    """Returns the pixels a side at which generators work; None is the size of the images."""
    size = arguments.generator_size or min(image_size, GENERATOR_SIZE)
    if size == image_size:
        return None
    if any(name.split()[0] in catalogue.GENERATORS for name in names):
        print(
            f"note: generators work at {size}×{size} pixels, and their images are resized to {image_size}×{image_size} "
            f"(--generator-size)",
            file=sys.stderr,
        )
    return size


def fixed(arguments, names, per_class):
    """Returns whether all seeds are trained on the same real images.

    So they are where an arm is a folder of images: whoever made these may have used all training images, and the other
    arms must have the same ones.
    """
    paths = [path for path in map(_arm_names.folder, names) if path is not None]
    if arguments.fixed_training_set or not paths or (arguments.folds and arguments.command == "study"):
        return arguments.fixed_training_set
    if per_class:
        print(
            f"note: the generator of {paths[0]} may have seen all training images, while a seed draws "
            f"{per_class} of each class; without --per-class all arms have the same",
            file=sys.stderr,
        )
        return False
    print(
        f"note: the generator of {paths[0]} may have seen all training images, so every seed is trained on all of them "
        "(--fixed-training-set)",
        file=sys.stderr,
    )
    return True


def smaller_validation(splits, per_class):
    """Returns the sets with no more validation images than a trial trains on: somebody with few would not have more.

    With `--per-class` as many of each class are drawn; otherwise there is a warning only.
    """
    images = len(splits.train) if per_class is None else per_class * len(splits.train.class_names)
    if len(splits.validation) <= images:
        return splits
    text = f"the validation set has {len(splits.validation)} images, more than the {images} that a trial trains on"
    if per_class is None:
        warnings.warn(
            f"{text}; somebody with so few would not hold back that many. --validation makes it smaller for a folder "
            "of images, and --test gives the rest to the test set",
            stacklevel=2,
        )
        return splits
    from synthkit.study import training_sets

    kept = training_sets.draw(splits.validation, per_class=max(per_class, FEWEST_OF_CLASS))
    if len(kept) < len(splits.validation):
        warnings.warn(f"{text}, of which {len(kept)} are used", stacklevel=2)
    return dataclasses.replace(splits, validation=kept)


def default_folder(arguments):
    """Returns the name of a study's folder, from the data and a digest of the options that determine its results.

    The same command, run again in the same place, has the same name and resumes the study; another one has another.
    """
    defaults, settings = vars(parser().parse_args(["study"])), {}
    for name, value in vars(arguments).items():
        if value == defaults[name] or name in NOT_IN_THE_NAME:
            continue  # so that an option that is added later changes no name
        is_path = name in ("data", "patients", "labels", "pretrain_on") and Path(value).exists()
        settings[name] = str(Path(value).resolve()) if is_path else value
    if arguments.arms:
        settings["arms"] = [name.strip() for name in arguments.arms.split(",")]
    path = Path(arguments.data)
    data = path.stem if path.suffix.lower() == ".npz" else path.resolve().name
    data = re.sub(r"[^\w.-]+", "-", data).strip("-.") or "data"
    return f"synthkit-study-{data}-{digest(settings)[:6]}"


def study_command(arguments):
    """Returns the command of a study on the same data, with the images that `generate` wrote as an arm."""
    command = ["synthkit", "study", "--data", arguments.data]
    for name in ("image_size", "patients", "labels", "validation", "test"):
        if getattr(arguments, name) is not None:
            command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    command += ["--keep-aspect"] * arguments.keep_aspect
    command += ["--group-near-duplicates"] * arguments.group_near_duplicates
    return shlex.join([*command, "--arms", f"real,augmentation,folder:{arguments.out}"])
