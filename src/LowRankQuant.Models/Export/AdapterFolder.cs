using LowRankQuant.Formats;
using LowRankQuant.Formats.Branches;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>Low-rank branches as a PEFT folder within an exported model's folder, where lrq reads the two together.</summary>
internal static class AdapterFolder
{
    private const float LargestHalf = 65504;

    /// <summary>What keeps the branches from being written as asked.</summary>
    public static IEnumerable<Misfit> FindMisfits(ILowRankAdapter adapter, ExportOptions options)
    {
        bool padded = options.Adapter == ExportAdapter.PeftPadded;
        int limit = Math.Min(options.MaxRank ?? int.MaxValue, padded ? EngineTable.VllmAdapterRanks[^1] : int.MaxValue);
        foreach (string module in adapter.Modules)
        {
            int rank = adapter.RankOf(module);
            if (rank > limit)
                yield return new Misfit(
                    module, $"its branch has rank {rank}, and at most {limit} may be written",
                    "quantize again with a smaller --rank, or allow more by --max-rank");
        }
        if (options.AdapterType is AdapterType.Float16 or AdapterType.Blocks8)
        {
            foreach (string module in adapter.Modules)
            {
                if (adapter.Read(module) is not { } branch || Largest(branch) is not (> LargestHalf and float largest)) continue;
                string what = FormattableString.Invariant($"a factor of its branch holds {largest:G4}, and {LargestHalf} is the largest half");
                yield return new Misfit(module, what, "give --adapter-dtype fp32");
            }
        }
        if (padded && adapter.Modules.Count > 0 && PaddedRank(adapter) > limit && adapter.Modules.Max(adapter.RankOf) <= limit)
            yield return new Misfit(
                "--max-rank", $"{limit} is none of vLLM's ranks, and rank {adapter.Modules.Max(adapter.RankOf)} pads to {PaddedRank(adapter)}",
                $"give --max-rank {PaddedRank(adapter)}");
    }

    /// <summary>Writes the folder.</summary>
    /// <param name="source">The model.</param>
    /// <param name="folder">The exported model's folder.</param>
    /// <param name="options">What is asked for.</param>
    public static void Write(ExportSource source, string folder, ExportOptions options)
    {
        ILowRankAdapter adapter = source.Adapter!;
        var modules = new List<AdapterModule>();
        int factorBits = 0;
        var exact = new HashSet<SafetensorsType>();
        bool padded = options.Adapter == ExportAdapter.PeftPadded;
        foreach (string module in Ordered(source))
        {
            if (adapter.Read(module) is not { } branch)
            {
                if (padded) modules.Add(Empty(source, module));
                continue;
            }
            (int outFeatures, int inFeatures) = adapter.ShapeOf(module);
            factorBits = Math.Max(factorBits, branch.BitsPerFactor);
            exact.Add(BranchFileWriter.ExactType(branch.A));
            exact.Add(BranchFileWriter.ExactType(branch.B));
            modules.Add(new AdapterModule(source.Checkpoint.WrittenName(module), outFeatures, inFeatures, branch.Rank, () => adapter.Read(module)!.A, () => adapter.Read(module)!.B));
        }
        SafetensorsType type = options.AdapterType switch
        {
            AdapterType.Float32 => SafetensorsType.F32,
            AdapterType.Float16 => SafetensorsType.F16,
            AdapterType.BFloat16 => SafetensorsType.BF16,
            null => exact.Count == 1 ? exact.Single() : SafetensorsType.F32,
            _ => throw new ArgumentException($"A PEFT folder has no {options.AdapterType}.", nameof(options)),
        };
        PeftAdapterWriter.Write(
            Path.Combine(folder, CheckpointOpener.AdapterFolder), modules, type, padded ? AdapterForm.Padded : AdapterForm.Pattern, "..", factorBits,
            padded ? PaddedRank(adapter) : null);
    }

    /// <summary>Bytes that the folder takes at most.</summary>
    public static long Bytes(ExportSource source, ExportOptions options)
    {
        ILowRankAdapter adapter = source.Adapter!;
        bool padded = options.Adapter == ExportAdapter.PeftPadded;
        return Ordered(source).Sum(module =>
        {
            IReadOnlyList<int> shape = source.Checkpoint.ShapeOf(module + ".weight");
            int rank = padded ? PaddedRank(adapter) : adapter.Modules.Contains(module) ? adapter.RankOf(module) : 0;
            return (long)(shape[0] + shape[1]) * rank * sizeof(float);
        });
    }

    private static int PaddedRank(ILowRankAdapter adapter)
    {
        int largest = adapter.Modules.Max(adapter.RankOf);
        return EngineTable.VllmAdapterRanks.FirstOrDefault(rank => rank >= largest, largest);
    }

    // Engines that fuse linears want every one of them in an adapter of one rank; without a branch it is all zeros.
    private static AdapterModule Empty(ExportSource source, string module)
    {
        IReadOnlyList<int> shape = source.Checkpoint.ShapeOf(module + ".weight");
        return new AdapterModule(source.Checkpoint.WrittenName(module), shape[0], shape[1], 0, () => [], () => []);
    }

    // Model order first; whatever else has a branch after it.
    private static IEnumerable<string> Ordered(ExportSource source)
    {
        string[] linears = [.. source.Linears.Select(linear => linear.Module).Concat(source.DenseLinears)];
        return linears.Concat(source.Adapter!.Modules.Except(linears).Order(StringComparer.Ordinal));
    }

    private static float Largest(LowRankBranch branch) => branch.A.Concat(branch.B).Max(Math.Abs);
}
