using LowRankQuant.Formats;
using LowRankQuant.Formats.Branches;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>Low-rank branches as a PEFT folder within an exported model's folder, where lrq reads the two together.</summary>
internal static class AdapterFolder
{
    private const float LargestHalf = 65504;

    /// <summary>What keeps the branches from being written as asked.</summary>
    /// <param name="source">The model.</param>
    /// <param name="options">What is asked for.</param>
    /// <param name="floats">Whether the base is written as floats.</param>
    public static IEnumerable<Misfit> FindMisfits(ExportSource source, ExportOptions options, bool floats)
    {
        bool padded = options.Adapter == ExportAdapter.PeftPadded;
        int limit = Math.Min(options.MaxRank ?? int.MaxValue, padded ? EngineTable.VllmAdapterRanks[^1] : int.MaxValue);
        List<AdapterModule> modules = Modules(source, floats);
        foreach (AdapterModule module in modules.Where(module => module.Rank > limit))
        {
            yield return new Misfit(
                module.Module, $"its branch has rank {module.Rank}, and at most {limit} may be written",
                "quantize again with a smaller `rank`, or allow more by `max_rank`");
        }
        if (options.AdapterType is AdapterType.Float16 or AdapterType.Blocks8)
        {
            foreach (string module in source.Adapter!.Modules)
            {
                if (source.Adapter.Read(module) is not { } branch || Largest(branch) is not (> LargestHalf and float largest)) continue;
                string what = FormattableString.Invariant($"a factor of its branch holds {largest:G4}, and {LargestHalf} is the largest half");
                yield return new Misfit(module, what, "give `adapter_dtype` fp32");
            }
        }
        if (padded && modules.Max(module => module.Rank) is var rank && PaddedRank(modules) > limit && rank <= limit)
            yield return new Misfit(
                "`max_rank`", $"{limit} is none of vLLM's ranks, and rank {rank} pads to {PaddedRank(modules)}", $"give `max_rank` {PaddedRank(modules)}");
    }

    /// <summary>Writes the folder.</summary>
    /// <param name="source">The model.</param>
    /// <param name="folder">The exported model's folder.</param>
    /// <param name="options">What is asked for.</param>
    /// <param name="floats">Whether the base is written as floats.</param>
    public static void Write(ExportSource source, string folder, ExportOptions options, bool floats)
    {
        bool padded = options.Adapter == ExportAdapter.PeftPadded;
        int factorBits = 0;
        var exact = new HashSet<SafetensorsType>();
        foreach (string module in source.Adapter!.Modules)
        {
            if (source.Adapter.Read(module) is not { } branch) continue;
            factorBits = Math.Max(factorBits, branch.BitsPerFactor);
            exact.Add(BranchFileWriter.ExactType(branch.A));
            exact.Add(BranchFileWriter.ExactType(branch.B));
        }
        SafetensorsType type = options.AdapterType switch
        {
            AdapterType.Float32 => SafetensorsType.F32,
            AdapterType.Float16 => SafetensorsType.F16,
            AdapterType.BFloat16 => SafetensorsType.BF16,
            null => exact.Count == 1 ? exact.Single() : SafetensorsType.F32,
            _ => throw new ArgumentException($"A PEFT folder has no {options.AdapterType}.", nameof(options)),
        };
        // Engines that fuse linears want every one of them in an adapter of one rank; without a branch it is all zeros.
        List<AdapterModule> modules = [.. Modules(source, floats).Where(module => padded || module.Rank > 0)];
        PeftAdapterWriter.Write(
            Path.Combine(folder, CheckpointOpener.AdapterFolder), [.. modules.Select(module => module with { Module = source.Checkpoint.WrittenName(module.Module) })],
            type, padded ? AdapterForm.Padded : AdapterForm.Pattern, "..", factorBits, padded ? PaddedRank(modules) : null);
    }

    /// <summary>Bytes that the folder takes at most.</summary>
    /// <param name="source">The model.</param>
    /// <param name="options">What is asked for.</param>
    /// <param name="floats">Whether the base is written as floats.</param>
    public static long Bytes(ExportSource source, ExportOptions options, bool floats)
    {
        List<AdapterModule> modules = Modules(source, floats);
        int padded = options.Adapter == ExportAdapter.PeftPadded ? PaddedRank(modules) : 0;
        return modules.Sum(module => (long)(module.OutFeatures + module.InFeatures) * Math.Max(padded, module.Rank) * sizeof(float));
    }

    private static int PaddedRank(List<AdapterModule> modules)
    {
        int largest = modules.Max(module => module.Rank);
        return EngineTable.VllmAdapterRanks.FirstOrDefault(rank => rank >= largest, largest);
    }

    // Every linear that the base's folder has, also without a branch; model order first, whatever else has a branch after it.
    private static List<AdapterModule> Modules(ExportSource source, bool floats)
    {
        ILowRankAdapter adapter = source.Adapter!;
        FolderForm form = floats ? FolderForm.OfFloats(source.Checkpoint) : source.Form;
        HashSet<string> apart = floats ? [] : [.. source.StoredLinears.Where(linear => linear.Parts is null).Select(linear => linear.Module)];
        // A quantized embedding or head has a branch only where the adapter says so.
        string[] linears = [.. source.Linears.Where(linear => !linear.IsTable && linear.Module != source.Head).Select(linear => linear.Module).Concat(source.DenseLinears)];
        IEnumerable<AdapterModule> modules = linears.Concat(adapter.Modules.Except(linears).Order(StringComparer.Ordinal)).Select(module =>
        {
            IReadOnlyList<int> shape = source.Checkpoint.ShapeOf(module + ".weight");
            int rank = adapter.Modules.Contains(module) ? adapter.RankOf(module) : 0;
            return new AdapterModule(module, shape[0], shape[1], rank, () => adapter.Read(module)!.A, () => adapter.Read(module)!.B);
        });
        return FusedBranches.Join(modules, module => apart.Contains(module) ? null : form.FusedOf(module));
    }

    private static float Largest(LowRankBranch branch) => branch.A.Concat(branch.B).Max(Math.Abs);
}
