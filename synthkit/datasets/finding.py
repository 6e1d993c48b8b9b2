"""Which files below a folder are its images, and which accompany them: masks, overlays, documents, broken links."""

import os
import re
from pathlib import Path

from synthkit._files import check_name
from synthkit.datasets import folder_names
from synthkit.datasets.folder_names import fold_case
from synthkit.datasets.reading import SUFFIXES, is_image

DOCUMENTS = set(".txt .csv .tsv .xml .json .md .html .htm .pdf .yaml .yml .xls .xlsx .ini .db .log .rtf .doc".split())
DOCUMENTS |= set(".docx .py .ipynb".split())
JUNK = set("__macosx @eadir $recycle.bin __pycache__ thumbs.db desktop.ini icon\r".split(" "))  # systems' own
CARD_PICTURES = {("contact_sheet.png",), ("nearest_pairs.png",)}  # written by `generate`; not images of the set
MASKS = "masks or overlays beside their images"
DIRECTORIES = {"dicomdir"}  # tables of contents in the format of DICOM
READABLE = ", ".join(sorted(suffix.lstrip(".") for suffix in SUFFIXES))


def files_below(root):
    """Returns the files below a folder, without hidden ones, following links but no cycles.

    Returns:
        `(paths, notes)`: paths relative to `root` as tuples of their parts, in order, and sentences about links.
    """
    root, paths, cycles, broken = Path(root), [], [], []
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder")
    pending = [((), (os.path.realpath(root),))]
    while pending:
        parts, ancestors = pending.pop()
        for entry in list(os.scandir(root.joinpath(*parts))):
            if entry.name.startswith(".") or entry.name.lower() in JUNK:
                continue
            check_name(Path(*parts, entry.name))
            if re.search(r"[\x00-\x1f\x7f]", entry.name):
                raise ValueError(f"{root}: the name {entry.name!r} contains control characters; rename it")
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real in ancestors:
                    cycles.append((*parts, entry.name))
                else:
                    pending.append(((*parts, entry.name), (*ancestors, real)))
            elif entry.is_file():
                paths.append((*parts, entry.name))
            else:
                broken.append((*parts, entry.name))
    notes = []
    for links, what in ((cycles, "lead back to a folder above"), (broken, "lead nowhere")):
        if links:
            notes.append(f"{root}: {len(links)} links {what} and were left out, for example {'/'.join(min(links))}")
    return sorted(paths), notes


def find_images(root):
    """Finds the images below a folder.

    Returns:
        `(images, others, notes)`: paths relative to `root` as tuples of their parts, of images and of other files but
        masks and overlays of these images; sentences about these, about links and about names to look at.

    Raises:
        ValueError: if there are no images.
    """
    images, companions, others, notes = sort_files(root)
    if not images:
        refuse_none(root, others)
    notes += left_out(root, companions, MASKS)
    return images, others, notes + namesakes(root, images)


def sort_files(root):
    """Sorts the files below a folder by what they are.

    Returns:
        `(images, companions, others, notes)`: paths as in `find_images`, of images, of the masks and overlays that
        accompany some of them, and of all other files; sentences about links.
    """
    paths, notes = files_below(root)
    images = [path for path in paths if path not in CARD_PICTURES and looks_like_image(Path(root, *path))]
    others = sorted(set(paths) - set(images))
    return *_without_companions(images), others, notes


def refuse_none(root, others):
    """Refuses a folder without images; says what its other files are."""
    archives = [path for path in others if path[-1].lower().endswith((".zip", ".tar", ".gz", ".7z", ".rar"))]
    arrays = [path for path in others if path[-1].lower().endswith(".npz")]
    extra = f"; unpack {'/'.join(archives[0])} first" if archives else ""
    extra += f"; did you mean {Path(root, *arrays[0])}?" if arrays else ""
    strange = unreadable(others)
    if strange and not extra:
        extra = f" that can be read ({READABLE}), only {len(strange)} other files, for example {'/'.join(strange[0])}"
    raise ValueError(f"{root} holds no images{extra}. Expected a folder of images for each class")


def unreadable(others):
    """Returns the files that are no documents: they may be images of a format that cannot be read."""
    return [path for path in others if Path(path[-1]).suffix.lower() not in DOCUMENTS]


def left_out(root, paths, what="files are not images and"):
    """Returns a note that counts files that were left out and names one; none if there are none."""
    return [f"{root}: {len(paths)} {what} were left out, for example {'/'.join(paths[0])}"] if paths else []


def looks_like_image(file):
    """Returns whether a file is an image by its suffix, or, if it has another or none, by its first bytes."""
    suffix = file.suffix.lower()
    if suffix in DOCUMENTS or file.name.lower() in DIRECTORIES:
        return False
    return suffix in SUFFIXES or is_image(file)


def _without_companions(images):
    """Returns the images, and the masks and overlays that accompany some of them."""
    folders, beside = {}, {}
    for path in images:
        names, mask = folder_names.base_names(path[-1])
        if not mask:
            folders.setdefault(path[:-1], set()).update(names)
        for i in range(1, len(path)):
            beside.setdefault(path[: i - 1], set()).add(path[i - 1])
    in_mask_folders = {
        (*parent, name)
        for parent, names in beside.items()
        for name in names
        if folder_names.says_mask(name) and (parent in folders or any(map(folder_names.says_image, names)))
    }

    def is_companion(path):
        names, mask = folder_names.base_names(path[-1])
        return (mask and not names.isdisjoint(folders.get(path[:-1], ()))) or any(
            path[:i] in in_mask_folders for i in range(1, len(path))
        )

    flags = [is_companion(path) for path in images]
    return (
        [path for path, flag in zip(images, flags, strict=True) if not flag],
        [path for path, flag in zip(images, flags, strict=True) if flag],
    )


def namesakes(root, images):
    """Returns a note on images that are called like another one with something added, or with another suffix."""
    stems, pairs = {}, {}
    for path in images:
        stems.setdefault((path[:-1], fold_case(_stem(path))), path)
    for path in images:
        stem = fold_case(_stem(path))
        added = re.search(r"[\s_.-]+[^\W\d_]+\d*$", stem)
        for base in (stem, stem[: added.start()]) if added else (stem,):
            other = stems.get((path[:-1], base), path)
            if other != path:
                pairs.setdefault(stem[len(base) :], []).append((path, other))
    notes = []
    for added, found in pairs.items():
        if len(found) > few(len(images)):
            path, other = found[0]
            notes.append(
                f"{root}: {len(found)} images are called like others{f' with {added} added' if added else ''}, for "
                f"example {'/'.join(path)} and {'/'.join(other)}. If they show the same, move them out; if they are of "
                "one patient, say so with --patients"
            )
    return notes


def _stem(path):
    return Path(path[-1]).stem if Path(path[-1]).suffix.lower() in SUFFIXES else path[-1]


def few(count):
    """Returns how many files of a class of `count` images may be left out with a note alone."""
    return max(3, count // 20)
