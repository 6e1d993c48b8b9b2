"""A GAN's training step in PyTorch, in another process: TensorFlow and PyTorch do not always work in the same one.

`python -m tests.benchmarks.torch_gan` reads a line of JSON, the networks as lists of `[layer, arguments]`, then lines
with numbers of steps. It answers each with the seconds that these steps took. The discriminator is given labels as
planes, the generator as a vector with the noise; `classes` is 0 without labels.
"""

import json
import os
import sys
import time

import torch


def network(table):
    """Builds a torch.nn.Sequential, channels-last, from `[class name in torch.nn, arguments]` rows."""
    parts = [getattr(torch.nn, kind)(**arguments) for kind, arguments in table]
    return torch.nn.Sequential(*parts).to(memory_format=torch.channels_last)


def stepper(generator, discriminator, noise_size, image_shape, classes, batch_size):
    """Returns a callable that takes one step of PyTorch's DCGAN tutorial, which generates one batch per step."""
    optimizers = [torch.optim.Adam(part.parameters(), 2e-4, (0.5, 0.999)) for part in (generator, discriminator)]
    loss = torch.nn.BCEWithLogitsLoss()
    height, width, channels = image_shape
    real = torch.rand(batch_size, channels, height, width).contiguous(memory_format=torch.channels_last) * 2 - 1
    ones, zeros = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)
    label = torch.eye(classes)[torch.arange(batch_size) % classes] if classes else torch.empty(batch_size, 0)
    planes = label[:, :, None, None].expand(-1, -1, height, width)

    def judge(images):
        images = torch.cat([images, planes], 1) if classes else images
        return discriminator(images.contiguous(memory_format=torch.channels_last))

    def step():
        fake = generator(torch.cat([torch.randn(batch_size, noise_size), label], 1))
        optimizers[1].zero_grad()
        loss(judge(real), ones).backward()
        loss(judge(fake.detach()), zeros).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        loss(judge(fake), ones).backward()
        optimizers[0].step()

    return step


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count())
    plan = json.loads(sys.stdin.readline())
    networks = [network(plan.pop(name)) for name in ("generator", "discriminator")]
    step = stepper(*networks, **plan)
    print(*(sum(weight.numel() for weight in part.parameters()) for part in networks), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - began, flush=True)
