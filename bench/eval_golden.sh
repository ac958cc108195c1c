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
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for piece in "$@"; do
    echo "== $piece"
    status=0
    tests/LowRankQuant.Tests/bin/Release/net10.0/LowRankQuant.Tests -noColor -preEnumerateTheories -explicit only -failSkips -trait "piece=$piece" \
        >"$log" || status=$?
    cat "$log"
    [ "$status" -eq 0 ] || exit "$status"
    if grep -q "Total: 0" "$log"; then
        echo "$piece: no piece of this name" >&2
        exit 2
    fi
done
