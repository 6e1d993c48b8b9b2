"""Files of 16 bits, whose pixels are computed here and written byte by byte or by another library."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from synthkit.datasets import folders, reading


def noise(*shape):
    return np.random.default_rng(0).integers(0, 4096, shape).astype("uint16")


def png(pixels, color_type, orientation=1):
    """Returns a PNG file of 16 bits: color type 2 for RGB, 4 for grey and alpha, 6 for RGB and alpha."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)),
        (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(path, pixels, photometric):
    """Writes a grey TIFF file whose PhotometricInterpretation, 1 in Pillow's files, is changed."""
    Image.fromarray(pixels).save(path)
    order = "<" if path.read_bytes().startswith(b"II") else ">"
    entries = [struct.pack(f"{order}HHIHH", 262, 3, 1, value, 0) for value in (1, photometric)]
    assert path.read_bytes().count(entries[0]) == 1
    path.write_bytes(path.read_bytes().replace(*entries))


class TestPolarity:
    @pytest.mark.parametrize(("photometric", "inverted"), [(0, True), (1, False)])
    @pytest.mark.parametrize("dtype", ["uint8", "<u2"])
    def test_black_is_0(self, tmp_path, dtype, photometric, inverted):
        pixels = noise(5, 7).astype(dtype)
        tiff(tmp_path / "a.tif", pixels, photometric)
        expected = np.iinfo(dtype).max - pixels if inverted else pixels
        np.testing.assert_array_equal(reading.read_stored(tmp_path / "a.tif"), expected)

    def test_big_endian(self, tmp_path):
        """Pillow opens none that is inverted."""
        pixels = noise(5, 7)
        tiff(tmp_path / "a.tif", pixels.astype(">u2"), 1)
        np.testing.assert_array_equal(reading.read_stored(tmp_path / "a.tif"), pixels)
        tiff(tmp_path / "a.tif", pixels.astype(">u2"), 0)
        with pytest.raises(ValueError, match=r"a\.tif cannot be read"):
            reading.read_stored(tmp_path / "a.tif")

    def test_floating_point_numbers_are_refused(self, tmp_path):
        tiff(tmp_path / "a.tif", noise(5, 7).astype("float32"), 0)
        with pytest.raises(ValueError, match=r"a.tif .*floating-point numbers, 0 for white; save it with 8 or 16 bits"):
            reading.read_stored(tmp_path / "a.tif")


class TestSeveralChannels:
    @pytest.mark.parametrize(("color_type", "channels"), [(2, 3), (6, 4)])
    def test_png(self, tmp_path, color_type, channels):
        pixels = noise(5, 7, channels)
        (tmp_path / "a.png").write_bytes(png(pixels, color_type))
        np.testing.assert_array_equal(reading.read_stored(tmp_path / "a.png"), pixels[..., :3])

    def test_grey_with_transparency(self, tmp_path):
        pixels = noise(5, 7, 2)
        (tmp_path / "a.png").write_bytes(png(pixels, 4))
        np.testing.assert_array_equal(reading.read_stored(tmp_path / "a.png"), pixels[..., 0])

    @pytest.mark.parametrize(("orientation", "quarters"), [(3, 2), (6, -1), (8, 1)])
    def test_orientation(self, tmp_path, orientation, quarters):
        pixels = noise(5, 7, 3)
        (tmp_path / "a.png").write_bytes(png(pixels, 2, orientation))
        np.testing.assert_array_equal(reading.read_stored(tmp_path / "a.png"), np.rot90(pixels, quarters))

    @pytest.mark.parametrize("suffix", ["tif", "ppm"])
    def test_other_formats(self, tmp_path, suffix):
        pixels = noise(5, 7, 3)
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), pixels[..., ::-1])
        np.testing.assert_array_equal(reading.read_stored(tmp_path / f"a.{suffix}"), pixels)

    def test_highest_level_of_ppm(self, tmp_path):
        """Where the file gives one, its levels are scaled to 8 bits by it."""
        pixels = noise(5, 7, 3)
        (tmp_path / "a.ppm").write_bytes(b"P6 7 5 4095\n" + pixels.astype(">u2").tobytes())
        read = reading.read_stored(tmp_path / "a.ppm")
        assert read.dtype == np.uint8
        assert np.abs(read - pixels / 4095 * 255).max() <= 0.5

    @pytest.mark.parametrize("decoded", [None, np.zeros((5, 7, 3), "uint8"), np.zeros((5, 7, 3), "uint16")])
    def test_files_that_two_libraries_read_differently_are_refused(self, tmp_path, monkeypatch, decoded):
        (tmp_path / "a.png").write_bytes(png(noise(5, 7, 3), 2))
        monkeypatch.setattr(reading.cv2, "imdecode", lambda *arguments: decoded)
        with pytest.raises(ValueError, match=r"a.png .*cannot be read in full; save it with 8 bits, or in grey"):
            reading.read_stored(tmp_path / "a.png")

    def test_sixteen_bits_become_eight(self, tmp_path):
        pixels = noise(5, 7, 3) // 16
        (tmp_path / "a.png").write_bytes(png(pixels * 257, 2))
        np.testing.assert_array_equal(reading.read_image(tmp_path / "a.png"), pixels)

    def test_twelve_bits_of_colour_fill_the_range(self, tmp_path):
        for i in range(20):
            path = tmp_path / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(png(np.random.default_rng(i).integers(0, 4096, (20, 20, 3)), 2))
        with pytest.warns(UserWarning, match="20 images of 16 bits use 12 of them at most"):
            train = folders.load(tmp_path, 20, patients="(.+)").train
        assert train.image_shape == (20, 20, 3)
        assert len(np.unique(train.images)) > 250


def test_a_photograph_with_a_preview_behind_it_is_read(tmp_path):
    photograph, preview = (Image.new("RGB", size, color) for size, color in (((40, 30), "red"), ((8, 6), "blue")))
    photograph.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[preview])
    read = reading.read_image(tmp_path / "phone.jpg")
    assert read.shape == (30, 40, 3)
    assert (read.mean((0, 1)) > (200, -1, -1)).all()
    assert read[..., 2].max() < 50
