using System.Runtime.InteropServices;
using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Formats.SmallFloats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>
/// Reads the integer weights of a compressed-tensors checkpoint: <c>pack-quantized</c>, <c>int-quantized</c> and <c>naive-quantized</c>. Stored
/// codes q lie in [-2^(b-1), 2^(b-1)-1]; <see cref="UniformWeight"/> holds u = q + 2^(b-1), zero points likewise.
/// </summary>
/// <remarks>
/// | tensor | pack-quantized | int-quantized, naive-quantized |
/// | --- | --- | --- |
/// | codes | weight_packed I32 [out, ceil(in b / 32)] of u | weight I8 [out, in] of q |
/// | weight_scale | [out, groups], [out, 1] or [1] | the same |
/// | weight_zero_point, asymmetric only | I32 [ceil(out b / 32), groups], packed down the columns; per tensor I8 [1] | I8 shaped as the scale |
/// | weight_shape | I64 or I32 [2] | |
/// | weight_g_idx | I32 [in], only with activation order | |
/// Releases before 0.18 padded 3, 5, 6 and 7-bit codes to whole words. Source: vllm-project/compressed-tensors, compressors/.
/// </remarks>
public static class CompressedTensorsReader
{
    /// <summary>Reads the weight of one module. Activation quantizers of the scheme are not looked at: the caller decides about them.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="module">Module name, the prefix of its tensors.</param>
    /// <param name="scheme">Scheme of the module, see <see cref="CompressedTensorsConfig.SchemeFor"/>.</param>
    /// <param name="config">Configuration of the checkpoint.</param>
    /// <returns>Codes, scales and zero points, unchanged.</returns>
    /// <exception cref="CheckpointFormatException">
    /// A tensor is missing or does not fit the scheme, a scale is zero or not finite, columns have an activation order (<c>g-idx</c>), or the scheme is
    /// none of those read here.
    /// </exception>
    public static UniformWeight Read(ISafetensorsSource source, string module, QuantizationScheme scheme, CompressedTensorsConfig config)
    {
        OrderedWeight ordered = ReadOrdered(source, module, scheme, config);
        return ordered.Columns is null ? ordered.Weight : throw source.Refuse(
            "g-idx", module + ".weight_g_idx", "columns are in another order than their groups (activation order 'group'); read it with its order.");
    }

    /// <summary>As <see cref="Read"/>, with the order of the columns where groups are not runs of neighbours.</summary>
    public static OrderedWeight ReadOrdered(ISafetensorsSource source, string module, QuantizationScheme scheme, CompressedTensorsConfig config)
    {
        CheckReadable(scheme, config.Location);
        QuantizationArgs args = scheme.Weights ?? throw new CheckpointFormatException(
            "unsupported-weights", config.Location, scheme.Name, $"the group of module '{module}' has no quantized weights.");
        UniformGrid grid = args.ToGrid() ?? throw Unreadable(scheme, config.Location);
        return scheme.Format switch
        {
            "pack-quantized" => ReadPacked(source, module, grid, config.PacksPadded),
            "int-quantized" or "naive-quantized" => ReadIntegers(source, module, grid),
            _ => throw Unreadable(scheme, config.Location),
        };
    }

    /// <summary>Looks, by the configuration alone, whether weights of a scheme are read: integers of 2 to 8 bits, 8-bit floats, and the formats of <see cref="MicroFormat"/>.</summary>
    /// <param name="scheme">The scheme.</param>
    /// <param name="location">File that it comes from, for messages.</param>
    /// <exception cref="CheckpointFormatException">They are not (<c>unsupported-weights</c>).</exception>
    public static void CheckReadable(QuantizationScheme scheme, string location)
    {
        if (scheme.Weights is not { } weights) return;
        bool readable = scheme.Format switch
        {
            "pack-quantized" or "int-quantized" => weights.ToGrid() is not null,
            "naive-quantized" => weights.IsFloat8 || weights.ToGrid() is not null,
            "float-quantized" => weights.IsFloat8,
            "mxfp4-pack-quantized" or "nvfp4-pack-quantized" or "mxfp8-quantized" => weights.ToMicroFormat() is { } micro && scheme.Format.StartsWith(micro.Name, StringComparison.Ordinal),
            _ => false,
        };
        if (!readable) throw Unreadable(scheme, location);
    }

