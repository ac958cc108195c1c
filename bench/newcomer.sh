#!/bin/sh
# The transcript of docs/results/newcomer.md: a hub served by the tests' own server, and what lrq prints from a name to a GGUF file with its report. Takes a minute.
set -eu
root=$(CDPATH= cd "$(dirname "$0")/.." && pwd)
out=$(mktemp -d)
cd "$root"
LRQ_TRANSCRIPT=$out dotnet test -c Release tests/LowRankQuant.Tests --filter "FullyQualifiedName~FirstTenMinutesTests.OneCommand" >&2
cat "$out/newcomer.txt"
rm -r "$out"
