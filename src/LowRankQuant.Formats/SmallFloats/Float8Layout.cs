using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Formats.SmallFloats;

/// <summary>An 8-bit float weight [out, in] and the scales that its values are multiplied by: one for the matrix, one a row, or one a block.</summary>
/// <param name="Module">Module name, the prefix of the tensors.</param>
/// <param name="Scale">Name of the tensor of scales, [ceil(out / BlockRows), ceil(in / BlockColumns)] in row-major order.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="BlockRows">Rows that share a scale.</param>
/// <param name="BlockColumns">Columns that share a scale.</param>
/// <remarks>
/// | scales | shape |
/// | --- | --- |
/// | of the whole matrix | [], [1] or [1, 1] |
/// | of a row | [out] or [out, 1] |
/// | of a block, 128 x 128 unless a configuration says another, the last ones cut | [ceil(out / 128), ceil(in / 128)] |
/// Whatever the name, <c>weight_scale_inv</c> included, stored values are multiplied. Source: huggingface/transformers, integrations/finegrained_fp8.py;
/// vllm-project/vllm, model_executor/layers/quantization/fp8.py.
/// </remarks>
public sealed record Float8Layout(string Module, string Scale, int OutFeatures, int InFeatures, int BlockRows, int BlockColumns) : IFloatLayout
{
    /// <summary>Side of a block where nothing says another.</summary>
    public const int UsualBlock = 128;

    /// <summary>Names of scales of weights, without the module.</summary>
    public static IReadOnlyList<string> ScaleNames { get; } = ["weight_scale", "weight_scale_inv", "scale_weight", "scale"];

    /// <summary>Names of scales of a linear's inputs, which an engine may use and which do not change the weights.</summary>
    public static IReadOnlyList<string> InputScaleNames { get; } = ["input_scale", "input_scale_inv", "scale_input", "activation_scale", "input_scale_ub", "output_scale"];

    /// <summary>Whether a type is one of the 8-bit floats that weights have.</summary>
    public static bool IsFloat8(SafetensorsType type) => type is SafetensorsType.F8E4M3 or SafetensorsType.F8E5M2;

    /// <summary>Finds out what a module's scales mean.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="module">Module name.</param>
    /// <param name="block">Rows and columns of a block where a configuration names them.</param>
    /// <returns>The layout; null where there are no scales.</returns>
    /// <exception cref="CheckpointFormatException">
    /// The weight is no matrix (<c>size-mismatch</c>), two tensors could be its scales, or the shape or type of the scales has no meaning (<c>scale</c>).
    /// </exception>
    public static Float8Layout? Find(ISafetensorsSource source, string module, (int Rows, int Columns)? block = null)
    {
        string[] scales = [.. ScaleNames.Select(name => $"{module}.{name}").Where(source.Contains)];
        if (scales.Length == 0) return null;
        if (scales.Length > 1) throw source.Refuse("scale", scales[1], $"stands beside '{scales[0]}'; which of the two belongs to the weight is not known: remove one.");
        TensorEntry weight = source.Require(module + ".weight", 2, SafetensorsType.F8E4M3, SafetensorsType.F8E5M2), scale = source.Tensors[scales[0]];
        if (weight.Shape[0] is < 1 or > int.MaxValue || weight.Shape[1] is < 1 or > int.MaxValue || weight.ElementCount > Array.MaxLength)
            throw source.Refuse("size-mismatch", weight.Name, $"is {weight.Describe()}; a weight with scales is a matrix of 1 to {Array.MaxLength} elements.");
        int rows = (int)weight.Shape[0], columns = (int)weight.Shape[1];
        if (scale.Type is not (SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16 or SafetensorsType.F8E8M0))
            throw source.Refuse("scale", scale.Name, $"is {scale.Describe()}; scales of 8-bit floats are read as F32, F16, BF16 or F8_E8M0.");
        (int blockRows, int blockColumns) = block ?? (UsualBlock, UsualBlock);
        Float8Layout Layout(int sharedRows, int sharedColumns) => new(module, scale.Name, rows, columns, sharedRows, sharedColumns);
        if (scale.ElementCount == 1 && scale.Shape.Length <= 2) return Layout(rows, columns);
        if (scale.Shape is [var one] && one == rows) return Layout(1, columns);
        if (scale.Shape is [var many, 1] && many == rows) return Layout(1, columns);
        if (scale.Shape is [var high, var wide] && high == Blocks(rows, blockRows) && wide == Blocks(columns, blockColumns)) return Layout(blockRows, blockColumns);
        throw source.Refuse(
            "scale", scale.Name,
            $"is {scale.Describe()} beside a weight of [{rows}, {columns}]; read are one scale, one a row ([{rows}] or [{rows}, 1]) and blocks of " +
            $"{blockRows} x {blockColumns} ([{Blocks(rows, blockRows)}, {Blocks(columns, blockColumns)}]).");
    }

