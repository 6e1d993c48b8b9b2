import keras
import pytest

from synthkit.catalogue import recipe
from synthkit.training import Trainer
from tests.test_training import flat


class TestRecipe:
    def test_medmnist_is_the_benchmarks(self):
        # 546 images of BreastMNIST in batches of 128, 100 epochs.
        found = recipe("medmnist", 546)
        assert found["steps"] == 427
        trainer = Trainer(flat, (20, 20, 1), 2, **found | {"batch_size": 8, "steps": 20, "checks": 4})
        model = trainer._fresh(0)
        rates = []
        for step in range(20):
            model.optimizer.iterations.assign(step)
            rates.append(float(model.optimizer.learning_rate))
        assert rates == pytest.approx([1e-3] * 10 + [1e-4] * 5 + [1e-5] * 5)
        assert type(model.optimizer) is keras.optimizers.Adam

    def test_medmnist_study_is_plain_gradient_descent(self):
        trainer = Trainer(flat, (20, 20, 1), 2, **recipe("medmnist_study", 546))
        optimizer = trainer._fresh(0).optimizer
        assert (type(optimizer), float(optimizer.learning_rate)) == (keras.optimizers.SGD, pytest.approx(1e-3))
        assert optimizer.momentum == 0
        assert (trainer.batch_size, trainer.steps) == (128, 428)

    def test_unknown_names(self):
        with pytest.raises(ValueError, match="recipe must be one of medmnist, medmnist_study. Received: 'best'"):
            recipe("best", 10)
        with pytest.raises(ValueError, match="optimizer must be 'adam' or 'sgd'. Received: optimizer='adamw'"):
            Trainer(flat, (20, 20, 1), 2, steps=1, optimizer="adamw")
