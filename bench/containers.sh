#!/usr/bin/env bash
# Runs of the demo at 4, 3 and 2 bits in every container that can hold them: each export is read again and compared with its run, and its size is
# printed. What does not fit is printed with its reason. QUANTIZE_ARGS, such as "--iterations 20 --samples 8", shortens the learning, which sizes do not
# depend on; LRQ names a program that is built already.
#
#   bench/containers.sh WORK
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:?name a work folder}
lrq=${LRQ:-./lrq}
mkdir -p "$work"
quantize() {
    local name=$1
    shift
    $lrq quantize demo --method lrq --scale-dtype fp16 --eval-windows 1 ${QUANTIZE_ARGS:-} --out "$work/$name" "$@" > "$work/$name.log"
}
quantize w4-g64-sym --bits 4 --group-size 64 --symmetric
quantize w4-rows --bits 4
quantize w3-g64-sym --bits 3 --group-size 64 --symmetric
quantize w3-rows --bits 3
quantize w2-g64-sym --bits 2 --group-size 64 --symmetric
quantize w2-rows --bits 2
for run in w4-g64-sym w4-rows w3-g64-sym w3-rows w2-g64-sym w2-rows; do
    for container in gguf gptq awq compressed-tensors mlx dense; do
        out=$work/$run-$container
        [ "$container" = gguf ] && out=$out.gguf
        if $lrq export "$work/$run" --to "$container" --overwrite --out "$out" --json > "$out.json" 2> "$out.txt"; then
            verdict=$($lrq verify "$out" --against "$work/$run" > "$out.verify" && echo same || echo DIFFERENT)
            printf '%s %s %s %s\n' "$run" "$container" "$(sed -E 's/.*"bytes":([0-9]+).*/\1/' "$out.json")" "$verdict"
        else
            printf '%s %s - %s\n' "$run" "$container" "$(grep -m1 error "$out.txt")"
        fi
    done
done | tee "$work/results.txt"
