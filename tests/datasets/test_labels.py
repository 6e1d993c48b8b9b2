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


def test_columns_taken_for_classes_are_said_beside_others(tmp_path):
    rows = "".join(f"{i},{i % 2},{1 - i % 2},{'xyz'[i % 3]}\n" for i in range(6))
    path = write(tmp_path / "t.csv", "image,male,female,histology\n" + rows)
    rows, (note,) = labels.read_labels(path)
    assert [row.label for row in rows.values()] == ["female", "male"] * 3
    assert note == (
        f"{path}: the classes are the columns of 0 and 1, male, female, since none is called label; to use another "
        "column instead, rename it to label"
    )
    rows, notes = labels.read_labels(write(path, path.read_text().replace("histology", "label")))
    assert ([row.label for row in rows.values()], notes) == (list("xyzxyz"), [])


@pytest.mark.parametrize("others", [{}, {"": 0}, {"lesion_id": "L1"}, {"split": "train", "Patient ID": "P1"}])
def test_nothing_is_said_of_classes_beside_known_columns(tmp_path, others):
    text = ",".join([*others, "image,MEL,NV"]) + "\n" + ",".join([*map(str, others.values()), "1.jpg,1,0"])
    rows, notes = labels.read_labels(write(tmp_path / "t.csv", text))
    assert ([row.label for row in rows.values()], notes) == (["MEL"], [])


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
        (
            "image,A,B\nISIC_0000001,1,1\n",
            "line 2: exactly one of A, B must be 1, .* in 1 of 1 rows. If one column holds the class, rename it to",
        ),
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


@pytest.mark.parametrize(
    ("text", "options", "parts"),
    [
        # Excel's "Unicode text"; another computer's paths, in capital letters; pandas's numbers; blanks and case.
        ("File name\tDiagnosis\r\n{0}", {"encoding": "utf-16", "name": "{i}.jpg\t{c}\r\n"}, ("a", "b")),
        (
            "Image_Path;Target\n{0}",
            {"encoding": "utf-8-sig", "name": "C:\\My data\\part_{p}\\{i}.JPG;{d}\n"},
            ("0", "1"),
        ),
        (",image,label\n{0}", {"name": "{n},{i},{d}.0\n"}, ("0", "1")),
        ("file,label,,\n{0}", {"name": "set/part_{p}/{i}.jpg , {v} ,,\n"}, ("Benign", "malignant")),
        ("file,label\n{0}", {"name": '"{i}.jpg","None, {d}"\n'}, ("None, 0", "None, 1")),
    ],
)
def test_tables_of_other_programs(images, tmp_path, text, options, parts):
    rows = "".join(
        options["name"].format(
            n=i,
            i=f"ISIC_{i:07}",
            p=1 + i // 20,
            c="ab"[i % 2],
            d=i % 2,
            v=("Benign", "malignant")[i % 2],
        )
        for i in range(40)
    )
    (tmp_path / "t.csv").write_bytes(text.format(rows).encode(options.get("encoding", "utf-8")))
    splits = folders.load(images, 20, labels=tmp_path / "t.csv", patients="(.+)")
    assert splits.train.class_names == parts
    assert sum(map(len, splits)) == 40


def test_spellings_of_a_class(images, tmp_path):
    rows = "".join(f"ISIC_{i:07},{('Benign', 'malignant', 'benign ', 'MALIGNANT')[i % 4]}\n" for i in range(40))
    splits = folders.load(images, 20, labels=write(tmp_path / "t.csv", "image,label\n" + rows), patients="(.+)")
    assert splits.train.class_names == ("Benign", "malignant")


def test_a_class_called_none_is_a_class(images, tmp_path):
    rows = "".join(f"ISIC_{i:07},{('None', 'NA')[i % 2]}\n" for i in range(40))
    splits = folders.load(images, 20, labels=write(tmp_path / "t.csv", "image,label\n" + rows), patients="(.+)")
    assert splits.train.class_names == ("NA", "None")


def test_a_column_of_sources_is_no_split(images, tmp_path):
    head, *rows = HAM.splitlines()
    text = "\n".join([head + ",dataset", *(row + ",vidir_modern" for row in rows)])
    assert sum(map(len, folders.load(images, 20, labels=write(tmp_path / "t.csv", text)))) == 40


def test_two_columns_of_classes_are_said(images, tmp_path):
    rows = "".join(f"ISIC_{i:07},{i % 2},{'xyz'[i % 3]}\n" for i in range(40))
    path = write(tmp_path / "t.csv", "image,label,diagnosis\n" + rows)
    with pytest.warns(UserWarning, match="classes are those of the column label; to use diagnosis instead, remove"):
        assert folders.load(images, 20, labels=path, patients="(.+)").train.class_names == ("0", "1")


def test_rows_without_files_are_counted(images, tmp_path):
    path = write(tmp_path / "t.csv", HAM + "\nHAM_99,ISIC_9999998,nv,50\nHAM_99,ISIC_9999999,nv,50\n")
    with pytest.warns(UserWarning, match=r"names 2 files that .*set does not have, for example ISIC_9999998"):
        assert sum(map(len, folders.load(images, 20, labels=path))) == 40


