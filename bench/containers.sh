#!/usr/bin/env bash
# Runs of the demo at 4, 3 and 2 bits in every container that can hold them: each export is read again and compared with its run, and its bytes and the
# bits of its linear weights are printed. What does not fit is printed with its reason. QUANTIZE_ARGS, such as "--iterations 20 --samples 8", shortens the
# learning, which sizes do not depend on; LRQ names a program that is built already; RUNS names some of the runs.
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
    $lrq quantize demo --method lrq --eval-windows 1 ${QUANTIZE_ARGS:-} --out "$work/$name" "$@" > "$work/$name.log"
}
run() {
    case $1 in
        w*-g64-sym) quantize "$1" --bits "${1:1:1}" --scale-dtype fp16 --group-size 64 --symmetric ;;
        w*-g64) quantize "$1" --bits "${1:1:1}" --scale-dtype fp16 --group-size 64 ;;
        w*-rows) quantize "$1" --bits "${1:1:1}" --scale-dtype fp16 ;;
        *) quantize "$1" --grid "$1" ;;
    esac
}
field() { sed -E "s/.*\"$1\":([0-9.]+).*/\1/"; }
for name in ${RUNS:-w4-g64-sym w4-g64 w4-rows q4_k w3-g64-sym w3-g64 w3-rows q3_k w2-g64-sym w2-g64 w2-rows q2_k}; do
    run "$name"
    for container in gguf gptq awq compressed-tensors mlx dense; do
        out=$work/$name-$container
        [ "$container" = gguf ] && out=$out.gguf
        if $lrq export "$work/$name" --to "$container" --overwrite --out "$out" --json > "$out.json" 2> "$out.txt"; then
            verdict=$($lrq verify "$out" --against "$work/$name" > "$out.verify" && echo same || echo DIFFERENT)
            bits=16
            [ "$container" = dense ] || bits=$($lrq inspect "$out" --json | field bitsPerWeight)
            printf '%s %s %s %s %s\n' "$name" "$container" "$(field bytes < "$out.json")" "$bits" "$verdict"
        else
            printf '%s %s - - %s\n' "$name" "$container" "$(grep -m1 "$container: " "$out.txt")"
        fi
    done
done | tee -a "$work/results.txt"
