"""The arms that have a name on the command line, and what is behind each."""

import re

ARMS = {
    "real": "real images only, the baseline",
    "augmentation": "real images, transformed anew in every batch as in the mammography study",
    "oversample": "real images again, to the same count as the synthetic ones: a control",
    "shuffled": "the cvae arm's images with their labels permuted: the negative control",
    "cvae": "images of the MedMNIST study's conditional variational autoencoder",
    "oracle": "fresh images from the simulator, phantoms only: the positive control",
}
FURTHER_ARMS = {
    "autoencoder": "training images as the MedMNIST study's deep autoencoder gives them back",
    "cgan": "images of the MedMNIST study's fully connected conditional GAN",
    "dcgan": "images of the skin-lesion study's DCGAN, a network for each class",
    "conv_cvae": "images of a convolutional conditional variational autoencoder",
    "conv_cgan": "images of a convolutional conditional GAN made for few images",
    "wgan_gp": "the same with Wasserstein's loss and a gradient penalty",
    "acgan": "the same with an auxiliary classifier",
    "diffusion": "images of a small conditional diffusion model",
    "elastic": "the augmentation arm with elastic deformation on top",
    "mixup": "real images and their labels mixed in pairs",
    "cutmix": "real images with a box of another pasted in, labels mixed by area",
    "randaugment": "real images, two operations drawn from a list of eleven for every batch",
}
GENERATORS = {  # epochs, as the studies trained theirs or a few hundred images need; images a step
    "autoencoder": (300, 128),
    "cvae": (300, 128),
    "cgan": (1000, 128),
    "dcgan": (400, 128),
    "conv_cvae": (300, 64),
    "conv_cgan": (80, 32),
    "wgan_gp": (80, 32),
    "acgan": (80, 32),
    "diffusion": (250, 32),
}
ENDINGS = {  # to a generator's name, any of them in this order; to a control's all but the first
    "filtered": "the half of its images whose label a classifier of the real ones is surest of, without copies",
    "x2": "two of its images for each real one, or as many as the number says",
    "first": "its images alone for the first half of the steps, real ones alone for the second",
    "augmented": "its images and the real ones transformed as in the arm augmentation",
}
BEST_AUC = 0.90  # of phantoms: the best that any classifier can reach


def named(names, *, epochs=None, ratio=5.0, steps=300, learning_rate=2e-3, keep=None, progress=False):
    """Makes arms of a study by name.

    Args:
        names: some of `ARMS` and `FURTHER_ARMS`; a generator's may be followed by `ENDINGS`, "cvae filtered augmented".
        epochs: dict from a generator's name to its epochs, where they are not those of `GENERATORS`.
        ratio: synthetic images for each real one.
        steps, learning_rate: of the classifier that filters images; it is trained with and without augmentation, and
            the one that ranks a quarter of the real training images better, which it has not seen, is the judge.
        keep: folder for fitted generators, as in `generators.synthesizer`.
        progress: whether generators show a bar while they are fitted.

    Returns:
        list of study.Arm.

    Raises:
        ValueError: for a name that there is not.
    """
    from synthkit import augmentation, classifiers, fidelity, generators, mixing, scorers, selection, study
    from synthkit.datasets import phantom
    from synthkit.generators import autoencoder, cgan, conv_gan, convolutional_vae, dcgan, diffusion, vae

    check(names)
    builders = {
        "autoencoder": autoencoder.autoencoder,
        "cvae": vae.conditional_vae,
        "cgan": cgan.dense_cgan,
        "dcgan": dcgan.per_class_dcgan,
        "conv_cvae": convolutional_vae.convolutional_vae,
        "conv_cgan": conv_gan.conv_cgan,
        "wgan_gp": conv_gan.wgan_gp,
        "acgan": conv_gan.acgan,
        "diffusion": diffusion.diffusion,
    }
    trained = {name: usual for name, (usual, _) in GENERATORS.items()} | (epochs or {})
    made = {}
    for name, (_, size) in GENERATORS.items():
        options = {"epochs": trained[name], "batch_size": size, "keep": keep, "progress": progress}
        made[name] = generators.synthesizer(builders[name], **options)
    ways = None, augmentation.Augmenter()
    judge = scorers.scorer(classifiers.skin_cnn, steps=steps, learning_rate=learning_rate, augment=ways)
    rules = selection.confident(judge), selection.novel(lambda train: fidelity.pixels(train.images))
    synthesizers = {
        **{f"{name} filtered": selection.filtered(synthesize, *rules) for name, synthesize in made.items()},
        "oversample": study.oversample,
        "shuffled": study.shuffled(made["cvae"]),
        **made,
        "oracle": phantom.oracle(best_auc=BEST_AUC),
    }
    augmenters = {
        "augmentation": augmentation.Augmenter,
        "elastic": lambda: augmentation.Augmenter(elastic_range=0.02),
        "mixup": mixing.mixup,
        "cutmix": mixing.cutmix,
        "randaugment": mixing.randaugment,
    }

    def arm(name):
        plain = name in ARMS | FURTHER_ARMS
        source, times, first, augmented = (name, None, None, None) if plain else _with_endings(name).groups()
        kind = "augmentation" if augmented else name
        generator = "cvae" if source == "shuffled" else source.split()[0]
        return study.Arm(
            name,
            synthesizers.get(source),
            ratio=float(times or ratio) if source in synthesizers else 0.0,
            augment=augmenters[kind]() if kind in augmenters else None,
            pretrain=0.5 if first else 0.0,
            settings={"epochs": trained[generator]} if generator in trained else None,
        )

    return [arm(name) for name in names]


def check(names):
    """Raises ValueError for a name that is not of an arm."""
    for name in names:
        if name not in ARMS | FURTHER_ARMS and not _with_endings(name):
            raise ValueError(
                f"there is no arm {name!r}; expected some of {', '.join(ARMS | FURTHER_ARMS)}, or a generator's with "
                f"{', '.join(ENDINGS)} behind it, in this order"
            )


def _with_endings(name):
    """Matches a name with endings: its images' source, how many for each real one, first, augmented; or None."""
    number = r"(?=.*[1-9])\d+(?:\.\d+)?"
    source = rf"(?:{'|'.join(GENERATORS)})(?: filtered)?|oversample|shuffled|oracle"
    return re.fullmatch(rf"({source})(?: x({number}))?( first)?( augmented)?", name)
