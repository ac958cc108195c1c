using System.Runtime.InteropServices;
using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Awq;

/// <summary>Tensors of AWQ checkpoints: codes, scales and zero points as they are, nothing is rounded. Layout: see <see cref="AwqReader"/>.</summary>
public static class AwqWriter
{
    /// <summary>Tensors of one linear; a symmetric grid gets its zero point 8 everywhere.</summary>
    /// <param name="weight">The linear: 4 bits, per channel or per group, a multiple of 8 outputs.</param>
    /// <exception cref="ArgumentException">The grid has no place in the format.</exception>
    public static List<PendingTensor> Tensors(PendingWeight weight)
    {
        UniformGrid grid = weight.Grid;
        int rows = weight.OutFeatures, columns = weight.InFeatures;
        if (grid.Bits != AwqLayout.Bits || grid.Granularity == Granularity.Tensor || rows % AwqOrder.PerWord != 0 || !grid.Divides(columns))
            throw new ArgumentException($"AWQ has no place for {grid} on [{rows}, {columns}].", nameof(weight));
        int groups = grid.GroupsPerRow(columns), words = rows / AwqOrder.PerWord;
        return
        [
            new(weight.Module + AwqReader.Codes, SafetensorsType.I32, [columns, words], sink => Write(sink, weight.Checked().Codes, rows, columns)),
            new(weight.Module + ".qzeros", SafetensorsType.I32, [groups, words], sink => Write(sink, ZeroPoints(weight.Checked(), groups), rows, groups)),
            new(weight.Module + ".scales", weight.ScaleType.ToSafetensors(), [groups, rows], sink =>
                sink.WriteSingles(MatrixTranspose.Of<float>(weight.Checked().Scales, rows, groups))),
        ];
    }

    private static void Write(TensorSink sink, ReadOnlySpan<byte> codes, int rows, int columns) =>
        sink.Write(MemoryMarshal.AsBytes<uint>(AwqOrder.Pack(MatrixTranspose.Of(codes, rows, columns))));

    private static byte[] ZeroPoints(UniformWeight weight, int groups)
    {
        if (weight.ZeroPoints is { } zeros) return zeros;
        var middle = new byte[weight.OutFeatures * groups];
        middle.AsSpan().Fill((byte)weight.Grid.SymmetricZero);
        return middle;
    }
}
