using System.Text.Json.Nodes;
using LowRankQuant.Formats.Engines;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Folders;
using LowRankQuant.Models.Export;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Verification.Engines;

/// <summary>What engines look at when they load a model.</summary>
/// <param name="Container">Name of the container: that of <c>to</c>, <c>auto-round</c>, <c>gguf</c> or <c>dense</c>.</param>
/// <param name="Linears">Quantized linears.</param>
/// <param name="Quantizers">Quantizers of activations and caches.</param>
/// <param name="Quantization">The container's object in config.json; null without.</param>
internal sealed record StoredModel(string Container, IReadOnlyList<ExportLinear> Linears, RuntimeQuantizers? Quantizers, JsonObject? Quantization)
{
    /// <summary>Linears with float minima.</summary>
    public IReadOnlyList<ExportAffine> Affine { get; init; } = [];

    /// <summary>Whether the head is the embedding and the one matrix is stored under the head's name.</summary>
    public bool TiedByHeadAlone { get; init; }

    /// <summary>The quantized embedding where it is the output head too; null where it is floats or a matrix by itself.</summary>
    public ExportLinear? TiedTable { get; init; }

    /// <summary>The formats of weights that are floats, as the groups of a compressed-tensors configuration name them.</summary>
    public IReadOnlyList<string> FloatFormats { get; } = Quantization?["config_groups"] is not JsonObject groups ? []
        : [.. groups.Select(group => group.Value).OfType<JsonObject>().Where(group => group["weights"]?["type"]?.ToString() == "float").Select(group => group["format"]?.ToString() ?? Quantization["format"]?.ToString() ?? "").Distinct()];

    /// <summary>Whether linears lie on more than one grid.</summary>
    public bool HasSeveralGrids => Linears.Select(linear => linear.Grid).Distinct().Skip(1).Any();

    /// <summary>Looks at a container.</summary>
    public static StoredModel Of(ExportSource source)
    {
        string name = source.Checkpoint is HuggingFaceCheckpoint folder ? folder.Container?.Name ?? "dense" : "gguf";
        ICheckpoint model = source.Checkpoint;
        return new StoredModel(name, source.StoredLinears, model.Quantizers, model.HuggingFaceConfig["quantization_config"] as JsonObject)
        {
            Affine = source.StoredAffine,
            TiedTable = model.Config.TiedEmbeddings ? source.Table : null,
            TiedByHeadAlone = model is HuggingFaceCheckpoint && model.Config.TiedEmbeddings && StoresHeadAlone(model, source.Head + ".weight"),
        };
    }

    /// <summary>The first linear that breaks a rule, with the number of others that do; null when none does.</summary>
    public string? FirstThat(Func<ExportLinear, bool> breaks)
    {
        ExportLinear[] all = [.. Linears.Where(breaks)];
        if (all.Length == 0) return null;
        ExportLinear first = all[0];
        return $"{first.Module} ({first.Grid}, [{first.OutFeatures}, {first.InFeatures}]){(all.Length > 1 ? $" and {all.Length - 1} more" : "")}";
    }

    /// <summary>The first linear that has another grid than one that engines fuse it with; null when there is none.</summary>
    public string? FirstMismatchedFusion()
    {
        Dictionary<string, UniformGrid> grids = Linears.ToDictionary(linear => linear.Module, linear => linear.Grid);
        foreach ((string module, UniformGrid grid) in grids)
        {
            if (EngineTable.VllmFusedWith(module) is not { } set || set[0] != module) continue;
            string? other = set.FirstOrDefault(name => grids.TryGetValue(name, out UniformGrid? twin) && twin != grid);
            if (other is not null) return other;
        }
        return null;
    }

    // By the names in the files, which are what engines look for, whatever they are called here.
    private static bool StoresHeadAlone(ICheckpoint model, string head)
    {
        using SafetensorsFolder files = SafetensorsFolder.Open(model.Location);
        return files.Contains(model.WrittenName(head)) && !files.Contains(model.WrittenName(model.Architecture.EmbeddingName));
    }
}
