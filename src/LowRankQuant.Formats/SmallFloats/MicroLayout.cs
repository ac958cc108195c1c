using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.SmallFloats;

/// <summary>A weight [out, in] in a <see cref="MicroFormat"/>.</summary>
/// <param name="Format">The format.</param>
/// <param name="Codes">Name of the tensor of codes.</param>
/// <param name="Scales">Name of the tensor of scales, a byte a group.</param>
/// <param name="Divisor">Name of the tensor with the scale of the matrix; null where there is none.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <remarks>
/// | container | codes | scales | scale of the matrix |
/// | --- | --- | --- | --- |
/// | compressed-tensors, 4 bits | weight_packed U8 [out, in / 2] | weight_scale U8 or F8_E4M3 [out, in / group] | weight_global_scale F32 [1] |
/// | compressed-tensors, 8 bits | weight F8_E4M3 [out, in] | weight_scale U8 [out, in / group] | |
/// | MLX | weight U32 [out, in b / 32] | scales U8 [out, in / group] | |
/// The bytes are the same in all: two 4-bit codes a byte, the first in its lower half, and little-endian words. Source: vllm-project/compressed-tensors,
/// compressors/; ml-explore/mlx, python/src/ops.cpp (quantize).
/// </remarks>
public sealed record MicroLayout(MicroFormat Format, string Codes, string Scales, string? Divisor, int OutFeatures, int InFeatures) : IFloatLayout
{
    /// <summary>A module of a compressed-tensors checkpoint.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="format">What its configuration says.</param>
    /// <exception cref="CheckpointFormatException">A tensor is missing, or its type or shape does not fit the format.</exception>
    public static MicroLayout OfCompressedTensors(ISafetensorsSource source, string module, MicroFormat format)
    {
        bool packed = format.CodeBits == 4;
        string codes = module + (packed ? ".weight_packed" : ".weight");
        TensorEntry entry = source.Require(codes, 2, packed ? SafetensorsType.U8 : SafetensorsType.F8E4M3);
        string? divisor = format.ScalesAreFloats ? module + ".weight_global_scale" : null;
        if (divisor is not null && source.Require(divisor, null, SafetensorsType.F32) is { ElementCount: not 1 } global)
            throw source.Refuse("scale", divisor, $"is {global.Describe()}; the scale of a matrix is one number.");
        return Of(source, format, entry, entry.Shape[1] * (packed ? 2 : 1), module + ".weight_scale", divisor, format.ScalesAreFloats ? SafetensorsType.F8E4M3 : SafetensorsType.U8);
    }

    /// <summary>A module of an MLX checkpoint.</summary>
    /// <inheritdoc cref="OfCompressedTensors"/>
    public static MicroLayout OfMlx(ISafetensorsSource source, string module, MicroFormat format)
    {
        TensorEntry entry = source.Require(module + ".weight", 2, SafetensorsType.U32);
        return Of(source, format, entry, checked(entry.Shape[1] * (32 / format.CodeBits)), module + ".scales", null, SafetensorsType.U8);
    }

    /// <inheritdoc/>
    public string Describe(ISafetensorsSource source) => Format.Name.ToUpperInvariant();

    /// <inheritdoc/>
    public double RelativeLoss(ISafetensorsSource source)
    {
        double[] errors = LevelCells.Errors(Format.Levels);
        var loss = new RoundingLoss();
        ForEachGroup(source, DivisorOf(source), 0, OutFeatures, (codes, scale, _) =>
        {
            foreach (byte code in codes) loss.Add(Format.Levels[code] * scale, errors[code] * scale * scale);
        });
        return loss.Relative;
    }

    /// <inheritdoc/>
    public void Read(ISafetensorsSource source, Span<float> destination)
    {
        var values = new float[InFeatures];
        double divisor = DivisorOf(source);
        // A row at a time, since a span cannot be handed on.
        for (int row = 0; row < OutFeatures; row++)
        {
            ForEachGroup(source, divisor, row, 1, (codes, scale, first) =>
            {
                for (int i = 0; i < codes.Length; i++) values[first + i] = (float)(Format.Levels[codes[i]] * scale);
            });
            values.CopyTo(destination.Slice(row * InFeatures, InFeatures));
        }
    }

    /// <summary>Codes and scales as they are stored.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <exception cref="CheckpointFormatException">A scale or a code stands for no number.</exception>
    public FloatWeight ReadCodes(ISafetensorsSource source)
    {
        var codes = new byte[OutFeatures * InFeatures];
        var scales = new float[codes.Length / Format.GroupSize];
        int done = 0;
        ForEachGroup(source, 1, 0, OutFeatures, (group, scale, _) =>
        {
            group.CopyTo(codes.AsSpan(done * Format.GroupSize));
            scales[done++] = (float)scale;
        });
        if (Format.CodeBits == 8 && codes.AsSpan().ContainsAny((byte)0x7F, (byte)0xFF)) throw source.Refuse("code-range", Codes, "holds NaN; weights must be finite.");
        return new FloatWeight(OutFeatures, InFeatures, FloatGrid.Find(Format.Name)!, codes, scales, ScaleType.Float32, (float)DivisorOf(source));
    }

    // Codes one a byte, their scale, and the column of the first of them.
    private delegate void Group(ReadOnlySpan<byte> codes, double scale, int column);

    private double DivisorOf(ISafetensorsSource source)
    {
        double divisor = Divisor is null ? 1 : source.ReadFinite(source.Tensors[Divisor])[0];
        return divisor != 0 ? divisor : throw source.Refuse("scale", Divisor!, "is 0, and scales are divided by it.");
    }

    private void ForEachGroup(ISafetensorsSource source, double divisor, int firstRow, int rows, Group visit)
    {
        int bytes = Format.RowBytes(InFeatures), size = Format.GroupSize, groups = InFeatures / size;
        Span<byte> unpacked = stackalloc byte[size];
        for (int row = firstRow; row < firstRow + rows; row++)
        {
            ReadOnlySpan<byte> codes = source.GetBytes(Codes, (long)row * bytes, bytes), scales = source.GetBytes(Scales, (long)row * groups, groups);
            for (int group = 0; group < groups; group++)
            {
                double scale = Format.ScaleOf(scales[group]) / divisor;
                if (!double.IsFinite(scale)) throw source.Refuse("scale", Scales, $"holds {scales[group]} in row {row}, which stands for no number.");
                int first = group * size;
                for (int i = 0; i < size; i++) unpacked[i] = Format.CodeBits == 8 ? codes[first + i] : (byte)((codes[(first + i) / 2] >> (4 * ((first + i) % 2))) & 15);
                visit(unpacked, scale, first);
            }
        }
    }

    private static MicroLayout Of(ISafetensorsSource source, MicroFormat format, TensorEntry codes, long columns, string scales, string? divisor, SafetensorsType scaleType)
    {
        long rows = codes.Shape[0];
        if (rows is < 1 or > int.MaxValue || columns is < 1 or > int.MaxValue || rows * columns > Array.MaxLength)
            throw source.Refuse("size-mismatch", codes.Name, $"a matrix of [{rows}, {columns}]; 1 to {Array.MaxLength} elements are read.");
        if (columns % format.GroupSize != 0) throw source.Refuse("size-mismatch", codes.Name, $"has rows of {columns} codes, which are no whole groups of {format.GroupSize} ({format}).");
        source.RequireMatrix(scales, (int)rows, (int)(columns / format.GroupSize), $"{format}, on [{rows}, {columns}]", scaleType);
        return new MicroLayout(format, codes.Name, scales, divisor, (int)rows, (int)columns);
    }
}
