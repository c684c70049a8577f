"""What PyTorch takes for what cuda_benchmark times: "name<TAB>milliseconds" lines, for cuda_benchmark --peers.

The same extents, in fp32 and with TF32 off, behind the same flush of the L2 cache, by the GPU's clock. Attention and
NT-Xent are what one writes in PyTorch: they are not fused there. Names without a line here have no counterpart.
"""

import torch
from torch.nn import functional

BATCH, BANDS, FRAMES, CHANNELS, EMBEDDING, ROWS = 512, 64, 96, 32, 128, 1 << 20
REPETITIONS = 20


def milliseconds(run, flush):
    run()
    torch.cuda.synchronize()
    times = []
    for _ in range(REPETITIONS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flush.zero_()
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def attention(x, w_spectral, w_temporal):
    """X * softmax_F(tanh(X w_spectral)) * softmax_T(tanh(X' w_temporal)) * F T, per channel; x is (N, C, F, T)."""
    spectral = torch.softmax(torch.tanh(torch.matmul(x, w_spectral)), dim=2)
    temporal = torch.softmax(torch.tanh(torch.matmul(x.transpose(2, 3), w_temporal)), dim=2)
    return x * (spectral * float(x.shape[2] * x.shape[3])) * temporal.transpose(2, 3)


def fused_attention(x, slope, offset, residual, w_spectral, w_temporal):
    return attention(torch.relu(x * slope + offset + residual), w_spectral, w_temporal)


def nt_xent(z):
    logits = (z @ z.T / 0.05).fill_diagonal_(float("-inf"))
    return functional.cross_entropy(logits, torch.arange(len(z), device=z.device).roll(len(z) // 2))


def normal(*shape):
    return torch.randn(shape, device="cuda")


def both_ways(function, *inputs):
    """(forward, backward) of `function`; the graph is kept, so that the second runs alone."""
    leaves = [i.requires_grad_() for i in inputs]
    out = function(*leaves)
    dout = torch.ones_like(out)

    def forward():
        with torch.no_grad():
            function(*inputs)

    return forward, lambda: torch.autograd.grad(out, leaves, dout, retain_graph=True)


def engine():
    a, b = normal(BATCH, BANDS, FRAMES, CHANNELS), normal(BATCH, BANDS, FRAMES, CHANNELS)
    out = torch.empty_like(a)
    yield "add", lambda: torch.add(a, b, out=out)
    yield "relu", lambda: torch.clamp_min(a, 0, out=out)
    yield "elu", lambda: functional.elu(a)
    yield "residual_relu/forward", lambda: torch.relu(a + b)
    yield "fill", lambda: out.fill_(0.5)
    yield "permute/channels_first", lambda: a.permute(0, 3, 1, 2).contiguous()
    yield "permute/time_first", lambda: a.permute(0, 2, 1, 3).contiguous()
    yield "sum/columns", lambda: a.sum((0, 1, 2))
    yield "random_fill/normal", lambda: out.normal_()
    yield "cast/bf16", lambda: a.to(torch.bfloat16)


def optimizer():
    parameters = [torch.nn.Parameter(normal(1024 * 1024 if i % 4 == 0 else 1024)) for i in range(60)]
    for p in parameters:
        p.grad = torch.randn_like(p)
    adam = torch.optim.Adam(parameters, 1e-4, fused=True)
    yield "adam", adam.step
    yield "grad_norm", lambda: torch.nn.utils.get_total_norm([p.grad for p in parameters]).item()


def attentions():
    for halvings in range(3):
        bands, frames, channels = BANDS >> halvings, FRAMES >> halvings, CHANNELS << halvings
        extents = f"{bands}x{frames}x{channels}"
        x, weights = normal(BATCH, channels, bands, frames), (normal(channels, frames, 1), normal(channels, bands, 1))
        forward, backward = both_ways(attention, x, *weights)
        yield f"attention/forward_{extents}", forward
        yield f"attention/backward_{extents}", backward
        prologue = (normal(channels, 1, 1), normal(channels, 1, 1), torch.randn_like(x))
        forward, backward = both_ways(fused_attention, x.detach(), *prologue, *(w.detach() for w in weights))
        yield f"attention/forward_fused_{extents}", forward
        yield f"attention/backward_fused_{extents}", backward


def convolutions():
    for halvings in range(3):
        bands, frames, channels = BANDS >> halvings, FRAMES >> halvings, CHANNELS << halvings
        x = normal(BATCH, channels, bands, frames).to(memory_format=torch.channels_last)
        w, bias = normal(channels, channels, 3, 3).to(memory_format=torch.channels_last), normal(channels)
        forward, backward = both_ways(lambda *v: functional.conv2d(*v, padding=1), x, w, bias)
        for precision, allowed in (("", False), ("_tf32", True)):
            torch.backends.cudnn.allow_tf32 = allowed
            yield f"conv/forward{precision}_{bands}x{frames}x{channels}", forward
            yield f"conv/backward{precision}_{bands}x{frames}x{channels}", backward
        torch.backends.cudnn.allow_tf32 = False


def head_and_loss():
    x, w = normal(BATCH, EMBEDDING * 48, 1), normal(EMBEDDING * 32, 48, 1)
    bias = normal(EMBEDDING * 32)
    forward, backward = both_ways(lambda *v: functional.elu(functional.conv1d(*v, groups=EMBEDDING)), x, w, bias)
    yield "grouped_linear/forward", forward
    yield "grouped_linear/backward", backward
    forward, backward = both_ways(functional.normalize, normal(ROWS // 4, EMBEDDING))
    yield "normalize/forward", forward
    yield "normalize/backward", backward
    for anchors in (BATCH, 8192):
        forward, backward = both_ways(nt_xent, functional.normalize(normal(anchors, EMBEDDING)))
        yield f"nt_xent/forward_{anchors}", forward
        yield f"nt_xent/backward_{anchors}", backward


def search():
    rows = normal(ROWS, EMBEDDING)
    for queries in (1, 32):
        q = normal(queries, EMBEDDING)
        yield f"scan/f32_{queries}_queries", lambda q=q: torch.topk(q @ rows.T, 20)


def main():
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    for part in (engine, optimizer, convolutions, attentions, head_and_loss, search):
        for name, run in part():
            print(f"{name}\t{milliseconds(run, flush):.4f}", flush=True)


if __name__ == "__main__":
    main()
