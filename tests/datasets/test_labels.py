import pytest

from synthkit.datasets import folders, labels
from tests.datasets.test_layout import picture

ISIC = "image,MEL,NV,BCC\n" + "\n".join(f"ISIC_{i:07},{i % 3 == 0:d},{i % 3 == 1:d},{i % 3 == 2:d}" for i in range(30))
HAM = "lesion_id,image_id,dx,age\n" + "\n".join(
    f"HAM_{i // 2},ISIC_{i:07},{'mel' if i % 4 < 2 else 'nv'},50" for i in range(40)
)


@pytest.fixture
def images(tmp_path):
    for i in range(40):
        picture(tmp_path / "set" / f"part_{1 + i // 20}" / f"ISIC_{i:07}.jpg", i)
    return tmp_path / "set"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_ham10000(images, tmp_path):
    path = write(tmp_path / "ham.csv", HAM)
    splits = folders.load(images, 20, labels=path)
    assert splits.train.class_names == ("mel", "nv")
    assert sum(map(len, splits)) == 40
    assert len({patient for part in splits for patient in part.patients}) == 20


def test_one_hot_columns(images, tmp_path):
    path = write(tmp_path / "isic.csv", ISIC)
    with pytest.warns(UserWarning, match="names 30 of 40 images; .* for example part_2/ISIC_0000030"):
        splits = folders.load(images, 20, labels=path, patients="(.+)")
    assert splits.train.class_names == ("BCC", "MEL", "NV")
    assert sum(map(len, splits)) == 30


@pytest.mark.parametrize(
    ("name", "separator"),
    [("part_{part}/ISIC_{i:07}.jpg", ","), ("part_{part}\\ISIC_{i:07}.jpg", ";"), ("./part_{part}/ISIC_{i:07}", "\t")],
)
def test_ways_to_write_a_file(images, tmp_path, name, separator):
    rows = [f"{name.format(part=1 + i // 20, i=i)}{separator}{'ab'[i % 2]}" for i in range(40)]
    path = write(tmp_path / "t.csv", "\n".join([f"File{separator}Label", *rows]))
    with pytest.warns(UserWarning, match="no patients"):
        assert sum(map(len, folders.load(images, 20, labels=path))) == 40


def test_splits_of_the_table(images, tmp_path):
    split = ["Train"] * 24 + ["val"] * 8 + ["TEST"] * 8
    rows = [f"ISIC_{i:07},{'ab'[i % 2]},{split[i]}" for i in range(40)]
    path = write(tmp_path / "t.csv", "\n".join(["image_id,label,split", *rows]))
    with pytest.warns(UserWarning, match="no patients"):
        assert [len(part) for part in folders.load(images, 20, labels=path)] == [24, 8, 8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,dx\nISIC_0000001,nv\nISIC_0000001,mel\n", "line 3: ISIC_0000001 appears twice"),
        ("image_id,dx,patient\nISIC_0000001,nv,P1\nISIC_0000001,nv,P2\n", "line 3: ISIC_0000001 appears twice"),
        ("image_id,dx\nISIC_0000001,\n", "line 2: dx is empty, as in 1 of 1 rows"),
        ("image_id,age\nISIC_0000001,50\n", "has no column for the class"),
        ("dx,age\nnv,50\n", "has no column for the file"),
        ("image,A,B\nISIC_0000001,1,1\n", "line 2: exactly one of A, B must be 1"),
        ("image,label,split\nISIC_0000001,a,third\n", "split must be train, validation or test. Received: 'third'"),
        (
            "image,label\nelsewhere,a\n",
            "names none of the 40 images: it has elsewhere, where files are called part_1/ISIC",
        ),
    ],
)
def test_tables_that_do_not_fit(images, tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        folders.load(images, 20, labels=write(tmp_path / "t.csv", text))


def test_a_name_that_fits_two_files(images, tmp_path):
    picture(images / "part_2" / "ISIC_0000001.jpg", 99)
    with pytest.raises(ValueError, match="ISIC_0000001 fits several files"):
        folders.load(images, 20, labels=write(tmp_path / "t.csv", HAM))


def test_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.csv does not exist"):
        labels.read_labels(tmp_path / "nothing.csv")
