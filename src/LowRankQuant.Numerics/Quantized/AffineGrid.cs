using System.Globalization;

namespace LowRankQuant.Numerics.Quantized;

/// <summary>
/// Groups of unsigned codes with a scale and a float minimum each, both of one stored type, as MLX and llama.cpp's Q4_1 and Q5_1 have them:
/// <code>value = scale code + minimum,  code = 0..2^bits-1</code>
/// evaluated in 32-bit floats without fused multiply-add. With scales of 16 bits the product is exact, so that there is one rounding, which an engine that
/// multiplies and adds in one step has too. No zero point is stored: the value 0 need not be a code's.
/// </summary>
public sealed record AffineGrid : WeightGrid
{
    /// <summary>The word that names the kind, as in <c>4:64:affine</c>.</summary>
    public const string Kind = "affine";

    // Names of llama.cpp's blocks, which hold groups of 32 with halves.
    private static readonly (string Name, int Bits)[] Blocks = [("q4_1", 4), ("q5_1", 5)];

    /// <summary>A grid.</summary>
    /// <param name="bits">Width of a code, 2 to 8.</param>
    /// <param name="groupSize">Inputs that share a scale and a minimum.</param>
    /// <exception cref="ArgumentOutOfRangeException">A width that is not supported, or a group of no inputs.</exception>
    public AffineGrid(int bits, int groupSize)
        : base(bits, symmetric: false)
    {
        if (bits is < UniformGrid.MinBits or > UniformGrid.MaxBits) throw new ArgumentOutOfRangeException(nameof(bits), bits, $"Codes have {UniformGrid.MinBits} to {UniformGrid.MaxBits} bits.");
        ArgumentOutOfRangeException.ThrowIfLessThan(groupSize, 1);
        GroupSize = groupSize;
    }

    /// <summary>Inputs of a group.</summary>
    public int GroupSize { get; }

    /// <summary>The spelling of the grid, such as <c>4:64:affine</c>.</summary>
    public string Name => string.Create(CultureInfo.InvariantCulture, $"{Bits}:{GroupSize}:{Kind}");

    /// <summary>The names of llama.cpp's blocks whose grids are affine, in small letters.</summary>
    public static IEnumerable<string> BlockNames => Blocks.Select(block => block.Name);

    /// <summary>The grid of one of llama.cpp's blocks such as <c>q4_1</c>, in any case; null for another name. Its scales and minima are halves.</summary>
    public static AffineGrid? OfBlock(string name)
    {
        const int BlockSize = 32;
        foreach ((string block, int bits) in Blocks)
        {
            if (block.Equals(name, StringComparison.OrdinalIgnoreCase)) return new AffineGrid(bits, BlockSize);
        }
        return null;
    }

    /// <summary>The grid of a spelling such as <c>4:64:affine</c> or <c>q4_1</c>, in any case; null for another.</summary>
    public static AffineGrid? Find(string spelling)
    {
        if (OfBlock(spelling) is { } block) return block;
        string[] parts = spelling.Split(':');
        if (parts.Length != 3 || !parts[2].Equals(Kind, StringComparison.OrdinalIgnoreCase)) return null;
        return Number(parts[0], out int bits) && bits is >= UniformGrid.MinBits and <= UniformGrid.MaxBits && Number(parts[1], out int size) && size > 0 ? new AffineGrid(bits, size) : null;

        static bool Number(string text, out int value) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }

    /// <inheritdoc/>
    public override int GroupsPerRow(int inFeatures) => inFeatures / GroupSize;

    /// <inheritdoc/>
    public override int ScalesPerRow(int inFeatures) => GroupsPerRow(inFeatures);

    /// <inheritdoc/>
    public override bool Divides(int inFeatures) => inFeatures % GroupSize == 0;

    /// <summary>Codes in rows of whole words of 32 bits, and for every group a scale and a minimum.</summary>
    /// <inheritdoc/>
    public override long StoredBits(int outFeatures, int inFeatures, ScaleType scaleType)
    {
        const int WordBits = 32, Floats = 2;
        long words = (((long)inFeatures * Bits) + WordBits - 1) / WordBits;
        return outFeatures * ((words * WordBits) + ((long)GroupsPerRow(inFeatures) * Floats * (scaleType == ScaleType.Float32 ? 32 : 16)));
    }

    /// <summary>A short name such as <c>w4 affine g64</c>.</summary>
    public override string ToString() => $"w{Bits} {Kind} g{GroupSize}";
}
