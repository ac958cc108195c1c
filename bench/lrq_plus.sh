#!/usr/bin/env bash
# What the options of lrq+ do on the demo at 3 bits per channel, three seeds each (docs/results/lrq-plus.md): blocks alone first, tuning of the whole model last. Calibrated on
# TinyStories where LRQ_DATA has it, else on the demo's own text. Half an hour on two idle cores; stopped, it goes on.
# Usage: [SEEDS=42,1,2] [ONLY=NAME] bench/lrq_plus.sh OUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:?usage: bench/lrq_plus.sh OUT}
seeds=${SEEDS:-42,1,2}
lrq=${LRQ:-./lrq}
stories=${LRQ_DATA:-../shared}/data/tinystories/tiny_stories_ajaykumar.txt
data=()
[ ! -f "$stories" ] || data=(--calibration "$stories" --sequence-length 256 --samples 64 --held-out 8)
blocks=(--tune-steps 0)

sweep() { # NAME METHOD KEY=VALUES [OPTIONS]
    local name=$1 method=$2 axis=$3
    shift 3
    [ -z "${ONLY:-}" ] || [ "$ONLY" = "$name" ] || return 0
    $lrq sweep demo --method "$method" --vary "$axis" --vary "seed=$seeds" --out "$out/$name" "${data[@]}" "$@" > "$out/$name.log" 2>&1
    printf '%s\n' "# $name: $method, $axis $*"
    sed -n '/^## Means/,/^## seed/p' "$out/$name/comparison.md" | grep '^|'
}

mkdir -p "$out"
sweep flexround flexround loss=plain,relative,fisher --bits 3
sweep loss lrq+ loss=plain,relative,fisher --bits 3 "${blocks[@]}"
sweep scales lrq+ scales=low-rank,none --bits 3 "${blocks[@]}"
sweep offsets lrq+ offsets=false --bits 3 "${blocks[@]}"
sweep harden lrq+ harden=false --bits 3 "${blocks[@]}"
sweep harden-rate lrq+ learning-rate=0.003,0.01 --bits 3 "${blocks[@]}"
sweep soft-rate lrq+ learning-rate=0.01 --bits 3 --harden false "${blocks[@]}"
sweep zero-points lrq+ zero-points=true --bits 3 "${blocks[@]}"
sweep codes lrq+ codes=gptq,flrq+ --bits 3 "${blocks[@]}"
sweep quantized-inputs lrq+ quantized-inputs=false --bits 3 "${blocks[@]}"
sweep keep-best lrq+ keep-best=false --bits 3 "${blocks[@]}"
sweep tune-code-rate lrq+ tune-code-rate=0,0.005,0.01,0.02 --bits 3
sweep tune-steps lrq+ tune-steps=256 --bits 3
sweep four-bits-flexround flexround loss=relative --bits 4
sweep four-bits lrq+ loss=relative --bits 4 "${blocks[@]}"
sweep two-bits-autoround autoround keep-best=true --bits 2 --group-size 64
sweep two-bits-flexround flexround loss=relative --bits 2 --group-size 64
sweep two-bits lrq+ loss=relative,fisher --bits 2 --group-size 64 "${blocks[@]}"
