"""Steps from a greyscale image to a network's input, each a function of an array.

The order is the mammography study's ("Image Pre-Processing" in its report, "Image Processing" on its slides): Gaussian
blur, resizing, colour conversion, scaling to [0, 1]. `prepare_image` runs all of them; `grey_image` stops before the
colour conversion, and its result is what `prepared.prepare` saves. Images come from `dicom.read_pixels` or any reader
of uint8 or uint16.
"""

from functools import lru_cache

import cv2
import numpy as np
import scipy.sparse

from synthkit.imageset import fitted_size, pad_to_square, resize_image

KERNEL = 5  # pixels, the study's blur
GROUP = 16  # output rows computed at a time, so that their input rows stay in the processor's cache
OVERVIEW = 512  # pixels of the longer side of the reduced image in which the breast is searched for


def gaussian_blur(image, kernel_size=KERNEL):
    """Blurs with OpenCV's Gaussian kernel (of 5 pixels: the binomial weights 1 4 6 4 1), edges mirrored.

    Args:
        image: uint8 or uint16 `(height, width)` or `(height, width, channels)`; float32 too.
        kernel_size: odd int, pixels.

    Returns:
        Array of the same type and shape.
    """
    _check_kernel(kernel_size)
    return cv2.GaussianBlur(np.ascontiguousarray(image), (kernel_size, kernel_size), 0)


def to_8_bits(image):
    """Scales uint16 to uint8, 65535 to 255, rounded; returns uint8 as it is."""
    if image.dtype == np.uint8:
        return image
    _check(image, 2, 3)
    return cv2.convertScaleAbs(np.ascontiguousarray(image), alpha=1 / 257)


def equalize_histogram(image):
    """Equalises the histogram: all grey levels become about equally frequent (OpenCV's `equalizeHist`).

    Takes uint8 or uint16 `(height, width)` or `(height, width, 3)`, which is scaled to 8 bits first; returns uint8 of
    the same shape. Of RGB images the luma is equalised (the Y of YCrCb), so that colours keep their hue.
    """
    return _of_luma(image, cv2.equalizeHist)


def clahe(image, clip_limit=2.0, tiles=8):
    """Equalises the histogram of each region, with limited contrast: CLAHE, OpenCV's `createCLAHE`.

    Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", Graphics Gems IV, 1994.

    Args:
        image: as in `equalize_histogram`.
        clip_limit: largest count of a grey level, as a multiple of the mean count.
        tiles: int, regions along each side.

    Returns:
        uint8 array of the same shape.
    """
    return _of_luma(image, cv2.createCLAHE(clip_limit, (tiles, tiles)).apply)


def _of_luma(image, equalize):
    """Applies a function of uint8 `(height, width)` to a grey image, or to the luma of an RGB image."""
    image = np.ascontiguousarray(to_8_bits(image))
    if image.ndim == 2 or image.shape[2] == 1:
        return equalize(image).reshape(image.shape)
    luma, *colors = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb))
    return cv2.cvtColor(cv2.merge([equalize(luma), *colors]), cv2.COLOR_YCrCb2RGB)


def blur_and_resize(image, image_size=224, *, kernel_size=KERNEL, keep_aspect=False):
    """Computes `resize_image(gaussian_blur(image))` in one pass over the pixels, for images that shrink.

    Blurring and area averaging are both weighted sums along columns and along rows, so one set of weights does both.
    The image is read a band of rows at a time, directly from the file if it is `dicom.Rows`.

    Args:
        image: uint8 or uint16 `(height, width)`, an array or `dicom.Rows`.
        image_size, keep_aspect: as in `imageset.resize_image`.
        kernel_size: as in `gaussian_blur`.

    Returns:
        float32 `(image_size, image_size)` in the image's own range, not rounded.
    """
    _check_kernel(kernel_size)
    height, width = fitted_size(image.shape, image_size, keep_aspect)
    if height > image.shape[0] or width > image.shape[1]:
        return resize_image(
            gaussian_blur(np.asarray(image, "float32"), kernel_size), image_size, keep_aspect=keep_aspect
        )
    # Films of 11 million pixels take a tenth of the time of cv2.GaussianBlur and resize_image (5 and 58 ms).
    rows = _average_rows(image, height, kernel_size)
    return pad_to_square((_matrix(image.shape[1], width, kernel_size) @ cv2.transpose(rows)).T.copy(), image_size)


