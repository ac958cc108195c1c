#!/bin/sh
# One block of the gated delta rule and one of attention, as Qwen 3.5 has them (hidden 2560, FFN 9216, heads of 128), random weights, 2 windows of 512 tokens: seconds and peak memory
# by every method. Three blocks of the first and one of the second, of a published model, go to llama.cpp in bench/gguf_shapes.sh (qwen3_5).
#
#   WORK=/folder/with/1GB bench/hybrid_block.sh [rtn] [lrq] [flrq] [flrq+]
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
if [ ! -f "$WORK/two/config.json" ]; then
    cat >"$WORK/two.json" <<END
{"architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "hidden_size": 2560, "intermediate_size": 9216, "num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"],
 "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
 "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "hidden_act": "silu", "rms_norm_eps": 1e-06, "vocab_size": 2048, "tie_word_embeddings": true, "max_position_embeddings": 4096,
 "rope_parameters": {"rope_type": "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25}}
END
    dotnet "$bench" make-family --config "$WORK/two.json" --tokenizer models/demo --out "$WORK/two" >&2
fi
field() { tr '{' '\n' <"$1" | sed -n "/^\"index\":$2,/s/.*\"$3\":\([0-9.]*\).*/\1/p" | head -n 1; } # report, block, name
echo "| method | block | seconds | peak MiB |"
echo "|---|---|---:|---:|"
for method in "$@"; do
    out=$WORK/two-$method
    rm -rf "$out"
    case $method in
    rtn) set -- --bits 4 --group-size 128 ;;
    lrq) set -- --bits 3 --keep-best false --calibration models/demo/calibration.txt --samples 2 --held-out 0 --sequence-length 512 ;;
    *) set -- --bits 3 --group-size 128 --calibration models/demo/calibration.txt --samples 2 --held-out 0 --sequence-length 512 ;;
    esac
    # shellcheck disable=SC2086
    $lrq quantize "$WORK/two" --method "$method" "$@" ${OPTIONS:-} --out "$out" >"$out.log" 2>&1 || { cat "$out.log" >&2; exit 1; }
    for block in 0 1; do
        peak=$(field "$out/report.json" "$block" peakMemoryBytes)
        echo "| $method | $([ $block = 0 ] && echo gated delta rule || echo attention) | $(printf %.1f "$(field "$out/report.json" "$block" seconds)") | $((${peak%.*} / 1048576)) |"
    done
done
