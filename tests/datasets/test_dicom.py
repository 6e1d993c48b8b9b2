import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate

from synthkit.datasets import codestream, dicom
from synthkit.datasets.cbis_ddsm.phantom_archive import header
from tests.lossless_jpeg import encode

CASE = "Mass-Training_P_00001_LEFT_CC"


def dataset(pixels, **changes):
    """Returns a data set like those of the collection, with some attributes changed."""
    ds = header(CASE, "1.2.3", "1.2.3.4", 1, "full mammogram images", pixels)
    for name, value in changes.items():
        setattr(ds, name, value)
    return ds


def saved(ds, path, **options):
    ds.save_as(path, enforce_file_format=True, **options)
    return path


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 65536, (37, 23), dtype="uint16")


def windowed(values, center, width):
    """Applies a window as defined in PS3.3 C.11.2.1.2.1, to 16 bits."""
    return np.round(65535 * np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1))


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "RLELossless"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("inverted", [False, True])
def test_reads_files_that_pydicom_wrote(tmp_path, pixels, syntax, dtype, inverted):
    pixels = pixels.astype(dtype)
    first = uid.ExplicitVRLittleEndian if syntax == "RLELossless" else getattr(uid, syntax)
    ds = header(CASE, "1.2.3", "1.2.3.4", 1, "", pixels, inverted, first)
    if syntax == "RLELossless":
        ds.compress(uid.RLELossless, generate_instance_uid=False)
    path = saved(ds, tmp_path / "a.dcm")
    read = dicom.read_pixels(path)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, pixels)
    assert (ds.PhotometricInterpretation == "MONOCHROME1") == inverted
    if syntax != "RLELossless":
        stored = pydicom.dcmread(path).pixel_array
        np.testing.assert_array_equal(stored, np.iinfo(dtype).max - pixels if inverted else pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("window", [None, 300])
@pytest.mark.parametrize("inverted", [False, True])
def test_rows_are_read_in_bands(tmp_path, pixels, dtype, window, inverted):
    ds = header(CASE, "1.2.3", "1.2.3.4", 1, "", pixels.astype(dtype), inverted, uid.ExplicitVRLittleEndian)
    if window:
        ds.WindowCenter, ds.WindowWidth = 100, window
    path = saved(ds, tmp_path / "a.dcm")
    whole, rows = dicom.read_pixels(path), dicom.open_pixels(path)
    assert isinstance(rows, dicom.Rows)
    assert (rows.shape, rows.dtype) == (whole.shape, dtype)
    bands = [band.copy() for band in rows.bands([(0, 5), (3, 20), (36, 37)])]
    for band, expected in zip(bands, (whole[:5], whole[3:20], whole[36:]), strict=True):
        np.testing.assert_array_equal(band, expected)
    np.testing.assert_array_equal(rows[::7], whole[::7])


def test_file_that_is_cut_off_after_it_was_opened(tmp_path, pixels):
    path = saved(dataset(pixels), tmp_path / "a.dcm")
    rows = dicom.open_pixels(path)
    with open(path, "r+b") as file:
        file.truncate(rows.offset + 100)
    with pytest.raises(ValueError, match=r"a\.dcm was cut off while it was read"):
        rows[:]
    with pytest.raises(ValueError, match=r"a\.dcm was cut off while it was read"):
        np.asarray(rows)


def test_reads_big_endian(tmp_path, pixels):
    ds = dataset(pixels)
    ds.PixelData = pixels.astype(">u2").tobytes()
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    path = saved(ds, tmp_path / "big.dcm")
    np.testing.assert_array_equal(dicom.read_pixels(path), pixels)


def test_jpeg_lossless(tmp_path, pixels):
    pytest.importorskip("libjpeg", reason="pylibjpeg-libjpeg, of the extra jpeg, is not installed")
    ds = dataset(pixels)
    ds.PixelData = encapsulate([encode(pixels)])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    np.testing.assert_array_equal(dicom.read_pixels(saved(ds, tmp_path / "jpeg.dcm")), pixels)


def test_jpeg_2000_lossless(tmp_path, pixels):
    pytest.importorskip("openjpeg", reason="pylibjpeg-openjpeg, of the extra jpeg, is not installed")
    pixels = np.tile(pixels, (3, 4))  # the encoder halves the image five times
    ds = header(CASE, "1.2.3", "1.2.3.4", 1, "", pixels, syntax=uid.ExplicitVRLittleEndian)
    ds.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    np.testing.assert_array_equal(dicom.read_pixels(saved(ds, tmp_path / "j2k.dcm")), pixels)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("MR_small.dcm", "numpy"),
        ("MR_small_implicit.dcm", "numpy"),
        ("MR_small_bigendian.dcm", "numpy"),
        ("MR_small_expb.dcm", "numpy"),
        ("MR_small_padded.dcm", "numpy"),
        ("MR_small_RLE.dcm", "numpy"),
        ("MR_small_jp2klossless.dcm", "openjpeg"),
        ("MR_small_jpeg_ls_lossless.dcm", "libjpeg"),
    ],
)
def test_shipped_magnetic_resonance_image_through_its_window(name, module):
    pytest.importorskip(module, reason=f"{module}, of the extra jpeg, is not installed")
    path = get_testdata_file(name)
    reference = pydicom.dcmread(get_testdata_file("MR_small.dcm")).pixel_array
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    expected = windowed(reference.astype(float), float(ds.WindowCenter), float(ds.WindowWidth))
    # pydicom rounds the window's output, so grey levels may differ by 1 of 65,535.
    assert np.abs(dicom.read_pixels(path).astype(int) - expected).max() <= 1


