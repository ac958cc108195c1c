#!/usr/bin/python3
"""One step of LRQ on one Llama block in PyTorch: seven linears fake-quantized in plain autograd, block forward and backward, Adam.

What = clamp(round(W / exp(log s1 + L2 U2 + r2 + c2)), -z, 2^b - 1 - z) exp(log s1), rank 128, 3 bits, asymmetric, one scale per row.
"""
import argparse

import numpy
import torch

from torch_common import HIDDEN, LINEARS, SEED_INPUT, Block, Clock, describe, emit, profile, spread, uniform

options = argparse.ArgumentParser()
options.add_argument("--repeats", type=int, default=5)
options.add_argument("--warmup", type=int, default=3)
options.add_argument("--threads", type=int, default=2)
options.add_argument("--batch", type=int, default=2)
options.add_argument("--length", type=int, default=512)
options.add_argument("--rank", type=int, default=128)
options.add_argument("--bits", type=int, default=3)
options.add_argument("--rate", type=float, default=1e-3)
options.add_argument("--attention", default="fastest", help="repeat, grouped, library or fastest")
options.add_argument("--adam", default="fastest", help="single, foreach or fastest")
options.add_argument("--profile", type=int, default=0, help="steps to profile after the measurement")
o = options.parse_args()
torch.set_num_threads(o.threads)
describe()
LARGEST = 2 ** o.bits - 1


class RoundStraightThrough(torch.autograd.Function):
    """Rounds half to even; the gradient passes as if nothing had been done."""

    @staticmethod
    def forward(context, x):
        return x.round()

    @staticmethod
    def backward(context, gradient):
        return gradient


class LearnedScale:
    def __init__(self, weight, index):
        rows, columns = weight.shape
        low, high = weight.min(1, keepdim=True).values.clamp(max=0), weight.max(1, keepdim=True).values.clamp(min=0)
        step = ((high - low) / LARGEST).clamp(min=1e-8)
        zero = (-(low / step).round()).clamp(0, LARGEST)
        self.weight, self.low, self.high = weight, -zero, LARGEST - zero
        right = (2 * uniform(0x200000 + index, o.rank * columns) - 1) / numpy.sqrt(float(columns))
        self.log_scale = step.log()
        self.left = torch.zeros(rows, o.rank)
        self.right = torch.from_numpy(right.astype(numpy.float32).reshape(o.rank, columns))
        self.row = torch.zeros(rows, 1)
        self.column = torch.zeros(1, columns)

    def parameters(self):
        return [self.log_scale, self.left, self.right, self.row, self.column]

    def quantized(self):
        delta = self.left @ self.right + self.row + self.column
        code = RoundStraightThrough.apply(self.weight / torch.exp(self.log_scale + delta))
        return torch.clamp(code, self.low, self.high) * torch.exp(self.log_scale)


block = Block(o.batch, o.length)
x = spread(SEED_INPUT, (o.batch * o.length, HIDDEN), 1.0)
with torch.no_grad():
    target = block.forward(x, block.w)


def start():
    scales = {name: LearnedScale(block.w[name], i) for i, (name, _, _) in enumerate(LINEARS)}
    parameters = [p.requires_grad_() for scale in scales.values() for p in scale.parameters()]
    return scales, parameters


def step(state, clock=None):
    scales, optimizer = state
    optimizer.zero_grad(set_to_none=True)
    y = block.forward(x, {name: scale.quantized() for name, scale in scales.items()})
    loss = torch.nn.functional.mse_loss(y, target, reduction="sum") / (o.batch * HIDDEN)
    forward = clock.lap() if clock else None
    loss.backward()
    backward = clock.lap() if clock else None
    optimizer.step()
    return loss, forward, backward, clock.lap() if clock else None


def session(foreach):
    scales, parameters = start()
    return scales, torch.optim.Adam(parameters, lr=o.rate, betas=(0.9, 0.999), eps=1e-8, foreach=foreach)


if o.adam == "fastest":
    states = {"single": session(False), "foreach": session(True)}
    best = dict.fromkeys(states, float("inf"))
    for i in range(5):
        for name, state in states.items():
            update = step(state, Clock())[3][0]
            best[name] = min(best[name], update if i else float("inf"))
    foreach = best["foreach"] < best["single"]
    emit(kind="choice", adam="foreach" if foreach else "single", seconds=best)
    del states
else:
    foreach = o.adam == "foreach"
state = session(foreach)
block.choose(lambda: step(state), o.attention)

# The losses and gradients that both sides have to agree on come from a fresh start.
state = session(foreach)
losses, norms = [], {}
for i in range(max(3, o.warmup)):
    losses.append(float(step(state)[0].detach()))
    if i == 0:
        for name, scale in state[0].items():
            for kind in ("log_scale", "left", "row", "column"):
                norms[f"d{name}.{kind}"] = float(getattr(scale, kind).grad.double().pow(2).sum().sqrt())
for repeat in range(o.repeats):
    loss, forward, backward, update = step(state, Clock())
    emit(kind="time", bench="lrq-step", repeat=repeat, forward=forward[0], backward=backward[0], adam=update[0],
         total=forward[0] + backward[0] + update[0], cpu=forward[1] + backward[1] + update[1],
         forward_cpu=forward[1], backward_cpu=backward[1], adam_cpu=update[1])
emit(kind="check", values={**{f"loss{i}": loss for i, loss in enumerate(losses[:3])}, **norms})
if o.profile:
    profile(lambda: step(state), o.profile)
