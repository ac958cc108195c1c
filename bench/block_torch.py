#!/usr/bin/python3
"""One Llama block (d 576, 9 / 3 heads of 64, FFN 1536), forward and backward with gradients of all weights and of the input, in PyTorch."""
import argparse

import torch

from torch_common import HIDDEN, LINEARS, SEED_INPUT, SEED_UPSTREAM, Block, Clock, describe, emit, profile, spread

options = argparse.ArgumentParser()
options.add_argument("--repeats", type=int, default=5)
options.add_argument("--warmup", type=int, default=2)
options.add_argument("--threads", type=int, default=2)
options.add_argument("--batch", type=int, default=4)
options.add_argument("--length", type=int, default=512)
options.add_argument("--attention", default="fastest", help="repeat, grouped, library or fastest")
options.add_argument("--profile", type=int, default=0, help="steps to profile after the measurement")
o = options.parse_args()
torch.set_num_threads(o.threads)
describe()

block = Block(o.batch, o.length)
x = spread(SEED_INPUT, (o.batch * o.length, HIDDEN), 1.0).requires_grad_()
upstream = spread(SEED_UPSTREAM, (o.batch * o.length, HIDDEN), 1.0)
parameters = [x, *block.n, *(block.w[name] for name, _, _ in LINEARS)]
for p in parameters:
    p.requires_grad_()


def step(clock=None):
    for p in parameters:
        p.grad = None
    y = block.forward(x, block.w)
    forward = clock.lap() if clock else None
    y.backward(upstream)
    return y, forward, clock.lap() if clock else None


block.choose(step, o.attention)
for _ in range(o.warmup):
    step()
for repeat in range(o.repeats):
    y, forward, backward = step(Clock())
    emit(kind="time", bench="block", repeat=repeat, forward=forward[0], backward=backward[0], total=forward[0] + backward[0],
         cpu=forward[1] + backward[1], forward_cpu=forward[1], backward_cpu=backward[1])
emit(kind="check", values={
    "loss": float((y.detach().double() * upstream).sum()),
    "output": float(y.detach().double().pow(2).sum().sqrt()),
    "dx": float(x.grad.double().pow(2).sum().sqrt()),
    "dnorm": float(sum(n.grad.double().pow(2).sum() for n in block.n)) ** 0.5,
    **{f"d{name}": float(block.w[name].grad.double().pow(2).sum().sqrt()) for name, _, _ in LINEARS},
})
if o.profile:
    profile(step, o.profile)
