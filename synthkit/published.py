"""What was published: the claims of the three studies, and of others, that synthetic images help a classifier.

Every number of the three studies is from a report: the mammography study's slides ("Topic 3: Data Synthesis"), the
MedMNIST study's Tables 1 and 2, and the skin-lesion study's Tables 1 to 6. Each is the result of one training run,
except that the slides' "average trials" is a mean over an unstated number of them.
"""

import typing


class Claim(typing.NamedTuple):
    """A published comparison of two classifiers on the same test images.

    Attributes:
        study: "mammography", "MedMNIST" or "skin lesions".
        source: the place in its report.
        claim: what was compared, baseline first.
        figure: the metric: "accuracy", or "sensitivity" or "specificity" for malignant lesions.
        total: number of test images that the metric is a proportion of.
        before, after: number of them that were classified correctly without and with synthetic images.
    """

    study: str
    source: str
    claim: str
    figure: str
    total: int
    before: int
    after: int


class AreaClaim(typing.NamedTuple):
    """A published comparison of two classifiers' AUCs of two classes on the same test images.

    Attributes:
        study, claim: as in `Claim`.
        positives, negatives: number of test images of each class.
        before, after: AUC without and with synthetic images.
    """

    study: str
    claim: str
    positives: int
    negatives: int
    before: float
    after: float


# Mammography: test accuracies as printed on the slides, on `X_test shape: (341, 224, 224, 3)`.
MAMMOGRAPHY_TEST = 341
MAMMOGRAPHY = {
    "simple CNN": 0.5102639198303223,
    "hyperparameter tuning": 0.5513196587562561,
    "VGG16": 0.5601173043251038,
    "InceptionResNetV2": 0.7067448496818542,
    "InceptionResNetV2 with cGAN": 0.7067448496818542,
    "cGAN, best trial": 0.86,  # two digits only, from the comparison table
}

# Two-class AUCs: test images of the two classes, the baseline's AUC, then those of the arms. The slides do not give the
# classes of the test set; they are assumed to be as in the training table, 48.3 % malignant. MedMNIST's are from its
# files.
AREAS = {
    ("mammography", "InceptionResNetV2"): ((165, 176), 0.75, {"cGAN, average": 0.76, "cGAN, best trial": 0.89}),
    ("MedMNIST", "PneumoniaMNIST"): ((234, 390), 0.942, {"AE": 0.949, "cVAE": 0.942, "cGAN": 0.948}),
    ("MedMNIST", "BreastMNIST"): ((42, 114), 0.872, {"AE": 0.885, "cVAE": 0.901, "cGAN": 0.850}),
}

# MedMNIST: test images (Table 1) and accuracies (Table 2) without augmentation, with AE, cVAE and cGAN.
MEDMNIST = {
    "PathMNIST": (7180, 0.740, 0.708, 0.614, None),
    "DermaMNIST": (2005, 0.698, 0.682, 0.686, None),
    "OCTMNIST": (1000, 0.501, 0.564, 0.543, 0.557),
    "PneumoniaMNIST": (624, 0.845, 0.842, 0.859, 0.856),
    "BreastMNIST": (156, 0.807, 0.833, 0.864, 0.796),
    "OrganMNIST axial": (8889, 0.781, 0.819, 0.810, 0.783),
    "OrganMNIST coronal": (8268, 0.824, 0.844, 0.842, 0.845),
    "OrganMNIST sagittal": (8829, 0.641, 0.659, 0.644, 0.652),
}

# Skin lesions: rows malignant and benign, columns predicted malignant and predicted benign (Tables 2, 4 and 6).
SKIN = {
    "real": ((288, 12), (122, 238)),
    "120 a class": ((283, 17), (98, 262)),
    "480 a class": ((258, 42), (66, 294)),
}


# From abstracts that say how many images were tested, and how many of them, or which fraction, were right.
LITERATURE = (
    Claim(
        "Frid-Adar et al. 2018",
        "Neurocomputing 321, abstract: 182 liver lesions, mean over three classes",
        "classical augmentation, then DCGAN images as well",
        "sensitivity",
        182,
        round(0.786 * 182),
        round(0.857 * 182),
    ),
)

# Abstracts without the numbers that an interval needs: (study, source, claim, what is missing).
UNCOUNTED = (
    (
        "Cha et al. 2020",
        "Journal of Medical Imaging 7, 012703",
        "2,000 simulated mammograms improve the detection of masses on 361 test mammograms",
        "numbers: the abstract speaks of curves",
    ),
    (
        "Chambon et al. 2022 (RoentGen)",
        "arXiv:2211.12737",
        "a classifier trained on synthetic and real chest films is 5 % better",
        "the number of test images, and the metric before and after",
    ),
    (
        "Khosravi et al. 2024",
        "eBioMedicine 104, 105174",
        "AUC rises by up to 0.02 with ten times as many synthetic chest films, and from 0.76 to 0.80 with those of "
        "other hospitals (p < 0.01)",
        "the numbers of test images, and of results of which these are the highest",
    ),
    (
        "Mondillo et al. 2025 (cVAE-WGAN)",
        "medRxiv 2025.06.02.25328698",
        "accuracy on BreastMNIST rises by 4.58 % at the best of several mixing ratios",
        "the accuracy before. Of its 156 test images that is 7; were no image lost in exchange, p would be 0.016, and "
        "with 5 lost for 12 gained 0.14, before the choice of the best ratio",
    ),
)


def claims():
    """Returns every claim of the three reports for which counts are known, as a list of Claim.

    Where a report gives a rounded accuracy, the count is the nearest integer. Two accuracies of the MedMNIST study,
    BreastMNIST's 0.864 and 0.796, are not a proportion of its 156 test images. They may be averages over batches of
    different sizes.
    """
    result = []
    for arm in ("InceptionResNetV2 with cGAN", "cGAN, best trial"):
        before, after = (round(MAMMOGRAPHY[name] * MAMMOGRAPHY_TEST) for name in ("InceptionResNetV2", arm))
        claim = f"InceptionResNetV2, {arm.removeprefix('InceptionResNetV2 ')}"
        result.append(Claim("mammography", "slides", claim, "accuracy", MAMMOGRAPHY_TEST, before, after))
    for name, (total, before, *others) in MEDMNIST.items():
        for arm, after in zip(("AE", "cVAE", "cGAN"), others, strict=True):
            if after is not None:
                counts = round(before * total), round(after * total)
                result.append(Claim("MedMNIST", "Table 2", f"{name}, {arm}", "accuracy", total, *counts))
    (tp, fn), (fp, tn) = SKIN["real"]
    for arm, table in (("120 a class", "Table 4"), ("480 a class", "Table 6")):
        (new_tp, _), (_, new_tn) = SKIN[arm]
        malignant, benign = tp + fn, fp + tn
        for metric, total, before, after in (
            ("accuracy", malignant + benign, tp + tn, new_tp + new_tn),
            ("sensitivity", malignant, tp, new_tp),
            ("specificity", benign, tn, new_tn),
        ):
            result.append(Claim("skin lesions", table, f"DCGAN, {arm}", metric, total, before, after))
    return result


def area_claims():
    """Returns every claim of the three reports about a two-class AUC, as a list of AreaClaim."""
    return [
        AreaClaim(study, f"{baseline}, {arm}", *counts, before, after)
        for (study, baseline), (counts, before, arms) in AREAS.items()
        for arm, after in arms.items()
    ]
