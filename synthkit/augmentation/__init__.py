"""Classical augmentation: changed copies of real images, made anew for every batch.

- `Augmenter`: the mammography study's transformations; `OFF` are ImageDataGenerator's own defaults; `elastic` deforms.
- `mixup`, `cutmix`, `randaugment`: Keras's own layers.

All of them are callables for `pipeline.to_dataset` and for an arm's `augment`.
"""

from synthkit.augmentation.augmenter import OFF, Augmenter, elastic
from synthkit.augmentation.mixing import cutmix, mixup, randaugment

__all__ = ["OFF", "Augmenter", "cutmix", "elastic", "mixup", "randaugment"]
