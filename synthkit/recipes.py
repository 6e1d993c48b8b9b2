"""Published ways to train a classifier, as arguments of `training.Trainer`."""

import math

RECIPES = {
    # Yang et al., "MedMNIST v2", 2023: its benchmark's own training script.
    "medmnist": {"optimizer": "adam", "learning_rate": 1e-3, "drops": (0.5, 0.75), "batch_size": 128, "epochs": 100},
    # The MedMNIST study, its section 4.1. It schedules nothing.
    "medmnist_study": {"optimizer": "sgd", "learning_rate": 1e-3, "drops": (), "batch_size": 128, "epochs": 100},
}


def recipe(name, images):
    """Returns a published recipe as arguments of `Trainer`.

    The mammography and the skin-lesion study name neither optimizer, rate nor epochs of their classifiers, so there is
    nothing of theirs to return.

    Args:
        name: "medmnist" (the benchmark's: Adam at 1e-3, a tenth of it from half of the steps on and again from three
            quarters, batches of 128, 100 epochs, weights of the best validation AUC) or "medmnist_study" (stochastic
            gradient descent at 1e-3, the rest alike).
        images: int, of the real training part; epochs over these decide the steps, whatever an arm adds to them.

    Returns:
        dict.

    Raises:
        ValueError: for another name.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}. Received: {name!r}")
    found = dict(RECIPES[name])
    epochs = found.pop("epochs")
    return found | {"steps": math.ceil(epochs * images / found["batch_size"]), "checks": epochs}
