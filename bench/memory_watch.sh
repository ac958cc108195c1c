# Sourced by the memory benchmarks: runs a quantization and watches its memory from outside. They set work (folder with model/), memory (the budget as --memory takes
# it) and budget (the same in KiB).

field() { sed -n "s/^$2:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$1/status" 2>/dev/null || true; }

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
