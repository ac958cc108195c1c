#!/bin/sh
# A Llama of Llama-2-7B's shapes, its weights generated with the spectrum of real ones, within 16 GiB of memory: what the plan says of a block, then four blocks, stopped by Ctrl-C
# behind the second and gone on with; seconds and peak memory of every one, by the kernel's high-water mark.
#
#   WORK=/big/disk/folder MEMORY=16G bench/memory_large.sh [flrq+] [lrq] [lrq-bf16] [rtn] [flrq]
#   SIZES="--filled 1 --hidden 8192 --layers 80 --heads 64 --kv-heads 8 --ffn 28672" BLOCKS=1 MEMORY=20G WORK=/other/folder bench/memory_large.sh rtn flrq   # 70B
#
# WORK needs 20 GB of disk for the model alone, which is kept there; blocks that are not filled are holes. OPTIONS go to every run. LRQ names a program that is built already. Fails when a peak is above the budget.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- flrq+ lrq
: "${WORK:?name a folder on a big disk}"
lrq=${LRQ:-./lrq} memory=${MEMORY:-16G} blocks=${BLOCKS:-4}
mkdir -p "$WORK"
if [ ! -f "$WORK/model/config.json" ]; then
    dotnet build -c Release bench/LowRankQuant.Benchmarks --nologo -v quiet -clp:NoSummary >&2
    # shellcheck disable=SC2086
    dotnet bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks.dll make-llama --out "$WORK/model" --spectrum yes --shard-mb 4000 \
        ${SIZES:---hidden 4096 --layers 32 --heads 32 --kv-heads 32 --ffn 11008} >&2
fi
$lrq --version >/dev/null # builds it

field() { sed -n "s/.*\"$2\": *\([0-9.]*\).*/\1/p" "$1" | head -n 1; }
mib() { echo "$((${1%.*} / 1048576))"; }

echo "| run | block | seconds | peak MiB |"
echo "|---|---:|---:|---:|"
for run in "$@"; do
    name=$run
    case $run in
    rtn) set -- --method rtn --bits 4 ;;
    flrq) set -- --method flrq --bits 3 --group-size 128 ;;
    flrq+) set -- --method flrq+ --bits 3 --group-size 128 ;;
    lrq) set -- --method lrq --bits 3 ;;
    lrq-bf16) set -- --method lrq --bits 3 --kernels onednn --precision bf16 ;;
    *) echo "memory_large: no run '$run'" >&2; exit 2 ;;
    esac
    [ "$name" = rtn ] || set -- "$@" --calibration models/demo/calibration.txt
    out=$WORK/$name
    # shellcheck disable=SC2086
    set -- "$@" --memory "$memory" ${OPTIONS:-}
    $lrq plan "$WORK/model" "$@" --json >"$out.plan.json"
    echo "| $name, plan | | $(field "$out.plan.json" blockSeconds) | $(mib "$(field "$out.plan.json" blockBytes)") |"
    rm -rf "$out"
    if [ "$blocks" -gt 2 ]; then
        $lrq quantize "$WORK/model" "$@" --blocks "$blocks" --out "$out" >"$out.log" 2>&1 &
        pid=$!
        while kill -0 "$pid" 2>/dev/null && [ ! -f "$out/.lrq/blocks/block-00001.safetensors" ]; do sleep 1; done
        # Ctrl-C, which a shell keeps from what it starts in the background; TERM is taken in the same way.
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" || true
        echo "stopped" >>"$out.log"
    fi
    $lrq quantize "$WORK/model" "$@" --blocks "$blocks" --out "$out" >>"$out.log" 2>&1
    for i in $(seq 0 $((blocks - 1))); do
        report=$(printf '%s/.lrq/blocks/block-%05d.json' "$out" "$i")
        echo "| $name | $i | $(field "$report" seconds) | $(mib "$(field "$report" peakMemoryBytes)") |"
    done
done
