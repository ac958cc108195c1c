#!/usr/bin/env bash
# Low-rank corrections on SmolLM2-135M-Instruct at equal average bits, groups of 64, measured on the WikiText-2 test text, first 16 windows of 2048 tokens.
#
#   LRQ_DATA=/path/to/shared [JOBS=2] [ROWS="..."] bench/flrq_smollm2.sh WORK [BITS...]
#
# Prints one line a run: perplexity, KL divergence from full precision, stored bits per weight, time, peak memory. flrq goes first: the bits that it really used
# are the budget of all others. Rows without a branch spend it on smaller groups. Runs go JOBS at a time, on one thread each where there are several; what is
# in WORK already is kept. Some fifteen minutes a run on one thread. Results: docs/results/flrq.md.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${LRQ_DATA:?set LRQ_DATA to the folder of reference data}
model=$data/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf
calibration=$data/data/wikitext-2/wikitext2_train_5k.txt
text=$data/data/wikitext-2/wiki.test.raw
jobs=${JOBS:-2}
lrq=${LRQ:-./lrq}
threads=
[ "$jobs" -gt 1 ] && threads="--threads 1"

# What this script calls itself with for one run: --run WORK NAME OPTIONS...
if [ "${1:-}" = --run ]; then
    run=$2/$3 name=$3
    shift 3
    # shellcheck disable=SC2086
    [ -f "$run/report.json" ] || $lrq quantize "$model" --calibration "$calibration" --out "$run" $threads "$@" > "$run.log" 2>&1 \
        || { echo "$name: failed; the last lines of $run.log:"; tail -n 3 "$run.log"; exit 1; }
    # shellcheck disable=SC2086
    [ -f "$run.eval.json" ] || $lrq eval "$run" --reference "$model" --text "$text" --context 2048 --windows 16 --json $threads > "$run.eval.tmp" 2> "$run.eval.log"
    [ -f "$run.eval.json" ] || mv "$run.eval.tmp" "$run.eval.json"
    exec python3 - "$run" "$name" <<'PY'
import json, sys
report, measured = json.load(open(sys.argv[1] + "/report.json")), json.load(open(sys.argv[1] + ".eval.json"))
print(f"{sys.argv[2]}: perplexity {measured['perplexity']:.3f}, KL {measured['klDivergence']:.5f}, top-1 {100 * measured['top1Agreement']:.2f} %, "
      f"{report['bitsPerWeight']:.4f} bits, {report['seconds']:.0f} s, {report['peakMemoryBytes'] / 2**20:.0f} MiB")
PY
fi

work=${1:?name a work folder}
shift
[ $# -gt 0 ] || set -- 4 3 2
mkdir -p "$work"
work=$(cd "$work" && pwd)
# Rows of "BITS NAME OPTIONS...", run JOBS at a time.
run_all() { xargs -P "$jobs" -L 1 bench/flrq_smollm2.sh --run "$work"; }

for bits in "$@"; do echo "flrq-$bits --method flrq --bits $bits --group-size 64"; done | run_all
for bits in "$@"; do
    # The budget; the size of a branch of 16 bits beside codes that uses it up; and the smaller group that comes nearest to it.
    read -r target extra group < <(python3 - "$work/flrq-$bits/report.json" "$bits" <<'PY'
import json, sys
target, bits = json.load(open(sys.argv[1]))["bitsPerWeight"], int(sys.argv[2])
stored = lambda group: bits + (16 + bits) / group
group = min((size for size in (64, 48, 32, 24, 16, 12, 8)), key=lambda size: abs(stored(size) - target))
print(target, round((target - stored(64)) / bits, 4), group)
PY
    )
    for row in ${ROWS:-plus plus-untuned plus-no-branch flrq-lrq l2qer qera-exact clip rtn}; do
        case $row in
            plus) echo "plus-$bits --method flrq+ --target-bits $target --group-size 64" ;;
            plus-untuned) echo "plus-untuned-$bits --method flrq+ --target-bits $target --group-size 64 --tune-steps 0" ;;
            plus-no-branch) echo "plus-no-branch-$bits --method flrq+ --target-bits $target --rank 0 --group-size 64 --tune-steps 0" ;;
            flrq-lrq) echo "flrq-lrq-$bits --method flrq --bits $bits --group-size 64 --residual lrq" ;;
            l2qer | qera-exact) echo "$row-$bits --method $row --bits $bits --group-size 64 --rank-rule cap --extra-size $extra" ;;
            clip) echo "clip-$bits --method flrq --rank 0 --epochs 0 --bits $bits --group-size $group" ;;
            rtn) echo "rtn-$bits --method rtn --bits $bits --group-size $group" ;;
            *) echo "$row is no row" >&2; exit 2 ;;
        esac
    done
done | run_all
