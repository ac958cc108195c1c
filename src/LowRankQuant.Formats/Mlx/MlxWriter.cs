using System.Runtime.InteropServices;
using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Mlx;

/// <summary>Tensors of MLX checkpoints: codes, scales and biases as they are, nothing is rounded. Layout: see <see cref="MlxReader"/>.</summary>
public static class MlxWriter
{
    /// <summary>Strings of <c>__metadata__</c> by which MLX loaders know their files.</summary>
    public static IReadOnlyDictionary<string, string> Metadata { get; } = new Dictionary<string, string> { ["format"] = "mlx" }.AsReadOnly();

    /// <summary>Tensors of one layer.</summary>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns; a multiple of the group size.</param>
    /// <param name="layout">Width and group size.</param>
    /// <param name="type">Type of scales and biases.</param>
    /// <param name="load">Gives the weight; called once per tensor.</param>
    /// <exception cref="ArgumentException">The layout has no place in the format.</exception>
    public static List<PendingTensor> Tensors(string module, int outFeatures, int inFeatures, MlxLayout layout, ScaleType type, Func<MlxWeight> load)
    {
        if (!MlxLayout.Widths.Contains(layout.Bits) || inFeatures % layout.GroupSize != 0)
            throw new ArgumentException($"MLX has no place for {layout.Bits} bits in groups of {layout.GroupSize} on rows of {inFeatures}.", nameof(layout));
        int width = DenseBitPacker.WordsPerRow(inFeatures, layout.Bits), groups = inFeatures / layout.GroupSize;
        return
        [
            new(module + ".weight", SafetensorsType.U32, [outFeatures, width], sink =>
            {
                var words = new uint[outFeatures * width];
                DenseBitPacker.Pack(load().Codes, outFeatures, inFeatures, layout.Bits, words);
                sink.Write(MemoryMarshal.AsBytes<uint>(words));
            }),
            new(module + MlxReader.Scales, type.ToSafetensors(), [outFeatures, groups], sink => sink.WriteSingles(load().Scales)),
            new(module + ".biases", type.ToSafetensors(), [outFeatures, groups], sink => sink.WriteSingles(load().Biases)),
        ];
    }
}
