#!/usr/bin/env bash
# SmolLM2-135M-Instruct exported to GGUF and measured in llama.cpp: perplexity there and here on the same token ids, divergence from the F16 file, and
# llama.cpp's own quantizer, with and without an importance matrix, beside it. WikiText-2 test, first 16 windows of 2048 tokens.
#
#   LRQ_DATA=/path/to/shared bench/llamacpp_smollm2.sh WORK NAME=RUN [NAME=RUN...]
#
# RUN is a folder that lrq quantize wrote. Needs .ci/install-llamacpp. Some minutes a file on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${LRQ_DATA:?set LRQ_DATA to the folder of reference data}
work=${1:?name a work folder}
shift
model=$data/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p "$work"
dotnet build -c Release -v q bench/LowRankQuant.Benchmarks
bench() { bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks "$@"; }
bench gguf-export --model "$model" --out "$work/f16.gguf" --linear f16 --embedding f16
files=$work/f16.gguf=$model
for run in "$@"; do
    name=${run%%=*}
    bench gguf-export --model "${run#*=}" --out "$work/$name.gguf" --embedding f16
    files=$files,$work/$name.gguf=${run#*=}
done
for type in Q4_0 Q3_K_M Q2_K; do
    bench llamacpp-quantize --model "$work/f16.gguf" --out "$work/llamacpp-$type.gguf" --type "$type" --embedding f16
    bench llamacpp-quantize --model "$work/f16.gguf" --out "$work/llamacpp-$type-imatrix.gguf" --type "$type" --embedding f16 \
        --calibration "$data/data/wikitext-2/wikitext2_train_5k.txt"
    files=$files,$work/llamacpp-$type.gguf,$work/llamacpp-$type-imatrix.gguf
done
bench llamacpp --files "$files" --text "$data/data/wikitext-2/wiki.test.raw" --windows "${WINDOWS:-16}" | tee "$work/results.jsonl"
