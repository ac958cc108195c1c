using System.Runtime.InteropServices;
using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gptq;

/// <summary>Tensors of GPTQ checkpoints: codes, scales and zero points as they are, nothing is rounded. Layout: see <see cref="GptqReader"/>.</summary>
public static class GptqWriter
{
    /// <summary>Tensors of one linear.</summary>
    /// <param name="weight">The linear; its grid is per channel or per group and has 2, 3, 4 or 8 bits.</param>
    /// <param name="form">What the fields of qzeros hold.</param>
    /// <param name="groupIndex">Whether g_idx is written: GPTQ readers want it, AutoRound leaves it out.</param>
    /// <param name="columns">The model's column of every column of the weight, see <see cref="OrderedWeight"/>; null in natural order.</param>
    /// <exception cref="ArgumentException">The grid has no place in the format, or columns have an order and g_idx is not written.</exception>
    public static List<PendingTensor> Tensors(PendingWeight weight, GptqZeroPoints form, bool groupIndex = true, int[]? columns = null)
    {
        UniformGrid grid = weight.Grid;
        if (grid.Granularity == Granularity.Tensor || !GptqLayout.Widths.Contains(grid.Bits) || !grid.Divides(weight.InFeatures))
            throw new ArgumentException($"GPTQ has no place for {grid} on rows of {weight.InFeatures}.", nameof(weight));
        if (columns is not null && !groupIndex) throw new ArgumentException("An order of columns needs g_idx.", nameof(columns));
        int rows = weight.OutFeatures, groups = grid.GroupsPerRow(weight.InFeatures);
        int height = DenseBitPacker.WordsPerRow(weight.InFeatures, grid.Bits), width = DenseBitPacker.WordsPerRow(rows, grid.Bits);
        List<PendingTensor> tensors =
        [
            new(weight.Module + GptqReader.Codes, SafetensorsType.I32, [height, rows], sink =>
            {
                byte[] codes = new OrderedWeight(weight.Checked(), columns).CodesInModelOrder();
                var words = new uint[height * rows];
                DenseBitPacker.PackColumns(MatrixTranspose.Of<byte>(codes, rows, weight.InFeatures), weight.InFeatures, rows, grid.Bits, words);
                sink.Write(MemoryMarshal.AsBytes<uint>(words));
            }),
            new(weight.Module + ".qzeros", SafetensorsType.I32, [groups, width], sink =>
                sink.Write(MemoryMarshal.AsBytes<uint>(GptqZeroPointPacking.Pack(ZeroPoints(weight.Checked(), groups), groups, rows, grid.Bits, form)))),
            new(weight.Module + ".scales", weight.ScaleType.ToSafetensors(), [groups, rows], sink =>
                sink.WriteSingles(MatrixTranspose.Of<float>(weight.Checked().Scales, rows, groups))),
        ];
        if (groupIndex)
        {
            tensors.Add(new PendingTensor(weight.Module + ".g_idx", SafetensorsType.I32, [weight.InFeatures], sink =>
                sink.Write<int>(new OrderedWeight(weight.Checked(), columns).GroupIndex())));
        }
        return tensors;
    }

    private static byte[] ZeroPoints(UniformWeight weight, int groups)
    {
        if (weight.ZeroPoints is { } zeros) return MatrixTranspose.Of<byte>(zeros, weight.OutFeatures, groups);
        var middle = new byte[weight.OutFeatures * groups];
        middle.AsSpan().Fill((byte)weight.Grid.SymmetricZero);
        return middle;
    }
}
