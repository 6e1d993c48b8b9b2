"""What the names of folders and files say: splits, masks, parts of a download, patients, grades."""

import re
import unicodedata
from pathlib import Path

SPLITS = {
    "train": {"train", "training", "trainset", "trainingset", "tr"},
    "validation": {"validation", "validationset", "valid", "val", "valset", "dev", "devset"},
    "test": {"test", "testing", "testset", "testingset"},
}
SPLIT_WORDS = {name: split for split, names in SPLITS.items() for name in names if len(name) > 2 and name != "dev"}
# Words that say nothing about a folder's class or split: "Test cases", "train_images", "training data".
FILLERS = set("set data dataset image images img imgs picture pictures case cases sample samples file files".split())
FILLERS |= set("folder split jpg jpeg png".split())
MASK_WORDS = set("mask masks segmentation segmentations seg gt groundtruth annotation annotations annotated".split())
MASK_WORDS |= set("contour contours roi rois label labels overlay overlays heatmap heatmaps bbox gradcam".split())
IMAGE_WORDS = set("image images img imgs jpg jpeg png original originals raw data".split())
PARTS = re.compile(
    r"(?:.*[\s_.-])?(?:fold|part|split|batch|chunk|set|cv|volume|vol|zip|archive)[\s_.-]?[a-z0-9]{0,3}", re.I
)
GRADES = re.compile(
    r"(?:.*[\s_.-])?(?:class|label|grade|stage|type|level|category|score|degree|b[i1]-?rads|kl|isup|phase)", re.I
)


def fold_case(name):
    """Returns a name as it is compared with others: composed Unicode (NFC), without regard to case or outer blanks."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def displayed(name):
    """Returns a name as it is shown: composed Unicode, without outer blanks."""
    return unicodedata.normalize("NFC", name).strip()


def words_of(name):
    """Returns the words and numbers in a name, in lower case: "TrainSet_01" has train, set and 01."""
    name = unicodedata.normalize("NFC", name)
    return re.findall(r"[^\W\d_]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name).casefold())


def split_of(name):
    """Returns the split that a folder's name stands for, or None."""
    plain = re.sub(r"[\s_.-]", "", fold_case(name))
    bare = "".join(word for word in words_of(name) if word not in FILLERS)
    return next((split for split, names in SPLITS.items() if plain in names or bare in names), None)


def splits_of(names):
    """Returns a dict from every folder's name to its split or None.

    Names that differ in the word for the split alone are splits, too, such as ISIC_Training_Input and ISIC_Test_Input.
    """
    splits = {name: split_of(name) for name in names}
    if any(splits.values()):
        return splits
    words = {name: [SPLIT_WORDS[word] for word in words_of(name) if word in SPLIT_WORDS] for name in names}
    rest = {tuple(word for word in words_of(name) if word not in SPLIT_WORDS) for name in names}
    if len(rest) == 1 and len(names) > 1 and all(len(found) == 1 for found in words.values()):
        return {name: found[0] for name, found in words.items()}
    return splits


def with_split_words(names):
    """Returns the names that say that a folder belongs to a split, such as train_benign; none if all say the same."""
    found = {name: frozenset(SPLIT_WORDS[word] for word in words_of(name) if word in SPLIT_WORDS) for name in names}
    return [] if len(set(found.values())) == 1 else [name for name in names if found[name]]


def are_numbered(names):
    """Returns whether names are one word with numbers that are not grades: patient17, patient23, but not grade_1."""
    stems = {re.sub(r"[\s_.-]*\d+$", "", fold_case(name)) for name in names}
    if len(stems) != 1 or not all(fold_case(name)[-1:].isdecimal() for name in names):
        return False
    (stem,) = stems
    numbers = sorted(int(re.search(r"\d+$", fold_case(name))[0]) for name in names)
    in_a_row = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    grades = in_a_row and len(numbers) <= 10 and numbers[0] in (0, 1) and (not stem or GRADES.fullmatch(stem))
    return not grades


def are_parts(names):
    """Returns whether all names are those of parts of a download or of folds: images_part_1, fold_a."""
    return all(PARTS.fullmatch(fold_case(name)) for name in names)


def says_mask(name):
    """Returns whether a folder's name says that masks or overlays are in it."""
    words = words_of(name)
    return not MASK_WORDS.isdisjoint(words) or "groundtruth" in "".join(words)


def says_image(name):
    """Returns whether a folder's name says no more than that images are in it."""
    return not IMAGE_WORDS.isdisjoint(words_of(name)) and not says_mask(name)


def base_names(file):
    """Returns what an image's name may be, if its file is a mask or overlay: that of "benign (4)_mask_1.png" benign, 4.

    Names are tuples of words without those for an image or a mask. An image gets its own name alone.

    Returns:
        `(names, mask)`: a set, and whether the name has a word for a mask.
    """
    words = words_of(Path(file).stem)
    places = [i for i, word in enumerate(words) if word in MASK_WORDS]
    kept = tuple(word for word in words if word not in IMAGE_WORDS | MASK_WORDS)
    if not places:
        return {kept}, False
    return {kept, tuple(word for word in words[: places[0]] if word not in IMAGE_WORDS)}, True
