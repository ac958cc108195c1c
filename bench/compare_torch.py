"""Reads the JSON lines that compare_torch.sh collected and prints tables of medians; fails when the two sides do not agree."""
import json
import os
import statistics
import sys

TOLERANCE = 1e-3
WANTED = {"block": (1.3, 1.6), "lrq-step": (1.5, 2.0)}


def read(path):
    return [json.loads(line) for line in open(path)]


def median(lines, field):
    values = [line[field] for line in lines if line["kind"] == "time" and field in line]
    return statistics.median(values) if values else float("nan")


def best(lines, field):
    return min(line[field] for line in lines if line["kind"] == "time")


def ms(seconds):
    return "" if seconds != seconds else f"{1000 * seconds:.1f}"


def check(bench, side, ours, theirs):
    """Largest relative difference of losses and of norms of gradients, over all rounds."""
    expected = next(line for line in ours if line["kind"] == "check")["values"]
    worst = (0.0, "")
    for line in ours + theirs:
        if line["kind"] != "check":
            continue
        for name, value in expected.items():
            difference = abs(line["values"][name] - value) / max(abs(value), 1e-9)
            worst = max(worst, (difference if difference == difference else float("inf"), name))
    agrees = worst[0] <= TOLERANCE
    print(f"{bench}, {side}: losses and gradients agree within {worst[0]:.1e} ({worst[1]}); allowed {TOLERANCE:g}" + ("" if agrees else "  FAILED"))
    return agrees


def main():
    folder, threads, benches = sys.argv[1], sys.argv[2], sys.argv[3:]
    good = True
    for bench in benches:
        ours = read(os.path.join(folder, f"{bench}.lrq"))
        sides = sorted(name for name in os.listdir(folder) if name.startswith(f"{bench}.torch"))
        print(f"\n## {bench}, {threads} thread(s), milliseconds, medians\n")
        for side in sides:
            about = next(line for line in read(os.path.join(folder, side)) if line["kind"] == "about")
            print(f"{side.split('.', 1)[1]}: torch {about['torch']}, {about['blas']}")
        print(f"ours: {next(line for line in ours if line['kind'] == 'about')['device']}\n")
        print("| side | samples | forward | backward | Adam | total | best total | processor | ratio | ratio of best | ratio of processor |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
        for name, lines in [("ours", ours)] + [(side.split(".", 1)[1], read(os.path.join(folder, side))) for side in sides]:
            ratios = [median(lines, "total") / median(ours, "total"), best(lines, "total") / best(ours, "total"), median(lines, "cpu") / median(ours, "cpu")]
            samples = sum(line["kind"] == "time" for line in lines)
            cells = [name, str(samples), *(ms(median(lines, field)) for field in ("forward", "backward", "adam", "total")), ms(best(lines, "total")), ms(median(lines, "cpu")), *(f"{r:.2f}" for r in ratios)]
            print("| " + " | ".join(cells) + " |")
            for choice in lines:
                if choice["kind"] == "choice":
                    print(f"<!-- {name}: fastest of {choice['seconds']} -->", file=sys.stderr)
        print(f"\nours: products {ms(median(ours, 'gemm'))} ms, outside {ms(median(ours, 'outside'))} ms; processor {ms(median(ours, 'gemm_cpu'))} and {ms(median(ours, 'outside_cpu'))} ms")
        for side in sides:
            for line in read(os.path.join(folder, side)):
                if line["kind"] == "profile":
                    largest = ", ".join(f"{name.removeprefix('aten::')} {ms(seconds)}" for name, seconds in list(line["largest"].items())[:10])
                    print(f"{side.split('.', 1)[1]} (profiler): products {ms(line['gemm'])} ms, outside {ms(line['outside'])} ms; {largest}")
        kernels = [line["kernels"] for line in ours if line["kind"] == "breakdown"]
        print("\n| our kernel | calls | ms | processor ms |\n|---|---:|---:|---:|")
        names = sorted({name for step in kernels for name in step}, key=lambda name: -statistics.median(step[name]["cpu_ms"] for step in kernels if name in step))
        for name in names:
            rows = [step[name] for step in kernels if name in step]
            print(f"| {name} | {rows[0]['calls']} | {statistics.median(r['ms'] for r in rows):.2f} | {statistics.median(r['cpu_ms'] for r in rows):.2f} |")
        print()
        for side in sides:
            good &= check(bench, side.split(".", 1)[1], ours, read(os.path.join(folder, side)))
        required, goal = WANTED[bench]
        ratio = min(median(read(os.path.join(folder, side)), "total") for side in sides) / median(ours, "total")
        verdict = "goal reached" if ratio >= goal else "requirement met" if ratio >= required else "BELOW the requirement"
        print(f"{bench}: {ratio:.2f} times as fast as the fastest PyTorch; required {required}, goal {goal}: {verdict}")
    sys.exit(0 if good else 1)


main()