    private static CheckpointFormatException Unreadable(QuantizationScheme scheme, string location)
    {
        QuantizationArgs weights = scheme.Weights!;
        string shared = weights.Strategy switch
        {
            QuantizationStrategy.Group or QuantizationStrategy.TensorGroup => $"in groups of {weights.GroupSize}",
            QuantizationStrategy.Block when weights.Block is { } block => $"in blocks of {block.Rows} x {block.Columns}",
            _ => $"with scales by {QuantizationArgs.StrategyName(weights.Strategy)}",
        };
        string dynamic = weights.Dynamic == "false" ? "" : ", quantized while running";
        return new CheckpointFormatException(
            "unsupported-weights", location, $"config_groups.{scheme.Name}",
            $"{scheme.Format} ({weights.NumBits}-bit {(weights.Type == "float" ? "floats" : "integers")} {shared}{dynamic}) is not read; " +
            "the FP8 formats (8-bit floats per tensor, channel or block), MXFP4, NVFP4, MXFP8 and the integer formats of 2 to 8 bits are.");
    }

    /// <summary>Rows and columns of a module, from the shapes of its tensors.</summary>
    /// <exception cref="CheckpointFormatException">A tensor is missing or of the wrong type or size.</exception>
    public static (int OutFeatures, int InFeatures) ShapeOf(ISafetensorsSource source, string module, QuantizationScheme scheme)
    {
        if (scheme.Format == "pack-quantized") return ReadShape(source, module + ".weight_shape");
        TensorEntry entry = source.Require(module + ".weight", 2, SafetensorsType.I8);
        return entry.Shape[0] <= int.MaxValue && entry.Shape[1] <= int.MaxValue
            ? ((int)entry.Shape[0], (int)entry.Shape[1])
            : throw source.Refuse("size-mismatch", entry.Name, $"is {entry.Describe()}, which is too large.");
    }

    private static OrderedWeight ReadPacked(ISafetensorsSource source, string module, UniformGrid grid, bool versionPads)
    {
        string name = module + ".weight_packed";
        TensorEntry packed = source.Require(name, 2, SafetensorsType.I32);
        (int rows, int columns) = ReadShape(source, module + ".weight_shape");
        source.CheckMatrix(name, grid, rows, columns);
        int dense = DenseBitPacker.WordsPerRow(columns, grid.Bits), padded = PaddedBitPacker.WordsPerRow(columns, grid.Bits);
        long width = packed.Shape[1];
        if (packed.Shape[0] != rows || (width != dense && width != padded))
            throw source.Refuse(
                "size-mismatch", name,
                $"is {packed.Describe()}; [{rows}, {columns}] codes of {grid.Bits} bits take [{rows}, {dense}] (before 0.18 [{rows}, {padded}]).");
        bool isPadded = width != dense || (width == padded && versionPads);

        byte[] codes = new byte[rows * columns];
        for (int r = 0; r < rows; r++)
        {
            ReadOnlySpan<uint> words = MemoryMarshal.Cast<byte, uint>(source.GetBytes(name, r * width * sizeof(uint), (int)width * sizeof(uint)));
            Span<byte> row = codes.AsSpan(r * columns, columns);
            if (isPadded) PaddedBitPacker.Unpack(words, 1, columns, grid.Bits, row);
            else DenseBitPacker.UnpackRow(words, grid.Bits, row);
        }
        (float[] scales, ScaleType scaleType) = ReadScales(source, module, grid, rows, columns);
        byte[]? zeroPoints = null;
        if (!grid.Symmetric)
        {
            zeroPoints = grid.Granularity == Granularity.Tensor
                ? ReadPlainZeroPoints(source, module, grid, 1)
                : ReadPackedZeroPoints(source, module, grid, rows, grid.GroupsPerRow(columns), isPadded);
        }
        return Ordered(source, module, grid, columns, codes, sorted => new UniformWeight(rows, columns, grid, sorted, scales, zeroPoints, scaleType));
    }

    private static OrderedWeight ReadIntegers(ISafetensorsSource source, string module, UniformGrid grid)
    {
        string name = module + ".weight";
        TensorEntry entry = source.Require(name, 2, SafetensorsType.I8);
        source.CheckMatrix(name, grid, entry.Shape[0], entry.Shape[1]);
        int rows = (int)entry.Shape[0], columns = (int)entry.Shape[1];
        byte[] codes = new byte[rows * columns];
        source.Read(name, MemoryMarshal.Cast<byte, sbyte>(codes.AsSpan()));
        ToUnsigned(source, name, grid, codes, "code");
        (float[] scales, ScaleType scaleType) = ReadScales(source, module, grid, rows, columns);
        byte[]? zeroPoints = grid.Symmetric ? null : ReadPlainZeroPoints(source, module, grid, scales.Length);
        return Ordered(source, module, grid, columns, codes, sorted => new UniformWeight(rows, columns, grid, sorted, scales, zeroPoints, scaleType));
    }

