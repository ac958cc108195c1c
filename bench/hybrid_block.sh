#!/bin/sh
# One block of the gated delta rule and one of attention, as Qwen 3.5 has them (hidden 2560, FFN 9216, heads of 128), random weights, 2 windows of 512 tokens: seconds and peak memory
# by every method. Then the same with four blocks to a GGUF file.
#
#   WORK=/folder/with/4GB bench/hybrid_block.sh [rtn] [lrq] [flrq] [flrq+]
#
# OPTIONS go to every run. LRQ names a program that is built already.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- rtn lrq flrq flrq+
: "${WORK:?name a work folder}"
lrq=${LRQ:-./lrq}
bench=bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks.dll
mkdir -p "$WORK"
[ -f "$bench" ] || dotnet build -c Release bench/LowRankQuant.Benchmarks --nologo -v quiet -clp:NoSummary >&2
make() { # folder, layers, kinds
    [ -f "$WORK/$1/config.json" ] && return
    cat >"$WORK/$1.json" <<END
{"architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "hidden_size": 2560, "intermediate_size": 9216, "num_hidden_layers": $2, "layer_types": [$3],
 "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
 "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "hidden_act": "silu", "rms_norm_eps": 1e-06, "vocab_size": 2048, "tie_word_embeddings": true, "max_position_embeddings": 4096,
 "rope_parameters": {"rope_type": "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25}}
END
    dotnet "$bench" make-family --config "$WORK/$1.json" --tokenizer models/demo --out "$WORK/$1" >&2
}
field() { sed -n "s/.*\"$2\": *\([0-9.]*\).*/\1/p" "$1" | head -n 1; }
delta='"linear_attention"' attention='"full_attention"'
make two 2 "$delta, $attention"
echo "| method | block | seconds | peak MiB |"
echo "|---|---|---:|---:|"
for method in "$@"; do
    out=$WORK/two-$method
    rm -rf "$out"
    case $method in
    rtn) set -- --bits 4 --group-size 128 ;;
    lrq) set -- --bits 3 --calibration models/demo/calibration.txt --samples 2 --held-out 0 --sequence-length 512 ;;
    *) set -- --bits 3 --group-size 128 --calibration models/demo/calibration.txt --samples 2 --held-out 0 --sequence-length 512 ;;
    esac
    # shellcheck disable=SC2086
    $lrq quantize "$WORK/two" --method "$method" "$@" ${OPTIONS:-} --eval-windows 1 --out "$out" >"$out.log" 2>&1 || { cat "$out.log" >&2; exit 1; }
    for block in 0 1; do
        report=$(printf '%s/.lrq/blocks/block-%05d.json' "$out" "$block") peak=$(field "$report" peakMemoryBytes)
        echo "| $method | $([ $block = 0 ] && echo gated delta rule || echo attention) | $(field "$report" seconds) | $((${peak%.*} / 1048576)) |"
    done
done
make four 4 "$delta, $delta, $delta, $attention"
rm -rf "$WORK/four-w4" "$WORK/four.gguf"
$lrq quantize "$WORK/four" --method rtn --bits 4 --group-size 32 --symmetric true --target llama.cpp --out "$WORK/four-w4" >"$WORK/four.log" 2>&1 || { cat "$WORK/four.log" >&2; exit 1; }
$lrq export "$WORK/four-w4" --to gguf --out "$WORK/four.gguf" >>"$WORK/four.log" 2>&1 || { cat "$WORK/four.log" >&2; exit 1; }
ls -l "$WORK/four.gguf"
