"""Generators of synthetic images, and `synthesizer`, the adapter that makes any of them an arm of a study.

A generator is a `keras.Model` that is `fit` on a data set of `(images, labels)` and has
`sample(labels, seed) → float32 images (n, height, width, channels) in [0, 1]`.

- `contract`: `Generator`, the base class.
- `medmnist_autoencoder`, `medmnist_cvae`, `medmnist_cgan`: the MedMNIST study's fully connected networks.
- `mammography_cgan`, `skin_dcgan`: the GANs of the mammography study and of the skin-lesion study.
- `conv_cvae`, `conv_cgan` (with `wgan_gp` and `acgan`), `bagan`, `diffusion`: our own, for a few hundred images.
- `gan`, `layers`, `losses`: what they share.
- `callbacks`: sample grids, early warnings, the best epoch, checkpoints.
"""

# Imported here, so that Keras knows their classes when it loads a saved generator.
from synthkit.generators import (
    bagan,
    callbacks,
    conv_cgan,
    conv_cvae,
    diffusion,
    mammography_cgan,
    medmnist_autoencoder,
    medmnist_cgan,
    medmnist_cvae,
    skin_dcgan,
)
from synthkit.generators.adapter import synthesizer

vae = medmnist_cvae  # its address before this layout, until version 0.2

__all__ = [
    "bagan",
    "callbacks",
    "conv_cgan",
    "conv_cvae",
    "diffusion",
    "mammography_cgan",
    "medmnist_autoencoder",
    "medmnist_cgan",
    "medmnist_cvae",
    "skin_dcgan",
    "synthesizer",
]
