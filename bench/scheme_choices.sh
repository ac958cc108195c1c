#!/bin/sh
# The table of choices in docs/results/schemes.md: quantizers inside or outside the reconstruction, static steps searched, averaged or learned, keys before or after their rotation,
# on TinyStories-656K (64 windows of 128 to calibrate, another text to measure) and on the demo. One line a run, as Markdown.
#   LRQ_DATA=FOLDER bench/scheme_choices.sh OUT [tinystories|demo]
# What is in OUT already is kept. Some 40 minutes of one core.
set -eu
cd "$(dirname "$0")/.."
: "${LRQ_DATA:?name the folder of the reference data}"
lrq=${LRQ:-./lrq}
out=${1:?name an output folder}
mkdir -p "$out"

# row MODEL NAME OPTIONS...
row() {
    model=$1 name=$1-$2
    shift 2
    if [ ! -f "$out/$name/report.json" ]; then
        case $model in
        demo) set -- demo "$@" ;;
        tinystories) set -- "$LRQ_DATA/models/tinystories-656k" "$@" --eval-text "$LRQ_DATA/data/tinystories/tinystories_val_yuninxia.txt" --eval-windows 64 ;;
        esac
        # What is rounded as it comes looks at no text.
        case $name in
        tinystories-cache-?:token*) ;;
        tinystories-*) set -- "$@" --calibration "$LRQ_DATA/data/tinystories/tiny_stories_ajaykumar.txt" ;;
        esac
        # shellcheck disable=SC2086
        $lrq quantize "$@" --out "$out/$name" > "$out/$name.log" 2>&1 || { tail -n 3 "$out/$name.log" >&2; return 0; }
    fi
    node -e '
        const report = JSON.parse(require("fs").readFileSync(process.argv[1] + "/report.json"));
        const result = report.result;
        console.log(`| ${process.argv[2]} | ${result.perplexity.toFixed(3)} | ${result.klDivergence.toFixed(5)} | ${report.seconds.toFixed(0)} |`);
    ' "$out/$name" "$name"
}

for model in ${2:-tinystories demo}; do
    echo "| run | perplexity | KL | s |"
    echo "| --- | --- | --- | --- |"
    for range in minmax average percentile:99.9 percentile:99.99 search; do
        row "$model" "w8a8-rtn-$range" --scheme w8a8 --method rtn --activation-range "$range"
        row "$model" "w8a8-plain-rtn-$range" --scheme w8a8 --transform none --method rtn --activation-range "$range"
    done
    for method in lrq flexround; do
        row "$model" "w8a8-$method-outside" --scheme w8a8 --method $method --inside false
        row "$model" "w8a8-$method-inside" --scheme w8a8 --method $method --inside true --learn-steps false
        row "$model" "w8a8-$method-inside-average" --scheme w8a8 --method $method --inside true --learn-steps false --activation-range average
        row "$model" "w8a8-$method-inside-search" --scheme w8a8 --method $method --inside true --learn-steps false --activation-range search
        row "$model" "w8a8-$method-inside-learned" --scheme w8a8 --method $method --inside true --learn-steps true
        row "$model" "w4a8-$method-outside" --scheme w4a8 --method $method --inside false
        row "$model" "w4a8-$method-inside" --scheme w4a8 --method $method --inside true
    done
    for keys in before after; do
        for cache in 8:token 8:token-head 4:token-head; do
            row "$model" "cache-$cache-$keys" --scheme w8a8-dynamic --activations off --cache "$cache" --keys "$keys" --method rtn
        done
        row "$model" "w4a8-lrq-$keys" --scheme w4a8 --method lrq --keys "$keys"
    done
    row "$model" "cache-8:head-after" --scheme w8a8-dynamic --activations off --cache 8:head --method rtn
done
