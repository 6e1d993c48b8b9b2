"""Classical augmentation: changed copies of real images, made anew for every batch.

Everything here is a callable for `imageset.to_dataset` and for an arm's `augment`:
`(images, labels, seeds) → (images, labels)`, TensorFlow tensors both ways. `Augmenter` makes the mammography study's
eight transformations in ImageDataGenerator's words; `mixup`, `cutmix` and `randaugment` are Keras's layers. They
compose as functions do:

    def both(images, labels, seeds):
        return mixed(*augmenter(images, labels, seeds), seeds)
"""

import math

import numpy as np

# ImageDataGenerator's own defaults: nothing happens. `Augmenter(**{**OFF, "rotation_range": 30})` only rotates.
OFF = {
    "rotation_range": 0.0,
    "width_shift_range": 0.0,
    "height_shift_range": 0.0,
    "shear_range": 0.0,
    "zoom_range": 0.0,
    "horizontal_flip": False,
    "vertical_flip": False,
    "brightness_range": None,
    "channel_shift_range": 0.0,
}
FILL_MODES = {"nearest": "BORDER_REPLICATE", "reflect": "BORDER_REFLECT", "wrap": "BORDER_WRAP"}
FILL_MODES |= {"constant": "BORDER_CONSTANT"}
GREY = 255  # ranges given in grey levels are those of 8 bits; 16-bit images scale them