def test_masks_beside_labelled_images_are_left_out(images, tmp_path):
    for i in range(40):
        picture(images / "masks" / f"ISIC_{i:07}.jpg", i, levels=(0, 2))
    for part in (1, 2):
        (images / f"part_{part}").rename(images / f"images_{part}")
    with pytest.warns(UserWarning, match="40 masks or overlays"):
        assert sum(map(len, folders.load(images, 20, labels=write(tmp_path / "t.csv", HAM)))) == 40


@pytest.mark.parametrize("name", ["{}_roi", "{}_annotated", "{}_seg", "masks/{}"])
def test_files_that_the_table_names_are_images_whatever_they_are_called(tmp_path, name):
    stems = [name.format(f"P{i}") for i in range(20)] + [f"P{i}" for i in range(20)]
    for i, stem in enumerate(stems):
        picture(tmp_path / "set" / f"{stem}.png", i)
    rows = "".join(f"{stem}.png,{'ab'[i % 2]}\n" for i, stem in enumerate(stems) if i != 3)
    path = write(tmp_path / "t.csv", "image,label\n" + rows)
    entries, _, notes = folders.find(tmp_path / "set", path)
    assert {entry.name for entry in entries} == {f"{stem}.png" for stem in stems} - {f"{stems[3]}.png"}
    assert notes == [
        f"{tmp_path / 'set'}: 1 masks or overlays beside their images were left out, for example {stems[3]}.png",
        f"{path} names 19 files that are called like masks or overlays of others, for example {stems[0]}.png; they are "
        "used as images. If they are masks, remove their rows",
    ]


class TestFilesThatCannotBeRead:
    def find(self, images, tmp_path, count, name="{}", suffix="jp2"):
        for i in range(40, 40 + count):
            (images / f"ISIC_{i:07}.{suffix}").write_bytes(b"\0\0\0\x0cjP  ")
        files = [f"ISIC_{i:07}" for i in range(40)] + [name.format(f"ISIC_{i:07}") for i in range(40, 40 + count)]
        rows = "".join(f"{file},{'ab'[i % 2] if i < 40 else 'b'}\n" for i, file in enumerate(files))
        return folders.find(images, write(tmp_path / "t.csv", "image,label\n" + rows))

    @pytest.mark.parametrize(
        ("name", "suffix"), [("{}", "jp2"), ("{}.gif", "gif"), ("data/set/{}.GIF", "gif"), ("{}", "nii.gz")]
    )
    def test_a_few_are_left_out_with_a_note(self, images, tmp_path, name, suffix):
        entries, _, notes = self.find(images, tmp_path, 3, name, suffix)
        assert len(entries) == 40
        assert len(notes) == 1
        assert "3 files that " in notes[0]
        assert "t.csv names are of none of the formats that can be read (bmp, dcm, " in notes[0]
        assert notes[0].endswith(f"and were left out, for example ISIC_0000040.{suffix}")

    def test_many_of_a_class_are_refused(self, images, tmp_path):
        message = "t.csv: 4 files of class b cannot be read as images, for example ISIC_0000040.jp2; 20 can. Convert"
        with pytest.raises(ValueError, match=f"{message} them to bmp, .*, or remove their rows"):
            self.find(images, tmp_path, 4)

    def test_a_class_without_others_is_refused(self, images, tmp_path):
        (images / "G.gif").write_bytes(b"GIF89a")
        with pytest.raises(ValueError, match="1 files of class c cannot be read as images, for example G.gif; 0 can"):
            folders.find(images, write(tmp_path / "t.csv", "image,label\nISIC_0000001,a\nISIC_0000002,b\nG.gif,c\n"))

    def test_files_beside_an_image_say_nothing(self, images, tmp_path):
        (images / "part_1" / "ISIC_0000001.npy").touch()
        (images / "ISIC_0000002").touch()
        assert self.find(images, tmp_path, 0)[2] == []


