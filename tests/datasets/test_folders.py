import numpy as np
import pytest
from PIL import Image

from synthkit.datasets import folders, reading


def picture(path, seed, size=(40, 40), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if mode == "RGB" else size
    pixels = np.random.default_rng(seed).integers(0, 256, shape)
    if mode == "I;16":
        Image.fromarray((pixels * 257).astype("uint16")).save(path)
    else:
        Image.fromarray(pixels.astype("uint8"), mode=None).save(path)


@pytest.fixture
def root(tmp_path):
    for label in ("benign", "malignant"):
        for i in range(20):
            picture(tmp_path / "skin" / label / f"p{i // 2:02}_{i}.png", 1000 * len(label) + i)
    return tmp_path / "skin"


def load(root, **options):
    return folders.load(root, 24, patients=options.pop("patients", r"(\w+)/p(\d+)_"), **options)


class TestSplitting:
    def test_class_folders(self, root):
        splits = load(root)
        assert [len(images) for images in splits] == [28, 4, 8]
        assert splits.train.class_names == ("benign", "malignant")
        assert splits.train.image_shape == (24, 24, 1)
        assert set(splits.train.patients) <= {f"{label}-{i:02}" for label in ("benign", "malignant") for i in range(10)}

    def test_train_and_test_folders(self, root, tmp_path):
        for label in ("benign", "malignant"):
            picture(tmp_path / "two" / "test" / label / "p99_x.jpg", len(label))
        (tmp_path / "two" / "train").parent.mkdir(exist_ok=True)
        root.rename(tmp_path / "two" / "train")
        splits = load(tmp_path / "two", patients=r"(\w+)/(\w+)/p(\d+)_")
        assert len(splits.test) == 2
        assert len(splits.train) + len(splits.validation) == 40
        assert 2 <= len(splits.validation) <= 6

    def test_copies_are_left_out_of_the_earlier_split(self, root, tmp_path):
        picture(tmp_path / "two" / "test" / "malignant" / "p99_x.png", 1)
        (tmp_path / "two" / "test" / "benign").mkdir()
        copied = next(iter(sorted((root / "benign").iterdir())))
        (tmp_path / "two" / "test" / "benign" / "p98_y.png").write_bytes(copied.read_bytes())
        root.rename(tmp_path / "two" / "train")
        with pytest.warns(UserWarning, match="1 of 40 images are also in two test"):
            splits = load(tmp_path / "two", patients=r"(\w+)/(\w+)/p(\d+)_")
        assert len(splits.train) + len(splits.validation) == 39

    def test_without_patients_it_warns(self, root):
        with pytest.warns(UserWarning, match="no patients are given"):
            splits = folders.load(root, 24)
        assert len(np.unique(splits.train.patients)) == len(splits.train)

    def test_patients_from_a_table(self, root, tmp_path):
        files = sorted(file.relative_to(root).as_posix() for file in root.rglob("*.png"))
        rows = "\n".join(f"{file},{i % 7}{file[0]}" for i, file in enumerate(files))
        (tmp_path / "patients.csv").write_text(f"file,patient\n{rows}\n")
        splits = load(root, patients=tmp_path / "patients.csv")
        assert len(set(np.concatenate([images.patients for images in splits]))) == 14
        (tmp_path / "patients.csv").write_text(f"file,patient\n{files[0]},1\n")
        with pytest.raises(ValueError, match=f"gives no patient for 39 files, for example {files[1]}"):
            load(root, patients=tmp_path / "patients.csv")
        (tmp_path / "patients.csv").write_text("kind,patient\n")
        with pytest.raises(ValueError, match="must have the columns file and patient"):
            load(root, patients=tmp_path / "patients.csv")

    @pytest.mark.parametrize("pattern", ["nowhere(x)", "p"])
    def test_pattern_that_finds_no_patient(self, root, pattern):
        with pytest.raises(
            ValueError, match=r"finds no patient, that is, no group, in 40 files, for example benign/p00_0"
        ):
            load(root, patients=pattern)

    def test_invalid_pattern(self, root):
        with pytest.raises(ValueError, match="not a regular expression"):
            load(root, patients="(")


class TestReading:
    def test_grey_values_survive(self, tmp_path):
        picture(tmp_path / "a.png", 1, (24, 24))
        read = reading.read_image(tmp_path / "a.png")
        assert (read == np.random.default_rng(1).integers(0, 256, (24, 24))).all()

    def test_sixteen_bits_become_eight(self, tmp_path):
        picture(tmp_path / "a.png", 1, (24, 24), "I;16")
        assert (reading.read_image(tmp_path / "a.png") == np.random.default_rng(1).integers(0, 256, (24, 24))).all()

    def test_colour_is_detected(self, root):
        for i, file in enumerate(sorted(root.rglob("*.png"))):
            picture(file, i, mode="RGB")
        assert load(root).train.image_shape == (24, 24, 3)
        assert load(root, color=False).train.image_shape == (24, 24, 1)

    @pytest.mark.parametrize("content", [b"", b"not an image", None])
    def test_broken_file_is_named(self, root, content):
        broken = root / "benign" / "p00_0.jpg"
        picture(broken, 3)
        broken.write_bytes(broken.read_bytes()[:300] if content is None else content)
        with pytest.raises(ValueError, match=r"1 of 41 files cannot be read as images:\n.*p00_0.jpg cannot be read"):
            load(root)

    def test_one_class(self, root):
        for file in (root / "benign").iterdir():
            file.unlink()
        with pytest.raises(ValueError, match="holds one folder with images, malignant. A study needs at least two"):
            load(root)

    def test_other_files_are_counted(self, root):
        (root / "benign" / "notes.txt").write_text("x")
        with pytest.warns(UserWarning, match="1 files are not images and were left out, for example benign/notes.txt"):
            load(root)

    def test_no_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="none is not a folder"):
            folders.load(tmp_path / "none")

    def test_real_crops(self, real_data):
        crops = real_data("cbis_ddsm/mass_crops_224")
        # These crops come without patients, so ten consecutive files count as one.
        splits = folders.load(crops, 32, patients=r"(\w+)/(\d*)\d\.jpg")
        assert sum(map(len, splits)) == 1675
        assert sum(images.class_counts()["malignant"] for images in splits) == 772
