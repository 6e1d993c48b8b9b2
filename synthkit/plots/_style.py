"""What the figures have in common: colours, line styles, signs and borders."""

from synthkit.catalogue import BASELINE_COLOR, COLORS

REFERENCE = {"color": "#bbbbbb", "linewidth": 0.8, "linestyle": ":"}  # a line to compare with
ZERO = {"color": BASELINE_COLOR, "linewidth": 1, "linestyle": "--"}  # the line of no difference
UNIT_SQUARE = {"xlim": (0, 1), "ylim": (0, 1), "aspect": "equal", "xticks": [0, 0.5, 1], "yticks": [0, 0.5, 1]}

__all__ = ["BASELINE_COLOR", "COLORS", "REFERENCE", "UNIT_SQUARE", "ZERO", "finish", "signed"]


def signed(value, _=None):
    """Returns a number with its sign, as a tick label, with two decimals or three where it has them."""
    text = f"{value:+.3f}".removesuffix("0")
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def finish(ax, **options):
    """Sets options of Axes and hides the upper and the right border."""
    ax.set(**options)
    ax.spines[["top", "right"]].set_visible(False)
    return ax
