#!/usr/bin/env bash
# Hashes of what every method and export writes for the demo, with one thread and with two: to see that moving code changed no byte.
#
#   bench/hashes.sh WORK > before.txt; ...; bench/hashes.sh WORK > after.txt; diff before.txt after.txt
#
# LRQ names a program that is built already. Runs are short: bytes do not depend on how long was learned.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:?name a work folder}
lrq=${LRQ:-./lrq}
mkdir -p "$work"
hash() { # NAME FOLDER
    (cd "$2" && find . -name '*.safetensors' -o -name '*.gguf' | sort | xargs sha256sum) | sed "s|^|$1 |"
}
run() { # NAME OPTIONS...
    local name=$1
    shift
    for threads in 1 2; do
        rm -rf "$work/$name"
        "$lrq" quantize demo "$@" --eval-windows 1 --threads $threads --out "$work/$name" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
        hash "$name/$threads" "$work/$name"
    done
}
run rtn --method rtn --bits 3
run lrq --method lrq --bits 3 --iterations 20
run lrq-group --method lrq --bits 3 --group-size 32 --iterations 20 --tune-steps 4
run lrq-hybrid --method lrq-hybrid --bits 4 --iterations 20
run flexround --method flexround --bits 4 --symmetric true --group-size 32 --iterations 20
run flrq --method flrq --bits 3 --group-size 64
run flrq+ --method flrq+ --bits 2 --group-size 64 --tune-steps 4
run budget --method flrq+ --target-bits 2.6 --group-size 64 --tune-steps 0
run residual --method flrq+ --bits 3 --group-size 64 --residual lrq --residual-rank 16 --train-branch true --iterations 10 --tune-steps 0
run qera --method qera-exact --bits 3 --group-size 64 --rank 8
run q3_k --method lrq --grid q3_k --iterations 10
run lqer --method l2qer --bits 4 --group-size 128 --rank 8
export_as() { # TO RUN
    rm -rf "$work/export"
    mkdir "$work/export"
    local out=$work/export/folder
    [ "$1" != gguf ] || out=$work/export/model.gguf
    "$lrq" export "$work/$2" --to "$1" --out "$out" > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    hash "export-$1" "$work/export"
}
export_as gguf lrq-group
for to in mlx gptq compressed-tensors; do export_as $to flexround; done
