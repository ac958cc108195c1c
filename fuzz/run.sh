#!/usr/bin/env bash
# Fuzzes the readers of files that come from strangers, each for MINUTES:  fuzz/run.sh MINUTES [TARGET...]
# Installs afl++ (Debian) and SharpFuzz.CommandLine (under artifacts/) where they are absent. Inputs that were found interesting stay under
# artifacts/fuzz/queue and are seeds of the next run; findings lie in artifacts/fuzz/out/TARGET/default/{crashes,hangs}. To try one again:
#   dotnet artifacts/fuzz/plain/LowRankQuant.Fuzz.dll TARGET FILE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 MSBUILDDISABLENODEREUSE=1
minutes=${1:?usage: fuzz/run.sh MINUTES [TARGET...]}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(safetensors gguf tokenizer config template recipe jsonl yaml)
home=${LRQ_FUZZ_HOME:-artifacts/fuzz}
mkdir -p "$home/out"

if ! command -v afl-fuzz > /dev/null; then
    apt-get update -qq && apt-get install -y --no-install-recommends afl++ > "$home/apt.log"
fi
version=$(sed -nE 's/.*"SharpFuzz" Version="([^"]+)".*/\1/p' Directory.Packages.props)
[ -x "$home/tool/sharpfuzz" ] || dotnet tool install --tool-path "$home/tool" SharpFuzz.CommandLine --version "$version" > /dev/null

# Instrumented copies of the library; the project's own output stays as it is, and so does a copy to try findings with.
if [ -z "${LRQ_FUZZ_NO_BUILD:-}" ]; then
    dotnet build tests/LowRankQuant.Fuzz -c Release -p:RunAnalyzers=false -nodeReuse:false > "$home/build.log" || { tail -20 "$home/build.log"; exit 1; }
    rm -rf "$home/plain" "$home/bin" "$home/seeds"
    cp -r tests/LowRankQuant.Fuzz/bin/Release/net10.0 "$home/plain"
    cp -r "$home/plain" "$home/bin"
    for library in Formats Models Quantization Evaluation Runs; do "$home/tool/sharpfuzz" "$home/bin/LowRankQuant.$library.dll"; done
    dotnet tests/LowRankQuant.Fuzz/bin/Release/net10.0/LowRankQuant.Fuzz.dll seeds "$home/seeds"
fi

# Words that a reader knows, from its source: keys of JSON with their quotes, words of other languages without.
words() {
    local of=src/LowRankQuant
    case $1 in
        template) grep -rohE '"[a-z_]{2,20}"' $of.Models/ChatTemplates | sort -u ;;
        gguf) grep -rohE '"[a-zA-Z0-9_.-]{3,40}"' $of.Models/Tokenizers/Gguf* $of.Models/Checkpoints/Gguf* | sort -u ;;
        yaml) grep -rohE '"[a-z0-9_+.-]{2,20}"' $of.Quantization/{Recipes,Options,Methods,Grids,Targets,Transforms,Activations} | sort -u ;;
        safetensors) quoted $of.Formats/Safetensors ;;
        tokenizer) quoted $of.Models/Tokenizers ;;
        config) quoted $of.Models/{Families,Checkpoints} $of.Formats/{AutoRound,Awq,CompressedTensors,Gptq,Mlx,Peft,TwoLevel} ;;
        *) quoted $of.Evaluation/Tasks ;;
    esac
}
quoted() { grep -rohE '"[a-zA-Z0-9_.-]{2,40}"' "$@" | sort -u | sed -E 's/^"(.*)"$/"\\"\1\\""/'; }

# Half a gigabyte: no input of some kilobytes may need more. Seconds, because cores may be shared.
export AFL_SKIP_BIN_CHECK=1 AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 AFL_HANG_TMOUT=10000
export DOTNET_GCHeapHardLimit=0x20000000
scratch=$(mktemp -d /dev/shm/lrq-fuzz.XXXXXX)
export LRQ_FUZZ_SCRATCH=$scratch
trap 'rm -rf "$scratch"' EXIT

for target in "${targets[@]}"; do
    mkdir -p "$home/queue/$target"
    rm -rf "$home/out/$target" "$home/in-$target"
    cp -r "$home/seeds/$target" "$home/in-$target"
    find "$home/queue/$target" -type f -exec cp -n {} "$home/in-$target/" \;
    words "$target" > "$home/$target.dict"
    timeout --signal=INT "$((minutes * 60 + 180))" \
        nice -n 15 afl-fuzz -i "$home/in-$target" -o "$home/out/$target" -x "$home/$target.dict" -t 4000 -m none -V "$((minutes * 60))" \
        -- dotnet "$home/bin/LowRankQuant.Fuzz.dll" "$target" > "$home/$target.log" 2>&1 || echo "$target: afl-fuzz ended with $?; see $home/$target.log"
    find "$home/out/$target/default/queue" -type f -not -path '*/.state/*' -exec cp -n {} "$home/queue/$target/" \; 2> /dev/null || true
done

printf '\n%-12s %8s %12s %8s %7s %8s %6s\n' harness minutes executions per-s paths crashes hangs
for target in "${targets[@]}"; do
    stats=$home/out/$target/default/fuzzer_stats
    [ -f "$stats" ] || continue
    value() { sed -nE "s/^$1 *: *//p" "$stats" | head -1; }
    printf '%-12s %8s %12s %8s %7s %8s %6s\n' "$target" "$(($(value run_time) / 60))" "$(value execs_done)" "$(value execs_per_sec)" \
        "$(value corpus_count)" "$(value saved_crashes)" "$(value saved_hangs)"
done
