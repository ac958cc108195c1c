#!/usr/bin/env bash
# FLRQ, flrq+ and their peers on TinyStories-656k: calibrated on the reference's calibration ids, measured token-weighted on its evaluation ids.
#
#   LRQ_DATA=/path/to/shared [LRQ=./lrq] bench/flrq_tinystories.sh [WORK]
#   CHOOSE=1 LRQ_DATA=/path/to/shared bench/flrq_tinystories.sh [WORK]
#
# Prints one line a run: perplexity, KL divergence, stored bits per weight. With CHOOSE the evaluation stories are not touched: calibrated on the first
# twenty calibration stories and measured on the other ten, for choosing options. Results: docs/results/flrq.md.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${LRQ_DATA:?set LRQ_DATA to the folder of reference data}
work=${1:-$(mktemp -d)}
mkdir -p "$work"
model=$data/models/tinystories-656k
python3 - "$data/golden/flrq/model_tinystories-656k.safetensors" "$work" <<'PY'
import json, struct, sys
blob = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", blob[:8])[0]
header = json.loads(blob[8:8 + size])
def ints(name):
    start, end = header[name]["data_offsets"]
    return struct.unpack(f"<{(end - start) // 4}i", blob[8 + size + start:8 + size + end])
for name in ("calib", "eval"):
    ids, at = ints(name + ".ids"), 0
    with open(f"{sys.argv[2]}/{name}.ids.jsonl", "w") as out:
        for length in ints(name + ".lengths"):
            out.write(json.dumps(ids[at:at + length]) + "\n")
            at += length
PY
lrq=${LRQ:-./lrq}
calibration=calib evaluation=eval windows="--samples 25 --held-out 0" group=64
run() {
    name=$1
    shift
    learning="--calibration $work/$calibration.ids.jsonl $windows --sequence-length 231 --add-bos no"
    [ "$2" = rtn ] && learning=
    # shellcheck disable=SC2086
    $lrq quantize "$model" --group-size $group --scale-dtype fp16 $learning --out "$work/$name" --overwrite "$@" >"$work/$name.log" 2>&1 || { tail -n 3 "$work/$name.log"; return 1; }
    # shellcheck disable=SC2086
    $lrq eval "$work/$name" --reference "$model" --ids "$work/$evaluation.ids.jsonl" --average tokens --json 2>/dev/null | python3 -c "
import json, sys
d = json.load(sys.stdin)
print(f'$name: perplexity {d[\"perplexity\"]:.3f}, KL {d[\"klDivergence\"]:.5f}, {d[\"bitsPerWeight\"]:.4f} bits per weight')"
}
if [ -n "${CHOOSE:-}" ]; then
    head -n 20 "$work/calib.ids.jsonl" >"$work/first.ids.jsonl"
    tail -n +21 "$work/calib.ids.jsonl" >"$work/rest.ids.jsonl"
    calibration=first evaluation=rest windows="--samples 14 --held-out 2"
    for bits in 2.61 3.79 5.01; do
        for value in 0 0.3 0.5 0.7 0.85 1; do run "propagation-$value-$bits" --method flrq+ --target-bits $bits --propagation $value --tune-steps 0; done
        for value in 0.1 1 auto; do run "damping-$value-$bits" --method flrq+ --target-bits $bits --damping $value --tune-steps 0; done
        for rate in 0.00025 0.0005 0.001 0.002 0.004; do run "tuned-$rate-$bits" --method flrq+ --target-bits $bits --tune-steps 64 --tune-rate $rate --tune-samples 14; done
    done
    # More text: 240 + 8 windows of stories that are none of the others.
    python3 - "$data/data/tinystories/tinystories_1000.json" >"$work/more.jsonl" <<'PY'
import json, sys
for story in json.load(open(sys.argv[1]))[100:480]:
    print(json.dumps({"text": story if isinstance(story, str) else story.get("story", story.get("text"))}))
PY
    $lrq quantize "$model" --method lrq --bits 2 --iterations 0 --keep-best false --calibration "$work/more.jsonl" --samples 240 --held-out 8 --sequence-length 231 \
        --add-bos no --out "$work/more" --overwrite >"$work/more.log" 2>&1
    cat "$work/more/calibration.ids.jsonl" "$work/more/heldout.ids.jsonl" >"$work/more.ids.jsonl"
    calibration=more windows="--samples 240 --held-out 8"
    for bits in 2.61 3.79 5.01; do
        for steps in 0 60 240; do run "more-text-$steps-$bits" --method flrq+ --target-bits $bits --tune-steps $steps; done
    done
    exit
fi
for pair in "2 2.61" "3 3.79" "4 5.01"; do
    set -- $pair
    run "rtn-$1" --method rtn --bits "$1"
    run "rtn-clip-$1" --method flrq --rank 0 --epochs 0 --bits "$1"
    for peer in lqer l2qer qera-approx qera-exact; do run "$peer-$1" --method $peer --bits "$1" --rank-rule cap --extra-size 0.2; done
    run "flrq-$1" --method flrq --bits "$1"
    run "flrq-noise-$1" --method flrq --bits "$1" --rank-rule predicted-noise
    run "plus-$1" --method flrq+ --target-bits "$2"
    run "plus-no-branch-$1" --method flrq+ --target-bits "$2" --rank 0
    run "plus-fixed-widths-$1" --method flrq+ --bits "$1" --target-bits "$2" --widths fixed
    run "plus-uniform-$1" --method flrq+ --bits "$1" --extra-size 0.2
    run "plus-no-propagation-$1" --method flrq+ --target-bits "$2" --propagation 0
    run "plus-full-precision-inputs-$1" --method flrq+ --target-bits "$2" --quantized-inputs false --propagation 0
    run "plus-to-nearest-$1" --method flrq+ --target-bits "$2" --compensate false
    run "plus-no-rounds-$1" --method flrq+ --target-bits "$2" --epochs 0
    run "plus-equal-outputs-$1" --method flrq+ --target-bits "$2" --weigh-outputs false
    run "plus-16-bit-factors-$1" --method flrq+ --target-bits "$2" --factor-bits 16
    run "plus-epochs-8-$1" --method flrq+ --target-bits "$2" --epochs 8
    run "plus-tuned-$1" --method flrq+ --target-bits "$2" --tune-steps 64 --tune-rate 0.002
    for damping in 0.1 1; do run "plus-damping-$damping-$1" --method flrq+ --target-bits "$2" --damping $damping; done
    run "flrq-block-$1" --method flrq --bits "$1" --sketch block
    # Some windows for keeping the best iterate; the row without training has the same.
    windows="--samples 22 --held-out 3"
    run "plus-22-$1" --method flrq+ --target-bits "$2" --tune-steps 0
    run "plus-damping-auto-$1" --method flrq+ --target-bits "$2" --damping auto --tune-steps 0
    run "plus-lrq-$1" --method flrq+ --target-bits "$2" --residual lrq --tune-steps 0
    run "plus-lrq-branch-$1" --method flrq+ --bits "$1" --extra-size 0.2 --residual lrq --train-branch true --tune-steps 0
    run "plus-uniform-22-$1" --method flrq+ --bits "$1" --extra-size 0.2 --tune-steps 0
    group=32
    run "lrq-$1" --method lrq --bits "$1"
    windows="--samples 25 --held-out 0" group=64
done
