#!/bin/sh
# Quantizes a random Llama model of 1.1 billion weights within 4 GiB of memory and prints peaks and times; writes nothing but its work folder.
#
#   WORK=/big/disk/folder MEMORY=4G bench/memory_1b.sh [rtn] [lrq]
#
# "rtn" rounds the whole model, "lrq" trains one block of it. WORK needs 4 GB; without it a temporary folder is used and deleted. Fails when a peak
# exceeds the budget.
set -eu
cd "$(dirname "$0")/.."
memory=${MEMORY:-4G}
[ $# -gt 0 ] || set -- rtn lrq
if [ -n "${WORK:-}" ]; then work=$WORK; mkdir -p "$work"; else work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; fi
trap 'exit 130' INT TERM HUP
case $memory in *G) budget=$((${memory%G} * 1024 * 1024)) ;; *M) budget=$((${memory%M} * 1024)) ;; *) echo "memory_1b: MEMORY is $memory, not like 4G or 4096M" >&2; exit 2 ;; esac

if [ ! -f "$work/model/config.json" ]; then
    dotnet build -c Release bench/LowRankQuant.Benchmarks --nologo -v quiet -clp:NoSummary >&2
    nice -n 10 dotnet bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks.dll make-llama --out "$work/model" >&2
fi
./lrq --version >/dev/null # builds it

. bench/memory_watch.sh

failed=0
echo "| run | time | peak resident | largest private part | largest file-backed part | budget |"
echo "|---|---:|---:|---:|---:|---:|"
for run in "$@"; do
    case $run in
        rtn) measure rtn --method rtn --bits 4 ;;
        lrq) measure lrq --method lrq --bits 3 --blocks 1 --samples 32 --sequence-length 512 --iterations 10 --calibration models/demo/calibration.txt ;;
        *) echo "memory_1b: no run '$run'" >&2; exit 2 ;;
    esac
done
[ "$failed" -eq 0 ] || { echo "memory_1b: a peak is above the budget" >&2; exit 1; }
