using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Export.Gguf;

namespace LowRankQuant.Models.Export;

/// <summary>What an export is asked for.</summary>
public sealed record ExportOptions
{
    /// <summary>Where it goes.</summary>
    public required string Output { get; init; }

    /// <summary>Whether a model that is there already is replaced.</summary>
    public bool Overwrite { get; init; }

    /// <summary>Largest file of tensors, bytes.</summary>
    public long ShardSize { get; init; } = SafetensorsFolderWriter.DefaultShardSize;

    /// <summary>Type of all tensors of a dense export.</summary>
    public SafetensorsType DenseType { get; init; } = SafetensorsType.BF16;

    /// <summary>Form of GPTQ's zero points; null for v1 where the grid is symmetric and has 2, 4 or 8 bits, else v2.</summary>
    public GptqZeroPoints? GptqZeroPoints { get; init; }

    /// <summary>GGUF: types of what lies on no grid, and what happens to grids that fit no block.</summary>
    public GgufExportOptions Gguf { get; init; } = new();

    /// <summary>How branches are written; null for what the container does by itself.</summary>
    public ExportAdapter? Adapter { get; init; }

    /// <summary>Type of an adapter's factors; null for the narrowest that holds them exactly.</summary>
    public AdapterType? AdapterType { get; init; }

    /// <summary>Largest rank of an adapter; null for no limit.</summary>
    public int? MaxRank { get; init; }

    /// <summary>Whether quantizers of activations and caches may be left behind.</summary>
    public bool WeightsOnly { get; init; }

    /// <summary>Our version, for files that name their writer.</summary>
    public string Version { get; init; } = "0";
}
