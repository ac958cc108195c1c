#!/usr/bin/env bash
# Sizes against counted bits: the demo by every method, and in every container and form of adapter. The tensors of each file are added up here and compared
# with the bits per weight that lrq states. Sizes do not depend on how long was learned, so that the runs are short. LRQ names a program that is built already.
#
#   bench/sizes.sh WORK
#
# Prints lines of a table: run, bytes of linears, bytes of branches, bits added up, bits stated, bytes of all files. Results: docs/results/sizes.md.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:?name a work folder}
lrq=${LRQ:-./lrq}
mkdir -p "$work"
line() { # NAME PATH STATED
    python3 - "$@" <<'PY'
import glob, json, os, struct, sys
name, path, stated = sys.argv[1:4]
weights = 3145728
def tensors(file):
    with open(file, "rb") as source:
        header = json.loads(source.read(struct.unpack("<Q", source.read(8))[0]))
    return {key: entry["data_offsets"][1] - entry["data_offsets"][0] for key, entry in header.items() if key != "__metadata__"}
def gguf(file):
    from struct import unpack
    sizes = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 30: (1, 2), 42: (64, 18)}
    data, at = open(file, "rb").read(), 8
    def take(form):
        nonlocal at
        value = unpack("<" + form, data[at:at + struct.calcsize("<" + form)])[0]
        at += struct.calcsize("<" + form)
        return value
    def text():
        nonlocal at
        size = take("Q"); at += size
        return data[at - size:at].decode("utf-8", "replace")
    def value(kind):
        if kind == 8: return text()
        if kind == 9:
            item, count = take("I"), take("Q")
            return [value(item) for _ in range(count)]
        return take({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])
    count, keys = take("Q"), take("Q")
    for _ in range(keys): text(); value(take("I"))
    found = {}
    for _ in range(count):
        key, elements = text(), 1
        for _ in range(take("I")): elements *= take("Q")
        block, size = sizes[take("I")]
        take("Q")
        found[key] = elements // block * size
    return found
if os.path.isdir(path):
    files, adapters = glob.glob(path + "/*.safetensors"), glob.glob(path + "/adapter/*.safetensors")
    linears = sum(size for file in files for key, size in tensors(file).items() if "_proj." in key and not key.endswith(".weight_shape"))
    branches = sum(size for file in adapters for size in tensors(file).values())
else:
    files, adapters = [path], glob.glob(path[:-5] + ".lora.gguf")
    linears = sum(size for key, size in gguf(path).items() if key.startswith("blk.") and "norm" not in key)
    branches = sum(size for file in adapters for size in gguf(file).values())
bits = 8 * (linears + branches) / weights
stated = float(stated) + (8 * branches / weights if adapters and not os.path.isdir(path) else 0)
whole = sum(os.path.getsize(file) for file in files + adapters)
print(f"| {name} | {linears:,} | {branches:,} | {bits:.6f} | {stated:.6f} | {whole:,} |{'' if abs(bits - stated) < 1e-9 else ' DIFFERENT'}")
PY
}
field() { sed -E "s/.*\"bitsPerWeight\":([0-9.]+).*/\1/"; }
quantize() { # NAME METHOD OPTIONS...
    local name=$1 method=$2 short="--samples 4 --held-out 1 --sequence-length 32"
    shift 2
    case $method in
        rtn) short= ;;
        lrq* | flexround) short="$short --iterations 2" ;;
        flrq+) short="$short --tune-steps 0 --epochs 0" ;;
    esac
    # shellcheck disable=SC2086
    [ -f "$work/$name/report.json" ] || $lrq quantize demo --method "$method" --eval-windows 1 --threads 1 $short --out "$work/$name" "$@" > "$work/$name.log" 2>&1
    line "\`--method $method $*\`" "$work/$name" "$(python3 -c "import json, sys; print(json.load(open(sys.argv[1]))['bitsPerWeight'])" "$work/$name/report.json")"
}
export_() { # RUN CONTAINER OPTIONS...
    local run=$1 container=$2
    shift 2
    local out="$work/$run-$container$(printf '%s' "$@" | tr -d ' -')"
    [ "$container" = gguf ] && out=$out.gguf
    if $lrq export "$work/$run" --to "$container" --overwrite --out "$out" --json "$@" > "$out.json" 2> "$out.txt"; then
        line "$run, \`--to $container${*:+ $*}\`" "$out" "$($lrq inspect "$out" --json | field)"
    else
        echo "| $run, \`--to $container${*:+ $*}\` | refused: $(grep -m1 "$container: " "$out.txt" | cut -c1-90) |"
    fi
}
four="--bits 4 --group-size 64 --symmetric --scale-dtype fp16"
# shellcheck disable=SC2086
{
    quantize rtn rtn $four
    quantize rows rtn --bits 3
    quantize tensor rtn --bits 5 --group-size tensor
    quantize q2_k rtn --grid q2_k
    quantize q3_k rtn --grid q3_k
    quantize q4_k rtn --grid q4_k
    quantize q6_k rtn --grid q6_k
    for method in flexround lrq lrq-hybrid; do quantize $method $method $four; done
    quantize flrq flrq $four
    quantize plus flrq+ $four --rank 4
    quantize budget flrq+ --target-bits 3
    for peer in svd lqer l2qer qera-approx qera-exact; do quantize $peer $peer $four --rank 4; done
    quantize plus-peft flrq+ $four --rank 4 --adapter-form pattern
    for container in gguf gptq awq compressed-tensors mlx; do export_ rtn $container; done
    for container in gptq compressed-tensors; do export_ rows $container; done
    for grid in q2_k q3_k q4_k q6_k; do export_ $grid gguf; done
    for type in fp32 fp16 q8_0; do export_ plus gguf --adapter-dtype $type; done
    for type in fp32 fp16 bf16; do export_ plus compressed-tensors --adapter-dtype $type; done
    for container in gptq awq; do export_ plus $container; done
    export_ plus gptq --adapter peft-padded
    export_ flrq compressed-tensors
} | tee "$work/results.txt"
