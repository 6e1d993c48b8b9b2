"""Classical augmentation: random transformations of real images, newly drawn for every batch.

Rotation, shifts, shear, zoom and flips are combined into one affine matrix and one bilinear warp per image; channel
shift, brightness, gamma and the conversion to float are combined into one look-up table per image.
"""

import cv2
import numpy as np

from synthkit.augmentation.warp import FILL_MODES, SMALL, matrices, warp

# ImageDataGenerator's own defaults, which change nothing. `Augmenter(**{**OFF, "rotation_range": 30})` only rotates.
OFF = {f"{name}_range": 0.0 for name in ("rotation", "width_shift", "height_shift", "shear", "zoom", "channel_shift")}
OFF |= {"horizontal_flip": False, "vertical_flip": False, "brightness_range": None}
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
WHITE = 255  # grey levels in arguments are on the 8-bit scale; for 16-bit images they are multiplied by 257


class Augmenter:
    """The mammography study's random transformations, with the arguments and conventions of ImageDataGenerator.

    Arguments copied from Keras's `ImageDataGenerator(...)` give the same images: parameters have the same distribution,
    and the same parameters give the same pixels to within a grey level. The defaults are the study's (its section "Data
    Augmentation"), not ImageDataGenerator's; those are in `OFF`.

    ImageDataGenerator takes the study's shear of 0.2 as degrees, which is invisible. The default keeps it. The study
    probably meant 0.2 radians, which is `shear_range=11.5`.

    Two quirks of ImageDataGenerator are kept; neither matters for square images with equal ranges. It shifts along the
    width by `height_shift_range` and along the height by `width_shift_range`, and it takes the centre of rotation
    `(height / 2, width / 2)` as (x, y). One quirk is not kept: its "wrap" repeats an image with a period of one pixel
    less than its side; here the period is the side.

    Example:

    >>> augmenter = Augmenter(rotation_range=10)
    >>> augmenter.sample([[0, 0], [0, 1]], (32, 32, 1))["theta"].round(1)
    array([7.7, 5. ])

    Args:
        rotation_range: largest angle, degrees.
        width_shift_range, height_shift_range: largest shift in either direction: a fraction of the side (a float below
            1), pixels (a float of 1 or more), whole pixels below an int, or a sequence of shifts to choose from.
        shear_range: largest shear angle, degrees.
        zoom_range: a float z for `(1 - z, 1 + z)`, or a pair; each axis has its own factor. Factors above 1 shrink.
        horizontal_flip, vertical_flip: whether half of the images are flipped in that direction.
        brightness_range: pair of factors, or None.
        channel_shift_range: largest shift, grey levels, the same for all channels of an image; the result is clipped to
            the image's own range. The report gives no value; 20 is this project's choice.
        fill_mode: how pixels outside the image are filled: "nearest" (with its edge), "reflect", "wrap" or "constant".
        cval: grey level outside the image for "constant".
        elastic_range: standard deviation of an elastic deformation, as a fraction of the side: displacements are drawn
            on a 3×3 grid and interpolated bicubically (Ronneberger et al., "U-Net", 2015: 10 of 512 pixels, 0.02).
        gamma_range: pair of exponents for gamma correction, or None; drawn uniformly on a log scale.
        noise_range: largest standard deviation of Gaussian noise, grey levels.
        filters: pairs `(callable, probability)`. A callable takes and returns a uint8 image of the same size; it is
            applied with that probability, before all other transformations.

    Raises:
        ValueError: for an invalid range or an unknown fill mode.
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
        if fill_mode not in tuple(FILL_MODES):
            raise ValueError(f"fill_mode must be one of {', '.join(FILL_MODES)}. Received: fill_mode={fill_mode!r}")
        if np.ndim(zoom_range) == 0:
            zoom_range = 1 - _number("zoom_range", zoom_range, 0, 0.99), 1 + zoom_range
        for pair in filters:
            if np.shape(pair) != (2,) or not callable(pair[0]) or not 0 <= pair[1] <= 1:
                raise ValueError(f"filters must be pairs (callable, probability). Received: filters={filters}")
        self.rotation_range = _number("rotation_range", rotation_range, 0, 360)
        self.width_shift_range = _shift("width_shift_range", width_shift_range)
        self.height_shift_range = _shift("height_shift_range", height_shift_range)
        self.shear_range = _number("shear_range", shear_range, 0, 89)
        self.zoom_range = _pair("zoom_range", zoom_range, 1e-3)
        self.horizontal_flip, self.vertical_flip = bool(horizontal_flip), bool(vertical_flip)
        self.brightness_range = None if brightness_range is None else _pair("brightness_range", brightness_range, 0)
        self.channel_shift_range = _number("channel_shift_range", channel_shift_range, 0, WHITE)
        self.fill_mode, self.cval = fill_mode, _number("cval", cval, 0, WHITE)
        self.elastic_range = _number("elastic_range", elastic_range, 0, 1)
        self.gamma_range = None if gamma_range is None else _pair("gamma_range", gamma_range, 1e-3)
        self.noise_range = _number("noise_range", noise_range, 0, WHITE)
        self.filters = tuple(filters)
        # Studies save this name, so that a folder's trials are never mixed with trials of other settings.
        settings = {**vars(self), "filters": [(getattr(f, "__name__", type(f).__name__), p) for f, p in self.filters]}
        self.__name__ = f"Augmenter({', '.join(f'{key}={value!r}' for key, value in settings.items())})"

    def __repr__(self):
        return self.__name__

    def __call__(self, images, labels, seeds):
        """Transforms a batch in a tf.data pipeline; see `augment` of `pipeline.to_dataset`."""
        import tensorflow as tf

        def transform(images, seeds):
            return self.apply(images, self.sample(seeds, images.shape[1:]), "float32")

        # Declared stateless, so that tf.data runs it in parallel also where operations must be deterministic.
        transformed = tf.numpy_function(transform, [images, seeds], "float32", stateful=False)
        transformed.set_shape(images.shape)
        return transformed, labels

    def sample(self, seeds, image_shape):
        """Draws the parameters of a batch; each image's depend on its own seed alone.

        Args:
            seeds: int `(n, 2)`.
            image_shape: `(height, width, channels)`.

        Returns:
            dict of arrays `(n,)`. With the keys of `ImageDataGenerator.get_random_transform`: theta and shear in
            degrees, tx and ty in pixels, zx and zy, flip_horizontal and flip_vertical, brightness and
            channel_shift_intensity (None if off). Also gamma (None if off), noise in grey levels, filters, bool
            `(n, number of filters)`, and seed, from which pixel noise and elastic fields are drawn.
        """
        seeds = np.asarray(seeds)
        if seeds.ndim != 2 or seeds.shape[1] != 2 or not np.issubdtype(seeds.dtype, np.integer):
            raise ValueError(f"seeds must be integers of shape (n, 2). Received: seeds={seeds.dtype} {seeds.shape}")
        first, second = seeds.T.astype("uint64")
        keys = _mix(_mix(first) + second)
        steps = np.arange(1, 15 + len(self.filters), dtype="uint64") * GOLDEN
        draws = (_mix(keys + steps[:, None]) >> 11) * 2.0**-53
        signed = 2 * draws - 1
        shift, brightness, gamma = self.channel_shift_range, self.brightness_range, self.gamma_range
        return {
            "theta": signed[0] * self.rotation_range,
            "tx": _draw_shift(draws[1], draws[2], self.height_shift_range, image_shape[0]),
            "ty": _draw_shift(draws[3], draws[4], self.width_shift_range, image_shape[1]),
            "shear": signed[5] * self.shear_range,
            "zx": np.interp(draws[6], (0, 1), self.zoom_range),
            "zy": np.interp(draws[7], (0, 1), self.zoom_range),
            "flip_horizontal": (draws[8] < 0.5) & self.horizontal_flip,
            "flip_vertical": (draws[9] < 0.5) & self.vertical_flip,
            "channel_shift_intensity": signed[10] * shift if shift else None,
            "brightness": np.interp(draws[11], (0, 1), brightness) if brightness else None,
            "gamma": np.exp(np.interp(draws[12], (0, 1), np.log(gamma))) if gamma else None,
            "noise": draws[13] * self.noise_range,
            "filters": np.array([probability for _, probability in self.filters]) > draws[14:].T,
            "seed": keys,
        }

    def apply(self, images, parameters, dtype=None):
        """Transforms a batch with given parameters.

        Args:
            images: uint8 or uint16 `(n, height, width, channels)`, at most 4 channels.
            parameters: dict that `sample` returns.
            dtype: None for the type of the images, or "float32" for floats in [0, 1].

        Returns:
            array of that type and the images' shape.

        Raises:
            ValueError: for images of another type or shape.
        """
        received = f"{getattr(images, 'dtype', type(images).__name__)} {getattr(images, 'shape', '')}"
        if received.split()[0] not in ("uint8", "uint16") or images.ndim != 4 or images.shape[3] > 4:
            expected = "uint8 or uint16 of shape (n, height, width, channels), at most 4 channels"
            raise ValueError(f"images must be {expected}. Received: images={received}")
        images, top = np.ascontiguousarray(images), np.iinfo(images.dtype).max
        dtype = images.dtype if dtype is None else np.dtype(dtype)
        white = 1.0 if dtype == "float32" else top
        images = self._filtered(images, parameters["filters"]) if self.filters else images
        affine, cval = matrices(parameters, *images.shape[1:3]), self.cval * top / WHITE
        warped = warp(images, affine, self.fill_mode, cval, elastic=self.elastic_range, seeds=parameters["seed"])
        tables = _tables(parameters, warped, top)
        tables = (tables / top).astype("float32") if dtype == "float32" else tables.astype(dtype)
        changed = _look_up(warped, tables)
        for i in range(len(images)) if self.noise_range else ():
            rng = np.random.default_rng([1, int(parameters["seed"][i])])
            noise = rng.standard_normal(images.shape[1:], "float32") * np.float32(parameters["noise"][i] / WHITE)
            noisy = np.clip(changed[i] + noise * white, 0, white)
            changed[i] = noisy if dtype == "float32" else np.rint(noisy)
        return changed

    def _filtered(self, images, chosen):
        """Applies filters; `chosen` is bool `(n, number of filters)`."""
        images = images.copy()
        for i, number in np.argwhere(chosen):
            images[i] = np.asarray(self.filters[number][0](images[i])).reshape(images.shape[1:])
        return images


def elastic(**settings):
    """Returns an Augmenter with elastic deformation by 2 % of the side; `settings` as in `Augmenter`."""
    return Augmenter(**{"elastic_range": 0.02, **settings})


def _number(name, value, low, high):
    """Returns an argument as a float, if it is a number from `low` to `high`."""
    if not isinstance(value, (int, float, np.number)) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be a number between {low} and {high}. Received: {name}={value!r}")
    return float(value)


def _pair(name, value, least):
    if np.shape(value) != (2,) or not least <= value[0] <= value[1] < np.inf:
        raise ValueError(f"{name} must be a pair {least} <= low <= high. Received: {name}={value!r}")
    return float(value[0]), float(value[1])


def _shift(name, value):
    """Returns a shift range as ImageDataGenerator accepts it: an int, a float, or a tuple of shifts to choose from."""
    if isinstance(value, (tuple, list, np.ndarray)) and len(value):
        return tuple(_number(name, item, -1e6, 1e6) for item in value)
    _number(name, value, 0, 1e6)
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def _draw_shift(draw, sign, amount, side):
    """Returns shifts in pixels; each is made from two uniform random numbers, `draw` and `sign`."""
    if not amount:
        return np.zeros(len(draw))
    if isinstance(amount, float):
        return (2 * draw - 1) * amount * (side if amount < 1 else 1)
    choices = np.arange(amount) if isinstance(amount, int) else np.array(amount)
    chosen = choices[(draw * len(choices)).astype(int)] * np.where(sign < 0.5, -1.0, 1.0)
    return chosen * (side if np.max(amount) < 1 else 1)


def _mix(state):
    """Hashes uint64 numbers: the output function of SplitMix64 (Steele, Lea and Flood, 2014); `GOLDEN` is its step."""
    state = (state ^ (state >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> 27)) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> 31)


def _tables(parameters, images, top):
    """Returns each image's look-up table, `(n, top + 1)`: the new grey level of every old one, rounded floats."""
    levels = np.arange(top + 1, dtype="float32")[None]
    values = (parameters[name] for name in ("channel_shift_intensity", "brightness", "gamma"))
    shift, brightness, gamma = (None if value is None else value[:, None].astype("float32") for value in values)
    if shift is not None:
        flat = images.reshape(len(images), -1)
        levels = np.clip(levels + top / WHITE * shift, flat.min(1)[:, None], flat.max(1)[:, None])
    if brightness is not None:
        # ImageDataGenerator rounds down before it changes the brightness, and Pillow after.
        levels = np.minimum(np.floor(np.floor(levels) * brightness), top)
    if gamma is not None:
        levels = top * (levels / top) ** gamma
    return np.broadcast_to(np.rint(levels), (len(images), top + 1))


def _look_up(images, tables):
    """Applies each image's look-up table, `(n, grey levels)`, to its pixels."""
    changed = np.empty(images.shape, tables.dtype)
    if images.dtype == "uint8" and images[0].size > SMALL:
        # 1.8 times as many 224×224 colour images per second as with numpy.take in the benchmark's pipeline.
        for image, table, result in zip(images, tables, changed, strict=True):
            cv2.LUT(image, table, result)
    else:
        offsets = (np.arange(len(images)) * tables.shape[1])[:, None, None, None]
        np.take(tables.reshape(-1), images + offsets, out=changed, mode="clip")
    return changed
