using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.SmallFloats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>The tensors of a weight on a <see cref="FloatGrid"/> as compressed-tensors stores them. Codes and scales stay as they are, nothing is rounded.</summary>
/// <remarks>
/// | grid | format | codes | weight_scale | weight_global_scale |
/// | --- | --- | --- | --- | --- |
/// | fp8 | float-quantized | weight F8_E4M3 [out, in] | BF16, F16 or F32 [out, 1] | |
/// | fp8-block | float-quantized | weight F8_E4M3 [out, in] | BF16, F16 or F32 [ceil(out / 128), in / 128] | |
/// | mxfp8 | mxfp8-quantized | weight F8_E4M3 [out, in] | U8 [out, in / 32] | |
/// | mxfp4 | mxfp4-pack-quantized | weight_packed U8 [out, in / 2] | U8 [out, in / 32] | |
/// | nvfp4 | nvfp4-pack-quantized | weight_packed U8 [out, in / 2] | F8_E4M3 [out, in / 16] | F32 [1], which divides |
/// Of two 4-bit codes of a byte the first is in its lower half. Source: vllm-project/compressed-tensors, compressors/.
/// </remarks>
public static class FloatTensors
{
    private const string Codes = ".weight", Packed = ".weight_packed", Scale = ".weight_scale", GlobalScale = ".weight_global_scale";

    /// <summary>The <c>format</c> of a grid.</summary>
    public static string FormatOf(FloatGrid grid) => grid.Scaling switch
    {
        FloatScaling.PowerOfTwo => grid.Bits == 4 ? "mxfp4-pack-quantized" : "mxfp8-quantized",
        FloatScaling.Float8 => "nvfp4-pack-quantized",
        _ => "float-quantized",
    };

    /// <summary>Tensors of a weight that is in memory.</summary>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="weight">The weight; its branch is not written.</param>
    public static List<PendingTensor> Write(string module, FloatWeight weight) => Write(module, weight.OutFeatures, weight.InFeatures, weight.Grid, weight.ScaleType, () => weight);

    /// <summary>Tensors of a weight that is loaded when its turn comes.</summary>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="scaleType">Stored type of scales that are 16 or 32-bit floats.</param>
    /// <param name="load">Gives the weight; called once per tensor (up to three times).</param>
    /// <exception cref="ArgumentException">The grid does not divide the rows.</exception>
    public static List<PendingTensor> Write(string module, int outFeatures, int inFeatures, FloatGrid grid, ScaleType scaleType, Func<FloatWeight> load)
    {
        if (!grid.Divides(inFeatures)) throw new ArgumentException($"{grid} does not divide a row of {inFeatures}.", nameof(grid));
        bool packs = grid.Bits == 4;
        List<PendingTensor> tensors =
        [
            packs
                ? new(module + Packed, SafetensorsType.U8, [outFeatures, inFeatures / 2], sink => WritePacked(sink, load().Codes))
                : new(module + Codes, SafetensorsType.F8E4M3, [outFeatures, inFeatures], sink => sink.Write(load().Codes)),
            new(module + Scale, ScaleTypeOf(grid, scaleType), [grid.ScaleRows(outFeatures), grid.GroupsPerRow(inFeatures)], sink => WriteScales(sink, load())),
        ];
        if (grid.Scaling == FloatScaling.Float8) tensors.Add(new(module + GlobalScale, SafetensorsType.F32, [1], sink => sink.Write<float>([load().Divisor])));
        return tensors;
    }

    /// <summary>Reads what <see cref="Write(string, FloatWeight)"/> wrote, or the library.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="grid">The grid that its configuration says.</param>
    /// <exception cref="CheckpointFormatException">A tensor is missing or of another type or shape, or a scale or code stands for no number.</exception>
    public static FloatWeight Read(ISafetensorsSource source, string module, FloatGrid grid)
    {
        if (grid.HasByteScales) return MicroLayout.OfCompressedTensors(source, module, MicroFormat.Find(grid.Name)!).ReadCodes(source);
        TensorEntry entry = source.Require(module + Codes, 2, SafetensorsType.F8E4M3);
        long rows = entry.Shape[0], columns = entry.Shape[1];
        if (rows is < 1 or > int.MaxValue || columns is < 1 or > int.MaxValue || rows * columns > Array.MaxLength)
            throw source.Refuse("size-mismatch", entry.Name, $"a matrix of [{rows}, {columns}]; 1 to {Array.MaxLength} elements are read.");
        if (!grid.Divides((int)columns)) throw source.Refuse("size-mismatch", entry.Name, $"has rows of {columns}, which are no whole blocks of {grid.GroupSize} ({grid}).");
        source.RequireMatrix(module + Scale, grid.ScaleRows((int)rows), grid.GroupsPerRow((int)columns), $"{grid}, on [{rows}, {columns}]", ScaleTypes.Stored);
        var codes = new byte[rows * columns];
        source.Read(entry.Name, codes.AsSpan());
        if (codes.AsSpan().ContainsAny((byte)0x7F, (byte)0xFF)) throw source.Refuse("code-range", entry.Name, "holds NaN; weights must be finite.");
        TensorEntry scales = source.Tensors[module + Scale];
        return new FloatWeight((int)rows, (int)columns, grid, codes, source.ReadScales(scales), scales.Type.ToScaleType());
    }

    private static SafetensorsType ScaleTypeOf(FloatGrid grid, ScaleType type) => grid.Scaling switch
    {
        FloatScaling.PowerOfTwo => SafetensorsType.U8,
        FloatScaling.Float8 => SafetensorsType.F8E4M3,
        _ => type.ToSafetensors(),
    };

    private static void WriteScales(TensorSink sink, FloatWeight weight)
    {
        switch (weight.Grid.Scaling)
        {
            case FloatScaling.PowerOfTwo:
                sink.Write<byte>(Array.ConvertAll(weight.Scales, FloatScale.ExponentByte));
                break;
            case FloatScaling.Float8:
                sink.Write<byte>(Array.ConvertAll(weight.Scales, SmallFloat.E4M3.CodeOf));
                break;
            default:
                sink.WriteSingles(weight.Scales);
                break;
        }
    }

    private static void WritePacked(TensorSink sink, byte[] codes)
    {
        var buffer = new byte[Math.Min(codes.Length / 2, 1 << 18)];
        for (int done = 0; done < codes.Length; done += 2 * buffer.Length)
        {
            int count = Math.Min(buffer.Length, (codes.Length - done) / 2);
            for (int i = 0; i < count; i++) buffer[i] = (byte)(codes[done + (2 * i)] | (codes[done + (2 * i) + 1] << 4));
            sink.Write(buffer.AsSpan(0, count));
        }
    }
}
