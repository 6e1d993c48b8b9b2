"""The profiles fast and full."""

# Both profiles side by side. Library functions take these values as arguments, and do not know about profiles.
PROFILES = {
    "seeds": {"fast": 5, "full": 10},
    "per_class": {"fast": 50, "full": 150},  # real training images of each class, phantoms only
    "ratio": {"fast": 5.0, "full": 5.0},  # of synthetic to real images
    "learning_rate": {"fast": 2e-3, "full": 1e-3},
}
