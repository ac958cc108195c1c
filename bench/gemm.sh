#!/bin/sh
# Matrix products, managed against a system BLAS; options are passed on (see the program's usage text).
set -e
cd "$(dirname "$0")/.."
exec dotnet run -c Release --project bench/LowRankQuant.Benchmarks -- gemm "$@"
