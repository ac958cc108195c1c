#!/usr/bin/env bash
# LRQ's central claim in its own regime: fewer learned numbers for each calibration token. FlexRound and LRQ at three ranks over 2 thousand to 131 thousand calibration tokens of TinyStories
# and several numbers of steps, the last iterate kept as the papers do; errors of block outputs on calibration text, on other stories and on WikiText-2.
# Cells are kept, so that the work goes on wherever it stopped. On the demo 150 steps should take ten minutes on one core, 1,000 forty, 5,000 three hours (by 13 ms a step); MODEL=smollm2 learns the first four blocks
# of SmolLM2 alone (in bf16, the others as they are; at 150 steps about an hour on two).
# Usage: LRQ_DATA=... [MODEL=demo|smollm2] [STEPS=150,1000,5000] [OPTIONS="--threads 1"] [LRQ=./lrq] bench/central_claim.sh OUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:?usage: bench/central_claim.sh OUT}
data=${LRQ_DATA:?LRQ_DATA names the folder with the texts}/data
lrq=${LRQ:-./lrq}

case ${MODEL:-demo} in
demo) model=(demo --sequence-length 256) ;;
smollm2)
    model=("$LRQ_DATA/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf" --layers 're:layers\.([4-9]|[12][0-9])\.=keep' --sequence-length 256 --eval-windows 16 --kernels onednn --precision bf16
        --eval-text "$data/tinystories/tinystories_val_yuninxia.txt") ;;
*) echo "central_claim: no model '$MODEL'" >&2; exit 2 ;;
esac

run() { # NAME METHOD [OPTIONS]
    local name=$1 method=$2
    shift 2
    # shellcheck disable=SC2086
    $lrq sweep "${model[@]}" --method "$method" --bits 3 --vary samples=8,16,36,128,512 --vary "iterations=${STEPS:-150,1000,5000}" --held-out 8 --keep-best false \
        --calibration "$data/tinystories/tiny_stories_ajaykumar.txt" --rmse-text "$data/tinystories/tinystories_val_yuninxia.txt" --rmse-text "$data/wikitext-2/wiki.valid.tokens" \
        --out "$out/$name" "$@" ${OPTIONS:-} > "$out/$name.log" 2>&1
}

mkdir -p "$out"
run flexround flexround
run lrq-4 lrq --rank 4
run lrq-16 lrq --rank 16
run lrq-64 lrq --rank 64
