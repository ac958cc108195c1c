using System.Runtime.InteropServices;
using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.TwoLevel;

/// <summary>
/// Weights on two-level grids as safetensors tensors, field by field. No other safetensors format has a place for them; a GGUF file made from these
/// holds the same fields in the engine's own blocks.
/// </summary>
/// <remarks>
/// | tensor | type, shape | content |
/// | --- | --- | --- |
/// | weight_codes | I32 [out, in b / 32] | codes, a dense stream of b bits along in, the first code lowest |
/// | weight_block_scale | F16 [out, in / 256] | d |
/// | weight_group_scale | U8 [out, groups w / 8] | sc less the grid's smallest, a dense stream of w bits along the groups, the first one lowest |
/// | weight_block_minimum | F16 [out, in / 256] | dmin; asymmetric grids only |
/// | weight_group_minimum | U8 [out, groups w / 8] | m, packed alike; asymmetric grids only |
/// w is 4 for Q2_K, 8 for Q6_K and 6 for the others (<see cref="TwoLevelGrid.IntegerBits"/>), so that a weight takes the bytes of the engine's blocks. Older
/// folders have I8 [out, groups] with sc as it is and U8 [out, groups] with m; they are read too. Value: see <see cref="TwoLevelGrid"/>. Which grid it is
/// follows from the shapes, and stands in the configuration too.
/// </remarks>
public static class TwoLevelTensors
{
    private const string Codes = ".weight_codes", BlockScale = ".weight_block_scale", GroupScale = ".weight_group_scale";
    private const string BlockMinimum = ".weight_block_minimum", GroupMinimum = ".weight_group_minimum";

    /// <summary>All modules that are stored on two-level grids, in the order of their tensors.</summary>
    public static IEnumerable<string> Modules(ISafetensorsSource source) =>
        source.Names.Where(name => name.EndsWith(Codes, StringComparison.Ordinal)).Select(name => name[..^Codes.Length]);

    /// <summary>The tensors of a weight; its branch is not among them.</summary>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="weight">The weight.</param>
    public static List<PendingTensor> Write(string module, TwoLevelWeight weight)
    {
        int rows = weight.OutFeatures, words = DenseBitPacker.WordsPerRow(weight.InFeatures, weight.Grid.Bits);
        int blocks = weight.Grid.ScalesPerRow(weight.InFeatures), groups = weight.Grid.GroupsPerRow(weight.InFeatures);
        TwoLevelScales scales = weight.Scales;
        List<PendingTensor> tensors =
        [
            new(module + Codes, SafetensorsType.I32, [rows, words], sink =>
            {
                var packed = new uint[words];
                for (int row = 0; row < rows; row++)
                {
                    DenseBitPacker.PackRow(weight.Codes.AsSpan(row * weight.InFeatures, weight.InFeatures), weight.Grid.Bits, packed);
                    sink.Write(MemoryMarshal.AsBytes<uint>(packed));
                }
            }),
            new(module + BlockScale, SafetensorsType.F16, [rows, blocks], sink => sink.Write<Half>(scales.BlockScales)),
            new(module + GroupScale, SafetensorsType.U8, [rows, groups * weight.Grid.IntegerBits / 8], sink => sink.Write(
                PackIntegers([.. scales.GroupScales.Select(scale => (byte)(scale - weight.Grid.MinScale))], weight.Grid.IntegerBits))),
        ];
        if (scales.BlockMinima is not { } blockMinima || scales.GroupMinima is not { } groupMinima) return tensors;
        tensors.Add(new(module + BlockMinimum, SafetensorsType.F16, [rows, blocks], sink => sink.Write<Half>(blockMinima)));
        tensors.Add(new(module + GroupMinimum, SafetensorsType.U8, [rows, groups * weight.Grid.IntegerBits / 8], sink =>
            sink.Write(PackIntegers(groupMinima, weight.Grid.IntegerBits))));
        return tensors;
    }

    /// <summary>Grid and shape of a weight, from its tensors' shapes alone.</summary>
    /// <exception cref="CheckpointFormatException">A tensor is missing, or the shapes are those of no grid.</exception>
    public static (TwoLevelGrid Grid, int OutFeatures, int InFeatures) Describe(ISafetensorsSource source, string module)
    {
        TensorEntry codes = Entry(source, module + Codes, SafetensorsType.I32), scales = Entry(source, module + BlockScale, SafetensorsType.F16);
        TensorEntry groups = Entry(source, module + GroupScale, SafetensorsType.U8, SafetensorsType.I8);
        long rows = codes.Shape[0], columns = scales.Shape[1] * TwoLevelGrid.BlockSize;
        bool symmetric = !source.Contains(module + BlockMinimum);
        bool packed = groups.Type == SafetensorsType.U8;
        TwoLevelGrid? grid = TwoLevelGrid.All.FirstOrDefault(grid =>
            grid.Symmetric == symmetric && codes.Shape[1] * 32 == columns * grid.Bits && groups.Shape[1] == Width(grid, columns, packed));
        if (grid is null || rows < 1 || columns < 1 || rows * columns > Array.MaxLength)
        {
            throw new CheckpointFormatException("size-mismatch", source.Location, module + Codes,
                $"is {codes.Describe()} beside block scales of {scales.Describe()} and group scales of {groups.Describe()}; these are the shapes of no two-level grid.");
        }
        foreach ((string end, SafetensorsType type, long expected) in Layout(grid, columns, groups.Type))
        {
            TensorEntry entry = Entry(source, module + end, type);
            if (entry.Shape[0] != rows || entry.Shape[1] != expected)
                throw new CheckpointFormatException("size-mismatch", source.Location, module + end, $"is {entry.Describe()}; [{rows}, {expected}] belongs here.");
        }
        return (grid, (int)rows, (int)columns);
    }

