#!/bin/sh
# Quantizes a random Qwen 3 model with experts, of 3.3 billion weights, within 6 GiB of memory and prints what the plan says, peaks and times; writes nothing but its
# work folder. 8 blocks of 128 experts of 1024 at width 1024, 1.5 GiB each as 32-bit floats; with SIZES=" " 5 blocks as those of Qwen3-30B-A3B, 2.3 GiB each.
#
#   WORK=/big/disk/folder MEMORY=6G SIZES="--hidden N --width N --layers N ..." bench/memory_moe.sh [rtn] [flrq]
#
# WORK needs 12 GB; without it a temporary folder is used and deleted. Fails when a peak exceeds the budget.
set -eu
cd "$(dirname "$0")/.."
sizes=${SIZES:---hidden 1024 --width 1024 --layers 8 --heads 16 --kv-heads 4 --head 64}
[ $# -gt 0 ] || set -- rtn flrq
. bench/memory_watch.sh

begin 6G make-moe $sizes
for run in "$@"; do
    case $run in
        rtn) set -- --method rtn --bits 4 ;;
        # Few tokens, no clipping, no second look: what takes memory is all there, and random weights have nothing to gain.
        flrq) set -- --method flrq --bits 4 --group-size 128 --clip false --epochs 0 --power-iterations 1 --samples 2 --held-out 1 --sequence-length 512 --calibration models/demo/calibration.txt ;;
        *) echo "memory_moe: no run '$run'" >&2; exit 2 ;;
    esac
    ./lrq plan "$work/model" --memory "$memory" --untimed "$@" | grep -E '^(memory of a block|more statistics of inputs|activations) ' >&2
    measure "$run" "$@"
done
finish
