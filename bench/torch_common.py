"""What both PyTorch benchmarks share: numbers from SplitMix64 as the C# side draws them, one Llama block in plain PyTorch, timing and reports."""
import json
import math
import time

import numpy
import torch
import torch.nn.functional as F

HIDDEN, HEADS, KEY_VALUE_HEADS, HEAD, FFN, EPSILON, THETA = 576, 9, 3, 64, 1536, 1e-5, 10000.0
KEY_VALUE = KEY_VALUE_HEADS * HEAD
LINEARS = [
    ("q", HEADS * HEAD, HIDDEN), ("k", KEY_VALUE, HIDDEN), ("v", KEY_VALUE, HIDDEN), ("o", HIDDEN, HEADS * HEAD),
    ("gate", FFN, HIDDEN), ("up", FFN, HIDDEN), ("down", HIDDEN, FFN),
]
SEED_INPUT, SEED_LINEARS, SEED_NORMS, SEED_UPSTREAM = 100, 101, 108, 110
PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm", "aten::baddbmm_")


def uniform(seed, count):
    """Numbers 0 .. count - 1 of SplitMix64, uniform in [0, 1) with 53 bits."""
    z = numpy.uint64(seed) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(11)).astype(numpy.float64) * (1.0 / (1 << 53))


def spread(seed, shape, bound, center=0.0):
    """Uniform in center +- bound, rounded to 32 bits."""
    values = center + (2 * uniform(seed, math.prod(shape)) - 1) * bound
    return torch.from_numpy(values.astype(numpy.float32).reshape(shape))


def rotary_tables(length):
    frequencies = THETA ** (-2.0 * torch.arange(HEAD // 2, dtype=torch.float64) / HEAD)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies[None, :]
    angles = torch.cat([angles, angles], dim=1)
    return angles.cos().float(), angles.sin().float()


def rms_norm(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON) * weight


def rotate(x, cosine, sine):
    low, high = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-high, low], dim=-1) * sine


def repeat_keys(x):
    """Every key head repeated for its group of query heads; expand rather than repeat_interleave, whose gradient is slow."""
    batch, _, length, _ = x.shape
    group = HEADS // KEY_VALUE_HEADS
    return x[:, :, None].expand(batch, KEY_VALUE_HEADS, group, length, HEAD).reshape(batch, HEADS, length, HEAD)


def attention_repeat(q, k, v, mask):
    """q [batch, heads, length, head], mask [length, length]."""
    scores = (q @ repeat_keys(k).transpose(2, 3)) * (HEAD ** -0.5) + mask
    return torch.softmax(scores, dim=-1) @ repeat_keys(v)


def attention_grouped(q, k, v, mask):
    """The query heads of a group stacked below each other, so that keys are not repeated; scale and mask inside the product."""
    batch, _, length, _ = q.shape
    pairs, rows = batch * KEY_VALUE_HEADS, HEADS // KEY_VALUE_HEADS * length
    q, k, v = q.reshape(pairs, rows, HEAD), k.reshape(pairs, length, HEAD), v.reshape(pairs, length, HEAD)
    scores = torch.baddbmm(mask.repeat(rows // length, 1).expand(pairs, rows, length), q, k.transpose(1, 2), alpha=HEAD ** -0.5)
    return torch.bmm(torch.softmax(scores, dim=-1), v).view(batch, HEADS, length, HEAD)


def attention_library(q, k, v, mask):
    """The library's own, under the name that this version gives it."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, repeat_keys(k), repeat_keys(v), is_causal=True)
    return F._scaled_dot_product_attention(q, repeat_keys(k), repeat_keys(v), is_causal=True)[0]


ATTENTIONS = {"repeat": attention_repeat, "grouped": attention_grouped}
if hasattr(F, "scaled_dot_product_attention") or hasattr(F, "_scaled_dot_product_attention"):
    ATTENTIONS["library"] = attention_library


class Block:
    """One Llama block; weights by name in w, norms in n."""

    def __init__(self, batch, length):
        self.batch, self.length = batch, length
        self.w = {name: spread(SEED_LINEARS + i, (rows, columns), math.sqrt(3.0 / columns)) for i, (name, rows, columns) in enumerate(LINEARS)}
        self.n = [spread(SEED_NORMS + i, (HIDDEN,), 0.1, 1.0) for i in range(2)]
        self.cosine, self.sine = rotary_tables(length)
        self.mask = torch.full((length, length), -math.inf).triu(1)
        self.attention = "repeat"

    def heads(self, x, count):
        return x.view(self.batch, self.length, count, HEAD).transpose(1, 2)

    def forward(self, x, w):
        """x [batch * length, HIDDEN], w the weights to use."""
        h = rms_norm(x, self.n[0])
        q = rotate(self.heads(F.linear(h, w["q"]), HEADS), self.cosine, self.sine)
        k = rotate(self.heads(F.linear(h, w["k"]), KEY_VALUE_HEADS), self.cosine, self.sine)
        v = self.heads(F.linear(h, w["v"]), KEY_VALUE_HEADS)
        y = ATTENTIONS[self.attention](q, k, v, self.mask)
        x = x + F.linear(y.transpose(1, 2).reshape(-1, HIDDEN), w["o"])
        h = rms_norm(x, self.n[1])
        return x + F.linear(F.silu(F.linear(h, w["gate"])) * F.linear(h, w["up"]), w["down"])

    def choose(self, run, name):
        """Takes the fastest of the ways to compute attention: the best of some runs in turns, by wall time, as all the measurement is."""
        if name != "fastest":
            self.attention = name
            return
        best = dict.fromkeys(ATTENTIONS, math.inf)
        for _ in range(4):
            for self.attention in ATTENTIONS:
                best[self.attention] = min(best[self.attention], wall_time(run))
        self.attention = min(best, key=best.get)
        emit(kind="choice", attention=self.attention, seconds=best)


def wall_time(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def emit(**fields):
    print(json.dumps({"side": "torch", **fields}), flush=True)


def describe():
    blas = "?"
    try:
        import ctypes
        library = ctypes.CDLL("libopenblas.so.0")
        library.openblas_get_corename.restype = ctypes.c_char_p
        blas = "OpenBLAS " + library.openblas_get_corename().decode()
    except (OSError, AttributeError):
        pass
    emit(kind="about", torch=torch.__version__, threads=torch.get_num_threads(), blas=blas, config=" ".join(torch.__config__.show().split()))


def profile(run, steps):
    """Wall seconds of one run inside matrix products and outside, by the profiler."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorded:
        for _ in range(steps):
            run()
    rows = sorted(((e.key, e.self_cpu_time_total / 1e6 / steps) for e in recorded.key_averages()), key=lambda row: -row[1])
    products, total = sum(t for name, t in rows if name in PRODUCTS), sum(t for _, t in rows)
    emit(kind="profile", gemm=products, outside=total - products, total=total, largest={name: round(t, 5) for name, t in rows[:16]})


class Clock:
    """Wall and processor seconds since the last call."""

    def __init__(self):
        self.lap()

    def lap(self):
        wall, cpu = time.perf_counter(), time.process_time()
        since = (wall - self.wall, cpu - self.cpu) if hasattr(self, "wall") else (0, 0)
        self.wall, self.cpu = wall, cpu
        return since
