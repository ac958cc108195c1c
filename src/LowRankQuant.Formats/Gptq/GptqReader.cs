using System.Globalization;
using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Gptq;

/// <summary>Reads the linears of GPTQ checkpoints and of AutoRound checkpoints in GPTQ's layout. Value: F16((q - z) * s), one rounding.</summary>
/// <remarks>
/// | tensor | type | shape | packing |
/// | --- | --- | --- | --- |
/// | qweight | I32 | [in b / 32, out] | every column one bit stream of unsigned codes |
/// | qzeros | I32 | [groups, ceil(out b / 32)] | every row one bit stream, see <see cref="GptqZeroPoints"/> |
/// | scales | F16, or the model's type | [groups, out] | may be negative |
/// | g_idx | I32 | [in] | group of every column; AutoRound leaves it out |
/// Source: ModelCloud/GPTQModel, nn_modules/qlinear; FORMATS 3.5.
/// </remarks>
public static class GptqReader
{
    /// <summary>The tensor by which a quantized linear is known.</summary>
    public const string Codes = ".qweight";

    private const string Relabel =
        $"if zero points are stored as they are, set \"checkpoint_format\": \"{GptqConfig.V2}\" in quantize_config.json and config.json";

    /// <summary>Rows and columns of a linear, from the shapes of its tensors.</summary>
    /// <exception cref="CheckpointFormatException">A tensor is missing or of the wrong type or size.</exception>
    public static (int OutFeatures, int InFeatures) ShapeOf(ISafetensorsSource source, string module, GptqLayout layout)
    {
        string name = module + Codes;
        TensorEntry packed = source.Require(name, 2, SafetensorsType.I32);
        long rows = packed.Shape[1], bits = packed.Shape[0] * 32;
        long columns = source.Contains(module + ".g_idx") ? source.Require(module + ".g_idx", 1, SafetensorsType.I32).ElementCount : bits / layout.Bits;
        source.CheckMatrix(name, layout.Grid, rows, columns);
        int words = DenseBitPacker.WordsPerRow((int)columns, layout.Bits);
        if (packed.Shape[0] != words)
            throw source.Refuse("size-mismatch", name, $"is {packed.Describe()}; rows of {columns} codes of {layout.Bits} bits take [{words}, {rows}].");
        return ((int)rows, (int)columns);
    }

    /// <summary>Reads one linear.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="module">Module name, the prefix of its tensors.</param>
    /// <param name="layout">What the configuration says.</param>
    /// <returns>Codes, scales and zero points, unchanged; with the order of the columns where groups are not runs of neighbours.</returns>
    /// <exception cref="CheckpointFormatException">A tensor is missing or does not fit the layout.</exception>
    public static OrderedWeight Read(ISafetensorsSource source, string module, GptqLayout layout)
    {
        (int rows, int columns) = ShapeOf(source, module, layout);
        UniformGrid grid = layout.Grid;
        int groups = grid.GroupsPerRow(columns), bits = layout.Bits;
        TensorEntry scales = source.RequireMatrix(module + ".scales", groups, rows, $"{grid} on [{rows}, {columns}]", ScaleTypes.Stored);
        TensorEntry zeros = ZeroEntry(source, module, layout, groups, rows, columns);
        float[] stored = MatrixTranspose.Of<float>(source.ReadScales(scales), groups, rows);
        byte[]? zeroPoints = ReadZeroPoints(source, zeros, layout, groups, rows);
        var transposed = new byte[rows * columns];
        DenseBitPacker.UnpackColumns(source.ReadWords(source.Tensors[module + Codes]), columns, rows, bits, transposed);
        byte[] codes = MatrixTranspose.Of<byte>(transposed, columns, rows);
        UniformWeight Create(byte[] sorted) => new(rows, columns, grid, sorted, stored, zeroPoints, scales.Type.ToScaleType());
        if (!source.Contains(module + ".g_idx")) return new OrderedWeight(Create(codes), null);
        var order = new int[columns];
        source.Read(module + ".g_idx", order.AsSpan());
        return OrderedWeight.FromGroups(codes, order, grid, Create) ?? throw source.Refuse(
            "g-idx", module + ".g_idx", $"does not place {columns / groups} columns in each of {groups} groups.");
    }

    /// <summary>
    /// The form that a linear's zero points show where they must all be the middle, as they are in symmetric files: v1 and v2 then differ by one in every
    /// field. Null where they show none, or zero points may vary.
    /// </summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="module">Module name.</param>
    /// <param name="layout">What the configuration says.</param>
    /// <exception cref="CheckpointFormatException">A tensor is missing or does not fit the layout.</exception>
    public static GptqZeroPoints? FormOf(ISafetensorsSource source, string module, GptqLayout layout)
    {
        if (!layout.Symmetric) return null;
        (int rows, int columns) = ShapeOf(source, module, layout);
        int groups = layout.Grid.GroupsPerRow(columns), middle = layout.Grid.SymmetricZero;
        TensorEntry entry = ZeroEntry(source, module, layout, groups, rows, columns);
        byte[] fields = GptqZeroPointPacking.Unpack(source.ReadWords(entry), groups, rows, layout.Bits, GptqZeroPoints.AsTheyAre)!;
        return !fields.AsSpan().ContainsAnyExcept((byte)middle) ? GptqZeroPoints.AsTheyAre
            : !fields.AsSpan().ContainsAnyExcept((byte)(middle - 1)) ? GptqZeroPoints.MinusOne
            : null;
    }

    private static TensorEntry ZeroEntry(ISafetensorsSource source, string module, GptqLayout layout, int groups, int rows, int columns) =>
        source.RequireMatrix(module + ".qzeros", groups, DenseBitPacker.WordsPerRow(rows, layout.Bits), $"{layout.Grid} on [{rows}, {columns}]", SafetensorsType.I32);

    private static byte[]? ReadZeroPoints(ISafetensorsSource source, TensorEntry entry, GptqLayout layout, int groups, int rows)
    {
        byte[] zeros = GptqZeroPointPacking.Unpack(source.ReadWords(entry), groups, rows, layout.Bits, layout.ZeroPoints) ?? throw source.Refuse(
            "zero-underflow", entry.Name,
            "a field is all ones: a zero point of 0, which v1 cannot say and engines read differently, or a v2 file under a v1 label; " +
            $"{Relabel}, or save the model again as {GptqConfig.V2}.");
        if (!layout.Symmetric) return MatrixTranspose.Of<byte>(zeros, groups, rows);
        byte middle = (byte)layout.Grid.SymmetricZero;
        int other = zeros.AsSpan().IndexOfAnyExcept(middle);
        return other < 0 ? null : throw source.Refuse(
            "zero-point", entry.Name, string.Create(
                CultureInfo.InvariantCulture,
                $"element {other} is {zeros[other]}; the configuration says sym, so all must be {middle}. Set sym to false if they vary; {Relabel}."));
    }
}
