"""Classical augmentation: random transformations of real images, newly drawn for every batch.

- `Augmenter`: the mammography study's transformations; `OFF` holds ImageDataGenerator's own defaults; `elastic` adds
  elastic deformation.
- `mixup`, `cutmix`, `randaugment`: Keras's layers.

All of them are callables for `augment` of `pipeline.to_dataset` and of `study.Arm`.
"""

from synthkit.augmentation.augmenter import OFF, Augmenter, elastic
from synthkit.augmentation.mixing import cutmix, mixup, randaugment

__all__ = ["OFF", "Augmenter", "cutmix", "elastic", "mixup", "randaugment"]
