"""A study: arms × seeds → trials with the same budget, and the verdict on each arm.

- `arms`: `Arm`, and the synthesizers of the control arms.
- `folders`: arms of images that were made elsewhere.
- `choice`: the classifier that is best on real images.
- `training_sets`: the real training images of a seed.
- `trial`: one arm, one seed: train, then score the test set once.
- `checks`: what is checked before the first trial.
- `grid`: `run`, which runs all the trials of a study and resumes one that was stopped.
- `copies`: whether synthetic images are copies of training images.
- `progress`: bars, lines, or calls of a function.
- `storage`: `load`, and all that is in a study's folder.
- `results`: `Results`, and their comparison as the protocol says.
- `sweeps`: arms for several ratios of synthetic images, on several fractions of the real images.
"""

from synthkit.study.arms import Arm, oversample, shuffled
from synthkit.study.choice import choose
from synthkit.study.folders import folder_arm, from_folder
from synthkit.study.grid import run
from synthkit.study.results import Results
from synthkit.study.storage import load

__all__ = ["Arm", "Results", "choose", "folder_arm", "from_folder", "load", "oversample", "run", "shuffled"]
