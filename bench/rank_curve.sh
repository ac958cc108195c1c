#!/bin/sh
# The rank of LRQ's scaling matrices against what is lost, on the model that ships with lrq; prints a table and writes nothing but its work folder.
#
#   BITS=3 SEEDS="1 2 3" RANKS="1 2 4 16 64 full" [START=minmax] bench/rank_curve.sh
#
# Everything but the rank is the preset's; FlexRound, whose S2 is a full matrix of its own, stands beside it at the same rate.
set -eu
cd "$(dirname "$0")/.."
bits=${BITS:-3} seeds=${SEEDS:-1 2 3} ranks=${RANKS:-1 2 4 16 64 full} rate=${RATE:-} start=${START:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
./lrq --version >/dev/null # builds it

# The first figure of that name in the object "result" of the run's last line (its standard errors have the same names and come later).
number() { tail -n 1 "$2" | sed 's/.*"result": *{//' | tr ',{}' '\n\n\n' | sed -n "s/^ *\"$1\": *//p" | head -n 1; }

# Prints a row: its name, and the options of its runs.
row() {
    name=$1
    shift
    for seed in $seeds; do
        ./lrq quantize demo --bits "$bits" --seed "$seed" --out "$work/run" --overwrite --json ${rate:+--learning-rate "$rate"} ${start:+--start "$start"} "$@" >"$work/all" 2>"$work/log" ||
            { tail -n 5 "$work/log" >&2; exit 1; }
        echo "$(number perplexity "$work/all") $(number klDivergence "$work/all")"
    done | awk -v name="$name" '{ p += $1; k += $2; kk += $2 * $2; n++ }
        END { m = k / n; v = n > 1 ? (kk - n * m * m) / (n - 1) : 0; s = v > 0 ? sqrt(v) : 0; printf "| %s | %.3f | %.5f | %.5f |\n", name, p / n, m, s }'
}

echo "| rank | perplexity | KL divergence | its deviation over seeds |"
echo "|---|---:|---:|---:|"
row "round to nearest" --method rtn
for rank in $ranks; do row "$rank" --method lrq --rank "$rank"; done
row "FlexRound" --method flexround
