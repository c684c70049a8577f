"""The attention encoder in PyTorch: the peer of `bench train` and `bench infer`.

The same network (spectral-temporal attention twice per block, tanh), loss (symmetric NT-Xent) and optimiser (Adam,
fused), in fp32, with as many threads. On start it times each layout and way to run it (channels_last, contiguous, and,
where --compile is given, torch.compile of the better one) and keeps the fastest. Then each line on standard input runs
one repetition; its segments per second are printed as one JSON line.
"""

import argparse
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    """X * softmax_F(tanh(X w_spectral)) * softmax_T(tanh(X' w_temporal)) * scale, per channel."""

    def __init__(self, channels, bands, frames):
        super().__init__()
        self.spectral = nn.Parameter(torch.zeros(channels, frames, 1))
        self.temporal = nn.Parameter(torch.zeros(channels, bands, 1))
        self.scale = float(bands * frames)

    def forward(self, x):
        spectral = torch.softmax(torch.tanh(torch.matmul(x, self.spectral)), dim=2)  # (N, C, F, 1)
        temporal = torch.softmax(torch.tanh(torch.matmul(x.transpose(2, 3), self.temporal)), dim=2)  # (N, C, T, 1)
        return x * (spectral * self.scale) * temporal.transpose(2, 3)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, bands, frames):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.attention1 = Attention(outputs, bands, frames)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.identity = nn.Conv2d(inputs, outputs, 1, stride) if stride != 1 else nn.Identity()
        self.attention2 = Attention(outputs, bands, frames)

    def forward(self, x):
        y = self.attention1(functional.relu(self.norm1(self.conv1(x)), inplace=True))
        y = self.norm2(self.conv2(y)) + self.identity(x)
        return self.attention2(functional.relu(y, inplace=True))


class Encoder(nn.Module):
    def __init__(self, width, bands=64, frames=96, groups=128):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, 1, 1)
        self.norm = nn.BatchNorm2d(width)
        blocks = []
        channels = width
        for index in range(6):
            stride = 1 if index == 0 else 2
            outputs = width << index
            bands, frames = bands // stride, frames // stride
            blocks.append(Block(channels, outputs, stride, bands, frames))
            channels = outputs
        self.blocks = nn.ModuleList(blocks)
        flat = channels * bands * frames
        self.hidden = nn.Conv1d(flat, groups * 32, 1, groups=groups)
        self.output = nn.Conv1d(groups * 32, groups, 1, groups=groups)

    def forward(self, x):
        y = functional.relu(self.norm(self.conv(x)), inplace=True)
        for block in self.blocks:
            y = block(y)
        y = y.flatten(1).unsqueeze(2)
        return functional.normalize(self.output(functional.elu(self.hidden(y))).squeeze(2))


def nt_xent(z, temperature=0.05):
    count = z.shape[0]
    logits = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    target = torch.arange(count).roll(count // 2)
    return functional.cross_entropy(logits, target)


def fold(model):
    """Batch normalisation folded into the convolutions before it."""
    model.eval()
    fuse = torch.nn.utils.fusion.fuse_conv_bn_eval
    model.conv, model.norm = fuse(model.conv, model.norm), nn.Identity()
    for block in model.blocks:
        block.conv1, block.norm1 = fuse(block.conv1, block.norm1), nn.Identity()
        block.conv2, block.norm2 = fuse(block.conv2, block.norm2), nn.Identity()
    return model


def make_step(args, layout, compiled):
    """A function that runs one batch."""
    torch.manual_seed(1)
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    model = Encoder(args.width).to(memory_format=memory)
    x = torch.randn(args.batch, 1, 64, 96).to(memory_format=memory)
    if args.task == "infer":
        model = fold(model).to(memory_format=memory)
        network = torch.compile(model) if compiled else model

        def infer():
            with torch.inference_mode():
                network(x)

        return infer
    network = torch.compile(model) if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)

    def train():
        optimizer.zero_grad(set_to_none=True)
        nt_xent(network(x)).backward()
        optimizer.step()

    return train


def rate(step, batch, seconds):
    """Segments per second over at least `seconds`."""
    begin = time.perf_counter()
    count = 0
    while count == 0 or time.perf_counter() - begin < seconds:
        step()
        count += 1
    return count * batch / (time.perf_counter() - begin)


def choose(args):
    """The fastest way to run this network: its name and its step."""
    best = None
    ways = [("channels_last", False), ("contiguous", False)]
    if args.compile:
        ways += [("channels_last", True), ("contiguous", True)]
    for layout, compiled in ways:
        name = layout + (" compiled" if compiled else "")
        try:
            step = make_step(args, layout, compiled)
            step()
            step()
            speed = rate(step, args.batch, args.seconds)
        except Exception as error:  # a machine without a compiler cannot compile: the other ways remain
            print(f"{name}: {error}", file=sys.stderr)
            continue
        print(f"{name}: {speed:.1f} segments/s", file=sys.stderr)
        if best is None or speed > best[0]:
            best = (speed, name, step)
    return best[1], best[2]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["train", "infer"])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3, help="of one repetition")
    parser.add_argument("--compile", action="store_true", help="try torch.compile too (needs a C++ compiler)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    name, step = choose(args)
    print(json.dumps({"peer": f"PyTorch {torch.__version__}", "layout": name}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"segments_per_second": rate(step, args.batch, args.seconds)}), flush=True)


if __name__ == "__main__":
    main()
