namespace LowRankQuant.Numerics.Quantized;

/// <summary>What the scales of a <see cref="FloatGrid"/> are.</summary>
public enum FloatScaling
{
    /// <summary>A 16 or 32-bit float per output channel.</summary>
    Channel,

    /// <summary>A 16 or 32-bit float per square of rows and inputs; the last rows may be fewer.</summary>
    Block,

    /// <summary>A power of two per group, a byte.</summary>
    PowerOfTwo,

    /// <summary>An E4M3 float per group, a byte, and one 32-bit float for the matrix, which divides.</summary>
    Float8,
}

/// <summary>
/// Grids of small floats: value = code * scale, with codes that are floats of 4 or 8 bits, so that levels lie closer around 0. There are no zero points.
/// </summary>
/// <remarks>
/// | grid | code | scale | bits per weight |
/// | --- | --- | --- | --- |
/// | fp8 | E4M3 | a float per row | 8 + |
/// | fp8-block | E4M3 | a float per 128 x 128 | 8 + |
/// | mxfp8 | E4M3 | 2^k per 32 inputs | 8.25 |
/// | mxfp4 | E2M1 | 2^k per 32 inputs | 4.25 |
/// | nvfp4 | E2M1 | E4M3 per 16 inputs, over a float for the matrix | 4.5 |
/// Source: OCP Microscaling Formats 1.0; vllm-project/compressed-tensors, quantization/quant_scheme.py.
/// </remarks>
public sealed record FloatGrid : WeightGrid
{
    /// <summary>Rows and inputs of a block.</summary>
    public const int BlockSize = 128;

    private FloatGrid(string name, SmallFloat codes, FloatScaling scaling, int groupSize)
        : base(codes.Bits, symmetric: true) => (Name, Codes, Scaling, GroupSize) = (name, codes, scaling, groupSize);

    /// <summary>8-bit floats with a scale per output channel.</summary>
    public static FloatGrid Fp8 { get; } = new("fp8", SmallFloat.E4M3, FloatScaling.Channel, 0);

    /// <summary>8-bit floats with a scale per 128 x 128 weights.</summary>
    public static FloatGrid Fp8Block { get; } = new("fp8-block", SmallFloat.E4M3, FloatScaling.Block, BlockSize);

    /// <summary>8-bit floats in groups of 32.</summary>
    public static FloatGrid Mxfp8 { get; } = new("mxfp8", SmallFloat.E4M3, FloatScaling.PowerOfTwo, 32);

    /// <summary>4-bit floats in groups of 32.</summary>
    public static FloatGrid Mxfp4 { get; } = new("mxfp4", SmallFloat.E2M1, FloatScaling.PowerOfTwo, 32);

    /// <summary>4-bit floats in groups of 16.</summary>
    public static FloatGrid Nvfp4 { get; } = new("nvfp4", SmallFloat.E2M1, FloatScaling.Float8, 16);

    /// <summary>All of them.</summary>
    public static IReadOnlyList<FloatGrid> All { get; } = [Fp8, Fp8Block, Mxfp8, Mxfp4, Nvfp4];

    /// <summary>Name as recipes spell it.</summary>
    public string Name { get; }

    /// <summary>What codes stand for.</summary>
    public SmallFloat Codes { get; }

    /// <summary>What scales are.</summary>
    public FloatScaling Scaling { get; }

    /// <summary>Inputs that share a scale; 0 for whole rows.</summary>
    public int GroupSize { get; }

    /// <summary>Rows that share a scale.</summary>
    public int GroupRows => Scaling == FloatScaling.Block ? BlockSize : 1;

    /// <summary>Whether a scale is a byte; else a 16 or 32-bit float.</summary>
    public bool HasByteScales => Scaling is FloatScaling.PowerOfTwo or FloatScaling.Float8;

    /// <summary>Whether scales may take any value of a 16 or 32-bit float, so that a method may learn them; else they are found before it begins and stay.</summary>
    public bool HasFreeScales => Scaling == FloatScaling.Channel;

    /// <summary>The grid of a name such as <c>mxfp4</c>, in any case; null when there is none.</summary>
    public static FloatGrid? Find(string name) => All.FirstOrDefault(grid => grid.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <inheritdoc/>
    public override int GroupsPerRow(int inFeatures) => GroupSize == 0 ? 1 : inFeatures / GroupSize;

    /// <inheritdoc/>
    public override int ScalesPerRow(int inFeatures) => GroupsPerRow(inFeatures);

    /// <summary>Rows of scales of a matrix.</summary>
    public int ScaleRows(int outFeatures) => (outFeatures + GroupRows - 1) / GroupRows;

    /// <inheritdoc/>
    public override bool Divides(int inFeatures) => GroupSize == 0 || inFeatures % GroupSize == 0;

    /// <inheritdoc/>
    public override bool SharesScalesBetweenRows => Scaling is FloatScaling.Block or FloatScaling.Float8;

    /// <inheritdoc/>
    public override long StoredBits(int outFeatures, int inFeatures, ScaleType scaleType)
    {
        int scaleBits = HasByteScales ? 8 : scaleType == ScaleType.Float32 ? 32 : 16;
        return ((long)outFeatures * inFeatures * Bits) + ((long)ScaleRows(outFeatures) * GroupsPerRow(inFeatures) * scaleBits) + (Scaling == FloatScaling.Float8 ? 32 : 0);
    }

    /// <summary>The name.</summary>
    public override string ToString() => Name;
}
