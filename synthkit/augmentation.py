"""Classical augmentation: changed copies of real images, made anew for every batch."""


def flips_and_shifts(images, seed, shift=0.1):
    """Flips each image left to right and upside down, each with probability one half, and shifts it.

    Args:
        images: float32 `(batch, height, width, channels)`.
        seed: int64 `(2,)`; the same seed gives the same images.
        shift: largest shift, as a share of height and width; pixels that move in mirror those at the edge.

    Returns:
        float32 of the same shape.
    """
    import tensorflow as tf

    batch, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]

    def uniform(number, low, high, shape, dtype="int32"):
        return tf.random.stateless_uniform(shape, seed + [0, number << 32], low, high, dtype)

    flip_x, flip_y = (uniform(number, 0, 2, (batch, 1, 1, 1)) == 1 for number in (1, 2))
    images = tf.where(flip_x, images[:, :, ::-1], images)
    images = tf.where(flip_y, images[:, ::-1], images)
    down, right = (int(side * shift) if side else 0 for side in images.shape[1:3])
    if not down and not right:
        return images
    padded = tf.pad(images, [[0, 0], [down, down], [right, right], [0, 0]], "REFLECT")
    rows = uniform(3, 0, 2 * down + 1, (batch, 1)) + tf.range(height)
    columns = uniform(4, 0, 2 * right + 1, (batch, 1)) + tf.range(width)
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
