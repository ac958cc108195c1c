#!/usr/bin/env bash
# LRQ's factors apart and together: every combination of rank, r2, c2, start, loss, kept iterate and inputs on one model, by `lrq sweep` alone. Prints for each factor by how much it
# changes KL divergence, as the mean over all pairs of runs that differ in nothing else, with its standard error, and the same for the first and the last rank alone.
# Cells are kept in OUT, so that the work goes on wherever it stopped; 64 runs a rank.
# Usage: [RANKS=4,64] [OPTIONS="--bits 3"] [LRQ=./lrq] bench/factorial.sh OUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${1:?usage: bench/factorial.sh OUT}
lrq=${LRQ:-./lrq}
ranks=${RANKS:-4,64}
for rank in ${ranks//,/ }; do
    for start in minmax search; do
        for loss in plain relative; do
            for best in false true; do
                for inputs in false true; do
                    cell=$out/$rank.$start.$loss.$best.$inputs
                    [ ! -f "$cell/comparison.md" ] || continue
                    mkdir -p "$out"
                    # shellcheck disable=SC2086
                    $lrq sweep demo --method lrq --rank "$rank" --start "$start" --loss "$loss" --keep-best "$best" --quantized-inputs "$inputs" --vary row-offset=false,true --vary column-offset=false,true \
                        ${OPTIONS:---bits 3} --out "$cell" > "$cell.log" 2>&1
                done
            done
        done
    done
done

# One line a run: rank start loss keep-best inputs column-offset row-offset KL.
for file in "$out"/*/cells/*.json; do
    setting=$(basename "$(dirname "$(dirname "$file")")")
    offsets=$(basename "$file" .json)
    echo "${setting//./ } ${offsets//./ } $(sed -n '/"result"/,/"standardErrors"/s/.*"klDivergence": *\([0-9.eE-]*\).*/\1/p' "$file")"
done | awk -v ranks="$ranks" '
    BEGIN { split("rank start loss keep-best quantized-inputs column-offset row-offset", name, " "); last = split(ranks, rank, ",") }
    { for (i = 1; i <= 7; i++) { sub(/.*=/, "", $i); if (!((i, $i) in seen)) { seen[i, $i] = 1; level[i, ++levels[i]] = $i } } kl[$1, $2, $3, $4, $5, $6, $7] = log($8); rows++ }
    # Pairs that differ in factor i alone; where "only" is a rank, those of that rank.
    function effect(i, from, to, only, key, part, n, d, sum, squares, other) {
        for (key in kl) {
            split(key, part, SUBSEP)
            if (part[i] != from || (only != "" && part[1] != only)) continue
            part[i] = to
            other = part[1]; for (n0 = 2; n0 <= 7; n0++) other = other SUBSEP part[n0]
            if (!(other in kl)) continue
            d = kl[other] - kl[key]; sum += d; squares += d * d; n++
        }
        if (n < 2) return "|"
        d = sum / n
        return sprintf("%+.1f ± %.1f %% |", 100 * (exp(d) - 1), 100 * sqrt((squares - n * d * d) / (n - 1) / n))
    }
    END {
        printf "%d runs\n\n| factor | from | to | all | rank %s | rank %s |\n|---|---|---|---:|---:|---:|\n", rows, rank[1], rank[last]
        for (i = 1; i <= 7; i++) for (j = 2; j <= levels[i]; j++)
            printf "| %s | %s | %s | %s %s %s\n", name[i], level[i, j - 1], level[i, j], effect(i, level[i, j - 1], level[i, j], ""), i == 1 ? "|" : effect(i, level[i, j - 1], level[i, j], rank[1]), i == 1 ? "|" : effect(i, level[i, j - 1], level[i, j], rank[last])
    }'