def _average_rows(image, count, kernel_size):
    """Blurs along the columns and averages the rows of an image `(n, m)`: float32 `(count, m)`."""
    weighted_rows = _weights(image.shape[0], count, kernel_size)
    groups = [weighted_rows[first : first + GROUP] for first in range(0, count, GROUP)]
    spans = [(group[0][0], max(stop for _, stop, _ in group)) for group in groups]
    averaged = np.empty((count, image.shape[1]), "float32")
    buffer = np.empty((max(stop - top for top, stop in spans), image.shape[1]), "float32")
    bands = image.bands(spans) if hasattr(image, "bands") else (image[top:stop] for top, stop in spans)
    for number, ((top, stop), band) in enumerate(zip(spans, bands, strict=True)):
        np.copyto(buffer[: stop - top], band)
        for i, (start, end, weights) in enumerate(groups[number], number * GROUP):
            np.dot(weights, buffer[start - top : end - top], out=averaged[i])
    return averaged


@lru_cache(maxsize=64)
def _matrix(n, count, kernel_size):
    """Returns the weights of `_weights` as a sparse `(count, n)` matrix."""
    weighted_rows = _weights(n, count, kernel_size)
    rows = np.repeat(np.arange(count), [stop - start for start, stop, _ in weighted_rows])
    columns = np.concatenate([np.arange(start, stop) for start, stop, _ in weighted_rows])
    weights = np.concatenate([weights for _, _, weights in weighted_rows])
    return scipy.sparse.csr_array((weights, (rows, columns)), (count, n))


@lru_cache(maxsize=64)
def _weights(n, count, kernel_size):
    """Returns for each of `count` output rows the input rows it is a sum of: `(start, stop, float32 weights)`."""
    kernel = cv2.getGaussianKernel(kernel_size, 0)[:, 0]
    radius, weighted_rows = kernel_size // 2, []
    for i in range(count):
        low, high = i * n / count, (i + 1) * n / count
        rows = np.arange(int(low), min(n, int(np.ceil(high))))
        overlap = np.minimum(rows + 1, high) - np.maximum(rows, low)
        weights = np.convolve(overlap * (count / n), kernel)
        # OpenCV's default border mirrors without repeating the edge: … 2 1 0 1 2 …
        mirrored = np.abs(np.arange(rows[0] - radius, rows[-1] + 1 + radius))
        mirrored = np.where(mirrored >= n, 2 * (n - 1) - mirrored, mirrored).clip(0)
        start = mirrored.min()
        weighted_rows.append((start, mirrored.max() + 1, np.bincount(mirrored - start, weights).astype("float32")))
    return weighted_rows


def to_rgb(image):
    """Converts OpenCV's BGR to RGB, and grey to three equal channels.

    Takes uint8 or uint16 `(height, width)` or `(height, width, 3)`; returns the same type, `(height, width, 3)`.
    """
    _check(image, 2, 3)
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB if image.ndim == 2 else cv2.COLOR_BGR2RGB)


def normalize(image):
    """Divides uint8 by 255, or uint16 by 65535: float32 in [0, 1]."""
    _check(image, 2, 3)
    return image.astype("float32") / np.iinfo(image.dtype).max


