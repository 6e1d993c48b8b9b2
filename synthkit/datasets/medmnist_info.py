"""Facts and checksums of the two-dimensional data sets of MedMNIST v2.

They are those of the official release 3.0.2 of the `medmnist` package.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Info:
    """Facts about one data set.

    Args:
        names: class names, separated by semicolons.
        sizes: number of images in the official training, validation and test set.
        channels: 1 or 3.
        md5: checksum of the file of 28×28 pixels.
        task: of the official release.
        licence: of the images.
        study_test: size of the test set in the MedMNIST study's Table 1; None for sets that the study did not use.
    """

    names: str
    sizes: tuple
    channels: int
    md5: str
    task: str = "multi-class"
    licence: str = "CC BY 4.0"
    study_test: int | None = None

    @property
    def class_names(self):
        return tuple(self.names.split("; "))


ORGANS = (
    "bladder; femur-left; femur-right; heart; kidney-left; kidney-right; liver; lung-left; lung-right; pancreas; spleen"
)
INFO = {
    "pathmnist": Info(
        "adipose; background; debris; lymphocytes; mucus; smooth muscle; normal colon mucosa; "
        "cancer-associated stroma; colorectal adenocarcinoma epithelium",
        (89996, 10004, 7180),
        3,
        "a8b06965200029087d5bd730944a56c1",
        study_test=7180,
    ),
    "chestmnist": Info(
        "atelectasis; cardiomegaly; effusion; infiltration; mass; nodule; pneumonia; pneumothorax; "
        "consolidation; edema; emphysema; fibrosis; pleural; hernia",
        (78468, 11219, 22433),
        1,
        "02c8a6516a18b556561a56cbdd36c4a8",
        task="multi-label",
    ),
    "dermamnist": Info(
        "actinic keratoses and intraepithelial carcinoma; basal cell carcinoma; benign keratosis-like "
        "lesions; dermatofibroma; melanoma; melanocytic nevi; vascular lesions",
        (7007, 1003, 2005),
        3,
        "0744692d530f8e62ec473284d019b0c7",
        licence="CC BY-NC 4.0",
        study_test=2005,
    ),
    "octmnist": Info(
        "choroidal neovascularization; diabetic macular edema; drusen; normal",
        (97477, 10832, 1000),
        1,
        "c68d92d5b585d8d81f7112f81e2d0842",
        study_test=1000,
    ),
    "pneumoniamnist": Info(
        "normal; pneumonia",
        (4708, 524, 624),
        1,
        "28209eda62fecd6e6a2d98b1501bb15f",
        task="binary-class",
        study_test=624,
    ),
    "retinamnist": Info(
        "0; 1; 2; 3; 4",
        (1080, 120, 400),
        3,
        "bd4c0672f1bba3e3a89f0e4e876791e4",
        task="ordinal-regression",
    ),
    "breastmnist": Info(
        "malignant; normal, benign",
        (546, 78, 156),
        1,
        "750601b1f35ba3300ea97c75c52ff8f6",
        task="binary-class",
        study_test=156,
    ),
    "bloodmnist": Info(
        "basophil; eosinophil; erythroblast; immature granulocytes; lymphocyte; monocyte; neutrophil; platelet",
        (11959, 1712, 3421),
        3,
        "7053d0359d879ad8a5505303e11de1dc",
    ),
    "tissuemnist": Info(
        "Collecting Duct, Connecting Tubule; Distal Convoluted Tubule; Glomerular endothelial cells; "
        "Interstitial endothelial cells; Leukocytes; Podocytes; Proximal Tubule Segments; Thick Ascending "
        "Limb",
        (165466, 23640, 47280),
        1,
        "ebe78ee8b05294063de985d821c1c34b",
    ),
    "organamnist": Info(
        ORGANS,
        (34561, 6491, 17778),
        1,
        "68e3f8846a6bd62f0c9bf841c0d9eacc",
        study_test=8889,
    ),
    "organcmnist": Info(
        ORGANS,
        (12975, 2392, 8216),
        1,
        "b9ceb9546e10131b32923c5bbeaea2b1",
        study_test=8268,
    ),
    "organsmnist": Info(
        ORGANS,
        (13932, 2452, 8827),
        1,
        "9ab87b696fb54e2a387ebe992d6ed5f1",
        study_test=8829,
    ),
}

LARGER = {  # md5 of the files of larger images, by pixels a side
    "pathmnist": {
        64: "55aa9c1e0525abe5a6b9d8343a507616",
        128: "ac42d08fb904d92c244187169d1fd1d9",
        224: "2c51a510bcdc9cf8ddb2af93af1eadec",
    },
    "chestmnist": {
        64: "9de6cd0b934ebb5b7426cfba5efbae16",
        128: "db107e5590b27930b62dbaf558aebee3",
        224: "45bd33e6f06c3e8cdb481c74a89152aa",
    },
    "dermamnist": {
        64: "b70a2f5635c6199aeaa28c31d7202e1f",
        128: "2defd784463fa5243564e855ed717de1",
        224: "8974907d8e169bef5f5b96bc506ae45d",
    },
    "octmnist": {
        64: "e229e9440236b774d9f0dfef9d07bdaf",
        128: "0a97e76651ace45c5d943ee3f65b63ae",
        224: "abc493b6d529d5de7569faaef2773ba3",
    },
    "pneumoniamnist": {
        64: "8f4eceb4ccffa70c672198ea285246c6",
        128: "05b46931834c231683c68f40c47b2971",
        224: "d6a3c71de1b945ea11211b03746c1fe1",
    },
    "retinamnist": {
        64: "afda852cc34dcda56f86ad2b2457dbcc",
        128: "e48e916a24454daf90583d4e6efb1a18",
        224: "eae7e3b6f3fcbda4ae613ebdcbe35348",
    },
    "breastmnist": {
        64: "742edef2a1fd1524b2efff4bd7ba9364",
        128: "363e4b3f8d712e9b5de15470a2aaadf1",
        224: "b56378a6eefa9fed602bb16d192d4c8b",
    },
    "bloodmnist": {
        64: "2b94928a2ae4916078ca51e05b6b800b",
        128: "adace1e0ed228fccda1f39692059dd4c",
        224: "b718ff6835fcbdb22ba9eacccd7b2601",
    },
    "tissuemnist": {
        64: "123ece2eba09d0aa5d698fda57103344",
        128: "61b955355d7425a89687b06cca3ce0c2",
        224: "b077128c4a949f0a4eb01517f9037b9c",
    },
    "organamnist": {
        64: "2dcccc29b88e6da5a01161ef20cda288",
        128: "eeae80d0a227a8d099027e1b3cfd3b60",
        224: "50747347e05c87dd3aaf92c49f9f3170",
    },
    "organcmnist": {
        64: "3ce34a8724ea6f548e6db4744d03b6a9",
        128: "773c1f009daa3fe5d9a2a201b2a7ed94",
        224: "050f5e875dc056f6768abf94ec9995d1",
    },
    "organsmnist": {
        64: "53a6d115339d874c25e309a994ff46d3",
        128: "ded0c5fa01a95dc4978b956f613e9b8e",
        224: "b354719e553fbbb2513d5533f52a4cb1",
    },
}
