import numpy as np

from synthkit.augmentation import flips_and_shifts


def test_seed_decides():
    images = np.random.default_rng(0).random((6, 20, 20, 1), "float32")
    first, again, other = (flips_and_shifts(images, np.array([1, step])).numpy() for step in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_flips_half_of_the_images_each_way():
    ramp = np.tile(np.linspace(0, 1, 20, dtype="float32"), (2000, 20, 1))[..., None]
    across = flips_and_shifts(ramp, np.array([0, 0])).numpy()
    upside = flips_and_shifts(ramp.transpose(0, 2, 1, 3), np.array([0, 0])).numpy()
    for share in (np.mean(across[:, 5, -1, 0] < across[:, 5, 0, 0]), np.mean(upside[:, -1, 5, 0] < upside[:, 0, 5, 0])):
        assert 0.46 < share < 0.54


def test_shifts_reach_a_tenth_and_no_further():
    spot = np.zeros((3000, 20, 20, 1), "float32")
    spot[:, 9, 9] = 1
    moved = flips_and_shifts(spot, np.array([3, 4])).numpy()[..., 0]
    rows, columns = np.unique(np.argwhere(moved == 1)[:, 1]), np.unique(np.argwhere(moved == 1)[:, 2])
    # Flipping puts the spot at 9 or 10, shifting by up to 2 pixels more.
    assert rows.tolist() == columns.tolist() == list(range(7, 13))
    assert (moved.sum((1, 2)) == 1).all()
