using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Quantization.Storage;

/// <summary>How the quantized weights of a block become named tensors and back; the tensors of the final checkpoint are copied from there.</summary>
public interface IBlockStore
{
    /// <summary>The tensors of quantized linears, by module path.</summary>
    IReadOnlyList<PendingTensor> Tensors(IReadOnlyList<(string Name, QuantizedWeight Weight)> weights);

    /// <summary>Reads the weights of a block back, in slot order.</summary>
    IReadOnlyList<QuantizedWeight> Read(string file, IDecoderBlock block);
}