    /// <summary>Reads a weight.</summary>
    /// <exception cref="CheckpointFormatException">A tensor is missing, the shapes are those of no grid, or a value is out of range.</exception>
    public static TwoLevelWeight Read(ISafetensorsSource source, string module)
    {
        (TwoLevelGrid grid, int rows, int columns) = Describe(source, module);
        var codes = new byte[rows * columns];
        int words = DenseBitPacker.WordsPerRow(columns, grid.Bits);
        for (int row = 0; row < rows; row++)
        {
            ReadOnlySpan<byte> bytes = source.GetBytes(module + Codes, (long)row * words * sizeof(uint), words * sizeof(uint));
            DenseBitPacker.UnpackRow(MemoryMarshal.Cast<byte, uint>(bytes), grid.Bits, codes.AsSpan(row * columns, columns));
        }
        bool packed = source.Tensors[module + GroupScale].Type == SafetensorsType.U8;
        byte[] Integers(string end) => packed ? UnpackIntegers(All<byte>(source, module + end), grid.IntegerBits) : All<byte>(source, module + end);
        sbyte[] groupScales = packed ? [.. Integers(GroupScale).Select(scale => (sbyte)(scale + grid.MinScale))] : All<sbyte>(source, module + GroupScale);
        var scales = new TwoLevelScales(
            All<Half>(source, module + BlockScale), groupScales, grid.Symmetric ? null : All<Half>(source, module + BlockMinimum),
            grid.Symmetric ? null : Integers(GroupMinimum));
        try
        {
            return new TwoLevelWeight(rows, columns, grid, codes, scales);
        }
        catch (ArgumentException bad)
        {
            throw new CheckpointFormatException("bad-scale", source.Location, module, bad.Message, bad);
        }
    }

    private static IEnumerable<(string End, SafetensorsType Type, long Columns)> Layout(TwoLevelGrid grid, long columns, SafetensorsType integers)
    {
        long width = Width(grid, columns, integers == SafetensorsType.U8);
        yield return (BlockScale, SafetensorsType.F16, columns / TwoLevelGrid.BlockSize);
        yield return (GroupScale, integers, width);
        if (grid.Symmetric) yield break;
        yield return (BlockMinimum, SafetensorsType.F16, columns / TwoLevelGrid.BlockSize);
        yield return (GroupMinimum, SafetensorsType.U8, width);
    }

    // Bytes of a row of integers. A block of 256 inputs has 8 or 16 of them, so that rows are whole bytes.
    private static long Width(TwoLevelGrid grid, long columns, bool packed) => columns / grid.GroupSize * (packed ? grid.IntegerBits : 8) / 8;

    private static byte[] PackIntegers(ReadOnlySpan<byte> values, int bits)
    {
        var packed = new byte[values.Length * bits / 8];
        for (int i = 0; i < values.Length; i++)
        {
            int at = i * bits, field = values[i] << (at % 8);
            packed[at / 8] |= (byte)field;
            if (field > byte.MaxValue) packed[(at / 8) + 1] |= (byte)(field >> 8);
        }
        return packed;
    }

    private static byte[] UnpackIntegers(ReadOnlySpan<byte> packed, int bits)
    {
        var values = new byte[packed.Length * 8 / bits];
        for (int i = 0; i < values.Length; i++)
        {
            int at = i * bits, word = packed[at / 8] | ((at / 8) + 1 < packed.Length ? packed[(at / 8) + 1] << 8 : 0);
            values[i] = (byte)((word >> (at % 8)) & ((1 << bits) - 1));
        }
        return values;
    }

    private static T[] All<T>(ISafetensorsSource source, string name)
        where T : unmanaged
    {
        var values = new T[source.Tensors[name].ElementCount];
        source.Read<T>(name, values);
        return values;
    }

    private static TensorEntry Entry(ISafetensorsSource source, string name, params ReadOnlySpan<SafetensorsType> types)
    {
        if (!source.Tensors.TryGetValue(name, out TensorEntry? entry))
            throw new CheckpointFormatException("missing-tensor", source.Location, name, "a weight on a two-level grid needs it.");
        if (entry.Shape.Length != 2 || !types.Contains(entry.Type))
            throw new CheckpointFormatException("size-mismatch", source.Location, name, $"is {entry.Describe()}; it must be a matrix of {types[0].HeaderName()}.");
        return entry;
    }
}
