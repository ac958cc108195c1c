#!/bin/sh
# Compares every stored item of the reference harnesses (golden/eval) with ours: all tasks in both conventions, MMLU, rolling perplexity and
# llama.cpp's, on SmolLM2-135M and on TinyStories-656k, of the latter also the predictions on all 17,000 items a convention. Some fifteen minutes on two cores.
#   LRQ_DATA=FOLDER bench/eval_golden.sh [PIECE...]
# Pieces, one after the other; all of them when none is named. Stops at the first that differs.
set -e
cd "$(dirname "$0")/.."
: "${LRQ_DATA:?name the folder of the reference data}"
[ $# -gt 0 ] || set -- tinystories-v0.4 tinystories-v0.3 tinystories-perplexity smollm2-v0.4 smollm2-v0.3 smollm2-mmlu-v0.4 smollm2-mmlu-hendrycks \
    smollm2-perplexity
dotnet build -c Release -v q tests/LowRankQuant.Tests
for piece in "$@"; do
    echo "== $piece"
    # A piece that finds no test is an error too: its name is wrong.
    tests/LowRankQuant.Tests/bin/Release/net10.0/LowRankQuant.Tests -noColor -explicit only -failSkips -trait "piece=$piece" | tee /dev/stderr |
        grep -q "Total: [1-9].*Errors: 0, Failed: 0, Skipped: 0" || { echo "$piece differs, or is no piece" >&2; exit 1; }
done
