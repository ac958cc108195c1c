using System.Runtime.InteropServices;
using LowRankQuant.Formats.Bits;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Affine;

/// <summary>Weights on affine grids as safetensors tensors of our own folders; MLX folders and GGUF files made from these hold the same numbers.</summary>
/// <remarks>
/// | tensor | type, shape | content |
/// | --- | --- | --- |
/// | weight_affine | I32 [out, words] | codes, a dense stream of b bits along in, the first code lowest; words = in b / 32, rounded up |
/// | weight_affine_scale | F16, BF16 or F32 [out, in / group] | scales |
/// | weight_affine_minimum | the same | values of code 0 |
/// Bits and group size stand in the configuration (<see cref="AffineConfig"/>). Value: see <see cref="AffineGrid"/>.
/// </remarks>
public static class AffineTensors
{
    /// <summary>End of the name of the scales.</summary>
    public const string Scale = ".weight_affine_scale";

    private const string Codes = ".weight_affine", Minimum = ".weight_affine_minimum";

    /// <summary>What a weight's tensors are called behind its module's name.</summary>
    public static IReadOnlyList<string> Parts { get; } = [Codes[1..], Scale[1..], Minimum[1..]];

    /// <summary>All modules that are stored on affine grids, in the order of their tensors.</summary>
    public static IEnumerable<string> Modules(ISafetensorsSource source) =>
        source.Names.Where(name => name.EndsWith(Codes, StringComparison.Ordinal)).Select(name => name[..^Codes.Length]);

    /// <summary>The tensors of a weight; its branch is not among them.</summary>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="weight">The weight.</param>
    public static List<PendingTensor> Write(string module, AffineWeight weight) =>
        Write(module, weight.OutFeatures, weight.InFeatures, weight.Grid, weight.ScaleType, () => weight);

    /// <summary>The tensors of a weight that is read when they are written.</summary>
    /// <param name="module">Module name, the prefix of the tensors.</param>
    /// <param name="outFeatures">Rows.</param>
    /// <param name="inFeatures">Columns.</param>
    /// <param name="grid">The grid.</param>
    /// <param name="scaleType">Stored type of scales and minima.</param>
    /// <param name="load">Gives the weight; called once per tensor.</param>
    public static List<PendingTensor> Write(string module, int outFeatures, int inFeatures, AffineGrid grid, ScaleType scaleType, Func<AffineWeight> load)
    {
        int words = DenseBitPacker.WordsPerRow(inFeatures, grid.Bits), groups = grid.GroupsPerRow(inFeatures);
        SafetensorsType type = scaleType.ToSafetensors();
        return
        [
            new(module + Codes, SafetensorsType.I32, [outFeatures, words], sink =>
            {
                AffineWeight weight = load();
                var packed = new uint[words];
                for (int row = 0; row < outFeatures; row++)
                {
                    DenseBitPacker.PackRow(weight.Codes.AsSpan(row * inFeatures, inFeatures), grid.Bits, packed);
                    sink.Write(MemoryMarshal.AsBytes<uint>(packed));
                }
            }),
            new(module + Scale, type, [outFeatures, groups], sink => sink.WriteSingles(load().Scales)),
            new(module + Minimum, type, [outFeatures, groups], sink => sink.WriteSingles(load().Minima)),
        ];
    }

    /// <summary>Rows and columns of a weight, from its tensors' shapes alone.</summary>
    /// <exception cref="CheckpointFormatException">A tensor is missing or does not fit the grid.</exception>
    public static (int OutFeatures, int InFeatures) ShapeOf(ISafetensorsSource source, string module, AffineGrid grid)
    {
        TensorEntry codes = source.Require(module + Codes, 2, SafetensorsType.I32), scales = source.Require(module + Scale, 2, ScaleTypes.Stored);
        long rows = codes.Shape[0], groups = scales.Shape[1];
        if (groups > int.MaxValue / grid.GroupSize) throw source.Refuse("size-mismatch", module + Scale, $"is {scales.Describe()}, which is too large.");
        long columns = groups * grid.GroupSize;
        if (rows is < 1 or > int.MaxValue || columns < 1 || rows * columns > Array.MaxLength)
            throw source.Refuse("size-mismatch", module + Codes, $"a matrix of [{rows}, {columns}]; 1 to {Array.MaxLength} elements are read.");
        int words = DenseBitPacker.WordsPerRow((int)columns, grid.Bits);
        return codes.Shape[1] == words
            ? ((int)rows, (int)columns)
            : throw source.Refuse("size-mismatch", module + Codes, $"is {codes.Describe()}; {groups} groups of {grid} take [{rows}, {words}].");
    }

    /// <summary>Reads a weight.</summary>
    /// <param name="source">The file or folder.</param>
    /// <param name="module">Module name.</param>
    /// <param name="grid">Its grid.</param>
    /// <exception cref="CheckpointFormatException">A tensor is missing or does not fit the grid, a scale or minimum is not finite, or a scale is 0.</exception>
    public static AffineWeight Read(ISafetensorsSource source, string module, AffineGrid grid)
    {
        (int rows, int columns) = ShapeOf(source, module, grid);
        int groups = grid.GroupsPerRow(columns), words = DenseBitPacker.WordsPerRow(columns, grid.Bits);
        string why = $"{grid} on [{rows}, {columns}]";
        TensorEntry scales = source.RequireMatrix(module + Scale, rows, groups, why, ScaleTypes.Stored);
        TensorEntry minima = source.RequireMatrix(module + Minimum, rows, groups, why, scales.Type);
        float[] steps = source.ReadScales(scales), lowest = source.ReadFinite(minima);
        var codes = new byte[rows * columns];
        for (int row = 0; row < rows; row++)
        {
            ReadOnlySpan<byte> bytes = source.GetBytes(module + Codes, (long)row * words * sizeof(uint), words * sizeof(uint));
            DenseBitPacker.UnpackRow(MemoryMarshal.Cast<byte, uint>(bytes), grid.Bits, codes.AsSpan(row * columns, columns));
        }
        return new AffineWeight(rows, columns, grid, codes, steps, lowest, scales.Type.ToScaleType());
    }
}
