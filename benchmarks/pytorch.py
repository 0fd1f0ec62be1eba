"""Compare training speed with PyTorch, both with augmentation: images per second.

    python -m pip install torch --index-url https://download.pytorch.org/whl/cpu
    python benchmarks/pytorch.py [--quick]

Ours is `training.fit`. The other is the same training in eager PyTorch, written for speed on a CPU:
images in memory as uint8; crop, flip, Cutout and mixup on whole batches of tensors; channels last;
fused SGD. Seven initial networks of search space I and one of 30 blocks, batches of 64 images of
32x32x3, on one thread and on all; the first epoch, which includes compiling, is not counted.

The last line is the ratio of our images per second to PyTorch's, the median over networks, for the
number of threads where it is lower. Target: at least 1.0. PyTorch's threads wait passively
(OMP_WAIT_POLICY): with busy waiting, the default, they run up to 25 times slower when other
programs occupy the cores. Without PyTorch nothing is compared, and the last line starts with
"skipped".
"""

import os
from importlib.util import find_spec

from common import BATCH, CLASSES, IMAGE, compare_speed, random_images
from script import Parser, run_benchmark

PAD, CUTOUT = 4, 16


def train_torch(job, turns, threads):
    """Train a network with PyTorch; a turn is an epoch."""
    import torch
    from torch.nn import functional

    if threads is not None:
        torch.set_num_threads(threads)
    network, num_steps, num_turns = job
    images, labels = map(torch.from_numpy, random_images(num_steps * BATCH))
    images = images.permute(0, 3, 1, 2)  # channels last in memory
    targets = functional.one_hot(labels.long(), CLASSES).float()
    model = module(network).to(memory_format=torch.channels_last).train()
    kernels = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": kernels, "weight_decay": 5e-4}, {"params": others}]
    optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, fused=True)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps * num_turns)
    for _ in range(num_turns):
        turns.next()
        total = torch.zeros(())
        for batch in torch.randperm(len(images)).split(BATCH):
            inputs, probabilities = augment(images[batch].float(), targets[batch])
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), probabilities)
            loss.backward()
            optimizer.step()
            rates.step()
            total += loss.detach()
        total.item()
    turns.end()


def module(network):
    """Return a network as a PyTorch module."""
    from torch import nn

    class Rescaling(nn.Module):
        def forward(self, images):
            return images / 127.5 - 1.0

    parts, channels = [Rescaling()], IMAGE[-1]
    for number, width in enumerate(network.filters, 1):
        if network.separable:
            parts.append(nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False))
            parts.append(nn.Conv2d(channels, width, 1, bias=False))
        else:
            parts.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
        parts += [nn.BatchNorm2d(width, eps=1e-3), nn.ReLU(inplace=True)]
        if number in network.pooled:
            parts.append(nn.MaxPool2d(2))
        channels = width
    return nn.Sequential(
        *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)
    )


def augment(images, targets):
    """Crop, flip, cut out and mix a batch: images (batch, channels, height, width)."""
    import torch
    from torch.nn import functional

    count, _, height, width = images.shape
    rows, columns = torch.arange(height), torch.arange(width)
    # Crop and flip in one gather from the padded images.
    offset = torch.randint(0, 2 * PAD + 1, (2, count, 1))
    flipped = torch.rand(count, 1) < 0.5
    padded = functional.pad(images, (PAD,) * 4, value=127.5).permute(0, 2, 3, 1)
    row = offset[0] + rows
    column = offset[1] + torch.where(flipped, width - 1 - columns, columns)
    cropped = padded[torch.arange(count)[:, None, None], row[:, :, None], column[:, None, :]]
    # Cutout.
    first = torch.randint(0, height, (2, count, 1)) - CUTOUT // 2
    in_rows = (rows >= first[0]) & (rows < first[0] + CUTOUT)
    in_columns = (columns >= first[1]) & (columns < first[1] + CUTOUT)
    hole = in_rows[:, :, None, None] & in_columns[:, None, :, None]
    images = cropped.masked_fill(hole, 127.5).permute(0, 3, 1, 2)
    # Mixup, with alpha 1.
    share, partner = torch.rand(count, 1), torch.randperm(count)
    targets = torch.lerp(targets[partner], targets, share)
    return torch.lerp(images[partner], images, share[:, :, None, None]), targets


def main():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two networks, few steps")
    quick = parser.parse_args().quick
    if find_spec("torch") is None:
        print("skipped: PyTorch is not installed; the CPU build suffices, see the docstring.")
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    ratio = compare_speed(train_torch, "PyTorch", quick=quick)
    print(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    run_benchmark(main)
