#!/usr/bin/env python3
"""The encoders, their loss and their optimisers in PyTorch: an independent check of this project's own.

  pytorch_reference.py golden FOLDER [NAME].. writes the files that tests/nn/pytorch_parity_test.cpp reads
  pytorch_reference.py embed MODEL [INPUT]    prints a checkpoint's embeddings, one row per segment

MODEL is a checkpoint (safetensors); INPUT a safetensors file with `segments` (N, F, T, 1), else eight made-up segments
are used. `embed --out FILE` writes `embeddings` (N, D) instead of printing. Needs torch and numpy, nothing else.

Parameters keep the names, shapes and layout of the checkpoints. Golden files hold no parameters: those, and the inputs,
come from an integer hash that the test computes too. Everything is computed in float64. Of each parameter's gradient and
final value a digest is kept: its norm, three projections on random signs, and sixteen elements.
"""

import argparse
import json
import pathlib
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F

DTYPES = {"F32": np.float32, "F64": np.float64, "F16": np.float16, "I64": np.int64, "I32": np.int32}
BLOCKS = 6
NAFP_BLOCKS = 8
NAFP_EPSILON = 1e-3  # of its layer normalisation: Keras' default
PROJECTIONS = 3
SAMPLES = 16
STEPS = 5
PAIRS = 8
TEMPERATURE = 0.1
LEARNING_RATE = 1e-3
LAMB_EPSILON = 1e-6
LAMB_DECAY = 0.1

# A ReLU that switches within rounding changes a gradient by far more than rounding does. The seeds are such that none
# does, in any of the steps, and float can be held to 1e-4; at full size with the scale 100 some always do, and only
# float64 is compared.
GOLDEN = {
    "full_size": {"seed": 0, "width": 2, "bands": 64, "frames": 96, "attention": "twice",
                  "attention_logits": "tanh", "attention_scale": "hundred", "embedding": 64, "head_hidden": 32},
    "full_size_area": {"seed": 21, "width": 2, "bands": 64, "frames": 96, "attention": "twice",
                       "attention_logits": "tanh", "attention_scale": "area", "embedding": 64, "head_hidden": 32},
    "paper": {"seed": 58, "width": 4, "bands": 16, "frames": 24, "attention": "twice",
              "attention_logits": "tanh", "attention_scale": "hundred", "embedding": 64, "head_hidden": 8},
    "poster": {"seed": 24, "width": 4, "bands": 16, "frames": 24, "attention": "once",
               "attention_logits": "plain", "attention_scale": "hundred", "embedding": 64, "head_hidden": 8},
    "area": {"seed": 36, "width": 4, "bands": 24, "frames": 16, "attention": "twice",
             "attention_logits": "plain", "attention_scale": "area", "embedding": 32, "head_hidden": 8},
    "tanh_area": {"seed": 35, "width": 3, "bands": 17, "frames": 19, "attention": "once",
                  "attention_logits": "tanh", "attention_scale": "area", "embedding": 48, "head_hidden": 5},
    "no_attention": {"seed": 38, "width": 5, "bands": 17, "frames": 26, "attention": "none",
                     "attention_logits": "tanh", "attention_scale": "hundred", "embedding": 32, "head_hidden": 4},
    "nafp": {"type": "nafp", "seed": 3, "width": 4, "bands": 37, "frames": 21, "embedding": 16, "head_hidden": 8},
    "nafp_lamb": {"type": "nafp", "optimizer": "lamb", "seed": 4, "width": 2, "bands": 256, "frames": 32,
                  "embedding": 8, "head_hidden": 5},
}


# ---------------------------------------------------------------------------------------------------- safetensors


