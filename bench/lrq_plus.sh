#!/usr/bin/env bash
# What every option of lrq+ does on the demo at 3 bits per channel, three seeds each (docs/results/lrq-plus.md). Takes about ten minutes on two idle cores; stopped, it goes on.
# Usage: bench/lrq_plus.sh OUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:?usage: bench/lrq_plus.sh OUT}
seeds=${SEEDS:-42,1,2}
blocks=(--tune-steps 0)

sweep() { # NAME VALUES [OPTIONS]
    local name=$1 values=$2
    shift 2
    ./lrq sweep demo --method lrq+ --bits 3 --vary "$name=$values" --vary "seed=$seeds" --out "$out/$name" "$@" > "$out/$name.md"
}

mkdir -p "$out"
sweep loss plain,relative,fisher "${blocks[@]}"
sweep scales low-rank,full,none "${blocks[@]}"
sweep offsets true,false "${blocks[@]}"
sweep harden true,false "${blocks[@]}"
sweep zero-points true,false "${blocks[@]}"
sweep codes grid,gptq,flrq+ "${blocks[@]}"
sweep quantized-inputs true,false "${blocks[@]}"
sweep keep-best true,false "${blocks[@]}"
sweep tune-code-rate 0,0.005,0.01,0.02
sweep tune-steps 0,64,256

cat "$out"/*.md
