using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Mlx;

/// <summary>
/// A weight on MLX's affine grid: unsigned codes q, a scale and a float bias per group, both in the type T of the weights. Value of an element:
/// T(T(q s) + bias), two roundings. There is no zero point; scales may be negative.
/// </summary>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Layout">Width and group size; groups divide the rows.</param>
/// <param name="Type">Type of scales and biases.</param>
/// <param name="Codes">[out, in].</param>
/// <param name="Scales">[out, in / group].</param>
/// <param name="Biases">[out, in / group].</param>
public sealed record MlxWeight(int OutFeatures, int InFeatures, MlxLayout Layout, ScaleType Type, byte[] Codes, float[] Scales, float[] Biases)
{
    /// <summary>The same weight with bias = -s z; null when that has no exact value in the type of the scales, so that something would be lost.</summary>
    /// <param name="weight">A weight per group of 32, 64 or 128.</param>
    /// <exception cref="ArgumentException">The grid is not per group.</exception>
    public static MlxWeight? FromGrid(UniformWeight weight)
    {
        if (weight.Grid.Granularity != Granularity.Group) throw new ArgumentException($"{weight.Grid} is not per group.", nameof(weight));
        var biases = new float[weight.Scales.Length];
        for (int i = 0; i < biases.Length; i++)
        {
            double exact = -(double)weight.Scales[i] * (weight.ZeroPoints is { } zeros ? zeros[i] : weight.Grid.SymmetricZero);
            biases[i] = StorageScale.RoundAny((float)exact, weight.ScaleType);
            if (biases[i] != exact) return null;
        }
        var layout = new MlxLayout(weight.Grid.Bits, weight.Grid.GroupSize);
        return new MlxWeight(weight.OutFeatures, weight.InFeatures, layout, weight.ScaleType, weight.Codes, weight.Scales, biases);
    }

    /// <summary>
    /// The weight on an integer grid with z = -bias / s; null where a bias is no such multiple of its scale (z beyond 0..2^bits-1 included), a scale
    /// is 0, or codes have 1 bit. The grid is symmetric when every z is 2^(bits-1).
    /// </summary>
    public UniformWeight? ToGrid()
    {
        if (Layout.Bits < UniformGrid.MinBits) return null;
        var zeros = new byte[Scales.Length];
        int most = (1 << Layout.Bits) - 1, middle = 1 << (Layout.Bits - 1);
        for (int i = 0; i < zeros.Length; i++)
        {
            if (Scales[i] == 0) return null;
            double zero = Math.Round(-(double)Biases[i] / Scales[i]);
            if (!(zero >= 0 && zero <= most) || -zero * Scales[i] != Biases[i]) return null;
            zeros[i] = (byte)zero;
        }
        bool symmetric = !zeros.AsSpan().ContainsAnyExcept((byte)middle);
        var grid = new UniformGrid(Layout.Bits, symmetric, Granularity.Group, Layout.GroupSize);
        return new UniformWeight(OutFeatures, InFeatures, grid, Codes, Scales, symmetric ? null : zeros, Type);
    }

    /// <summary>The same weight with its minima as biases; nothing is rounded.</summary>
    /// <param name="weight">A weight in groups of 32, 64 or 128; its branch is left out.</param>
    public static MlxWeight FromAffine(AffineWeight weight) => new(
        weight.OutFeatures, weight.InFeatures, new MlxLayout(weight.Grid.Bits, weight.Grid.GroupSize), weight.ScaleType, weight.Codes, weight.Scales, weight.Minima);

    /// <summary>The weight with its biases as minima; null where a scale is 0, or codes have 1 bit. MLX rounds twice to the type of the scales, which is left to who computes.</summary>
    public AffineWeight? ToAffine() => Layout.Bits < UniformGrid.MinBits || Array.IndexOf(Scales, 0f) >= 0
        ? null
        : new AffineWeight(OutFeatures, InFeatures, new AffineGrid(Layout.Bits, Layout.GroupSize), Codes, Scales, Biases, Type);

    /// <summary>Writes the values that MLX computes with.</summary>
    /// <param name="destination">[out, in].</param>
    public void Dequantize(Span<float> destination)
    {
        for (int i = 0; i < Codes.Length; i++)
        {
            int group = i / Layout.GroupSize;
            destination[i] = StorageScale.RoundAny(StorageScale.RoundAny(Codes[i] * Scales[group], Type) + Biases[group], Type);
        }
    }
}