def test_shipped_computed_tomography_image_through_its_modality_lut():
    path = get_testdata_file("CT_small.dcm")
    ds = pydicom.dcmread(path)
    assert (ds.RescaleSlope, ds.RescaleIntercept) == (1, -1024)
    # Without a window, grey levels are scaled by the range of 16 signed bits, so the intercept has no effect.
    expected = np.round((ds.pixel_array.astype(float) + 32768) / 65535 * 65535)
    np.testing.assert_array_equal(dicom.read_pixels(path), expected)


def test_12_stored_bits_are_scaled_to_16(tmp_path, pixels):
    ds = dataset(pixels >> 4, BitsStored=12, HighBit=11)
    read = dicom.read_pixels(saved(ds, tmp_path / "12.dcm"))
    np.testing.assert_array_equal(read, np.round((pixels >> 4) * (65535 / 4095)))
    # Bits above the stored ones, overlays in old files, do not belong to the image (PS3.5, 8.1.1).
    ds.PixelData = ((pixels >> 4) | 0x8000).astype("<u2").tobytes()
    np.testing.assert_array_equal(dicom.read_pixels(saved(ds, tmp_path / "overlay.dcm")), read)


def test_signed_values(tmp_path):
    values = np.array([[-32768, -1, 0, 32767]], "int16")
    ds = dataset(values.view("uint16"), PixelRepresentation=1)
    del ds.SmallestImagePixelValue, ds.LargestImagePixelValue
    assert dicom.read_pixels(saved(ds, tmp_path / "signed.dcm")).tolist() == [[0, 32767, 32768, 65535]]


def test_window_after_rescale_and_inversion_last(tmp_path):
    values = np.array([[0, 100, 200, 300, 65535]], "uint16")
    changes = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 300, "WindowWidth": 401}
    ds = dataset(values, **changes)
    plain = dicom.read_pixels(saved(ds, tmp_path / "w.dcm"))
    expected = windowed(values.astype(float) * 2 - 100, 300, 401)
    assert np.abs(plain - expected).max() <= 1
    ds.PhotometricInterpretation = "MONOCHROME1"
    inverted = dicom.read_pixels(saved(ds, tmp_path / "i.dcm"))
    assert np.abs(plain.astype(int) + inverted - 65535).max() <= 1