    /// <inheritdoc/>
    public void Read(ISafetensorsSource source, Span<float> destination)
    {
        float[] scales = ReadScales(source);
        int perRow = Blocks(InFeatures, BlockColumns);
        source.ReadSingles(Module + ".weight", destination);
        for (int row = 0; row < OutFeatures; row++)
        {
            ReadOnlySpan<float> own = scales.AsSpan(row / BlockRows * perRow, perRow);
            for (int part = 0; part < perRow; part++)
            {
                int start = part * BlockColumns;
                foreach (ref float value in destination.Slice((row * InFeatures) + start, Math.Min(BlockColumns, InFeatures - start))) value *= own[part];
            }
        }
    }

    /// <inheritdoc/>
    public string Describe(ISafetensorsSource source)
    {
        string shared = BlockRows >= OutFeatures && BlockColumns >= InFeatures ? "one scale" : BlockRows == 1 && BlockColumns >= InFeatures ? "a scale a row" : $"blocks of {BlockRows} x {BlockColumns}";
        return $"FP8 {(TypeOf(source) == SafetensorsType.F8E5M2 ? "E5M2" : "E4M3")}, {shared}";
    }

    /// <inheritdoc/>
    public double RelativeLoss(ISafetensorsSource source)
    {
        float[] scales = ReadScales(source), levels = new float[256];
        ElementConversion.ToSingles(TypeOf(source))!([.. Enumerable.Range(0, 256).Select(code => (byte)code)], levels);
        double[] errors = LevelCells.Errors(levels);
        int perRow = Blocks(InFeatures, BlockColumns);
        var codes = new byte[InFeatures];
        var loss = new RoundingLoss();
        for (int row = 0; row < OutFeatures; row++)
        {
            source.Read(Module + ".weight", codes.AsSpan(), (long)row * InFeatures);
            for (int column = 0; column < codes.Length; column++)
            {
                double scale = scales[(row / BlockRows * perRow) + (column / BlockColumns)];
                loss.Add(levels[codes[column]] * scale, errors[codes[column]] * scale * scale);
            }
        }
        return loss.Relative;
    }

    private SafetensorsType TypeOf(ISafetensorsSource source) => source.Tensors[Module + ".weight"].Type;

    private float[] ReadScales(ISafetensorsSource source)
    {
        TensorEntry entry = source.Tensors[Scale];
        if (entry.Type != SafetensorsType.F8E8M0) return source.ReadFinite(entry);
        var exponents = new byte[entry.ElementCount];
        source.Read(Scale, exponents.AsSpan());
        if (exponents.Contains((byte)255)) throw source.Refuse("scale", Scale, "holds NaN; scales must be finite.");
        return [.. exponents.Select(exponent => MathF.ScaleB(1, exponent - 127))];
    }

    private static int Blocks(int size, int block) => ((size - 1) / block) + 1;
}