class Augmenter:
    """The mammography study's transformations, in the words and conventions of Keras's ImageDataGenerator.

    Arguments pasted from an `ImageDataGenerator(...)` give the same images: the same distribution of parameters and,
    for the same parameters, the same pixels to within a grey level. What is left out takes the study's value (its
    section "Data Augmentation"), not ImageDataGenerator's "off"; `OFF` holds those.

    Rotation, shifts, shear, zoom and flips become one affine matrix and one bilinear warp of the uint8 image;
    channel shift, brightness, gamma and the change to float become one pass through a look-up table.

    The study's shear of 0.2 is 0.2 *degrees* to ImageDataGenerator, which nobody can see. The default keeps it; what
    was probably meant, 0.2 radians, is `shear_range=11.5`.

    Two habits of ImageDataGenerator are kept, neither of which shows in square images with equal ranges: since it
    swapped its axes, `height_shift_range` moves along the width and `width_shift_range` along the height, and it
    turns about the point `(height / 2, width / 2)` read as (x, y).

    Example:

    >>> augmenter = Augmenter(rotation_range=10)
    >>> seeds = np.array([[0, 0], [0, 1]])
    >>> parameters = augmenter.sample(seeds, (32, 32, 1))
    >>> augmenter.apply(np.zeros((2, 32, 32, 1), "uint8"), parameters).shape
    (2, 32, 32, 1)

    Args:
        rotation_range: largest angle, degrees.
        width_shift_range, height_shift_range: largest shift: a share of the side (a float below 1), pixels (a float
            of 1 or more), whole pixels below it (an int), or one of a sequence, to either side.
        shear_range: largest shear angle, degrees.
        zoom_range: a float z for `(1 - z, 1 + z)`, or a pair; both axes draw their own factor. Above 1 shrinks.
        horizontal_flip, vertical_flip: whether half of the images are mirrored that way.
        brightness_range: pair of factors, or None.
        channel_shift_range: largest shift, grey levels, the same for all channels of an image; the result is
            clipped to the image's own range. The report names no number; 20 is this project's choice.
        fill_mode: what lies outside the image: "nearest" (its edge), "reflect", "wrap" or "constant".
        cval: grey level outside for "constant".
        elastic_range: standard deviation of an elastic deformation, as a share of the side: displacements drawn on
            a 3×3 grid, bicubic between (Ronneberger et al., "U-Net", 2015, who take 10 of 512 pixels, 0.02).
        gamma_range: pair of exponents of the grey levels' share of white, or None; drawn evenly on a log scale.
        noise_range: largest standard deviation of Gaussian noise, grey levels.
        filters: pairs `(callable, probability)`; each callable, uint8 image to uint8 image of the same size, is
            applied to the image before anything else, with that probability.

    Raises:
        ValueError: for a range that is none, or an unknown fill mode; names the argument.
    """

    def __init__(
        self,
        *,
        rotation_range=30.0,
        width_shift_range=0.1,
        height_shift_range=0.1,
        shear_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
        vertical_flip=True,
        brightness_range=(0.8, 1.2),
        channel_shift_range=20.0,
        fill_mode="nearest",
        cval=0.0,
        elastic_range=0.0,
        gamma_range=None,
        noise_range=0.0,
        filters=(),
    ):
        if not isinstance(fill_mode, str) or fill_mode not in FILL_MODES:
            raise ValueError(f"fill_mode must be one of {', '.join(FILL_MODES)}. Received: fill_mode={fill_mode!r}")
        if np.ndim(zoom_range) == 0:
            _number("zoom_range", zoom_range, 0, 0.99)
            zoom_range = 1 - zoom_range, 1 + zoom_range
        filters = tuple(filters)
        for pair in filters:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not callable(pair[0]):
                raise ValueError(f"filters must be pairs (callable, probability). Received: filters={filters}")
            _number("filters' probability", pair[1], 0, 1)
        given = {
            "rotation_range": _number("rotation_range", rotation_range, 0, 360, "degrees"),
            "width_shift_range": _shift("width_shift_range", width_shift_range),
            "height_shift_range": _shift("height_shift_range", height_shift_range),
            "shear_range": _number("shear_range", shear_range, 0, 89, "degrees"),
            "zoom_range": _pair("zoom_range", zoom_range, 1e-3),
            "horizontal_flip": bool(horizontal_flip),
            "vertical_flip": bool(vertical_flip),
            "brightness_range": None if brightness_range is None else _pair("brightness_range", brightness_range, 0),
            "channel_shift_range": _number("channel_shift_range", channel_shift_range, 0, GREY, "grey levels"),
            "fill_mode": fill_mode,
            "cval": _number("cval", cval, 0, GREY, "grey levels"),
            "elastic_range": _number("elastic_range", elastic_range, 0, 1),
            "gamma_range": None if gamma_range is None else _pair("gamma_range", gamma_range, 1e-3),
            "noise_range": _number("noise_range", noise_range, 0, GREY, "grey levels"),
            "filters": filters,
        }
        vars(self).update(given)
        shown = given | {"filters": tuple((getattr(f, "__name__", type(f).__name__), p) for f, p in filters)}
        # A study writes the name down, to know when a folder's trials were made with other settings.
        self.__name__ = f"Augmenter({', '.join(f'{key}={value!r}' for key, value in shown.items())})"

    def __repr__(self):
        return self.__name__

    def __call__(self, images, labels, seeds):
        """Changes a batch in a tf.data pipeline; see `imageset.to_dataset`, `augment`."""
        import tensorflow as tf

        def change(images, seeds):
            return self.apply(images, self.sample(seeds, images.shape[1:]), "float32")

        # Stateless, so that tf.data may run it in parallel where it must be deterministic too.
        changed = tf.numpy_function(change, [images, seeds], "float32", stateful=False)
        changed.set_shape(images.shape)
        return changed, labels

    def sample(self, seeds, image_shape):
        """Draws the parameters of a batch, each image's from its own seed alone.

        Args:
            seeds: int `(n, 2)`.
            image_shape: `(height, width, channels)`.

        Returns:
            dict of arrays `(n,)` by the names of `ImageDataGenerator.get_random_transform`: theta and shear in
            degrees, tx and ty in pixels, zx and zy, flip_horizontal and flip_vertical, brightness and
            channel_shift_intensity (None for none); gamma likewise, noise in grey levels; filters, bool
            `(n, number of filters)`; and seed, from which pixel noise and elastic fields are drawn.
        """
        seeds = np.asarray(seeds)
        if seeds.ndim != 2 or seeds.shape[1] != 2 or not np.issubdtype(seeds.dtype, np.integer):
            raise ValueError(f"seeds must be integers of shape (n, 2). Received: {seeds.dtype} {seeds.shape}")
        keys = _mix(_mix(seeds[:, 0].astype("uint64")) + seeds[:, 1].astype("uint64"))
        draws = _uniform(keys, 15 + len(self.filters)).T

        def between(draw, low, high):
            return low + (high - low) * draw

        def around(draw, largest):
            return between(draw, -largest, largest)

        def optional(draw, pair):
            return None if pair is None else between(draw, *pair)

        gamma = self.gamma_range and tuple(np.log(self.gamma_range))
        gamma = optional(draws[11], gamma)
        return {
            "theta": around(draws[0], self.rotation_range),
            "tx": _draw_shift(draws[1], draws[2], self.height_shift_range, image_shape[0]),
            "ty": _draw_shift(draws[3], draws[4], self.width_shift_range, image_shape[1]),
            "shear": around(draws[5], self.shear_range),
            "zx": between(draws[6], *self.zoom_range),
            "zy": between(draws[7], *self.zoom_range),
            "flip_horizontal": (draws[8] < 0.5) & self.horizontal_flip,
            "flip_vertical": (draws[9] < 0.5) & self.vertical_flip,
            "channel_shift_intensity": around(draws[10], self.channel_shift_range) if self.channel_shift_range else None,
            "brightness": optional(draws[12], self.brightness_range),
            "gamma": None if gamma is None else np.exp(gamma),
            "noise": between(draws[13], 0, self.noise_range),
            "filters": draws[15:].T < [probability for _, probability in self.filters],
            "seed": keys,
        }

    def apply(self, images, parameters, dtype=None):
        """Changes a batch as its parameters say.

        Args:
            images: uint8 `(n, height, width, channels)`, at most 4 channels, or uint16, for which grey levels scale.
            parameters: dict as `sample` returns it.
            dtype: None for the images' own, or "float32" for floats in [0, 1].

        Returns:
            array of that type and the images' shape.

        Raises:
            ValueError: for images of another type or shape.
        """
        import cv2

        if not isinstance(images, np.ndarray) or images.dtype not in (np.uint8, np.uint16) or images.ndim != 4:
            received = f"{getattr(images, 'dtype', type(images).__name__)} {getattr(images, 'shape', '')}"
            raise ValueError(
                f"images must be uint8 or uint16 of shape (n, height, width, channels). Received: images={received}"
            )
        n, height, width, channels = images.shape
        if channels > 4:
            raise ValueError(f"images must have at most 4 channels, OpenCV's limit. Received: images={images.shape}")
        top = np.iinfo(images.dtype).max
        dtype = images.dtype if dtype is None else np.dtype(dtype)
        matrices = _matrices(parameters, height, width)
        how = {"borderMode": getattr(cv2, FILL_MODES[self.fill_mode]), "borderValue": (self.cval * top / GREY,) * 4}
        warped = np.empty_like(images, order="C")
        for i, image in enumerate(images):
            for (change, _), wanted in zip(self.filters, parameters["filters"][i], strict=True):
                image = np.asarray(change(image)).reshape(image.shape) if wanted else image
            if self.elastic_range:
                x, y = self._elastic_map(matrices[i], height, width, parameters["seed"][i])
                cv2.remap(image, x, y, cv2.INTER_LINEAR, dst=warped[i], **how)
            else:
                flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                cv2.warpAffine(image, matrices[i], (width, height), dst=warped[i], flags=flags, **how)
        tables = _tables(parameters, warped, top)
        if dtype == np.float32:
            tables = (tables / top).astype("float32")
        else:
            tables = tables.astype(dtype)
        changed = _aligned(images.shape, dtype)
        for i in range(n):
            if top == GREY:
                cv2.LUT(warped[i], tables[i], dst=changed[i])
            else:
                np.take(tables[i], warped[i], out=changed[i], mode="clip")
        if self.noise_range:
            white = 1.0 if dtype == np.float32 else top
            for image, deviation, seed in zip(changed, parameters["noise"], parameters["seed"], strict=True):
                noise = np.random.default_rng([1, int(seed)]).standard_normal(image.shape, "float32")
                noisy = np.clip(image + noise * np.float32(deviation * white / GREY), 0, white)
                image[:] = noisy if dtype == np.float32 else np.rint(noisy)
        return changed

    def _elastic_map(self, matrix, height, width, seed):
        """Returns where every pixel comes from, x and y: the affine map plus a smooth random field."""
        import cv2

        field = np.random.default_rng([2, int(seed)]).standard_normal((3, 3, 2), "float32") * self.elastic_range
        field = cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC)
        matrix = matrix.astype("float32")
        row, column = np.arange(height, dtype="float32")[:, None], np.arange(width, dtype="float32")
        x, y = (m[0] * column + (m[1] * row + m[2]) for m in matrix)
        x += field[..., 0] * width
        y += field[..., 1] * height
        return x, y


