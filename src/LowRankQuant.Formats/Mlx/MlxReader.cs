using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Formats.Mlx;

/// <summary>Reads the quantized layers of MLX checkpoints.</summary>
/// <remarks>
/// | tensor | type | shape |
/// | --- | --- | --- |
/// | weight | U32 | [out, in b / 32], every row one bit stream |
/// | scales, biases | F16, BF16 or F32 | [out, in / group] |
/// Source: ml-explore/mlx; FORMATS 3.11.
/// </remarks>
public static class MlxReader
{
    /// <summary>The tensor by which a quantized layer is known.</summary>
    public const string Scales = ".scales";

    /// <summary>Rows and columns of a layer, from the shapes of its tensors.</summary>
    /// <exception cref="CheckpointFormatException">A tensor is missing or of the wrong type or size.</exception>
    public static (int OutFeatures, int InFeatures) ShapeOf(ISafetensorsSource source, string module, MlxLayout layout)
    {
        TensorEntry packed = source.Require(module + ".weight", 2, SafetensorsType.U32);
        TensorEntry scales = source.Require(module + Scales, 2, ScaleTypes.Stored);
        long rows = packed.Shape[0], groups = scales.Shape[1];
        if (groups > int.MaxValue / layout.GroupSize) throw source.Refuse("size-mismatch", module + Scales, $"is {scales.Describe()}, which is too large.");
        long columns = groups * layout.GroupSize;
        if (rows is < 1 or > int.MaxValue || columns < 1 || rows * columns > Array.MaxLength)
            throw source.Refuse("size-mismatch", module + ".weight", $"a matrix of [{rows}, {columns}]; 1 to {Array.MaxLength} elements are read.");
        int words = DenseBitPacker.WordsPerRow((int)columns, layout.Bits);
        if (packed.Shape[1] != words)
            throw source.Refuse(
                "size-mismatch", module + ".weight",
                $"is {packed.Describe()}; {groups} groups of {layout.GroupSize} codes of {layout.Bits} bits take [{rows}, {words}].");
        return ((int)rows, (int)columns);
    }

    /// <summary>Reads one layer.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="module">Module name, the prefix of its tensors.</param>
    /// <param name="layout">What the configuration says.</param>
    /// <exception cref="CheckpointFormatException">A tensor is missing or does not fit the layout, or a scale or bias is not finite.</exception>
    public static MlxWeight Read(ISafetensorsSource source, string module, MlxLayout layout)
    {
        (int rows, int columns) = ShapeOf(source, module, layout);
        int groups = columns / layout.GroupSize;
        string why = $"{layout.Bits} bits in groups of {layout.GroupSize} on [{rows}, {columns}]";
        TensorEntry scales = source.RequireMatrix(module + Scales, rows, groups, why, ScaleTypes.Stored);
        TensorEntry biases = source.RequireMatrix(module + ".biases", rows, groups, why, scales.Type);
        var codes = new byte[rows * columns];
        DenseBitPacker.Unpack(source.ReadWords(source.Tensors[module + ".weight"]), rows, columns, layout.Bits, codes);
        return new MlxWeight(rows, columns, layout, scales.Type.ToScaleType(), codes, source.ReadFinite(scales), source.ReadFinite(biases));
    }
}
