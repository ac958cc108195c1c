#!/bin/sh
# Quantizes a random Llama model of 1.1 billion weights within 4 GiB of memory and prints peaks and times; writes nothing but its work folder.
#
#   WORK=/big/disk/folder MEMORY=4G bench/memory_1b.sh [rtn] [lrq]
#
# "rtn" rounds the whole model, "lrq" trains one block of it. WORK needs 4 GB; without it a temporary folder is used and deleted. Fails when a peak
# exceeds the budget.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- rtn lrq
. bench/memory_watch.sh

begin 4G make-llama
for run in "$@"; do
    case $run in
        rtn) measure rtn --method rtn --bits 4 ;;
        lrq) measure lrq --method lrq --bits 3 --blocks 1 --samples 32 --sequence-length 512 --iterations 10 --calibration models/demo/calibration.txt ;;
        *) echo "memory_1b: no run '$run'" >&2; exit 2 ;;
    esac
done
finish
