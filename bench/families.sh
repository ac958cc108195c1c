#!/usr/bin/env bash
# Methods at equal bits on small trained models of several families: does LRQ generalise better than FlexRound outside Llama, and where does FLRQ's flexible rank pay?
# FAMILIES is a folder with one model each (opt, qwen3-moe, gemma3, gpt2, bloom, phi3). Calibration text is the demo's; the text that is measured is never calibrated on.
#
#   METHODS="rtn lrq ..." bench/families.sh FAMILIES WORK [MODEL...]
#
# flrq+/0 is flrq+ without branches, which stores what the learned roundings store.
# Prints lines of a table: model, bits, method, perplexity, KL divergence, top-1, stored bits per weight, seconds. LRQ names a program that is built already.
# Results: docs/results/families.md.
set -euo pipefail
cd "$(dirname "$0")/.."
families=${1:?name the folder of models} work=${2:?name a work folder}
shift 2
lrq=${LRQ:-./lrq}
models=("$@")
[ ${#models[@]} -gt 0 ] || models=(opt qwen3-moe gemma3 gpt2 bloom phi3)
mkdir -p "$work"
for model in "${models[@]}"; do
    for bits in 3 2; do
        for label in ${METHODS:-rtn flexround lrq flrq flrq+ flrq+/0}; do
            method=${label%/*} out=$work/$model-${label/\//-rank}-$bits
            options=()
            [ "$method" = rtn ] || options=(--calibration models/demo/calibration.txt)
            [ "$method" = "$label" ] || options+=(--rank "${label#*/}")
            start=$(date +%s)
            "$lrq" quantize "$families/$model" --method "$method" --bits $bits --group-size 64 "${options[@]}" \
                --eval-text models/demo/evaluation.txt --overwrite --out "$out" > "$out.log" 2>&1 || { tail -3 "$out.log" >&2; continue; }
            python3 - "$out/report.json" "$model" $bits "$label" $(($(date +%s) - start)) <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
result, model, bits, method, seconds = report["result"], *sys.argv[2:6]
errors = result["standardErrors"]
print(f'| {model} | {bits} | {method} | {result["perplexity"]:.4f} | {result["klDivergence"]:.5f} ± {errors["klDivergence"]:.5f} | '
      f'{100 * result["top1Agreement"]:.2f} ± {100 * errors["top1Agreement"]:.2f} % | {result["bitsPerWeight"]:.3f} | {seconds} |', flush=True)
PY
        done
    done
done