def breast_mask(image):
    """Finds the breast in a full mammogram: the largest connected bright region, with its holes filled.

    The search is in a reduced image, without the outermost hundredth at each side, where the edges of the film are.
    Bright is what is above a quarter of the way from the background's level to Otsu's threshold, because fat and skin
    are darker than that threshold.

    Args:
        image: uint8 or uint16 `(height, width)`, black background.

    Returns:
        uint8 `(height, width)`: 255 in the breast, 0 elsewhere.

    Raises:
        ValueError: if no region covers a fiftieth of the image.
    """
    _check(image, 2)
    height, width = image.shape
    scale = min(1, OVERVIEW / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = to_8_bits(cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA))
    small = cv2.GaussianBlur(small, (5, 5), 0)
    edge = max(1, round(max(size) / 100))
    small = small[edge:-edge, edge:-edge]
    if min(small.shape) < 8:
        raise ValueError(f"{height}×{width} pixels is too small to find a breast in")
    threshold, _ = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    background = np.bincount(small.ravel())[: int(threshold) + 1].argmax()
    bright = (small > background + (threshold - background) / 4).astype("uint8")
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    _, regions, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas) or areas.max() < small.size / 50 or np.ptp(small) == 0:
        raise ValueError(f"no breast found in an image of {height}×{width}: no bright region covers a fiftieth of it")
    breast = (regions == 1 + areas.argmax()).astype("uint8") * 255
    outline, _ = cv2.findContours(breast, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(breast, outline, -1, 255, cv2.FILLED)
    # The margin that was left out is added to the breast where it touches the breast.
    breast = cv2.copyMakeBorder(cv2.medianBlur(breast, 9), edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    return cv2.threshold(cv2.resize(breast, (width, height)), 127, 255, cv2.THRESH_BINARY)[1]


def remove_background(image, mask=None):
    """Sets everything outside the breast to black: labels, markers and the edges of the film.

    Args:
        image: uint8 or uint16 `(height, width)`.
        mask: result of `breast_mask` for the image; None computes it.

    Returns:
        Array of the same type and shape.
    """
    mask = breast_mask(image) if mask is None else mask
    return cv2.bitwise_and(image, image, mask=mask)


def flip_to_left(image):
    """Flips a mammogram whose right half is the brighter one, so that the chest wall is always on the left."""
    half = image.shape[1] // 2
    return image[:, ::-1] if image[:, -half:].mean() > image[:, :half].mean() else image


def crop_to_breast(image, mask=None):
    """Crops a mammogram to the bounding box of the breast, as a view; arguments as in `remove_background`."""
    left, top, width, height = cv2.boundingRect(breast_mask(image) if mask is None else mask)
    return image[top : top + height, left : left + width]


def isolate_breast(image):
    """Removes the background, crops to the breast and flips it to the left, with one mask for all.

    Takes and returns uint8 or uint16 `(height, width)`; raises ValueError as `breast_mask` does.
    """
    image = np.ascontiguousarray(image)
    mask = breast_mask(image)
    return flip_to_left(remove_background(crop_to_breast(image, mask), crop_to_breast(mask, mask)))


EQUALIZATIONS = {"histogram": equalize_histogram, "clahe": clahe}


def grey_image(image, image_size=224, *, kernel_size=KERNEL, equalization=None, keep_aspect=False, breast_only=False):
    """Runs the steps before the colour conversion.

    Args:
        image: uint8 or uint16 `(height, width)`, 0 black.
        image_size: pixels a side.
        kernel_size: of the Gaussian blur, pixels; None for no blur.
        equalization: "histogram" or "clahe", applied after the blur; None for none.
        keep_aspect: whether to pad images that are not square instead of stretching them.
        breast_only: whether to run `isolate_breast` first, for full mammograms.

    Returns:
        uint8 `(image_size, image_size)`.

    Raises:
        ValueError: for an image of another type or shape, or an invalid argument.
    """
    _check(image, 2)
    if equalization not in (None, *EQUALIZATIONS):
        raise ValueError(f"equalization must be None or one of {', '.join(EQUALIZATIONS)}. Received: {equalization!r}")
    if breast_only:
        image = isolate_breast(image)
    if equalization is not None:
        image = image if kernel_size is None else gaussian_blur(image, kernel_size)
        return resize_image(EQUALIZATIONS[equalization](image), image_size, keep_aspect=keep_aspect)
    reduced = blur_and_resize(image, image_size, kernel_size=kernel_size or 1, keep_aspect=keep_aspect)
    return np.round(reduced * np.float32(255 / np.iinfo(image.dtype).max)).astype("uint8")


def prepare_image(image, image_size=224, **options):
    """Runs the study's whole preprocessing: blur, resizing, colour conversion, scaling.

    Args:
        image, image_size, options: as in `grey_image`; the defaults are the study's.

    Returns:
        float32 `(image_size, image_size, 3)` in [0, 1].
    """
    return normalize(to_rgb(grey_image(image, image_size, **options)))


def _check_kernel(kernel_size):
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and positive. Received: kernel_size={kernel_size}")


def _check(image, *dimensions):
    if image.dtype not in (np.uint8, np.uint16) or image.ndim not in dimensions or 0 in image.shape:
        raise ValueError(
            f"an image must be uint8 or uint16 with {' or '.join(map(str, dimensions))} dimensions, none of them 0. "
            f"Received: {image.dtype} {image.shape}"
        )
