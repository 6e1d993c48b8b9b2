"""Which files below a folder are its images, and what accompanies them."""

import pytest

from synthkit.datasets.finding import find_images
from synthkit.datasets.layout import arrange
from tests.datasets.test_layout import picture, tree


def test_hidden_folders_and_rubbish_are_left_out(tmp_path):
    tree(tmp_path, "a", "b", ".ipynb_checkpoints", "a/.thumbs", "__MACOSX/a")
    entries, notes = arrange(tmp_path)
    assert len(entries) == 8
    assert notes == []


def test_links_are_followed_and_cycles_are_not(tmp_path):
    tree(tmp_path / "set", "a", "b")
    tree(tmp_path / "disk", "more")
    (tmp_path / "set" / "a" / "link").symlink_to(tmp_path / "disk" / "more")
    (tmp_path / "set" / "b" / "back").symlink_to(tmp_path / "set")
    entries, notes = arrange(tmp_path / "set")
    assert len(entries) == 12
    assert len(notes) == 1
    assert "1 links lead back to a folder above and were left out, for example b/back" in notes[0]


@pytest.mark.parametrize(
    "name", ["{}_mask", "{}_Mask_2", "{}-segmentation", "{} mask", "{}_gt", "mask_{}", "{}_overlay", "{}_Annotated"]
)
def test_masks_beside_their_images(tmp_path, name):
    tree(tmp_path, "a", "b")
    for i in range(4):
        picture(tmp_path / "a" / f"{name.format(i)}.png", levels=(0, 2))
    entries, notes = arrange(tmp_path)
    assert len(entries) == 8
    assert "4 masks or overlays beside their images were left out" in notes[0]


def test_mask_folders_beside_images(tmp_path):
    tree(tmp_path, "a/images", "a/masks", "b/images", "b/Mask")
    entries, notes = arrange(tmp_path)
    assert len(entries) == 8
    assert "8 masks" in notes[0]


def test_a_file_that_only_ends_like_a_mask_stays(tmp_path):
    tree(tmp_path, "a", "b")
    picture(tmp_path / "a" / "unpaired_mask.png")
    assert len(arrange(tmp_path)[0]) == 9


def test_many_files_that_cannot_be_read(tmp_path):
    tree(tmp_path, "a", "b", count=8)
    for i in range(6):
        (tmp_path / "a" / f"{i}.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    with pytest.raises(ValueError, match="6 files of a cannot be read as images, for example a/0.heic; 8 can"):
        arrange(tmp_path)


def test_documents_are_noted(tmp_path):
    tree(tmp_path, "a", "b")
    for i in range(9):
        (tmp_path / "a" / f"{i}.xml").write_text("<x/>")
    assert "9 files are not images and were left out, for example a/0.xml" in arrange(tmp_path)[1][0]


@pytest.mark.parametrize("names", [("images", "masks"), ("lung images", "lung masks"), ("img", "Ground Truth")])
def test_mask_folders_of_other_names(tmp_path, names):
    tree(tmp_path, *(f"{label}/{name}" for label in "ab" for name in names))
    images, _, notes = find_images(tmp_path)
    assert {path[1] for path in images} == {names[0]}
    assert "8 masks or overlays" in notes[0]


def test_image_and_mask_of_a_case(tmp_path):
    for case in range(6):
        picture(tmp_path / "ab"[case % 2] / f"case{case}" / "image.png", case)
        picture(tmp_path / "ab"[case % 2] / f"case{case}" / "mask.png", case, levels=(0, 2))
    assert {path[-1] for path in find_images(tmp_path)[0]} == {"image.png"}


@pytest.mark.parametrize(("name", "added"), [("{}_flipped.png", " with _flipped added"), ("{}.jpg", "")])
def test_images_called_like_others_are_noted(tmp_path, name, added):
    tree(tmp_path, "a", "b", count=6)
    for i in range(6):
        picture(tmp_path / "a" / name.format(i), 50 + i)
    images, _, notes = find_images(tmp_path)
    assert len(images) == 18
    assert f"6 images are called like others{added}, for example a/" in notes[0]


def test_views_that_are_called_alike_are_no_copies(tmp_path):
    for i in range(12):
        for view in ("CC", "MLO"):
            picture(tmp_path / "ab"[i % 2] / f"P{i}_{view}.png", i)
    assert find_images(tmp_path)[2] == []


def test_links_that_lead_nowhere_are_noted(tmp_path):
    tree(tmp_path, "a", "b")
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert "1 links lead nowhere and were left out, for example a/gone.png" in find_images(tmp_path)[2][0]


def test_tables_of_contents_of_dicom_folders_are_no_images(tmp_path):
    tree(tmp_path, "a", "b")
    (tmp_path / "a" / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(100))
    images, others, _ = find_images(tmp_path)
    assert len(images) == 8
    assert others == [("a", "DICOMDIR")]


def test_rubbish_of_systems_is_left_out_like_hidden_files(tmp_path):
    tree(tmp_path, "a", "b")
    for name in ("Thumbs.db", "desktop.ini", "Icon\r", ".DS_Store", "._0.png"):
        (tmp_path / "a" / name).write_bytes(b"x")
    images, others, notes = find_images(tmp_path)
    assert (len(images), others, notes) == (8, [], [])


def test_control_characters_in_a_name(tmp_path):
    tree(tmp_path, "a", "b")
    (tmp_path / "a" / "x\ty.png").touch()
    with pytest.raises(ValueError, match=r"the name 'x\\ty.png' contains control characters; rename it"):
        find_images(tmp_path)