def read_safetensors(path):
    """(tensors by name, metadata)."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata


def write_safetensors(path, tensors, metadata):
    names = {np.dtype(t): name for name, t in DTYPES.items()}
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in tensors.items():
        blob = np.ascontiguousarray(tensor).tobytes()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


# -------------------------------------------------------------------------------------------------- made-up values


def hashed(count, stream):
    """`count` uniform values in [-1, 1), a function of (stream, index); each is exact in float32."""
    x = np.arange(count, dtype=np.uint32) + np.uint32(stream * 0x9E3779B9 & 0xFFFFFFFF)
    for multiplier, shift in ((0x7FEB352D, 16), (0x846CA68B, 15)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(multiplier)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2.0**23 - 1.0


def start_value(seed, index, name, shape, options):
    """Parameter number `index`, as float32 numbers."""
    values = hashed(int(np.prod(shape)), 100000 * seed + index + 1)
    if name.startswith("block") and "attention" in name:
        values = 0.15 * values
    elif ".norm" in name or "front.norm" in name:
        values = (1.0 if name.endswith("weight") else 0.0) + 0.25 * values
    elif options.get("type") == "nafp" and name.endswith(".bias"):
        values = 0.05 * values  # more, and all fingerprints were one: no batch normalisation takes them away
    else:
        fan_in = shape[-1] if name.startswith("head") else int(np.prod(shape[1:]))
        values = values * np.sqrt(2.0 / fan_in)
    return values.astype(np.float32).astype(np.float64).reshape(shape)


def made_up_segments(seed, options, count, step):
    shape = (count, options["bands"], options["frames"], 1)
    return hashed(int(np.prod(shape)), 100000 * seed + 1000 + step).reshape(shape)


# --------------------------------------------------------------------------------------------------------- network


def head_shapes(options, elements):
    groups, hidden = options["embedding"], options["head_hidden"]
    return [("head.hidden.weight", (groups, hidden, elements // groups)), ("head.hidden.bias", (groups, hidden)),
            ("head.output.weight", (groups, 1, hidden)), ("head.output.bias", (groups, 1))]


def nafp_layers(options):
    """[(block and number of the convolution, inputs, outputs, kernel, stride)], along time and frequency by turns."""
    layers, inputs = [], 1
    for i in range(NAFP_BLOCKS):
        outputs = options["width"] * 2 ** (i // 2)
        layers.append((i + 1, 1, inputs, outputs, (1, 3), (1, 1 if i in (4, 6) else 2)))
        layers.append((i + 1, 2, outputs, outputs, (3, 1), (2, 1)))
        inputs = outputs
    return layers


def nafp_shapes(options):
    """[(name, shape)] of NAFP's network, in the order of the checkpoints."""
    bands, frames, shapes, outputs = options["bands"], options["frames"], [], 1
    for block, number, inputs, outputs, kernel, stride in nafp_layers(options):
        bands, frames = -(-bands // stride[0]), -(-frames // stride[1])
        conv, norm = f"block{block}.conv{number}", f"block{block}.norm{number}"
        shapes.extend([(conv + ".weight", (outputs, *kernel, inputs)), (conv + ".bias", (outputs,)),
                       (norm + ".weight", (bands, frames, outputs)), (norm + ".bias", (bands, frames, outputs))])
    return shapes + head_shapes(options, bands * frames * outputs)


def parameter_shapes(options):
    """[(name, shape)] in the order of the checkpoints."""
    if options.get("type") == "nafp":
        return nafp_shapes(options)
    width, bands, frames = options["width"], options["bands"], options["frames"]
    shapes = []

    def conv_norm(conv, norm, inputs, outputs):
        shapes.extend([(conv + ".weight", (outputs, 3, 3, inputs)), (conv + ".bias", (outputs,)),
                       (norm + ".weight", (outputs,)), (norm + ".bias", (outputs,))])

    def gate(name, channels):
        shapes.extend([(name + ".spectral.weight", (channels, frames)), (name + ".temporal.weight", (channels, bands))])

    conv_norm("front.conv", "front.norm", 1, width)
    inputs = width
    for i in range(BLOCKS):
        name, outputs = f"block{i + 1}", width * 2**i
        if i > 0:
            bands, frames = (bands + 1) // 2, (frames + 1) // 2
        conv_norm(name + ".conv1", name + ".norm1", inputs, outputs)
        if options["attention"] == "twice":
            gate(name + ".attention1", outputs)
        conv_norm(name + ".conv2", name + ".norm2", outputs, outputs)
        if i > 0:
            shapes.extend([(name + ".identity.weight", (outputs, 1, 1, inputs)), (name + ".identity.bias", (outputs,))])
        if options["attention"] != "none":
            gate(name + ".attention2", outputs)
        inputs = outputs
    return shapes + head_shapes(options, inputs * bands * frames)


def divide_and_encode(parameters, x, groups):
    """x (N, ...) -> unit rows (N, D)."""
    x = x.reshape(len(x), groups, -1)
    for layer in ("hidden", "output"):
        x = torch.einsum("ngi,goi->ngo", x, parameters[f"head.{layer}.weight"]) + parameters[f"head.{layer}.bias"]
        x = F.elu(x) if layer == "hidden" else x
    return F.normalize(x.flatten(1))


class Network:
    """Parameters and buffers by name, and the function they define. Activations are N x C x F x T here."""

    def __init__(self, options, parameters, buffers=None):
        self.options = options
        self.parameters = parameters
        self.buffers = buffers or {}

    def norm(self, name, x, training):
        width = x.shape[1]
        mean = self.buffers.setdefault(name + ".running_mean", torch.zeros(width, dtype=x.dtype))
        variance = self.buffers.setdefault(name + ".running_variance", torch.ones(width, dtype=x.dtype))
        return F.batch_norm(x, mean, variance, self.parameters[name + ".weight"], self.parameters[name + ".bias"],
                            training=training, momentum=0.1, eps=1e-5)

    def conv(self, name, x, stride, before_norm=False):
        weight = self.parameters[name + ".weight"].permute(0, 3, 1, 2)
        bias = self.parameters[name + ".bias"]
        if before_norm:
            # Normalising by the batch's mean cancels this bias: its gradient is rounding noise, which Adam would
            # magnify to full steps. It is left out here as it is in the encoder.
            bias = bias.detach()
        return F.conv2d(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)

    def attention(self, name, x):
        if name + ".spectral.weight" not in self.parameters:
            return x
        spectral = torch.einsum("ncft,ct->ncf", x, self.parameters[name + ".spectral.weight"])
        temporal = torch.einsum("ncft,cf->nct", x, self.parameters[name + ".temporal.weight"])
        if self.options["attention_logits"] == "tanh":
            spectral, temporal = torch.tanh(spectral), torch.tanh(temporal)
        scale = 100.0 if self.options["attention_scale"] == "hundred" else float(x.shape[2] * x.shape[3])
        gate = torch.softmax(spectral, -1)[..., :, None] * torch.softmax(temporal, -1)[..., None, :]
        return x * gate * scale

    def __call__(self, segments, training):
        """segments (N, F, T, 1) -> unit rows (N, D)."""
        x = segments.permute(0, 3, 1, 2)
        x = torch.relu(self.norm("front.norm", self.conv("front.conv", x, 1, training), training))
        for i in range(BLOCKS):
            name, stride = f"block{i + 1}", 1 if i == 0 else 2
            y = self.conv(name + ".conv1", x, stride, training)
            y = self.attention(name + ".attention1", torch.relu(self.norm(name + ".norm1", y, training)))
            y = self.norm(name + ".norm2", self.conv(name + ".conv2", y, 1, training), training)
            x = self.attention(name + ".attention2",
                               torch.relu(y + (x if i == 0 else self.conv(name + ".identity", x, stride))))
        return divide_and_encode(self.parameters, x, self.options["embedding"])


class NafpNetwork(Network):
    """NAFP's (Chang et al., ICASSP 2021). It has no buffers."""

    def __call__(self, segments, training):
        x = segments.permute(0, 3, 1, 2)
        for block, number, _, _, kernel, stride in nafp_layers(self.options):
            conv, norm = f"block{block}.conv{number}", f"block{block}.norm{number}"
            padding = []
            for axis in (1, 0):  # the last axis first, as pad() wants it
                extent = x.shape[2 + axis]
                total = max((-(-extent // stride[axis]) - 1) * stride[axis] + kernel[axis] - extent, 0)
                padding += [total // 2, total - total // 2]  # TensorFlow's "same": the odd zero at the end
            weight = self.parameters[conv + ".weight"].permute(0, 3, 1, 2)
            x = F.elu(F.conv2d(F.pad(x, padding), weight, self.parameters[conv + ".bias"], stride=stride))
            gamma, beta = (self.parameters[norm + end].permute(2, 0, 1) for end in (".weight", ".bias"))
            x = F.layer_norm(x, x.shape[1:], gamma, beta, NAFP_EPSILON)
        return divide_and_encode(self.parameters, x.permute(0, 2, 3, 1), self.options["embedding"])


def network_of(options, parameters, buffers=None):
    return (NafpNetwork if options.get("type") == "nafp" else Network)(options, parameters, buffers)


class Lamb:
    """You et al., ICLR 2020, as TensorFlow Addons has it; each group of the head's layers is a layer of its own."""

    def __init__(self, parameters, lr):
        self.parameters, self.lr, self.step_number = parameters, lr, 0
        self.moments = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in parameters.items()}

    def zero_grad(self):
        for p in self.parameters.values():
            p.grad = None

    @torch.no_grad()
    def step(self):
        self.step_number += 1
        for name, p in self.parameters.items():
            m, v = self.moments[name]
            m.mul_(0.9).add_(p.grad, alpha=0.1)
            v.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
            u = (m / (1 - 0.9**self.step_number)) / ((v / (1 - 0.999**self.step_number)).sqrt() + LAMB_EPSILON)
            u = u + LAMB_DECAY * p
            rows = len(p) if name.startswith("head.") else 1
            values, updates = p.reshape(rows, -1).norm(dim=1), u.reshape(rows, -1).norm(dim=1)
            ratio = torch.where((values > 0) & (updates > 0), values / updates, torch.ones_like(values))
            p -= self.lr * (ratio[:, None] * u.reshape(rows, -1)).reshape(p.shape)


def nt_xent(views, temperature):
    """(loss, share of anchors whose positive is nearest)."""
    count = len(views)
    logits = (views @ views.T / temperature).masked_fill(torch.eye(count, dtype=torch.bool), -torch.inf)
    positive = (torch.arange(count) + count // 2) % count
    return F.cross_entropy(logits, positive), (logits.argmax(1) == positive).double().mean()


# ------------------------------------------------------------------------------------------------------- programs


def digest(tensor):
    """[norm, projections on random signs, evenly spaced elements] of a tensor."""
    flat = tensor.detach().numpy().ravel()
    signs = [np.where(hashed(flat.size, 5000 + k) < 0, -1.0, 1.0) for k in range(PROJECTIONS)]
    places = np.arange(SAMPLES) * flat.size // SAMPLES
    return np.concatenate([[np.linalg.norm(flat)], [flat @ s for s in signs], flat[places]])


def golden(seed, options, optimizer):
    """Five training steps from made-up parameters on made-up segments."""
    parameters = {n: torch.tensor(start_value(seed, i, n, s, options), requires_grad=True)
                  for i, (n, s) in enumerate(parameter_shapes(options))}
    network = network_of(options, parameters)
    if optimizer == "lamb":
        mover = Lamb(parameters, LEARNING_RATE)
    else:
        mover = torch.optim.Adam(parameters.values(), lr=LEARNING_RATE)
    losses, top1, out = [], [], {}
    for step in range(STEPS):
        views = network(torch.tensor(made_up_segments(seed, options, 2 * PAIRS, step)), training=True)
        loss, correct = nt_xent(views, TEMPERATURE)
        mover.zero_grad()
        loss.backward()
        if step == 0:
            out["embeddings"] = views.detach().numpy()
            # A bias that a batch norm cancels has no gradient: zero.
            out["gradients"] = np.stack([digest(p.grad if p.grad is not None else torch.zeros_like(p))
                                         for p in parameters.values()])
        mover.step()
        losses.append(loss.item())
        top1.append(correct.item())
    with torch.no_grad():
        out["embeddings_after"] = network(torch.tensor(made_up_segments(seed, options, PAIRS, STEPS)), training=False).numpy()
    out["parameters_after"] = np.stack([digest(p) for p in parameters.values()])
    out["losses"], out["top1"] = np.array(losses), np.array(top1)
    about = {"encoder": json.dumps({"type": "attention", **options}), "seed": str(seed), "optimizer": optimizer,
             "torch": torch.__version__,
             "command": "tools/pytorch_reference.py golden tests/golden"}
    return out, about


def embed(model_path, input_path):
    tensors, metadata = read_safetensors(model_path)
    options = json.loads(metadata["encoder"])
    names = [name for name, _ in parameter_shapes(options)]
    as_double = {name: torch.tensor(np.array(t, dtype=np.float64)) for name, t in tensors.items()}
    unknown = [name for name in tensors if name not in names and ".running_" not in name]
    if unknown or any(name not in tensors for name in names):
        sys.exit(f"{model_path}: parameters differ from what its options call for: {unknown}")
    network = network_of(options, {n: as_double[n] for n in names},
                         {n: t for n, t in as_double.items() if ".running_" in n})
    segments = read_safetensors(input_path)[0]["segments"] if input_path else made_up_segments(0, options, 8, 0)
    with torch.no_grad():
        return network(torch.tensor(np.array(segments, dtype=np.float64)), training=False).numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("golden")
    making.add_argument("folder", type=pathlib.Path)
    making.add_argument("names", nargs="*", help="files to make; all, unless some are named")
    embedding = commands.add_parser("embed")
    embedding.add_argument("model", type=pathlib.Path)
    embedding.add_argument("input", type=pathlib.Path, nargs="?")
    embedding.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.command == "golden":
        for name in arguments.names or GOLDEN:
            case = dict(GOLDEN[name])
            seed, optimizer = case.pop("seed"), case.pop("optimizer", "adam")
            write_safetensors(arguments.folder / f"{name}.safetensors", *golden(seed, case, optimizer))
            print(name)
        return
    rows = embed(arguments.model, arguments.input)
    if arguments.out:
        write_safetensors(arguments.out, {"embeddings": rows}, {})
    else:
        for row in rows:
            print(" ".join(f"{value:.6f}" for value in row))


if __name__ == "__main__":
    main()
