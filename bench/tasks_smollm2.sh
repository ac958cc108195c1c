#!/bin/sh
# The figures of docs/results/tasks.md: SmolLM2-135M at full precision and per channel at 4 and 3 bits, by round to nearest and by LRQ, on all tasks;
# what is quantized is compared item by item with full precision, and LRQ with round to nearest.
#   LRQ_DATA=FOLDER [LIMIT=500] [MMLU_LIMIT=20] [BITS="4 3"] [JOBS=2] bench/tasks_smollm2.sh OUT
# What is in OUT already is kept, so an interrupted run goes on, in the middle of a model's items too. Models are measured JOBS at a time, on one thread each
# where there are several. With the limits above about an hour and a half on two cores, of which half is LRQ.
set -eu
cd "$(dirname "$0")/.."
: "${LRQ_DATA:?name the folder of the reference data}"
source=$LRQ_DATA/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf
tasks=boolq,piqa,hellaswag,winogrande,arc_easy,arc_challenge,openbookqa,lambada_openai,copa,wsc273
jobs=${JOBS:-2}

# items OUT NAME MODEL PART TASKS LIMIT: writes OUT/NAME.PART.jsonl
items() {
    [ -f "$1/$2.$4.jsonl" ] && return
    threads=
    [ "$jobs" -gt 1 ] && threads="--threads 1"
    # shellcheck disable=SC2086
    ./lrq eval "$3" --tasks "$5" --data "$LRQ_DATA/data" --limit "$6" --items "$1/$2.$4.jsonl" $threads > "$1/$2.$4.log" 2>&1 || {
        echo "$2: lrq eval --tasks $5 failed; the last lines of $1/$2.$4.log:" >&2
        tail -n 5 "$1/$2.$4.log" >&2
        return 1
    }
}

# What this script calls itself with for one model: --items OUT NAME
if [ "${1:-}" = --items ]; then
    model=$2/$3
    [ "$3" = full ] && model=$source
    items "$2" "$3" "$model" tasks $tasks "${LIMIT:-500}"
    items "$2" "$3" "$model" mmlu mmlu "${MMLU_LIMIT:-20}"
    cat "$2/$3.tasks.jsonl" "$2/$3.mmlu.jsonl" > "$2/$3.jsonl"
    exit
fi

out=${1:?name an output folder}
mkdir -p "$out"
out=$(cd "$out" && pwd)
names=full
for bits in ${BITS:-4 3}; do
    [ -f "$out/rtn$bits/report.json" ] || ./lrq quantize "$source" --method rtn --start minmax --bits "$bits" --out "$out/rtn$bits"
    [ -f "$out/lrq$bits/report.json" ] || ./lrq quantize "$source" --method lrq --bits "$bits" --out "$out/lrq$bits" \
        --calibration "$LRQ_DATA/data/wikitext-2/wikitext2_train_5k.txt"
    names="$names rtn$bits lrq$bits"
done
echo "$names" | xargs -n 1 -P "$jobs" bench/tasks_smollm2.sh --items "$out"

./lrq compare "$out/full.jsonl"
for bits in ${BITS:-4 3}; do
    for method in rtn lrq; do
        echo "== $method, $bits bits, against full precision"
        ./lrq compare "$out/$method$bits.jsonl" --against "$out/full.jsonl"
    done
    echo "== lrq against rtn, $bits bits"
    ./lrq compare "$out/lrq$bits.jsonl" --against "$out/rtn$bits.jsonl"
done
