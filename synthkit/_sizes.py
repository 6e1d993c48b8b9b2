"""Image sizes that a network cannot take, with the nearest ones that it can."""

import itertools


def check_size(network, image_shape, fits, needs):
    """Checks the size of the images that a network is to be built for.

    Args:
        network: its name, or "this generator".
        image_shape: `(height, width, channels)`.
        fits: callable `(height, width) → bool`, whether the network can be built for images of this size.
        needs: what the network needs, as in "images of at least 20×20 pixels".

    Raises:
        ValueError: if the size does not fit; names the nearest smaller and larger square sizes that do.
    """
    height, width = image_shape[:2]
    if fits(height, width):
        return
    longest = max(height, width)
    smaller = next((side for side in range(longest, 0, -1) if fits(side, side)), None)
    larger = next(side for side in itertools.count(longest) if fits(side, side))
    sizes = sorted({smaller, larger} - {None})
    nearest = min(sizes, key=lambda side: abs(side - longest))
    raise ValueError(
        f"{network} needs {needs}. Received: {height}×{width} pixels. The nearest "
        f"{'sizes that work are' if len(sizes) > 1 else 'size that works is'} {' and '.join(map(str, sizes))}: give "
        f"--image-size {nearest}, or image_size={nearest} to synthkit.load"
    )