class TestFoldersAndTable:
    def test_an_empty_folder_of_a_split(self, images, tmp_path):
        (images / "part_1").rename(images / "train")
        (images / "part_2").rename(images / "test")
        rows = "".join(f"\nISIC_{i:07},{'ab'[i % 2]}" for i in range(20))
        entries, _, (note,) = folders.find(images, self.table(tmp_path, rows))  # the test set has images, if no labels
        assert {entry.split for entry in entries} == {"train"}
        assert "names 20 of 40 images" in note
        (images / "test").rename(tmp_path / "elsewhere")
        (images / "test").mkdir()
        with pytest.raises(ValueError, match="test is the folder of the test set, but holds no images"):
            folders.find(images, self.table(tmp_path, rows))

    def table(self, tmp_path, text):
        return write(tmp_path / "t.csv", "image,label" + text)

    def test_a_table_that_contradicts_class_folders(self, images, tmp_path):
        for part, name in ((1, "a"), (2, "b")):
            (images / f"part_{part}").rename(images / name)
        rows = "".join(f"\nISIC_{i:07},{'ab'[(i // 20) ^ (i == 3)]}" for i in range(40))
        with pytest.raises(
            ValueError, match="gives a/ISIC_0000003.jpg the class b, and its folder says another, as for 1"
        ):
            folders.load(images, 20, labels=self.table(tmp_path, rows), patients="(.+)")

    def test_folders_of_splits_are_used(self, images, tmp_path):
        for part, name in ((1, "Train"), (2, "test")):
            (images / f"part_{part}").rename(images / name)
        rows = "".join(f"\nISIC_{i:07},{'ab'[i % 2]}" for i in range(40))
        splits = folders.load(images, 20, labels=self.table(tmp_path, rows), patients="(.+)", validation=4)
        assert [len(part) for part in splits] == [16, 4, 20]

    def test_a_table_that_contradicts_folders_of_splits(self, images, tmp_path):
        for part, name in ((1, "Train"), (2, "test")):
            (images / f"part_{part}").rename(images / name)
        rows = ",split" + "".join(f"\nISIC_{i:07},{'ab'[i % 2]},train" for i in range(40))
        with pytest.raises(
            ValueError, match="puts test/ISIC_0000020.jpg into the train set, and its folder into the test"
        ):
            folders.load(images, 20, labels=self.table(tmp_path, rows), patients="(.+)")

    def test_a_patient_in_two_splits(self, images, tmp_path):
        rows = ",patient,split" + "".join(
            f"\nISIC_{i:07},{'ab'[i % 2]},P{i // 21},{'train' if i < 20 else 'test'}" for i in range(40)
        )
        with pytest.raises(
            ValueError, match="1 patients have images in several splits, for example P0 in test and train"
        ):
            folders.load(images, 20, labels=self.table(tmp_path, rows))

    def test_patients_of_the_command_line_win(self, images, tmp_path):
        splits = folders.load(images, 20, labels=write(tmp_path / "t.csv", HAM), patients=r"(\d)\.jpg")
        assert {patient for part in splits for patient in part.patients} == set("0123456789")


class TestFiles:
    def names(self):
        return [f"{site}/{i}.png" for site in ("lyon", "graz") for i in range(2)]

    @pytest.mark.parametrize("key", ["graz/1.png", "GRAZ/1", "C:/data/graz/1.png"])
    def test_of_one_name_in_two_folders(self, key):
        assert labels.match("t.csv", {key: "row"}, self.names()) == ({"graz/1.png": "row"}, [])

    def test_that_are_called_otherwise_do_not_fit(self):
        matched, missing = labels.match("t.csv", {"linz/1.png": "a", "graz/0.png": "b"}, self.names())
        assert (matched, missing) == ({"graz/0.png": "b"}, ["linz/1.png"])

    def test_that_two_rows_fit(self):
        with pytest.raises(ValueError, match="1.png has two rows, lyon/1.png and graz/1.png; give their paths"):
            labels.match("t.csv", {"lyon/1.png": "a", "graz/1.png": "a"}, ["1.png"])


def test_patients_by_other_columns(images, tmp_path):
    splits = folders.load(
        images,
        20,
        labels=write(tmp_path / "l.csv", HAM.replace("lesion_id", "number")),
        patients=write(tmp_path / "p.csv", HAM),
    )
    assert len({patient for part in splits for patient in part.patients}) == 20


def test_a_name_that_fits_two_files(images, tmp_path):
    picture(images / "part_2" / "ISIC_0000001.jpg", 99)
    with pytest.raises(ValueError, match="ISIC_0000001 fits several files"):
        folders.load(images, 20, labels=write(tmp_path / "t.csv", HAM))


def test_no_table(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.csv does not exist"):
        labels.read_labels(tmp_path / "nothing.csv")


def test_a_table_of_patients_with_another_suffix(images, tmp_path):
    options = {"labels": write(tmp_path / "l.csv", HAM.replace("lesion_id", "number"))}
    path = write(tmp_path / "patients.txt", HAM.replace(",", "\t"))
    splits = folders.load(images, 20, patients=path, **options)
    assert len({patient for part in splits for patient in part.patients}) == 20
    with pytest.raises(FileNotFoundError, match="nothing.tsv does not exist"):
        folders.load(images, 20, patients=tmp_path / "nothing.tsv", **options)
    with pytest.raises(ValueError, match=r"separated by commas or tabs.*Received: file;patient"):
        labels.read_patients(write(tmp_path / "excel.csv", "file;patient\na.png;P1\n"))


def test_a_table_in_another_encoding(tmp_path):
    (tmp_path / "t.csv").write_bytes("image,label\n1,złośliwy\n".encode("cp1250"))
    with pytest.raises(ValueError, match='invalid start byte at byte 15; save it as "CSV UTF-8"'):
        labels.read_labels(tmp_path / "t.csv")
