#!/bin/sh
# The figures of docs/results/schemes.md on SmolLM2-135M: round to nearest, SmoothQuant with it, FlexRound and LRQ at w8a8, w8a8-dynamic and w4a8, on WikiText-2 (7 windows of
# 2048, cache included) and TinyStories (32 windows of 512, as stored); round to nearest as the reference computes it; tasks and MMLU of w8a8 and w4a8.
#   LRQ_DATA=FOLDER [JOBS=2] [LIMIT=500] [MMLU_LIMIT=20] [SAMPLES=128] [ROWS="reference texts tasks"] bench/schemes_smollm2.sh OUT
# What is in OUT already is kept, so an interrupted run goes on, in the middle of a model's blocks or items too. JOBS processes of one thread run at a time; OUT/NAME.time has the
# processor seconds of every quantization. About six hours of one core, of which the learned rows take two and a half.
set -eu
cd "$(dirname "$0")/.."
: "${LRQ_DATA:?name the folder of the reference data}"
lrq=${LRQ:-./lrq}
wiki=$LRQ_DATA/data/wikitext-2
tasks=boolq,piqa,hellaswag,winogrande,arc_easy,arc_challenge,openbookqa

# quantize OUT NAME WINDOWS OPTIONS...: writes OUT/NAME and OUT/NAME.time
quantize() {
    out=$1 name=$2 windows=$3
    shift 3
    [ -f "$out/$name/report.json" ] && return
    start=$(date +%s)
    # shellcheck disable=SC2086
    $lrq quantize "$out/full" "$@" --eval-text "$wiki/wiki.test.raw" --eval-windows "$windows" --threads 1 --out "$out/$name" \
        > "$out/$name.log" 2>&1
    { echo "wall: $(($(date +%s) - start)) s; processor, user and system, of the shell and of what it ran:"; times; } > "$out/$name.time"
}

# One row; what this script calls itself with: --row OUT KIND NAME
if [ "${1:-}" = --row ]; then
    out=$2 kind=$3 name=$4
    scheme=${name%.*} method=${name##*.}
    case $kind in
    reference)
        golden="--method rtn --symmetric false --scale-dtype fp32" seen="--samples 96 --sequence-length 512 --calibration $wiki/wikitext2_train_5k.txt"
        # shellcheck disable=SC2086
        case $name in
        w8a8-static) quantize "$out" "ref-$name" 7 $golden $seen --scheme w8a8 --transform none ;;
        w8a8-smooth-static) quantize "$out" "ref-$name" 7 $golden $seen --scheme w8a8 --transform smoothquant:sites=norms ;;
        w8a8-dynamic) quantize "$out" "ref-$name" 7 $golden --scheme w8a8-dynamic ;;
        w4a8) quantize "$out" "ref-$name" 7 $golden --scheme w4a8 ;;
        w8a8-down-per-token) quantize "$out" "ref-$name" 1 $golden $seen --scheme w8a8 --transform none --per-token '*.down_proj' ;;
        w8a8-smooth-all-static) quantize "$out" "ref-$name" 1 $golden $seen --scheme w8a8 ;;
        esac ;;
    texts)
        windows="--samples ${SAMPLES:-128} --calibration $wiki/wikitext2_train_5k.txt"
        # Where nothing is learned from text none is taken.
        [ "$method" = rtn ] && [ "$scheme" != w8a8 ] && windows=
        # shellcheck disable=SC2086
        case $method in
        rtn) quantize "$out" "$name" 7 --scheme "$scheme" --method rtn --transform none $windows ;;
        smoothquant) quantize "$out" "$name" 7 --scheme "$scheme" --method rtn --transform smoothquant $windows ;;
        *) quantize "$out" "$name" 7 --scheme "$scheme" --method "$method" $windows ;;
        esac
        # shellcheck disable=SC2086
        [ -f "$out/$name.tinystories.log" ] || $lrq eval "$out/$name" --reference "$out/full" --text "$LRQ_DATA/data/tinystories/tinystories_val_yuninxia.txt" \
            --context 512 --windows 32 --threads 1 --json > "$out/$name.tinystories.part" 2>&1 && mv "$out/$name.tinystories.part" "$out/$name.tinystories.log" ;;
    tasks | mmlu)
        list=$tasks limit=${LIMIT:-500}
        [ "$kind" = mmlu ] && list=mmlu limit=${MMLU_LIMIT:-20}
        # shellcheck disable=SC2086
        $lrq eval "$out/$name" --tasks $list --data "$LRQ_DATA/data" --limit $limit --items "$out/$name.$kind.jsonl" --threads 1 > "$out/$name.$kind.log" 2>&1 ;;
    esac
    exit
fi

out=${1:?name an output folder}
mkdir -p "$out"
out=$(cd "$out" && pwd)
# shellcheck disable=SC2086
[ -f "$out/full/config.json" ] || $lrq convert "$LRQ_DATA/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf" --dtype bf16 --out "$out/full"
{
    for rows in ${ROWS:-reference texts tasks}; do
        case $rows in
        reference) for name in w8a8-static w8a8-smooth-static w8a8-dynamic w4a8 w8a8-down-per-token w8a8-smooth-all-static; do echo "reference $name"; done ;;
        texts)
            for method in rtn smoothquant lrq flexround; do
                for scheme in w8a8 w4a8 w8a8-dynamic; do echo "texts $scheme.$method"; done
            done ;;
        tasks)
            for kind in tasks mmlu; do
                echo "$kind full"
                for method in rtn smoothquant lrq flexround; do
                    for scheme in w8a8 w4a8; do echo "$kind $scheme.$method"; done
                done
            done ;;
        esac
    done
} | xargs -L 1 -P "${JOBS:-2}" bench/schemes_smollm2.sh --row "$out"
