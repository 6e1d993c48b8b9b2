"""The diffusion model's training step in PyTorch, in another process: the same network, loss and moving average.

`python -m tests.benchmarks.torch_unet` reads a line of JSON, the arguments of `stepper`, answers with the number of
weights, then reads lines with numbers of steps. It answers each with the seconds that these steps took.
"""

import itertools
import json
import math
import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    """Two convolutions that are added to their input; the condition scales and shifts the features between them."""

    def __init__(self, channels, filters, condition):
        super().__init__()
        self.shortcut = nn.Identity() if channels == filters else nn.Conv2d(channels, filters, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(1, channels), nn.GroupNorm(1, filters)])
        sizes = ((channels, filters), (filters, filters))
        self.convolutions = nn.ModuleList([nn.Conv2d(*size, 3, padding=1) for size in sizes])
        self.scale, self.shift = nn.Linear(condition, filters), nn.Linear(condition, filters)

    def forward(self, x, condition):
        shortcut = self.shortcut(x)
        x = self.convolutions[0](functional.silu(self.norms[0](x)))
        scale, shift = (layer(condition)[:, :, None, None] for layer in (self.scale, self.shift))
        x = functional.silu(self.norms[1](x) * (scale + 1) + shift)
        return shortcut + self.convolutions[1](x)


class UNet(nn.Module):
    """`generators.unet.unet`; `widths` are the channels of its levels, from the finest to the coarsest."""

    def __init__(self, channels, labels, widths):
        super().__init__()
        size = 4 * widths[0]
        self.register_buffer("frequencies", 2 * math.pi * torch.logspace(math.log10(0.5), math.log10(50), 16))
        self.time, self.label = nn.Linear(32, size), nn.Linear(labels, size, bias=False)
        self.condition = nn.Linear(size, size)
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList([Residual(width, width, size) for width in widths[:-1]])
        self.halve = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairs])
        self.middle = nn.ModuleList([Residual(widths[-1], widths[-1], size) for _ in "ab"])
        self.norm, self.attention = nn.GroupNorm(1, widths[-1]), nn.MultiheadAttention(widths[-1], 4, batch_first=True)
        self.enlarge = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in reversed(pairs)])
        self.up = nn.ModuleList([Residual(2 * width, width, size) for width in reversed(widths[:-1])])
        self.last = nn.Sequential(nn.GroupNorm(1, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], channels, 3, padding=1))

    def forward(self, noisy, time, label):
        angles = time[:, None] * self.frequencies
        condition = self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.label(label)
        condition = functional.silu(self.condition(functional.silu(condition)))
        x, skips = self.first(noisy), []
        for block, halve in zip(self.down, self.halve, strict=True):
            x = block(x, condition)
            skips.append(x)
            x = halve(x)
        x = self.middle[0](x, condition)
        positions = self.norm(x).flatten(2).transpose(1, 2)
        x = x + self.attention(positions, positions, positions, need_weights=False)[0].transpose(1, 2).view_as(x)
        x = self.middle[1](x, condition)
        for enlarge, block in zip(self.enlarge, self.up, strict=True):
            x = torch.cat([functional.interpolate(enlarge(x), scale_factor=2), skips.pop()], 1)
            x = block(x.contiguous(memory_format=torch.channels_last), condition)
        return self.last(x)


def stepper(image_shape, classes, widths, batch_size, decay=0.998):
    """Returns the network and a callable that takes one step of `generators.diffusion.Diffusion`."""
    height, width, channels = image_shape
    network = UNet(channels, classes + 1, widths).to(memory_format=torch.channels_last)
    average = [weight.detach().clone() for weight in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    real = torch.rand(batch_size, channels, height, width).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch_size) % classes

    def step():
        mirrored = torch.rand(batch_size, 1, 1, 1) < 0.5
        images = 2 * torch.where(mirrored, real.flip(3), real) - 1
        label = torch.where(torch.rand(batch_size) < 0.1, classes, labels)
        time = (torch.rand(()) + torch.arange(batch_size) / batch_size) % 1
        noise = torch.randn_like(images)
        signal_rate = torch.cos(time * math.pi / 2)[:, None, None, None]
        noise_rate = torch.sqrt(1 - signal_rate**2)
        predicted = network(
            signal_rate * images + noise_rate * noise, time, functional.one_hot(label, classes + 1).float()
        )
        optimizer.zero_grad()
        ((predicted - (signal_rate * noise - noise_rate * images)) ** 2).mean().backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(network.parameters()), 1 - decay)

    return network, step


if __name__ == "__main__":
    torch.set_num_threads(os.cpu_count())
    network, step = stepper(**json.loads(sys.stdin.readline()))
    print(sum(weight.numel() for weight in network.parameters()), flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - began, flush=True)
