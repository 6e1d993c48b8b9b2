"""Affine and elastic warps of batches of images: one bilinear interpolation per image.

Large images go through `cv2.warpAffine` one by one. Small ones are stacked into one tall image and moved by a single
`cv2.remap`, whose coordinates are kept inside each image.
"""

import cv2
import numpy as np

FILL_MODES = {"nearest": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT, "wrap": cv2.BORDER_WRAP}
FILL_MODES["constant"] = cv2.BORDER_CONSTANT
# Images of up to this many pixels are stacked. The benchmark's pipeline then makes 1.3 times as many 28×28 images per
# second as with cv2.warpAffine (1.5 times in colour), whose pixels also differ, since it rounds coordinates otherwise.
SMALL = 64 * 64
LONGEST = 2**15 - 1  # rows or columns that cv2.remap accepts
PLACES = np.float32(32)  # cv2.INTER_TAB_SIZE
STACK = 2**18  # pixels remapped at a time, so that their coordinates stay in the processor's cache


def matrices(parameters, height, width):
    """Returns ImageDataGenerator's matrices in closed form.

    Args:
        parameters: dict that `Augmenter.sample` returns.
        height, width: of the images, pixels.

    Returns:
        float64 `(n, 2, 3)`, from a pixel (x, y) of the result to the pixel of the image that it is taken from.
    """
    theta, shear = np.deg2rad(parameters["theta"]), np.deg2rad(parameters["shear"])
    # Points are complex numbers x + iy. Rotation, shift, shear, zoom in this order: both angles rotate the y axis.
    turn, turn_y = np.exp(1j * theta), 1j * np.exp(1j * (theta + shear))
    moved = turn * (parameters["tx"] + 1j * parameters["ty"])
    columns = np.stack([turn * parameters["zx"], turn_y * parameters["zy"], moved], axis=1)
    middle = np.array([height, width]) / 2 - 0.5
    columns[:, 2] += middle @ [1, 1j] - columns[:, :2] @ middle
    for axis, side, flip in ((0, width, parameters["flip_horizontal"]), (1, height, parameters["flip_vertical"])):
        columns[flip, 2] += (side - 1) * columns[flip, axis]
        columns[flip, axis] *= -1
    return np.stack([columns.real, columns.imag], axis=1)


def warp(images, matrices, fill_mode, cval=0, *, elastic=0.0, seeds=None):
    """Warps a batch.

    Args:
        images: uint8 or uint16 `(n, height, width, channels)`, contiguous, at most 4 channels.
        matrices: float64 `(n, 2, 3)`, as `matrices` returns them.
        fill_mode: how pixels outside the image are filled, one of `FILL_MODES`.
        cval: grey level outside the image for "constant".
        elastic: standard deviation of an elastic deformation, as a fraction of the side: displacements are drawn on a
            3×3 grid and interpolated bicubically.
        seeds: int `(n,)`, of the displacements.

    Returns:
        array of the images' type and shape.
    """
    warped = np.empty_like(images)
    if not elastic and images.shape[1] * images.shape[2] > SMALL:
        _warp_each(images, matrices, fill_mode, cval, warped)
        return warped
    height, width = images.shape[1:3]
    count = max(1, min(LONGEST // (height + 2), STACK // (height * width)))
    for first in range(0, len(images), count):
        part = slice(first, first + count)
        fields = _fields(seeds[part], height, width, elastic) if elastic else None
        _warp_stack(images[part], matrices[part].astype("float32"), fields, fill_mode, cval, warped[part])
    return warped


def _warp_each(images, matrices, fill_mode, cval, warped):
    """Warps image by image."""
    size, flags, border = images.shape[2:0:-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, FILL_MODES[fill_mode]
    # OpenCV takes longer to parse a border value than to warp a small image, so only "constant" gives one.
    border_value = ((cval,) * 4,) if fill_mode == "constant" else ()
    four = np.empty((2, *images.shape[1:3], 4), images.dtype)
    for image, matrix, result in zip(images, matrices, warped, strict=True):
        if images.shape[3] == 3:
            # With a fourth channel, OpenCV 5 lets the benchmark's pipeline make 1.6 times as many 224×224 images.
            cv2.cvtColor(image, cv2.COLOR_RGB2RGBA, four[0])
            cv2.warpAffine(four[0], matrix, size, four[1], flags, border, *border_value)
            cv2.cvtColor(four[1], cv2.COLOR_RGBA2RGB, result)
        else:
            cv2.warpAffine(image, matrix, size, result, flags, border, *border_value)


def _warp_stack(images, matrices, fields, fill_mode, cval, warped):
    """Warps all images with one `cv2.remap`."""
    n, height, width, channels = images.shape
    column, row = np.arange(width, dtype="float32"), np.arange(height, dtype="float32")[:, None]
    along, down, start = matrices.transpose(2, 1, 0)[..., None, None]  # of x and of y
    x, y = (along[axis] * column + (down[axis] * row + start[axis]) for axis in range(2))
    if fields is not None:
        x += fields[..., 0] * width
        y += fields[..., 1] * height
    _fold(x, width, fill_mode)
    _fold(y, height, fill_mode)
    if fill_mode in ("wrap", "constant"):
        # A frame of one pixel represents everything outside the image.
        frame = {"mode": "wrap"} if fill_mode == "wrap" else {"constant_values": round(cval)}
        images = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), **frame)
        x += 1
        y += 1
    # OpenCV rounds coordinates to 1/32 pixel. Rounded here, they do not depend on an image's position in the stack.
    y *= PLACES
    np.rint(y, out=y)
    y /= PLACES
    y += images.shape[1] * np.arange(n, dtype="float32")[:, None, None]
    # OpenCV spends a fixed time on each row, so a row of coordinates holds a whole image where LONGEST permits.
    wide = height * width if height * width <= LONGEST else width
    stack, result = images.reshape(-1, images.shape[2], channels), warped.reshape(-1, wide, channels)
    cv2.remap(stack, x.reshape(-1, wide), y.reshape(-1, wide), cv2.INTER_LINEAR, result)


def _fold(coordinates, side, fill_mode):
    """Moves coordinates into an image of `side` pixels, in place; "wrap" and "constant" may leave it by one pixel."""
    if fill_mode == "wrap":
        np.mod(coordinates, np.float32(side), out=coordinates)
    elif fill_mode == "reflect":
        coordinates += np.float32(0.5)
        np.mod(coordinates, np.float32(2 * side), out=coordinates)
        np.minimum(coordinates, np.float32(2 * side) - coordinates, out=coordinates)
        coordinates -= np.float32(0.5)
    margin = 1 if fill_mode in ("wrap", "constant") else 0
    np.clip(coordinates, np.float32(-margin), np.float32(side - 1 + margin), out=coordinates)


def _fields(seeds, height, width, deviation):
    """Returns smooth random displacements, float32 `(n, height, width, 2)`, as fractions of the side."""
    fields = np.empty((len(seeds), height, width, 2), "float32")
    for field, seed in zip(fields, seeds, strict=True):
        coarse = np.random.default_rng([2, int(seed)]).standard_normal((3, 3, 2), "float32") * np.float32(deviation)
        cv2.resize(coarse, (width, height), field, interpolation=cv2.INTER_CUBIC)
    return fields
