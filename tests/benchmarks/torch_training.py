"""The benchmarked classifiers in PyTorch and their training, for `tests.benchmarks.classifiers`.

`python -m tests.benchmarks.torch_training NAME IMAGES SIZE CHANNELS BATCH STEPS` prints the number of parameters. For
every line that it then reads it runs the steps and prints the seconds to the end of each, as JSON; the first run
includes building.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """A basic block of ResNet (kuangliu/pytorch-cifar's arrangement, which is MedMNIST's)."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        self.first, self.second = convolution(channels, filters, 3, stride), convolution(filters, filters, 3, 1)
        same = stride == 1 and channels == filters
        self.shortcut = nn.Identity() if same else convolution(channels, filters, 1, stride)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


def convolution(channels, filters, size, stride):
    layer = nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(filters))


class Centred(nn.Module):
    def forward(self, x):
        return 2 * x - 1


def resnet18(channels):
    """`classifiers.resnet18((28, 28, channels))`."""
    stages = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
    blocks = [Block(a if i == 0 else b, b, stride if i == 0 else 1) for a, b, stride in stages for i in range(2)]
    stem = [Centred(), convolution(channels, 64, 3, 1), nn.ReLU()]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 2))


def skin_cnn(channels):
    """`classifiers.skin_cnn((32, 32, channels))`."""

    def block(*layers):
        return [*layers, nn.Dropout(0.1)]

    return nn.Sequential(
        *block(nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *block(nn.Conv2d(32, 64, 2), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        *block(nn.Conv2d(64, 128, 2), nn.ReLU(), nn.MaxPool2d(2)),
        *block(nn.Conv2d(128, 128, 2), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(512, 1),
    )


def loss(outputs, labels):
    """Returns the cross-entropy of one logit, or of one logit per class."""
    if outputs.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(outputs[:, 0], labels.to(torch.float32))
    return F.cross_entropy(outputs, labels)


def run(state, images, labels, batch_size, steps):
    """Continues training. Returns the seconds from the beginning to the end of each step."""
    began, ends = time.perf_counter(), []
    network, optimizer, rng = state
    epochs = -(-steps * batch_size // len(images))
    order = np.concatenate([rng.permutation(len(images)) for _ in range(epochs)])
    for step in range(steps):
        index = order[step * batch_size : (step + 1) * batch_size]
        batch = torch.from_numpy(images[index]).permute(0, 3, 1, 2).float() / 255
        optimizer.zero_grad()
        loss(network(batch), torch.from_numpy(labels[index])).backward()
        optimizer.step()
        ends.append(time.perf_counter() - began)
    return ends


def main(name, count, size, channels, batch_size, steps):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (count, size, size, channels), "uint8"), rng.integers(0, 2, count)
    network = {"resnet18": resnet18, "skin_cnn": skin_cnn}[name](channels).to(memory_format=torch.channels_last)
    print(sum(weight.numel() for weight in network.parameters()), flush=True)
    state = network, torch.optim.Adam(network.parameters(), lr=1e-3), rng
    for _ in sys.stdin:
        print(json.dumps(run(state, images, labels, batch_size, steps)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
