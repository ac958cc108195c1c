#!/bin/sh
# Time and peak memory of every method for a block of 135M, 1.1B, 7B and 13B shapes, at 3 bits: 'lrq plan' on models of generated weights, all of whose blocks but the first are
# holes in their files. What is there already in WORK is kept, so that an interrupted run goes on; lines of a table come out at the end.
#
#   WORK=FOLDER [MODELS="135m 1.1b 7b 13b"] [METHODS="rtn lrq ..."] bench/cost.sh
#
# LRQ names a program that is built already.
set -eu
cd "$(dirname "$0")/.."
: "${WORK:?name a work folder}"
lrq=${LRQ:-./lrq}
bench=bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks.dll
mkdir -p "$WORK"
[ -f "$bench" ] || dotnet build -c Release bench/LowRankQuant.Benchmarks --nologo -v quiet -clp:NoSummary >&2
for model in ${MODELS:-135m 1.1b 7b 13b}; do
    case $model in
    135m) sizes="--hidden 576 --layers 30 --heads 9 --kv-heads 3 --ffn 1536" ;;
    1.1b) sizes="--hidden 2048 --layers 22 --heads 32 --kv-heads 4 --ffn 5632" ;;
    7b) sizes="--hidden 4096 --layers 32 --heads 32 --kv-heads 32 --ffn 11008" ;;
    13b) sizes="--hidden 5120 --layers 40 --heads 40 --kv-heads 40 --ffn 13824" ;;
    *) echo "cost: no model '$model'" >&2; exit 2 ;;
    esac
    # shellcheck disable=SC2086
    [ -f "$WORK/$model/config.json" ] || dotnet "$bench" make-llama --out "$WORK/$model" --spectrum yes --filled 1 $sizes >&2
    for method in ${METHODS:-rtn gptq awq autoround flexround lrq lrq+ lrq-hybrid svd l2qer qera-approx qera-exact flrq flrq+}; do
        plan=$WORK/$model.$method.json
        [ -s "$plan" ] && continue
        set -- --method "$method" --bits 3
        case $method in rtn | flexround | lrq* | gptq | awq | autoround) ;; *) set -- "$@" --group-size 64 ;; esac
        [ "$method" = rtn ] || set -- "$@" --calibration models/demo/calibration.txt
        $lrq plan "$WORK/$model" "$@" --memory "${MEMORY:-20G}" --json >"$plan.part" || { cat "$plan.part" >&2; rm -f "$plan.part"; continue; }
        mv "$plan.part" "$plan"
    done
done
field() { sed -n "s/.*\"$2\": *\([0-9.]*\).*/\1/p" "$1" | head -n 1; }
for plan in "$WORK"/*.json; do
    name=$(basename "$plan" .json)
    seconds=$(field "$plan" blockSeconds) peak=$(field "$plan" timedPeakBytes) run=$(field "$plan" seconds)
    echo "| ${name%.*} | ${name##*.} | $seconds | $((${peak%.*} / 1048576)) | $run |"
done