def test_voi_lut(tmp_path):
    lut = pydicom.Dataset()
    lut.LUTDescriptor = [4, 1, 16]
    lut.LUTData = [0, 10000, 60000, 65535]
    ds = dataset(np.array([[0, 1, 2, 3, 4, 500]], "uint16"), VOILUTSequence=[lut])
    ds["VOILUTSequence"][0]["LUTDescriptor"].VR = ds["VOILUTSequence"][0]["LUTData"].VR = "US"
    read = dicom.read_pixels(saved(ds, tmp_path / "lut.dcm"))
    assert read.tolist() == [[0, 0, 10000, 60000, 65535, 65535]]  # values outside map to the first and last entry


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Rows": 65535, "Columns": 65535}, "65535×65535"),
        ({"Rows": 0}, "0×23"),
        ({"Rows": 38}, "38×23 pixels need 1,748 bytes, it has 1,702"),
        ({"NumberOfFrames": 2}, "one frame, received 2"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "received 3 of RGB"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "received 1 of PALETTE COLOR"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "received 32 bits allocated"),
        ({"HighBit": 3}, "high bit 3"),
        ({"WindowCenter": 3, "WindowWidth": 0}, "Window Width"),
    ],
)
def test_invalid_headers_raise_and_the_file_is_named(tmp_path, pixels, changes, message):
    path = saved(dataset(pixels, **changes), tmp_path / "odd.dcm")
    with pytest.raises(ValueError, match=message) as error:
        dicom.read_pixels(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["Rows", "BitsStored", "PhotometricInterpretation", "PixelData"])
def test_missing_attributes(tmp_path, pixels, name):
    ds = dataset(pixels)
    del ds[name]
    with pytest.raises(ValueError, match=r"m\.dcm"):
        dicom.read_pixels(saved(ds, tmp_path / "m.dcm"))


def test_files_that_are_not_images(tmp_path):
    (tmp_path / "text.dcm").write_text("no image")
    with pytest.raises(ValueError, match=r"text\.dcm does not begin with the prefix of a DICOM file"):
        dicom.read_pixels(tmp_path / "text.dcm")
    with pytest.raises(FileNotFoundError, match="nothing"):
        dicom.read_pixels(tmp_path / "nothing.dcm")
    with pytest.raises(ValueError, match="deflated"):
        dicom.read_pixels(get_testdata_file("image_dfl.dcm"))


def test_codestream_of_another_size_is_not_decoded(tmp_path, pixels):
    ds = dataset(pixels)
    stream = bytearray(encode(pixels))
    start = stream.find(b"\xff\xc3") + 5
    stream[start : start + 4] = b"\xff\xff\xff\xff"
    ds.PixelData = encapsulate([bytes(stream)])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    with pytest.raises(ValueError, match="compressed data are 65535×65535"):
        dicom.read_pixels(saved(ds, tmp_path / "bomb.dcm"))


@pytest.mark.parametrize(
    ("name", "size"),
    [("JPEG2000.dcm", (1024, 256)), ("MR_small_jpeg_ls_lossless.dcm", (64, 64)), ("JPGExtended.dcm", (1024, 256))],
)
def test_codestream_size_of_shipped_files(name, size):
    from pydicom.encaps import get_frame

    ds = pydicom.dcmread(get_testdata_file(name))
    assert (ds.Rows, ds.Columns) == size
    assert codestream.size(get_frame(ds.PixelData, 0, number_of_frames=1)) == size
    assert codestream.size(b"other data") is None


def test_real_crops(real_data):
    files = sorted(real_data("cbis_ddsm/dicom_sample").rglob("*.dcm"))
    assert len(files) == 2
    for path in files:
        ds = pydicom.dcmread(path)
        read = dicom.read_pixels(path)
        np.testing.assert_array_equal(read, ds.pixel_array)
        assert (read.min(), read.max()) == (ds.SmallestImagePixelValue, ds.LargestImagePixelValue)
