# Sourced by the memory benchmarks: makes a model, runs quantizations of it and watches their memory from outside.

field() { sed -n "s/^$2:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$1/status" 2>/dev/null || true; }

# begin BUDGET VERB OPTION...: work (WORK, or a temporary folder that is deleted), memory (MEMORY, or BUDGET) and budget (the same in KiB); the model in work/model, made
# by a verb of the benchmarks unless it is there; the head of the table.
begin() {
    script=$(basename "$0" .sh) memory=${MEMORY:-$1} verb=$2 failed=0
    shift 2
    if [ -n "${WORK:-}" ]; then work=$WORK; mkdir -p "$work"; else work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; fi
    trap 'exit 130' INT TERM HUP
    case $memory in
        *G) budget=$((${memory%G} * 1024 * 1024)) ;;
        *M) budget=$((${memory%M} * 1024)) ;;
        *) echo "$script: MEMORY is $memory, not like 4G or 4096M" >&2; exit 2 ;;
    esac
    if [ ! -f "$work/model/config.json" ]; then
        dotnet build -c Release bench/LowRankQuant.Benchmarks --nologo -v quiet -clp:NoSummary >&2
        nice -n 10 dotnet bench/LowRankQuant.Benchmarks/bin/Release/net10.0/LowRankQuant.Benchmarks.dll "$verb" --out "$work/model" "$@" >&2
    fi
    ./lrq --version >/dev/null # builds it
    echo "| run | time | peak resident | largest private part | largest file-backed part | budget |"
    echo "|---|---:|---:|---:|---:|---:|"
}

# finish: fails when a peak was above the budget.
finish() { [ "$failed" -eq 0 ] || { echo "$script: a peak is above the budget" >&2; exit 1; }; }

# measure NAME OPTION...: one row of the table; failed becomes 1 when the peak is above the budget. The kernel's high-water mark, and the largest private and file-backed parts seen.
measure() {
    name=$1
    shift
    rm -rf "$work/$name"
    start=$(date +%s)
    nice -n 10 ./lrq quantize "$work/model" --out "$work/$name" --memory "$memory" --overwrite --json "$@" >"$work/$name.json" 2>"$work/$name.log" &
    pid=$!
    peak=0 private=0 mapped=0
    while kill -0 "$pid" 2>/dev/null; do
        now=$(field "$pid" VmHWM) && [ -n "$now" ] && peak=$now
        now=$(field "$pid" RssAnon) && [ -n "$now" ] && [ "$now" -gt "$private" ] && private=$now
        now=$(field "$pid" RssFile) && [ -n "$now" ] && [ "$now" -gt "$mapped" ] && mapped=$now
        sleep 0.25
    done
    wait "$pid" || { tail -n 5 "$work/$name.log" >&2; exit 1; }
    own=$(sed -n 's/.*"peakMemoryBytes": *\([0-9]*\).*/\1/p' "$work/$name.json" | head -n 1)
    [ "$((${own:-0} / 1024))" -gt "$peak" ] && peak=$((own / 1024))
    echo "| $name $* | $(($(date +%s) - start)) s | $((peak / 1024)) MiB | $((private / 1024)) MiB | $((mapped / 1024)) MiB | $((budget / 1024)) MiB |"
    [ "$peak" -le "$budget" ] || failed=1
}
