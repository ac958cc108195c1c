#!/usr/bin/env bash
# Studies of what the papers leave open, by `lrq sweep` and `lrq compare-methods` alone: FLRQ's rules on the demo and on OPT- and BLOOM-style models, LRQ's factors apart,
# calibrate on x evaluate on, and every method on a family other than Llama, the demo and SmolLM2. Cells are kept in OUT, so that the work goes on wherever it stopped.
# A page that fails is named and the others go on, which the exit code says; Ctrl-C ends all of it.
# All but the pages of SmolLM2, which ONLY names, take two hours on one core: two pages side by side, each with --threads 1, are faster than one with two.
# Usage: LRQ_DATA=... [ONLY="NAME..."] [SEEDS=42,1,2] [OPTIONS="--threads 1"] [LRQ=./lrq] bench/studies.sh OUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:?usage: bench/studies.sh OUT}
data=${LRQ_DATA:?LRQ_DATA names the folder with models and texts}
lrq=${LRQ:-./lrq}
seeds=${SEEDS:-42,1,2}
stories=$data/data/tinystories/tiny_stories_ajaykumar.txt
unseen=$data/data/tinystories/tinystories_val_yuninxia.txt
status=0

wanted() { if [ -z "${ONLY:-}" ]; then [[ $1 != *smollm2* ]]; else [[ " $ONLY " == *" $1 "* ]]; fi; }

# NAME COMMAND...: one page; its tables are printed, its pictures and cells stay in OUT/NAME.
page() {
    local name=$1
    shift
    wanted "$name" || return 0
    mkdir -p "$out"
    local code=0
    # shellcheck disable=SC2086
    "$@" ${OPTIONS:-} --out "$out/$name" > "$out/$name.log" 2>&1 || code=$?
    [ "$code" -ne 130 ] || exit 130
    if [ "$code" -ne 0 ]; then
        echo "$name failed: $(tail -1 "$out/$name.log")"
        status=1
        return 0
    fi
    echo "# $name: lrq ${*:2}"
    # Errors of block outputs stand in the page alone.
    sed '/^## Accumulated/,$d' "$out/$name/comparison.md" | grep -E '^(\||## )'
}

# FLRQ: power iterations of the sketch, the paper's largest size of a branch, ranks fixed or chosen, BLC. Demo in groups of 64, as the paper's grids have groups.
flrq=(--method flrq --group-size 64)
page flrq-power $lrq sweep demo "${flrq[@]}" --vary bits=2,3,4 --vary power-iterations=0,1,2,4,8
page flrq-size $lrq sweep demo "${flrq[@]}" --vary bits=2,3,4 --vary extra-size=0.05,0.1,0.2,0.3,0.4
page flrq-rank-rule $lrq sweep demo "${flrq[@]}" --vary bits=2,3,4 --vary rank-rule=r1-flr,predicted-noise,cap
page flrq-fixed $lrq sweep demo "${flrq[@]}" --rank-rule fixed --vary bits=2,3,4 --vary rank=0,1,2,4,6,8,12,16
page flrq-epochs $lrq sweep demo "${flrq[@]}" --vary bits=2,3,4 --vary epochs=0,1,2,5,20
page flrq-clip $lrq sweep demo "${flrq[@]}" --vary bits=2,3,4 --vary clip=true,false
for family in opt bloom; do
    small=("$data/models/families/$family" --calibration "$stories" --eval-text "$unseen" --eval-windows 64 --samples 64 --sequence-length 128)
    page flrq-power-$family $lrq sweep "${small[@]}" "${flrq[@]}" --vary bits=2,3 --vary power-iterations=0,1,2,4,8
    page flrq-size-$family $lrq sweep "${small[@]}" "${flrq[@]}" --vary bits=2,3 --vary extra-size=0.05,0.1,0.2,0.4
    page flrq-epochs-$family $lrq sweep "${small[@]}" "${flrq[@]}" --vary bits=2,3 --vary epochs=0,1,2,5,20
    page flrq-fixed-$family $lrq sweep "${small[@]}" "${flrq[@]}" --rank-rule fixed --vary bits=2,3 --vary rank=0,1,2,4,8,16
done

# LRQ's factors, 3 bits per channel, three seeds each.
factors=(--method lrq --bits 3)
page rank $lrq sweep demo "${factors[@]}" --vary rank=1,2,3,4,16,64,256 --vary "seed=$seeds"
page offsets-row $lrq sweep demo "${factors[@]}" --vary row-offset=true,false --vary "seed=$seeds"
page offsets-column $lrq sweep demo "${factors[@]}" --vary column-offset=true,false --vary "seed=$seeds"
page offsets-both $lrq sweep demo "${factors[@]}" --row-offset false --column-offset false --vary rank=1,16,128 --vary "seed=$seeds"
page start $lrq sweep demo "${factors[@]}" --vary start=minmax,search --vary "seed=$seeds"
page loss $lrq sweep demo "${factors[@]}" --vary loss=plain,relative,fisher --vary "seed=$seeds"
page keep-best $lrq sweep demo "${factors[@]}" --vary keep-best=true,false --vary "seed=$seeds"
page quantized-inputs $lrq sweep demo "${factors[@]}" --vary quantized-inputs=true,false --vary "seed=$seeds"

# Calibrate on x evaluate on: the demo's own text is what it was trained on, the others are not.
texts=models/demo/calibration.txt,$stories,$data/data/wikitext-2/wikitext2_train_5k.txt,$data/data/c4/c4_100_domains_guardian.jsonl.gz
unseen_texts=models/demo/evaluation.txt,$unseen,$data/data/wikitext-2/wiki.valid.tokens,$data/data/c4/c4-sample.01.json.gz
for method in flexround lrq; do
    page texts-$method $lrq sweep demo --method $method --bits 3 --samples 64 --held-out 8 --sequence-length 128 --eval-windows 32 --vary "calibration=$texts" --vary "eval-text=$unseen_texts"
done

# Families other than Llama.
for family in opt bloom gemma3 qwen3-moe; do
    page methods-$family $lrq compare-methods "$data/models/families/$family" --methods rtn,gptq,awq,autoround,flexround,lrq,lrq+,flrq,flrq+ --schemes w3a16,w3a16-g64,w2a16-g64 \
        --calibration "$stories" --eval-text "$unseen" --eval-windows 64 --samples 64 --held-out 8 --sequence-length 128
done
page methods-demo $lrq compare-methods demo --methods rtn,gptq,awq,autoround,flexround,lrq,lrq+,flrq,flrq+ --schemes w3a16,w3a16-g64,w2a16-g64
# Hours: products in bf16 where that costs nothing (docs/results/precision.md), which static 8-bit activations are not.
smollm2=("$data/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf" --calibration "$data/data/wikitext-2/wikitext2_train_5k.txt" --eval-text "$data/data/wikitext-2/wiki.test.raw" --eval-windows 16 --eval-context 2048 --rmse-text "$unseen")
page methods-smollm2 $lrq compare-methods "${smollm2[@]}" --methods rtn,gptq,awq,autoround,flexround,lrq,lrq+,flrq,flrq+ --schemes w3a16,w3a16-g64,w2a16-g64 --kernels onednn --precision bf16
page methods-smollm2-activations $lrq compare-methods "${smollm2[@]}" --methods rtn,gptq,awq,autoround,flexround,lrq,lrq+ --schemes w4a8,w8a8
page methods-demo-activations $lrq compare-methods demo --methods rtn,gptq,awq,autoround,flexround,lrq,lrq+ --schemes w4a8,w8a8
exit "$status"
