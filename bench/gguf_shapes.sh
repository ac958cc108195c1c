#!/usr/bin/env bash
# From a checkpoint of real shape but few layers to a GGUF file that llama.cpp loads, for the families that are quantized most: random weights in the shapes of
# bench/shapes, rounded to 4 bits in groups of 32, exported, and measured in llama.cpp and here on the same ids. gpt_oss is also passed on as it is, MXFP4 experts
# and all. Perplexities of random models mean nothing; that both programs find the same one does.
#
#   TOKENIZER=FOLDER bench/gguf_shapes.sh WORK [NAME...]
#
# TOKENIZER has the tokenizer.json that every checkpoint gets (default: the demo's). Needs .ci/install-llamacpp and some 20 GB under WORK, which are removed one by one.
# Results: docs/results/gguf-families.md.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:?name a work folder}
shift
tokenizer=${TOKENIZER:-models/demo}
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(qwen3 qwen3_5 qwen3_moe gemma3 gemma4 gpt_oss mistral ministral3 glm4_moe)
lrq=${LRQ:-./lrq}
[ -n "${BENCH:-}" ] || dotnet build -c Release -v q bench/LowRankQuant.Benchmarks
bench() { "${BENCH:-bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks}" "$@"; }
mkdir -p "$work"

# measure FILE MODEL: one line
measure() {
    bench llamacpp --files "$1=$2" --tokenizer "$work/model" --text models/demo/evaluation.txt --windows 2 --context 128 --exact yes 2> /dev/null
}

for name in "${names[@]}"; do
    rm -rf "$work/model" "$work/run"
    echo "$name: $(bench make-family --config "bench/shapes/$name.json" --tokenizer "$tokenizer" --out "$work/model")"
    if [ "$name" = gpt_oss ]; then
        "$lrq" convert "$work/model" --to gguf --out "$work/$name-mxfp4.gguf" --overwrite 2>&1 | grep -i -E "bytes|error|warn" || true
        echo "  as it is: $(measure "$work/$name-mxfp4.gguf" "$work/model")"
        rm -f "$work/$name-mxfp4.gguf"
    fi
    "$lrq" quantize "$work/model" --method rtn --bits 4 --group-size 32 --symmetric true --calibration models/demo/calibration.txt \
        --samples 1 --held-out 1 --sequence-length 64 --out "$work/run" > "$work/$name.log" 2>&1
    "$lrq" export "$work/run" --to gguf --out "$work/$name.gguf" --overwrite >> "$work/$name.log" 2>&1
    echo "  4 bits: $(measure "$work/$name.gguf" "$work/run")"
    rm -rf "$work/model" "$work/run" "$work/$name.gguf"
done
