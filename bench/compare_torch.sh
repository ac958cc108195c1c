#!/bin/sh
# One Llama block and one LRQ step, ours against PyTorch on the same processor, in turns; prints a table and writes nothing.
#
#   ROUNDS=5 REPEATS=7 THREADS=2 PYTHON=/usr/bin/python3 bench/compare_torch.sh [block] [lrq-step]
#
# PyTorch runs three ways: "torch" without OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, so that its BLAS chooses its kernels itself; "torch-malloc", the
# same with a C library that keeps freed memory (by default large blocks go back to the system and are cleared anew every step); and, where the
# environment names an OpenBLAS core, "torch-NAME" as the environment has it. The verdict goes by the fastest of them. Fails when both sides do not
# compute the same losses and gradients.
set -eu
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-5} repeats=${REPEATS:-7} threads=${THREADS:-2} python=${PYTHON:-/usr/bin/python3}
[ $# -gt 0 ] || set -- block lrq-step
if ! "$python" -c 'import torch, numpy' 2>/dev/null; then
    echo "compare_torch: $python has no torch and numpy; name another with PYTHON=..., or install python3-torch." >&2
    exit 2
fi
dotnet build -c Release bench/LowRankQuant.Benchmarks --nologo -v quiet -clp:NoSummary >&2
lines=$(mktemp -d)
trap 'rm -rf "$lines"' EXIT
trap 'exit 130' INT TERM HUP

torch_script() { case $1 in block) echo bench/block_torch.py ;; lrq-step) echo bench/lrq_step_torch.py ;; *) echo "compare_torch: no benchmark '$1'" >&2; exit 2 ;; esac; }

ours() { dotnet bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks.dll "$1" --repeats "$repeats" --threads "$threads" --warmup 4; }

# Runs PyTorch: the name of the way, the benchmark, and more options.
theirs() {
    way=$1 name=$2
    shift 2
    case $way in
        torch) set -- env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE "$python" "$(torch_script "$name")" "$@" ;;
        torch-malloc) set -- env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=67108864 \
            "$python" "$(torch_script "$name")" "$@" ;;
        *) set -- "$python" "$(torch_script "$name")" "$@" ;;
    esac
    "$@" --repeats "$repeats" --threads "$threads" --warmup 4 >>"$lines/$name.$way"
}

for bench in "$@"; do
    torch_script "$bench" >/dev/null
    choice=""
    round=1
    while [ "$round" -le "$rounds" ]; do
        echo "$bench: round $round of $rounds, $(uptime | sed 's/.*load/load/')" >&2
        profile=0
        [ "$round" -gt 1 ] || profile=2
        theirs torch "$bench" --profile "$profile" $choice
        ours "$bench" >>"$lines/$bench.lrq"
        theirs torch-malloc "$bench" --profile "$profile" $choice
        [ -z "${OPENBLAS_CORETYPE:-}" ] || theirs "torch-$OPENBLAS_CORETYPE" "$bench" $choice
        # What was found fastest in the first round serves the others, so that every round measures the same code.
        [ "$round" -gt 1 ] || choice=$("$python" -c '
import json, sys
for line in map(json.loads, open(sys.argv[1])):
    if line["kind"] == "choice": print(*(f"--{k} {line[k]}" for k in ("attention", "adam") if k in line), end=" ")' "$lines/$bench.torch")
        round=$((round + 1))
    done
done
"$python" bench/compare_torch.py "$lines" "$threads" "$@"
