using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Awq;

/// <summary>Reads the linears of AWQ checkpoints (GEMM layout) and of AutoRound's in that layout. Value: F16((q - z) * s), one rounding.</summary>
/// <remarks>
/// | tensor | type | shape |
/// | --- | --- | --- |
/// | qweight | I32 | [in, out / 8], see <see cref="AwqOrder"/> |
/// | qzeros | I32 | [groups, out / 8], true zero points 0..15 in the same order |
/// | scales | F16 (gptqmodel also BF16) | [groups, out] |
/// Source: casper-hansen/AutoAWQ, awq/modules/linear/gemm.py; FORMATS 3.6.
/// </remarks>
public static class AwqReader
{
    /// <summary>The tensor by which a quantized linear is known.</summary>
    public const string Codes = ".qweight";

    /// <summary>Rows and columns of a linear, from the shapes of its tensors.</summary>
    /// <exception cref="CheckpointFormatException">A tensor is missing or of the wrong type or size.</exception>
    public static (int OutFeatures, int InFeatures) ShapeOf(ISafetensorsSource source, string module, AwqLayout layout)
    {
        TensorEntry packed = source.Require(module + Codes, 2, SafetensorsType.I32);
        if (packed.Shape[1] > int.MaxValue / AwqOrder.PerWord) throw source.Refuse("size-mismatch", module + Codes, $"is {packed.Describe()}, which is too large.");
        source.CheckMatrix(module + Codes, layout.Grid, packed.Shape[1] * AwqOrder.PerWord, packed.Shape[0]);
        return ((int)packed.Shape[1] * AwqOrder.PerWord, (int)packed.Shape[0]);
    }

    /// <summary>Reads one linear.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="module">Module name, the prefix of its tensors.</param>
    /// <param name="layout">What the configuration says.</param>
    /// <returns>Codes, scales and zero points, unchanged.</returns>
    /// <exception cref="CheckpointFormatException">A tensor is missing or does not fit the layout.</exception>
    public static UniformWeight Read(ISafetensorsSource source, string module, AwqLayout layout)
    {
        (int rows, int columns) = ShapeOf(source, module, layout);
        int groups = layout.Grid.GroupsPerRow(columns);
        string why = $"{layout.Grid} on [{rows}, {columns}]";
        TensorEntry zeros = source.RequireMatrix(module + ".qzeros", groups, rows / AwqOrder.PerWord, why, SafetensorsType.I32);
        TensorEntry scales = source.RequireMatrix(module + ".scales", groups, rows, why, ScaleTypes.Stored);
        byte[] codes = AwqOrder.Unpack(source.ReadWords(source.Tensors[module + Codes]));
        return new UniformWeight(
            rows, columns, layout.Grid,
            MatrixTranspose.Of<byte>(codes, columns, rows),
            MatrixTranspose.Of<float>(source.ReadScales(scales), groups, rows),
            MatrixTranspose.Of<byte>(AwqOrder.Unpack(source.ReadWords(zeros)), groups, rows),
            scales.Type.ToScaleType());
    }
}
