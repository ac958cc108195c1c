using System.Text.Json;
using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>Blocks as compressed-tensors <c>pack-quantized</c> tensors: the bytes that the final checkpoint holds.</summary>
public sealed class CompressedBlockStore : IBlockStore
{
    private readonly CompressedTensorsConfig _config;

    /// <summary>A store for weights of one grid.</summary>
    public CompressedBlockStore(UniformGrid grid)
    {
        using JsonDocument document = JsonDocument.Parse(CompressedTensorsWriter.BuildConfig([new QuantizedModule("any", grid)], []).ToJsonString());
        _config = CompressedTensorsConfig.Parse(document.RootElement, "block files");
    }

    /// <inheritdoc/>
    public IReadOnlyList<PendingTensor> Tensors(IReadOnlyList<(string Name, QuantizedWeight Weight)> weights)
    {
        var tensors = new List<PendingTensor>();
        foreach ((string name, QuantizedWeight weight) in weights) tensors.AddRange(CompressedTensorsWriter.PackQuantized(name, weight));
        return tensors;
    }

    /// <inheritdoc/>
    public IReadOnlyList<QuantizedWeight> Read(string file, DecoderBlock block)
    {
        using SafetensorsFile stored = SafetensorsFile.Open(file);
        return [.. block.Slots.Select(slot => CompressedTensorsReader.Read(stored, $"{block.Name}.{slot.Name}", _config.Schemes[0], _config))];
    }

    /// <summary>Reads one weight of a block file by its module path.</summary>
    public QuantizedWeight ReadOne(ISafetensorsSource file, string module) => CompressedTensorsReader.Read(file, module, _config.Schemes[0], _config);
}
