using LowRankQuant.Formats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Export;

/// <summary>How a model's low-rank branches are written beside the exported base.</summary>
public enum ExportAdapter
{
    /// <summary>A PEFT folder, every module with its own rank.</summary>
    Peft,

    /// <summary>A PEFT folder padded to one rank of those that vLLM knows.</summary>
    PeftPadded,

    /// <summary>A GGUF LoRA file, every tensor with its own rank.</summary>
    GgufLora,
}

/// <summary>The type of an adapter's factors.</summary>
public enum AdapterType
{
    /// <summary>IEEE single: holds every factor exactly.</summary>
    Float32,

    /// <summary>IEEE half.</summary>
    Float16,

    /// <summary>bfloat16; PEFT folders only.</summary>
    BFloat16,

    /// <summary>Blocks of 32 codes with a half; GGUF LoRA files only. Factors whose rows are no multiple of 32 are stored exactly.</summary>
    Blocks8,
}

/// <summary>An adapter that was written.</summary>
/// <param name="Path">Folder or file.</param>
/// <param name="Bytes">Bytes of its factors.</param>
/// <param name="CountedBytes">Bytes of the same factors as lrq stores and counts them.</param>
/// <param name="IsRounded">Whether a value is another one than in the model.</param>
public sealed record ExportedAdapter(string Path, long Bytes, long CountedBytes, bool IsRounded)
{
    /// <summary>Reads an adapter again and compares it with what it was made from.</summary>
    /// <param name="path">Folder or file.</param>
    /// <param name="source">The model that was exported.</param>
    internal static ExportedAdapter Read(string path, ExportSource source)
    {
        using ILowRankAdapter written = AdapterOpener.Open(path, source.Checkpoint);
        long counted = 0;
        bool rounded = false;
        foreach (string module in source.Adapter!.Modules)
        {
            if (source.Adapter.Read(module) is not { } branch) continue;
            counted += branch.StoredBits / 8;
            rounded |= !Same(branch, written.Read(module));
        }
        return new ExportedAdapter(path, written.Modules.Sum(written.StoredBitsOf) / 8, counted, rounded);
    }

    // Rows and columns that it is padded with do not count.
    private static bool Same(LowRankBranch branch, LowRankBranch? written)
    {
        if (written is null || !written.A.AsSpan(0, branch.A.Length).SequenceEqual(branch.A)) return false;
        for (int i = 0; i < branch.B.Length; i++)
        {
            if (written.B[(i / branch.Rank * written.Rank) + (i % branch.Rank)] != branch.B[i]) return false;
        }
        return true;
    }
}