def _number(name, value, low, high, unit=""):
    """Returns a number that lies where it must, as a float."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        unit = f" of {unit}" if unit else ""
        raise ValueError(f"{name} must be a number{unit} between {low} and {high}. Received: {name}={value!r}")
    return float(value)


def _pair(name, value, least):
    if np.shape(value) != (2,) or not least <= value[0] <= value[1] < np.inf:
        raise ValueError(
            f"{name} must be a pair (low, high), low at least {least} and not above high. Received: {name}={value!r}"
        )
    return float(value[0]), float(value[1])


def _shift(name, value):
    """Returns the shift as ImageDataGenerator takes it: a number, whose type matters, or a tuple to choose from."""
    if np.ndim(value) == 1 and len(value):
        return tuple(_number(name, item, -np.inf, np.inf) for item in value)
    _number(name, value, 0, 1e6, "pixels, or below 1 a share of the side,")
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def _draw_shift(draw, sign, amount, side):
    """Shifts in pixels from two uniform draws."""
    if isinstance(amount, float):
        return (2 * draw - 1) * amount * (side if amount < 1 else 1)
    choices = np.arange(amount) if isinstance(amount, int) else np.array(amount)
    if not len(choices):
        return np.zeros(len(draw))
    chosen = choices[(draw * len(choices)).astype(int)] * np.where(sign < 0.5, -1.0, 1.0)
    return chosen * (side if np.max(amount) < 1 else 1)


def _mix(state):
    """The output function of SplitMix64 (Steele, Lea and Flood, 2014), on uint64 arrays."""
    state = (state ^ (state >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> 27)) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> 31)


def _uniform(keys, count):
    """Returns `(n, count)` numbers in [0, 1), every row from its own key: SplitMix64, all rows at once."""
    steps = np.arange(1, count + 1, dtype="uint64") * np.uint64(0x9E3779B97F4A7C15)
    return (_mix(keys[:, None] + steps) >> 11) * 2.0**-53


def _matrices(parameters, height, width):
    """Returns `(n, 2, 3)`: where each pixel (x, y) comes from, ImageDataGenerator's matrices in closed form."""
    theta, shear = np.deg2rad(parameters["theta"]), np.deg2rad(parameters["shear"])
    tx, ty, zx, zy = (parameters[name] for name in ("tx", "ty", "zx", "zy"))
    middle = np.array([height, width]) / 2 - 0.5
    matrices = np.empty((len(theta), 2, 3))
    # Rotation, shift, shear and zoom, in ImageDataGenerator's order; rotation and shear add up in the second column.
    matrices[:, 0, 0], matrices[:, 1, 0] = np.cos(theta) * zx, np.sin(theta) * zx
    matrices[:, 0, 1], matrices[:, 1, 1] = -np.sin(theta + shear) * zy, np.cos(theta + shear) * zy
    matrices[:, 0, 2] = np.cos(theta) * tx - np.sin(theta) * ty + middle[0]
    matrices[:, 1, 2] = np.sin(theta) * tx + np.cos(theta) * ty + middle[1]
    matrices[:, :, 2] -= matrices[:, :, :2] @ middle
    for axis, side, flips in ((0, width, "flip_horizontal"), (1, height, "flip_vertical")):
        flip = np.asarray(parameters[flips], bool)
        matrices[flip, :, 2] += (side - 1) * matrices[flip, :, axis]
        matrices[flip, :, axis] *= -1
    return matrices


def _tables(parameters, images, top):
    """Returns `(n, top + 1)`: what becomes of every grey level, whole numbers as float32."""
    levels = np.arange(top + 1, dtype="float32")[None]
    shift, brightness, gamma = (parameters[name] for name in ("channel_shift_intensity", "brightness", "gamma"))
    if shift is not None:
        flat = images.reshape(len(images), -1)
        shifted = levels + np.float32(top / GREY) * shift.astype("float32")[:, None]
        levels = np.clip(shifted, flat.min(1)[:, None], flat.max(1)[:, None])
    if brightness is not None:
        # ImageDataGenerator cuts fractions off before brightness, Pillow after it.
        levels = np.minimum(np.floor(np.floor(levels) * brightness.astype("float32")[:, None]), top)
    if gamma is not None:
        levels = top * (levels / top) ** gamma.astype("float32")[:, None]
    return np.broadcast_to(np.rint(levels), (len(images), top + 1))


def _aligned(shape, dtype):
    """Returns an empty array at an address that TensorFlow takes over without copying."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, "uint8")
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)