    private static (int Rows, int Columns) ReadShape(ISafetensorsSource source, string name)
    {
        TensorEntry entry = source.Require(name, 1, SafetensorsType.I64, SafetensorsType.I32);
        if (entry.ElementCount != 2) throw source.Refuse("size-mismatch", name, $"is {entry.Describe()}; it must hold outFeatures and inFeatures.");
        Span<long> shape = stackalloc long[2];
        if (entry.Type == SafetensorsType.I64)
        {
            source.Read(name, shape);
        }
        else
        {
            Span<int> small = stackalloc int[2];
            source.Read(name, small);
            shape[0] = small[0];
            shape[1] = small[1];
        }
        if (shape[0] is < 1 or > int.MaxValue || shape[1] is < 1 or > int.MaxValue)
            throw source.Refuse("size-mismatch", name, $"says [{shape[0]}, {shape[1]}], which is no matrix.");
        return ((int)shape[0], (int)shape[1]);
    }

    // With activation order "group" column j belongs to group g_idx[j].
    private static OrderedWeight Ordered(ISafetensorsSource source, string module, UniformGrid grid, int columns, byte[] codes, Func<byte[], UniformWeight> create)
    {
        string name = module + ".weight_g_idx";
        if (!source.Contains(name)) return new OrderedWeight(create(codes), null);
        TensorEntry entry = source.Require(name, 1, SafetensorsType.I32);
        if (entry.ElementCount != columns) throw source.Refuse("size-mismatch", name, $"is {entry.Describe()} for rows of {columns}.");
        int[] groups = new int[columns];
        source.Read(name, groups.AsSpan());
        return OrderedWeight.FromGroups(codes, groups, grid, create) ?? throw source.Refuse(
            "g-idx", name, $"does not place the same number of columns in each of {grid.GroupsPerRow(columns)} groups.");
    }

    private static (float[] Scales, ScaleType Type) ReadScales(ISafetensorsSource source, string module, UniformGrid grid, int rows, int columns)
    {
        string name = module + ".weight_scale";
        TensorEntry entry = source.Require(name, null, ScaleTypes.Stored);
        long count = grid.ScaleCount(rows, columns);
        bool fits = entry.ElementCount == count
            && (grid.Granularity == Granularity.Tensor || (entry.Shape.Length is 1 or 2 && entry.Shape[0] == rows));
        if (!fits) throw source.Refuse("size-mismatch", name, $"is {entry.Describe()}; {grid} on [{rows}, {columns}] has {count} scales.");
        return (source.ReadScales(entry), entry.Type.ToScaleType());
    }

    private static byte[] ReadPackedZeroPoints(ISafetensorsSource source, string module, UniformGrid grid, int rows, int groups, bool isPadded)
    {
        string name = module + ".weight_zero_point";
        TensorEntry entry = source.Require(name, 2, SafetensorsType.I32);
        int height = isPadded ? PaddedBitPacker.WordsPerRow(rows, grid.Bits) : DenseBitPacker.WordsPerRow(rows, grid.Bits);
        if (entry.Shape[0] != height || entry.Shape[1] != groups)
            throw source.Refuse("size-mismatch", name, $"is {entry.Describe()}; it must be [{height}, {groups}].");
        uint[] words = new uint[height * groups];
        source.Read(name, MemoryMarshal.Cast<uint, int>(words.AsSpan()));
        byte[] zeroPoints = new byte[rows * groups];
        if (isPadded) PaddedBitPacker.UnpackColumns(words, rows, groups, grid.Bits, zeroPoints);
        else DenseBitPacker.UnpackColumns(words, rows, groups, grid.Bits, zeroPoints);
        return zeroPoints;
    }

    private static byte[] ReadPlainZeroPoints(ISafetensorsSource source, string module, UniformGrid grid, int count)
    {
        string name = module + ".weight_zero_point";
        TensorEntry entry = source.Require(name, null, SafetensorsType.I8);
        if (entry.ElementCount != count) throw source.Refuse("size-mismatch", name, $"is {entry.Describe()} for {count} scales.");
        byte[] zeroPoints = new byte[count];
        source.Read(name, MemoryMarshal.Cast<byte, sbyte>(zeroPoints.AsSpan()));
        ToUnsigned(source, name, grid, zeroPoints, "zero point");
        return zeroPoints;
    }

    private static void ToUnsigned(ISafetensorsSource source, string name, UniformGrid grid, Span<byte> values, string what)
    {
        int middle = grid.SymmetricZero;
        for (int i = 0; i < values.Length; i++)
        {
            int unsigned = (sbyte)values[i] + middle;
            if (unsigned < 0 || unsigned > grid.MaxCode)
                throw source.Refuse("code-range", name, $"{what} {(sbyte)values[i]} does not fit {grid.Bits} bits.");
            values[i] = (byte)unsigned;
        }
    }
}
