#!/bin/sh
# Quantizes a random Qwen 3 model with experts, of 3.3 billion weights, within 6 GiB of memory and prints what the plan says, peaks and times; writes nothing but its
# work folder. 8 blocks of 128 experts of 1024 at width 1024, 1.5 GiB each as 32-bit floats; with SIZES=" " 5 blocks as those of Qwen3-30B-A3B, 2.3 GiB each.
#
#   WORK=/big/disk/folder MEMORY=6G SIZES="--hidden N --width N --layers N ..." bench/memory_moe.sh [rtn] [flrq]
#
# WORK needs 12 GB; without it a temporary folder is used and deleted. Fails when a peak exceeds the budget.
set -eu
cd "$(dirname "$0")/.."
memory=${MEMORY:-6G}
sizes=${SIZES:---hidden 1024 --width 1024 --layers 8 --heads 16 --kv-heads 4 --head 64}
[ $# -gt 0 ] || set -- rtn flrq
if [ -n "${WORK:-}" ]; then work=$WORK; mkdir -p "$work"; else work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; fi
trap 'exit 130' INT TERM HUP
case $memory in *G) budget=$((${memory%G} * 1024 * 1024)) ;; *M) budget=$((${memory%M} * 1024)) ;; *) echo "memory_moe: MEMORY is $memory, not like 6G or 6144M" >&2; exit 2 ;; esac

if [ ! -f "$work/model/config.json" ]; then
    dotnet build -c Release bench/LowRankQuant.Benchmarks --nologo -v quiet -clp:NoSummary >&2
    nice -n 10 dotnet bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks.dll make-moe --out "$work/model" $sizes >&2
fi
./lrq --version >/dev/null # builds it

. bench/memory_watch.sh

failed=0
echo "| run | time | peak resident | largest private part | largest file-backed part | budget |"
echo "|---|---:|---:|---:|---:|---:|"
for run in "$@"; do
    case $run in
        rtn) set -- --method rtn --bits 4 ;;
        # Few tokens, no clipping, no second look: what takes memory is all there, and random weights have nothing to gain.
        flrq) set -- --method flrq --bits 4 --group-size 128 --clip false --epochs 0 --power-iterations 1 --samples 2 --held-out 1 --sequence-length 512 --calibration models/demo/calibration.txt ;;
        *) echo "memory_moe: no run '$run'" >&2; exit 2 ;;
    esac
    ./lrq plan "$work/model" --memory "$memory" --untimed "$@" | grep -E '^(memory of a block|statistics of experts|activations) ' >&2
    measure "$run" "$@"
done
[ "$failed" -eq 0 ] || { echo "memory_moe: a peak is above the budget" >&2; exit 1; }
