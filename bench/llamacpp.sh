#!/usr/bin/env bash
# Exported GGUF files measured in llama.cpp: perplexity there and here on the same token ids, divergence from the F16 file; llama.cpp's own quantizer, with
# and without an importance matrix, against our methods on the same block types (so at equal bytes, or fewer of ours).
#
#   bench/llamacpp.sh demo WORK [NAME=RUN...]
#   LRQ_DATA=FOLDER bench/llamacpp.sh smollm2 WORK [NAME=RUN...]
#
# Demo: its evaluation text, 8 windows of 512; some ten minutes. SmolLM2-135M-Instruct: WikiText-2 test, first 16 windows of 2048; hours, of which most are the
# methods. Results of METHODS ("lrq flrq+ budget") that are in WORK already are kept; budget is flrq+ choosing a block for every layer within the bits that the
# linear weights of llama.cpp's file have. RUN is another folder that lrq quantize wrote, measured too, with its branch as
# a LoRA file where it has one. Needs .ci/install-llamacpp.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?demo or smollm2}
work=${2:?name a work folder}
shift 2
case $name in
    demo)
        source=demo folder=models/demo text=models/demo/evaluation.txt windows=8 context=512 calibration=models/demo/calibration.txt
        q3="--grid q3_k --layers o_proj=q4_k,v_proj=q4_k,down_proj=q4_k" bits3=3.836
        q2="--grid q2_k --layers o_proj=q3_k,v_proj=q3_k,down_proj=q3_k" bits2=2.93
        learn=""
        ;;
    smollm2)
        data=${LRQ_DATA:?set LRQ_DATA to the folder of reference data}
        source=$data/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf folder=$source text=$data/data/wikitext-2/wiki.test.raw windows=16 context=2048
        calibration=$data/data/wikitext-2/wikitext2_train_5k.txt
        # Rows of 576 have no K blocks; llama.cpp falls back there to the types that these spell.
        q3="--bits 4 --group-size 32 --symmetric true --layers o_proj=5:32:symmetric,v_proj=5:32:symmetric,down_proj=q4_k" bits3=4.634
        q2="--bits 4 --group-size 32 --symmetric true --layers down_proj=q3_k" bits2=4.2344
        learn="--calibration $calibration"
        ;;
    *) echo "demo or smollm2, not $name" >&2; exit 2 ;;
esac
mkdir -p "$work"
lrq=${LRQ:-./lrq}
[ -n "${BENCH:-}" ] || dotnet build -c Release -v q bench/LowRankQuant.Benchmarks
bench() { "${BENCH:-bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks}" "$@"; }

# export NAME RUN: its GGUF, and its branch as LoRA where it has one
export_run() {
    local file=$work/$1.gguf entry=$work/$1.gguf
    if [ -f "$2/adapter/adapter_config.json" ]; then
        bench gguf-export --model "$2" --out "$file" --embedding f16 --adapter "$work/$1-lora.gguf"
        entry=$file@$work/$1-lora.gguf
    else
        bench gguf-export --model "$2" --out "$file" --embedding f16
    fi
    files=$files,$entry=$2
}

[ -f "$work/f16.gguf" ] || bench gguf-export --model "$folder" --out "$work/f16.gguf" --linear f16 --embedding f16
files=$work/f16.gguf=$folder
for run in "$@"; do export_run "${run%%=*}" "${run#*=}"; done
for type in ${TYPES:-Q4_0 Q3_K_M Q2_K}; do
    case $type in
        Q4_0) grid="--bits 4 --group-size 32 --symmetric true" bits=4.5 ;;
        Q3_K_M) grid=$q3 bits=$bits3 ;;
        Q2_K) grid=$q2 bits=$bits2 ;;
    esac
    bench llamacpp-quantize --model "$work/f16.gguf" --out "$work/llamacpp-$type.gguf" --type "$type" --embedding f16
    bench llamacpp-quantize --model "$work/f16.gguf" --out "$work/llamacpp-$type-imatrix.gguf" --type "$type" --embedding f16 --calibration "$calibration" --windows 64
    files=$files,$work/llamacpp-$type.gguf,$work/llamacpp-$type-imatrix.gguf
    for method in ${METHODS:-lrq flrq+ budget}; do
        run=$work/$method-$type
        case $method in
            budget) how="--method flrq+ --target-bits $bits" ;;
            flrq+) how="--method flrq+ --rank 0 $grid" ;;
            *) how="--method $method $grid" ;;
        esac
        # shellcheck disable=SC2086
        [ -f "$run/report.json" ] || $lrq quantize "$source" $how $learn --target llama.cpp --out "$run" > "$run.log" 2>&1
        export_run "$method-$type" "$run"
    done
done
bench llamacpp --files "$files" --text "$text" --windows "${WINDOWS:-$windows}" --context "$context" --threads "${THREADS:-2}" \
    --prompt "The capital of France is" | tee "$work/results.jsonl"
